//! Stacks that say who they are, and users of a front who notice an answer that should not be there any more.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::JoinHandle,
    time::Duration,
};

use pointsman::{
    machine::{Generation, Number, StackName},
    web_front::{Route, Split, Target},
};

use super::wire::Wire;

/// A stack that answers with its number as `x-version`, and with the cookies that it was sent, on connections that it keeps.
pub fn stack(number: u32) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(client, number));
        }
    });
    let stack = StackName { environment: "shop/prod".parse().unwrap(), number: Number(number) };
    Target { stack, reach: address.into() }
}

fn serve(client: TcpStream, number: u32) {
    client.set_nodelay(true).unwrap();
    let mut client = BufReader::new(client);
    let (mut line, mut cookie) = (String::new(), String::new());
    while client.read_line(&mut line).is_ok_and(|length| length > 0) {
        if line == "\r\n" {
            let saw = format!("x-version: {number}\r\nx-saw-cookie: {}\r\n", std::mem::take(&mut cookie));
            let answer = format!("HTTP/1.1 200 OK\r\n{saw}content-length: 0\r\n\r\n");
            if client.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("cookie")
        {
            value.trim().clone_into(&mut cookie);
        }
        line.clear();
    }
}

pub fn route(generation: u64, target: &Target) -> Route {
    Route::whole(Generation(generation), Some(target.clone()))
}

/// A route that gives the second target a share of the users.
pub fn shared(generation: u64, target: &Target, second: &Target, percent: i64) -> Route {
    let split = Split { target: second.clone(), share: percent.try_into().unwrap() };
    Route { split: Some(split), ..route(generation, target) }
}

/// What the users share with whoever orders.
#[derive(Default)]
pub struct Board {
    over: AtomicBool,
    /// Who was acknowledged last.
    live: AtomicU64,
    /// Counts up at the beginning and at the end of every order.
    orders: AtomicU64,
    /// Stack that each user was served by.
    served: [AtomicU64; USERS],
}

const USERS: usize = 6;
const PACE: Duration = Duration::from_millis(4);

impl Board {
    /// Notes the order: from here on either may answer.
    pub fn ordered(&self) {
        self.orders.fetch_add(1, SeqCst);
    }

    /// Notes the acknowledgement: from here on only this one may answer.
    pub fn acknowledged(&self, target: &Target) {
        self.live.store(target.stack.number.0.into(), SeqCst);
        self.orders.fetch_add(1, SeqCst);
    }
}

/// Answers that they met.
#[derive(Debug, Default)]
pub struct Met {
    /// Anything but 200.
    pub errors: Vec<String>,
    /// Another stack than the acknowledged one, in answer to what was asked after that.
    pub old: u64,
    /// A connection that was kept ended before it answered, while an order was under way.
    pub resets_at_cutovers: u64,
    /// The same at other times: a reload closes connections that are idle, and one may just be being used.
    pub resets: u64,
}

/// Users who hardly pause, each over a connection of its own.
pub struct Herd {
    pub board: Arc<Board>,
    users: Vec<JoinHandle<Met>>,
}

impl Herd {
    pub fn at(front: SocketAddr, live: &Target) -> Self {
        let board = Arc::new(Board::default());
        board.acknowledged(live);
        let user = |which| {
            let board = board.clone();
            std::thread::spawn(move || use_it(front, &board, which))
        };
        Self { users: (0..USERS).map(user).collect(), board }
    }

    /// Lets each be served so many times more.
    pub fn goes_on(&self, more: u64) {
        let served = || self.board.served.iter().map(|served| served.load(SeqCst)).collect::<Vec<_>>();
        let goals: Vec<_> = served().into_iter().map(|served| served + more).collect();
        for _ in 0..4000 {
            if served().iter().zip(&goals).all(|(served, goal)| served >= goal) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("users are not served");
    }

    pub fn end(self) -> Met {
        self.board.over.store(true, SeqCst);
        let all = self.users.into_iter().map(|user| user.join().unwrap());
        all.fold(Met::default(), |mut sum, met| {
            sum.errors.extend(met.errors);
            sum.old += met.old;
            sum.resets += met.resets;
            sum.resets_at_cutovers += met.resets_at_cutovers;
            sum
        })
    }
}

fn use_it(front: SocketAddr, board: &Board, which: usize) -> Met {
    let (mut met, mut kept) = (Met::default(), None);
    while !board.over.load(SeqCst) && met.errors.len() < 10 {
        // Even: an order is under way.
        let (before, live) = (board.orders.load(SeqCst), board.live.load(SeqCst));
        let reused = kept.is_some();
        let answer = kept.take().map_or_else(|| Wire::open(front), Ok).and_then(|mut wire: Wire| {
            let answer = wire.ask("GET", "/", "", "")?;
            kept = answer.headers.get("connection").is_none_or(|c| c != "close").then_some(wire);
            Ok(answer)
        });
        let quiet = before % 2 == 1 && board.orders.load(SeqCst) == before;
        match answer {
            Ok(answer) if answer.status == 200 => {
                board.served[which].fetch_add(1, SeqCst);
                let old = answer.headers.get("x-version").is_none_or(|version| *version != live.to_string());
                met.old += u64::from(quiet && old);
            }
            Ok(answer) => met.errors.push(format!("{} {}", answer.status, answer.body)),
            Err(_) if reused && quiet => met.resets += 1,
            Err(_) if reused => met.resets_at_cutovers += 1,
            Err(error) => met.errors.push(error.to_string()),
        }
        // Whoever works at the front needs the processor too.
        std::thread::sleep(PACE);
    }
    met
}
