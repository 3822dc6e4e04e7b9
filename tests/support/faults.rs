//! A proxy before Keystone and Heat that loses requests, answers and patience, as told; and counts.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use super::cloud::Cloud;

/// Fate of a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is answered with this status, and Heat never hears of it.
    Status(u16),
    /// It is answered that Heat is busy for so many seconds, and Heat never hears of it.
    Busy(u32),
    /// No answer ever comes, and Heat never hears of it.
    Hang,
    /// The connection ends before Heat hears of it.
    LoseRequest,
    /// Heat does what is asked, and the connection ends before the answer.
    LoseAnswer,
}

#[derive(Default)]
struct Plan {
    /// Each for the next request with this method whose path ends so, before its query.
    faults: Vec<(String, String, Fault)>,
    seen: Vec<String>,
    tokens: Vec<String>,
    expired: Vec<String>,
    ahead: Duration,
}

/// The proxy. It ends with the test run.
pub struct Proxy {
    pub keystone: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl Proxy {
    /// A proxy whose Keystone leads to it, and nowhere else.
    pub fn before(cloud: &Cloud) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (keystone, heat) = (listen(), listen());
        let plan = Arc::<Mutex<Plan>>::default();
        let rename = [(cloud.heat(), &heat), (cloud.keystone(), &keystone)];
        let rename = rename.map(|(from, to)| (from.to_string(), to.local_addr().expect("bound").to_string()));
        let proxy = Self { keystone: keystone.local_addr().expect("bound"), plan: plan.clone() };
        for (listener, to) in [(keystone, cloud.keystone()), (heat, cloud.heat())] {
            let (plan, rename) = (plan.clone(), rename.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (plan, rename) = (plan.clone(), rename.clone());
                    // Whoever asked has gone away: that is theirs to notice.
                    std::thread::spawn(move || drop(pass(stream, to, &plan, &rename)));
                }
            });
        }
        proxy
    }

    /// The next such request meets this.
    pub fn next(&self, method: &str, path_ends: &str, fault: Fault) {
        self.plan.lock().unwrap().faults.push((method.into(), path_ends.into(), fault));
    }

    /// Faults that nobody has met yet.
    pub fn waiting(&self) -> usize {
        self.plan.lock().unwrap().faults.len()
    }

    /// No token that was given until now is good any more.
    pub fn expire_tokens(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.expired = plan.tokens.clone();
    }

    /// The other side's clock shows so much more.
    pub fn let_pass(&self, time: Duration) {
        self.plan.lock().unwrap().ahead = time;
    }

    /// What was asked since the last time, as `METHOD path?query` without the project.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.plan.lock().unwrap().seen)
    }
}

struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

fn read(stream: &mut impl BufRead) -> io::Result<Message> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = header(&head, "content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Message { head, body })
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    let found = head.iter().skip(1).filter_map(|line| line.split_once(':'));
    found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn write(stream: &mut impl Write, message: &Message) -> io::Result<()> {
    let kept = |line: &&String| {
        !line.to_ascii_lowercase().starts_with("connection:")
            && !line.to_ascii_lowercase().starts_with("content-length:")
    };
    let mut text: String = message.head.iter().filter(kept).map(|line| format!("{line}\r\n")).collect();
    text.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", message.body.len()));
    stream.write_all(&[text.as_bytes(), &message.body].concat())
}

fn pass(stream: TcpStream, to: SocketAddr, plan: &Mutex<Plan>, rename: &[(String, String); 2]) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = read(&mut stream)?;
    let fault = note(&mut request, plan);
    match fault {
        Some(Fault::LoseRequest) => return Ok(()),
        // Until whoever asked gives up.
        Some(Fault::Hang) => return stream.get_mut().read_to_end(&mut Vec::new()).map(drop),
        Some(Fault::Status(status)) => return write(stream.get_mut(), &fault_of(status, None)),
        Some(Fault::Busy(seconds)) => return write(stream.get_mut(), &fault_of(429, Some(seconds))),
        Some(Fault::LoseAnswer) | None => {}
    }
    let mut there = BufReader::new(TcpStream::connect(to)?);
    write(there.get_mut(), &request)?;
    let mut answer = read(&mut there)?;
    if matches!(fault, Some(Fault::LoseAnswer)) {
        return Ok(());
    }
    let ahead = {
        let mut plan = plan.lock().unwrap();
        plan.tokens.extend(header(&answer.head, "x-subject-token").map(str::to_owned));
        plan.ahead
    };
    if !ahead.is_zero() {
        answer.head.retain(|line| !line.to_ascii_lowercase().starts_with("date:"));
        answer.head.push(format!("date: {}", httpdate::fmt_http_date(SystemTime::now() + ahead)));
    }
    if let Ok(text) = std::str::from_utf8(&answer.body) {
        answer.body = rename.iter().fold(text.to_owned(), |t, (from, to)| t.replace(from, to)).into_bytes();
    }
    write(stream.get_mut(), &answer)
}

fn fault_of(status: u16, seconds: Option<u32>) -> Message {
    let body = format!("{{\"error\": {{\"message\": \"status {status}, as the story wants\"}}}}").into_bytes();
    let mut head = vec![format!("HTTP/1.1 {status} Fault"), "content-type: application/json".to_owned()];
    head.extend(seconds.map(|seconds| format!("retry-after: {seconds}")));
    Message { head, body }
}

/// Counts a request, spoils its token if that has expired, and says what is to become of it.
fn note(request: &mut Message, plan: &Mutex<Plan>) -> Option<Fault> {
    let mut plan = plan.lock().unwrap();
    let mut first = request.head.first()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let expired = header(&request.head, "x-auth-token").is_some_and(|token| plan.expired.iter().any(|e| e == token));
    if expired {
        request.head.retain(|line| !line.to_ascii_lowercase().starts_with("x-auth-token:"));
        request.head.push("x-auth-token: expired".to_owned());
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let short = target.splitn(4, '/').nth(3).unwrap_or(&target).to_owned();
    plan.seen.push(format!("{method} /{short}"));
    let at = plan.faults.iter().position(|(m, ends, _)| *m == method && path.ends_with(ends.as_str()))?;
    Some(plan.faults.remove(at).2)
}
