//! A client as plain as can be, so that nothing in it tries again or hides a failure; and a hammer made of several.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// One connection that is kept.
pub struct Wire {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Wire {
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: to })
    }

    /// Connects from another address of this host.
    pub fn from(here: std::net::Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((here, 0)).into())?;
        socket.connect(&to.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: to })
    }

    /// Connects to a server that may take long.
    pub fn patient(to: SocketAddr) -> io::Result<Self> {
        let wire = Self::open(to)?;
        wire.stream.get_ref().set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(wire)
    }

    /// Asks once. `headers` are whole lines, each with its line end.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let (host, length) = (self.host, body.len());
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("{first:?} is no answer")))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&bytes).into_owned() })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Clients that ask all the while, each over a connection that it keeps.
pub struct Hammer {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

/// Answer that was seen.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub failures: Vec<String>,
    pub versions: BTreeMap<String, u64>,
}

impl Hammer {
    pub fn on(front: SocketAddr) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let client = |_| {
            let (stop, seen) = (stop.clone(), seen.clone());
            std::thread::spawn(move || hit(front, &stop, &seen))
        };
        let clients = (0..3).map(client).collect();
        Self { stop, seen, clients }
    }

    /// Ends, and tells.
    pub fn end(mut self) -> Seen {
        self.halt();
        self.seen.lock().unwrap().clone()
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.halt();
    }
}

fn hit(front: SocketAddr, stop: &AtomicBool, seen: &Mutex<Seen>) {
    let mut wire = None;
    while !stop.load(Ordering::SeqCst) {
        let answer = match wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::open(front),
        }
        .and_then(|mut open| {
            let answer = open.ask("GET", "/", "", "")?;
            if answer.headers.get("connection").is_none_or(|c| c != "close") {
                wire = Some(open);
            }
            Ok(answer)
        });
        let mut seen = seen.lock().unwrap();
        match answer {
            Ok(Answer { status: 200..=299, headers, .. }) => {
                let version = headers.get("x-version").map_or("?", String::as_str);
                *seen.versions.entry(version.to_owned()).or_default() += 1;
            }
            Ok(answer) => seen.failures.push(format!("{} {}", answer.status, answer.body)),
            Err(error) => seen.failures.push(error.to_string()),
        }
        drop(seen);
        std::thread::sleep(Duration::from_millis(1));
    }
}
