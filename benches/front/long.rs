//! What is in flight for long: it must outlive two cutovers, whole.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    backend::{BEAT, PIECES},
    cut_over,
};

const EACH: usize = 10;
const TICK: &str = "data: tick";
const PATIENCE: Duration = Duration::from_secs(10);

/// Ten of each, over cutovers 2 and 3; prints how many came through.
pub async fn lived(folder: &Path, front: SocketAddr, backends: [SocketAddr; 2]) {
    let (begun, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..3 * EACH)
        .map(|index| {
            let (begun, over) = (begun.clone(), over.clone());
            tokio::spawn(timeout(PATIENCE, async move {
                match index / EACH {
                    0 => long(front, &begun).await,
                    1 => events(front, &begun, &over).await,
                    _ => socket(front, &begun, &over).await,
                }
            }))
        })
        .collect();
    while begun.load(SeqCst) < 3 * EACH {
        sleep(BEAT).await;
    }
    for generation in [2, 3] {
        cut_over(folder, generation, backends).await;
        sleep(BEAT * 5).await;
    }
    over.store(true, SeqCst);
    let mut whole = [0; 3];
    for (index, client) in clients.into_iter().enumerate() {
        whole[index / EACH] += usize::from(matches!(client.await.unwrap(), Ok(Some(()))));
    }
    let [long, events, sockets] = whole;
    println!(
        "across two cutovers: {long} of {EACH} long responses, {events} of {EACH} streams of events and {sockets} of {EACH} WebSockets whole"
    );
}

async fn ask(front: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(front).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// Reads until `enough`; `None`: it ended before.
async fn read(stream: &mut TcpStream, text: &mut String, enough: impl Fn(&str) -> bool) -> Option<()> {
    let mut buffer = [0; 4096];
    while !enough(text) {
        let count = stream.read(&mut buffer).await.ok().filter(|&count| count > 0)?;
        text.push_str(std::str::from_utf8(&buffer[..count]).ok()?);
    }
    Some(())
}

async fn long(front: SocketAddr, begun: &AtomicUsize) -> Option<()> {
    let (mut stream, mut text) = (ask(front, "/long").await, String::new());
    read(&mut stream, &mut text, |text| text.contains(TICK)).await?;
    begun.fetch_add(1, SeqCst);
    read(&mut stream, &mut text, |text| text.ends_with("\r\n0\r\n\r\n")).await?;
    (text.matches(TICK).count() == PIECES).then_some(())
}

async fn events(front: SocketAddr, begun: &AtomicUsize, over: &AtomicBool) -> Option<()> {
    let (mut stream, mut text) = (ask(front, "/events").await, String::new());
    read(&mut stream, &mut text, |text| text.contains(TICK)).await?;
    begun.fetch_add(1, SeqCst);
    read(&mut stream, &mut text, |_| over.load(SeqCst)).await?;
    let so_far = text.matches(TICK).count();
    read(&mut stream, &mut text, |text| text.matches(TICK).count() > so_far + 3).await
}

async fn socket(front: SocketAddr, begun: &AtomicUsize, over: &AtomicBool) -> Option<()> {
    let stream = TcpStream::connect(front).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://app.test/socket", stream).await.ok()?;
    let mut counted = false;
    loop {
        let last = over.load(SeqCst);
        socket.send("still there?".into()).await.ok()?;
        if socket.next().await?.ok()?.into_text().ok()?.as_str() != "still there?" {
            return None;
        }
        if !counted {
            begun.fetch_add(1, SeqCst);
            counted = true;
        }
        if last {
            return Some(());
        }
        sleep(BEAT).await;
    }
}
