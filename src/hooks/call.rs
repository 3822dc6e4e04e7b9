//! What a run does: a program of this host, or a request to a server. Must hand all that comes of it to its [`Output`], and
//! must not follow a redirect or use a proxy: a secret goes where the pipeline file says and nowhere else.

use std::{cell::RefCell, error::Error, io, pin::pin, process::Stdio, time::Duration};

use futures_util::{
    FutureExt,
    future::{Fuse, FusedFuture},
};
use reqwest::Client;
use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, waitid},
};
use tokio::{net::unix::pipe::Receiver, process::Command, time::timeout};

use super::{
    folder::Outcome,
    order::{Program, Request},
    output::Output,
};
use crate::{
    clock::after,
    outgoing,
    program::{Group, passed_on},
    text::format_duration,
};

/// What of the controller's environment a hook may see, as much as a stack of processes. Nothing else: it holds the
/// controller's own secrets.
const SEEN: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "USER", "TMPDIR"];
/// How long a program that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Wait for the last output of a program that has ended: what it left running may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The pauses between two requests: from the first they double up to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Runs a program to its end, or until `stop` says why it must end.
pub(super) async fn command(program: &Program, mut output: Output<'_>, stop: impl Future<Output = String>) -> Outcome {
    let ran = ran(program, stop, &mut output).await;
    let said = output.finish();
    let failed = match ran {
        Ok(End::Status(Some(0))) => None,
        Ok(End::Status(Some(status))) => Some(because(&format!("it ended with exit status {status}"), &said)),
        Ok(End::Status(None)) => Some(because("it was killed", &said)),
        Ok(End::Stopped(why)) => Some(because(&why, &said)),
        Err(error) => Some(format!("it could not be run: {error}")),
    };
    Outcome { failed, said }
}

/// Adds the last line of the output, which mostly says why.
fn because(what: &str, said: &str) -> String {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    match last {
        Some(line) => format!("{what}: {}", line.chars().take(300).collect::<String>()),
        None => what.to_owned(),
    }
}

enum End {
    Status(Option<i32>),
    Stopped(String),
}

async fn ran(program: &Program, stop: impl Future<Output = String>, output: &mut Output<'_>) -> io::Result<End> {
    // One pipe for both, so that the lines stay in their order.
    let (reader, writer) = io::pipe()?;
    // The very program that we are: it ties the life of the command to ours, and becomes it.
    let mut command = Command::new("/proc/self/exe");
    command.arg("stack-exec").arg("--parent").arg(std::process::id().to_string()).arg("--").args(&program.words);
    command.env_clear().envs(passed_on(&SEEN)).envs(&program.environment).current_dir(&program.folder);
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
    let mut child = command.spawn()?;
    // It holds the writing end.
    drop(command);
    let mut group = Group::of(&child, Signal::KILL);
    let mut reading = pin!(output.take_in(Receiver::from_owned_fd(reader.into())?).fuse());
    let mut ended = pin!(ended(child.id()));
    let mut stop = pin!(stop);
    let stopped = meanwhile(&mut reading, async {
        tokio::select! {
            () = &mut ended => None,
            why = &mut stop => Some(why),
        }
    });
    let stopped = stopped.await;
    if stopped.is_some() {
        group.signal(Signal::TERM);
        if meanwhile(&mut reading, timeout(GRACE, &mut ended)).await.is_err() {
            group.signal(Signal::KILL);
            meanwhile(&mut reading, &mut ended).await;
        }
    }
    // What it has left running ends with it. It is not waited for yet, so the number is its own.
    if !reading.is_terminated() {
        let _ = timeout(LAST_WORDS, &mut reading).await;
    }
    group.signal(Signal::KILL);
    let status = child.wait().await?;
    group.forget();
    Ok(stopped.map_or(End::Status(status.code()), End::Stopped))
}

/// Does that while the output is read.
async fn meanwhile<T>(
    reading: &mut std::pin::Pin<&mut Fuse<impl Future<Output = ()>>>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            // Comes once; then only the work is waited for.
            () = &mut *reading => {}
        }
    }
}

/// Returns when the child has ended, without reaping it.
async fn ended(child: Option<u32>) {
    let Some(pid) = child.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else { return };
    let wait = move || {
        // Interrupted by a signal, it is begun again; without a child there is nothing to wait for.
        while matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT), Err(Errno::INTR)) {}
    };
    let _ = tokio::task::spawn_blocking(wait).await;
}

/// Asks a server until it answers, or until `stop` says why it must end.
pub(super) async fn http(request: &Request, mut output: Output<'_>, stop: impl Future<Output = String>) -> Outcome {
    let last = RefCell::new(None);
    let asking = async {
        let mut pause = PAUSES.0;
        loop {
            match ask(request, &mut output).await {
                Answer::Final(outcome) => return outcome,
                Answer::Again(why) => {
                    output.note(&format!("{why}; retrying in {}", format_duration(pause.into())));
                    last.replace(Some(why));
                }
            }
            after(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    };
    let mut outcome = tokio::select! {
        outcome = asking => outcome,
        why = stop => {
            let failed = match last.take() {
                Some(last) => format!("{why}: {last}"),
                None => format!("{why}, and there was no answer"),
            };
            Outcome { failed: Some(failed), said: String::new() }
        }
    };
    outcome.failed = outcome.failed.map(|why| output.clean(&why));
    outcome
}

enum Answer {
    Final(Outcome),
    Again(String),
}

async fn ask(request: &Request, output: &mut Output<'_>) -> Answer {
    let failed = |why: String| Answer::Final(Outcome { failed: Some(why), said: String::new() });
    let client = match client() {
        Ok(client) => client,
        Err(error) => return failed(format!("the request cannot be made: {}", cause(&error))),
    };
    let mut asked = client.request(method(request), &request.url);
    for (name, value) in &request.headers {
        asked = asked.header(name, value);
    }
    if let Some(body) = &request.body {
        asked = asked.body(body.clone());
    }
    let mut response = match asked.send().await {
        Ok(response) => response,
        // Nothing was sent, so nothing was done.
        Err(error) if error.is_connect() => return Answer::Again(format!("no connection: {}", cause(&error))),
        Err(error) => return failed(format!("the request was sent, but no answer came: {}", cause(&error))),
    };
    let status = response.status();
    if matches!(status.as_u16(), 502..=504) && !is_good(request, status.as_u16()) {
        return Answer::Again(format!("it answered {status}"));
    }
    output.push(format!("{status}\n").as_bytes());
    while let Ok(Some(chunk)) = response.chunk().await {
        output.push(&chunk);
    }
    let said = output.finish();
    let failed = match is_good(request, status.as_u16()) {
        true => None,
        false => Some(because(&format!("it answered {}", status.as_u16()), &said)),
    };
    Answer::Final(Outcome { failed, said })
}

fn is_good(request: &Request, status: u16) -> bool {
    request.good.iter().any(|(first, last)| (*first..=*last).contains(&status))
}

fn method(request: &Request) -> reqwest::Method {
    request.method.word().parse().unwrap_or(reqwest::Method::POST)
}

fn client() -> Result<Client, reqwest::Error> {
    let builder = outgoing::client().no_proxy().connect_timeout(CONNECT);
    builder.user_agent(concat!("pointsman-hook/", env!("CARGO_PKG_VERSION"))).build()
}

/// The innermost cause, short.
fn cause(error: &dyn Error) -> String {
    outgoing::root_cause(error).chars().filter(|c| !c.is_control()).take(200).collect()
}
