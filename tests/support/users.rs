//! Users of a front during chaos: each failure is held against what was broken on purpose while the request was under way, so
//! that only failures which nothing explains are left.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::wire::{Answer, Wire};

const USERS: usize = 6;
const PACE: Duration = Duration::from_millis(3);

/// What users share with whoever breaks things.
#[derive(Default)]
pub struct Weather {
    over: AtomicBool,
    /// Odd while something is broken that a request under way may notice.
    turns: AtomicU64,
}

impl Weather {
    /// Breaks something, and waits until users are served again.
    pub fn storm<T>(&self, break_it: impl FnOnce() -> T, served: impl FnOnce()) -> T {
        self.turns.fetch_add(1, SeqCst);
        let done = break_it();
        served();
        self.turns.fetch_add(1, SeqCst);
        done
    }
}

/// Answers that they met.
#[derive(Debug, Default)]
pub struct Met {
    pub served: u64,
    /// Failures of requests that were under way when something was broken on purpose.
    pub explained: Vec<String>,
    /// All others.
    pub unexplained: Vec<String>,
    /// New connections that were refused: nothing explains these, since the listening sockets outlive the front.
    pub refused: u64,
    /// Requests that got the maintenance page, which is no failure where it is meant to be shown.
    pub paged: u64,
}

/// Users who hardly pause, each over a connection that it keeps.
pub struct Users {
    pub weather: Arc<Weather>,
    users: Vec<JoinHandle<Met>>,
}

impl Users {
    pub fn of(front: SocketAddr) -> Self {
        let weather = Arc::new(Weather::default());
        let user = |_| {
            let weather = weather.clone();
            std::thread::spawn(move || use_it(front, &weather))
        };
        Self { users: (0..USERS).map(user).collect(), weather }
    }

    /// Ends, and tells.
    pub fn end(self) -> Met {
        self.weather.over.store(true, SeqCst);
        let all = self.users.into_iter().map(|user| user.join().expect("a user does not panic"));
        all.fold(Met::default(), |mut sum, met| {
            sum.served += met.served;
            sum.refused += met.refused;
            sum.paged += met.paged;
            sum.explained.extend(met.explained);
            sum.unexplained.extend(met.unexplained);
            sum
        })
    }
}

/// Whether a front shows its maintenance page, and says when to come again.
fn is_page(answer: &Answer) -> bool {
    let says = |name: &str| answer.headers.get(name).map(String::as_str);
    says("x-pointsman-front") == Some("maintenance") && says("retry-after").is_some()
}

fn use_it(front: SocketAddr, weather: &Weather) -> Met {
    let mut met = Met::default();
    // With the turn at which it was used last: one that was broken meanwhile is noticed only now.
    let mut kept: Option<(Wire, u64)> = None;
    while !weather.over.load(SeqCst) {
        let now = weather.turns.load(SeqCst);
        let began = kept.as_ref().map_or(now, |(_, last)| *last);
        let open = kept.take().map_or_else(|| Wire::open(front), |(wire, _)| Ok(wire));
        let answer = open.and_then(|mut wire| {
            let answer = wire.ask("GET", "/", "", "")?;
            Ok((wire, answer))
        });
        let calm = began.is_multiple_of(2) && weather.turns.load(SeqCst) == began;
        let failure = match answer {
            Ok((wire, answer)) if answer.status == 200 => {
                met.served += 1;
                let stays = answer.headers.get("connection").is_none_or(|c| c != "close");
                kept = stays.then(|| (wire, weather.turns.load(SeqCst)));
                None
            }
            Ok((wire, answer)) if answer.status == 503 && is_page(&answer) => {
                met.paged += 1;
                kept = Some((wire, weather.turns.load(SeqCst)));
                None
            }
            Ok((_, answer)) => Some(format!("{} {}", answer.status, answer.body)),
            Err(error) => {
                met.refused += u64::from(error.kind() == std::io::ErrorKind::ConnectionRefused);
                Some(error.to_string())
            }
        };
        match failure {
            Some(failure) if calm => met.unexplained.push(failure),
            Some(failure) => met.explained.push(failure),
            None => {}
        }
        std::thread::sleep(PACE);
    }
    met
}
