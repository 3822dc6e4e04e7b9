//! Clients that go on asking whatever happens, wait as long as it takes, and remember each answer: over a connection that is
//! kept, over a new one each time, and with a body.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::wire::{Answer, Wire};

const PACE: Duration = Duration::from_millis(3);
const BODY: &str = "an order for one of each";

/// How a client asks.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    Kept,
    KeptWithBody,
    New,
    NewWithBody,
}

const WAYS: [Way; 4] = [Way::Kept, Way::KeptWithBody, Way::New, Way::NewWithBody];

/// What one client got.
#[derive(Debug, Default)]
pub struct Got {
    pub sent: u64,
    /// The versions in the order in which they answered, each once until another one did.
    pub versions: Vec<String>,
    /// Requests that got the maintenance page, with `Retry-After`.
    pub paged: u64,
    /// What was neither an answer of a release nor that page.
    pub failed: Vec<String>,
    /// The longest that one request waited for its answer.
    pub longest: Duration,
}

/// Clients that ask until they are told to end.
pub struct Waiting {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Got>>,
}

impl Waiting {
    /// So many clients, whose ways take turns.
    pub fn at(front: SocketAddr, clients: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let client = |way| {
            let over = over.clone();
            std::thread::spawn(move || go_on_asking(front, way, &over))
        };
        let clients = WAYS.into_iter().cycle().take(clients).map(client).collect();
        Self { over, clients }
    }

    /// Ends, and tells what each of them got.
    pub fn end(self) -> Vec<Got> {
        self.over.store(true, SeqCst);
        self.clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    }
}

fn go_on_asking(front: SocketAddr, way: Way, over: &AtomicBool) -> Got {
    let (mut got, mut kept) = (Got::default(), None);
    while !over.load(SeqCst) {
        got.sent += 1;
        let begun = Instant::now();
        match ask(front, way, &mut kept) {
            Ok(answer) => got.take(answer),
            Err(error) => got.failed.push(error.to_string()),
        }
        got.longest = got.longest.max(begun.elapsed());
        std::thread::sleep(PACE);
    }
    got
}

fn ask(front: SocketAddr, way: Way, kept: &mut Option<Wire>) -> std::io::Result<Answer> {
    let (method, headers, body) = match way {
        Way::Kept => ("GET", "", ""),
        Way::KeptWithBody => ("POST", "", BODY),
        Way::New => ("GET", "connection: close\r\n", ""),
        Way::NewWithBody => ("POST", "connection: close\r\n", BODY),
    };
    let mut wire = kept.take().map_or_else(|| Wire::patient(front), Ok)?;
    let answer = wire.ask(method, "/", headers, body)?;
    if answer.headers.get("connection").is_none_or(|c| c != "close") && headers.is_empty() {
        *kept = Some(wire);
    }
    let whole = body.is_empty() || answer.status != 200 || answer.body.contains(&format!("got {} bytes", body.len()));
    if whole { Ok(answer) } else { Err(std::io::Error::other(format!("the body was lost: {}", answer.body))) }
}

impl Got {
    fn take(&mut self, answer: Answer) {
        let says = |name: &str| answer.headers.get(name).map(String::as_str);
        match (answer.status, says("x-version")) {
            (200, Some(version)) if self.versions.last().is_some_and(|last| last == version) => {}
            (200, Some(version)) => self.versions.push(version.to_owned()),
            (503, None) if says("x-pointsman-front") == Some("maintenance") && says("retry-after").is_some() => {
                self.paged += 1;
            }
            (status, _) => self.failed.push(format!("{status} {}", answer.body)),
        }
    }
}
