//! What is acknowledged at once, and what only when it is on the disk.

use std::{
    fs::File,
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{Front, FrontError, Order, Start, serve, start};
use crate::{
    machine::Generation,
    web_front::{
        CutOver, Route,
        builtin::{
            control::{Answer, ask},
            store::Sync,
        },
    },
};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A front whose disk is as `sync` says.
async fn front(folder: &Path, sync: Sync) -> Front {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(folder.join("settings.toml"), format!("listen = '{address}'")).unwrap();
    let mut front = start::begin(folder, Start::default()).await.unwrap();
    front.store.as_mut().unwrap().flush_by(sync);
    front
}

/// Plays `story` against the front, and ends the front.
async fn during(front: Front, story: impl Future<Output = ()>) -> Result<(), FrontError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let story = async {
        story.await;
        drop(stop);
    };
    tokio::join!(serve(front, async { drop(stopped.await) }), story).0
}

async fn cut_over(folder: &Path, generation: u64) {
    let route = Route::whole(Generation(generation), None);
    let answer = ask(folder, &Order::CutOver { route }, ANSWER_LIMIT).await.unwrap();
    assert!(matches!(answer, Answer::CutOver { result: CutOver::Applied }), "{answer:?}");
}

async fn seen(folder: &Path) -> Result<u64, String> {
    match ask(folder, &Order::Observe, ANSWER_LIMIT).await.unwrap() {
        Answer::Seen(seen) => Ok(seen.front.map_or(0, |front| front.route.generation.0)),
        Answer::Unavailable { why } => Err(why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cutover_is_acknowledged_at_once_and_seen_when_it_is_on_the_disk() {
    static DISK_ANSWERS: AtomicBool = AtomicBool::new(false);
    fn slow(file: &File) -> io::Result<()> {
        while !DISK_ANSWERS.load(SeqCst) {
            std::thread::yield_now();
        }
        file.sync_data()
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let front = front(path, slow).await;
    let story = async {
        cut_over(path, 1).await;
        let mut look = std::pin::pin!(seen(path));
        let mut maintain = std::pin::pin!(ask(path, &Order::Maintenance { on: true }, ANSWER_LIMIT));
        assert!(timeout(Duration::from_millis(100), &mut look).await.is_err(), "seen before it was on the disk");
        assert!(timeout(Duration::from_millis(100), &mut maintain).await.is_err(), "nobody repeats this order");
        let greeted = ask(path, &Order::Greet, ANSWER_LIMIT).await;
        assert!(matches!(greeted, Ok(Answer::Seen(_))), "whether it runs is no question to the disk");
        cut_over(path, 2).await;
        DISK_ANSWERS.store(true, SeqCst);
        assert_eq!(look.await, Ok(2), "the newest is seen");
        assert!(matches!(maintain.await, Ok(Answer::Done)));
    };
    during(front, story).await.unwrap();
}

#[tokio::test]
async fn killed_before_the_flush_it_comes_back_with_what_it_acknowledged() {
    static DISK_ANSWERS: AtomicBool = AtomicBool::new(false);
    fn never(_: &File) -> io::Result<()> {
        while !DISK_ANSWERS.load(SeqCst) {
            std::thread::yield_now();
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let first = front(path, never).await;
    let killed = {
        let story = async {
            cut_over(path, 1).await;
            cut_over(path, 2).await;
        };
        tokio::select! {
            ended = serve(first, std::future::pending()) => Some(ended),
            () = story => None,
        }
    };
    assert!(killed.is_none(), "dropped on the spot, flush and all");
    DISK_ANSWERS.store(true, SeqCst);
    let again = front(path, File::sync_data).await;
    during(again, async { assert_eq!(seen(path).await, Ok(2)) }).await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_stops_no_cutover_and_proves_none() {
    static DISK_IS_BROKEN: AtomicBool = AtomicBool::new(true);
    fn broken(file: &File) -> io::Result<()> {
        if DISK_IS_BROKEN.load(SeqCst) { Err(rustix::io::Errno::IO.into()) } else { file.sync_data() }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let front = front(path, broken).await;
    let story = async {
        cut_over(path, 1).await;
        for _ in 0..3 {
            assert!(seen(path).await.unwrap_err().contains("cannot be written to the disk"));
        }
        cut_over(path, 2).await;
        DISK_IS_BROKEN.store(false, SeqCst);
        // The flush that had begun before may still fail.
        while seen(path).await.is_err() {}
        assert_eq!(seen(path).await, Ok(2));
    };
    during(front, story).await.unwrap();
}
