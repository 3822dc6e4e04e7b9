//! Programs of this host that are run for somebody: in a group of their own, without the controller's environment, for a
//! bounded time. Must not know what they are for.

use std::{ffi::OsString, fs::File, process::Stdio, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process_group, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// The most that is read of what a program says, in bytes.
const MOST: u64 = 1 << 20;
/// Wait for the last output of a program that has ended: what it leaves running, such as a kept connection, may hold
/// the output open.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a program is given to read.
pub(crate) enum Input<'a> {
    /// An end.
    Nothing,
    /// This, and no end before its own.
    Text(&'a str),
    /// A file, which it holds open until it ends.
    File(File),
}

/// Why a program came to no end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEnd {
    /// It never began.
    #[error("it cannot be started: {0}")]
    NotStarted(std::io::Error),
    /// It took longer than it may.
    #[error("no end within {} s", .0.as_secs_f32())]
    Late(Duration),
    /// It cannot be waited for.
    #[error(transparent)]
    Lost(#[from] std::io::Error),
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status; none when it was killed.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// The line that tells why: those before it are warnings.
    pub(crate) fn why(&self) -> String {
        let line = self.err.lines().map(str::trim).rfind(|line| !line.is_empty());
        let plain = |line: &str| line.chars().filter(|c| !c.is_control()).take(300).collect();
        line.map_or_else(|| format!("it ended with {} and said nothing", self.ended()), plain)
    }

    /// How it ended, for people.
    pub(crate) fn ended(&self) -> String {
        self.status.map_or_else(|| "a signal".to_owned(), |status| format!("exit status {status}"))
    }
}

/// Returns those variables of our own environment that are set. A program gets no other: the rest holds the
/// controller's own secrets.
pub(crate) fn passed_on<'a>(names: &'a [&'a str]) -> impl Iterator<Item = (&'a str, OsString)> {
    names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// The group of a program that was started as the first of one. The whole of it gets the signal when this is dropped.
pub(crate) struct Group {
    leader: Option<Pid>,
    at_the_end: Signal,
}

impl Group {
    /// Returns the group of a child that was not reaped yet, so that the number is its own.
    pub(crate) fn of(child: &Child, at_the_end: Signal) -> Self {
        Self { leader: child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)), at_the_end }
    }

    /// Signals all of it now.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(group) = self.leader {
            // Gone already is as good.
            let _ = kill_process_group(group, signal);
        }
    }

    /// It has ended and was waited for: the number may be somebody else's.
    pub(crate) fn forget(&mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(self.at_the_end);
    }
}

/// A process that holds secrets leaves no image of its memory behind.
pub(crate) fn no_core_dump() -> std::io::Result<()> {
    let maximum = getrlimit(Resource::Core).maximum;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum })?)
}

/// Runs a program to its end. `seen`: the variables of our own environment that it sees. An error says why there was no
/// end.
pub(crate) async fn run(command: &mut Command, seen: &[&str], input: Input<'_>, limit: Duration) -> Result<Ran, NoEnd> {
    command.env_clear().envs(passed_on(seen));
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (stdin, text) = match input {
        Input::Nothing => (Stdio::null(), ""),
        Input::Text(text) => (Stdio::piped(), text),
        Input::File(file) => (file.into(), ""),
    };
    command.stdin(stdin);
    let mut child = command.spawn().map_err(NoEnd::NotStarted)?;
    // Asked politely, so that it can put things right.
    let mut group = Group::of(&child, Signal::TERM);
    let ran = timeout(limit, to_the_end(&mut child, text.as_bytes())).await;
    let ran = ran.map_err(|_| NoEnd::Late(limit))?;
    group.forget();
    Ok(ran?)
}

async fn to_the_end(child: &mut Child, input: &[u8]) -> std::io::Result<Ran> {
    let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let talk = async {
        let mut stdin = stdin;
        let feed = async {
            if let Some(stdin) = &mut stdin {
                // Who does not read it says why on its own.
                let _ = stdin.write_all(input).await;
                let _ = stdin.flush().await;
            }
        };
        // To some an end of the questions is the end of the talk, so it comes after the answers.
        tokio::join!(feed, read(&mut stdout, &mut out));
    };
    let work = async { tokio::join!(talk, read(&mut stderr, &mut err)) };
    let mut work = Box::pin(work);
    let status = tokio::select! {
        _ = &mut work => child.wait().await?,
        status = child.wait() => {
            let _ = timeout(LAST_WORDS, &mut work).await;
            status?
        }
    };
    drop(work);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { status: status.code(), out: text(out), err: text(err) })
}

async fn read(stream: &mut Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(stream) = stream {
        // What was read until it broke is worth having.
        let _ = (&mut *stream).take(MOST).read_to_end(into).await;
        // The rest is read, too, and left away: who writes it must not wait for ever.
        keep_the_end(stream, &mut Vec::new(), 0).await;
    }
}

/// Reads all there is, so that whoever writes does not wait, and keeps the last `most` bytes in `kept`. Returns at the end;
/// what was read is there also when this is given up before.
pub(crate) async fn keep_the_end(mut stream: impl AsyncRead + Unpin, kept: &mut Vec<u8>, most: usize) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..length]);
        let surplus = kept.len().saturating_sub(most);
        kept.drain(..surplus);
    }
}

/// What a build fills in, where a definition lets it: its own texts, and values that it may set.
const FROM_BUILDS: [&str; 6] = ["{version}", "{artifact}", "{commit}", "{branch}", "{tag}", "{parameters."];

/// Returns the one of these that a text has in it.
fn filled(word: &str) -> Option<String> {
    let name = FROM_BUILDS.iter().find(|name| word.contains(**name))?;
    let end = word.find(name).map(|at| &word[at..]).and_then(|rest| rest.split_inclusive('}').next());
    Some(end.unwrap_or(name).to_owned())
}

/// The script that a shell is given by `words`, also behind `env`, `nice` and the like.
fn script(words: &[String]) -> Option<&String> {
    let shells = ["sh", "bash", "dash", "ash", "zsh", "ksh"];
    let shell = words.iter().position(|word| word.rsplit('/').next().is_some_and(|name| shells.contains(&name)))?;
    let options = words[shell + 1..].iter().take_while(|word| word.starts_with('-') && !word.starts_with("--"));
    let option = options.enumerate().find(|(_, word)| word.contains('c'))?.0;
    words.get(shell + option + 2)
}

/// Says of words in which a build's texts are filled in which of them a shell would read as commands; and which begin
/// words of their own, so that a build may hand over an option.
pub(crate) fn shell_notes(named: &str, words: &[String]) -> Vec<String> {
    let script = script(words).and_then(|script| filled(script)).map(|name| {
        format!(
            "{named} gives {name} to a shell, which runs whatever a build puts there: hand it over as an argument \
             (sh -c 'exec app \"$1\"' sh {name}) or in the environment"
        )
    });
    let option = words.iter().skip(1).find(|word| word.starts_with("{parameters."));
    let option = option.and_then(|word| filled(word)).map(|name| {
        format!("{named} has {name} at the beginning of a word, so a build that may set it hands over an option if it begins with `-`")
    });
    script.into_iter().chain(option).collect()
}

/// Says of words in which nothing is filled in, because their program finds a build's texts in its environment, which of
/// them expect that all the same; and which script of a shell takes such a text apart.
pub(crate) fn variable_notes(named: &str, words: &[String]) -> Vec<String> {
    let expected = words.iter().find_map(|word| filled(word)).map(|name| {
        format!("{named} has {name} in it, and nothing is filled in there: its program finds it in a variable, such as POINTSMAN_VERSION")
    });
    let bare = script(words).and_then(|script| unquoted(script)).map(|name| {
        format!(
            "{named} has a shell take ${name} apart, so that a build may hand over several words, or names of files: \
             write \"${name}\", with the quotes"
        )
    });
    expected.into_iter().chain(bare).collect()
}

/// Variables that hold texts of builds. The others, such as a list of endpoints, may be meant to be taken apart.
const OF_BUILDS: [&str; 6] = [
    "POINTSMAN_VERSION",
    "POINTSMAN_ARTIFACT",
    "POINTSMAN_COMMIT",
    "POINTSMAN_LIVE_VERSION",
    "POINTSMAN_STANDBY_VERSION",
    "POINTSMAN_REASON",
];

/// The first of them that a script expands outside of quotes.
fn unquoted(script: &str) -> Option<&str> {
    let mut quote = None;
    let mut letters = script.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None | Some('"'), '\\') => drop(letters.next()),
            (None, '$') => {
                let rest = script[at + 1..].trim_start_matches('{');
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                // A right-hand side is taken as it is.
                let assigned = script[..at].ends_with('=');
                if OF_BUILDS.contains(&&rest[..end]) && !assigned {
                    return Some(&rest[..end]);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_text_of_a_build_that_a_shell_would_run_or_that_may_be_an_option_is_told() {
        for (given, told) in [
            (&["sh", "-c", "app {version}"][..], Some("gives {version} to a shell")),
            (&["/usr/bin/env", "bash", "-ec", "app {parameters.who}"], Some("gives {parameters.who} to a shell")),
            (&["sh", "-c", "app \"$1\"", "sh", "{version}"], None),
            (&["app", "{parameters.who}"], Some("has {parameters.who} at the beginning")),
            (&["app", "{parameters.who}-x"], Some("has {parameters.who} at the beginning")),
            (&["app", "--who={parameters.who}"], None),
            // No build is announced whose version begins like that.
            (&["app", "{version}"], None),
        ] {
            let notes = shell_notes("the command", &words(given));
            assert_eq!(notes.len(), usize::from(told.is_some()), "{given:?}: {notes:?}");
            assert!(told.is_none_or(|told| notes[0].contains(told)), "{given:?}: {notes:?}");
        }
    }

    #[test]
    fn a_program_that_has_a_builds_texts_in_variables_is_told_what_is_not_filled_in_and_what_a_shell_takes_apart() {
        for (given, told) in [
            (&["./migrate", "{version}"][..], Some("has {version} in it, and nothing is filled in")),
            (&["sh", "-c", "app $POINTSMAN_VERSION"], Some("\"$POINTSMAN_VERSION\", with the quotes")),
            (&["sh", "-c", "app '$x' ${POINTSMAN_ARTIFACT}"], Some("\"$POINTSMAN_ARTIFACT\"")),
            (&["sh", "-c", "app \"$POINTSMAN_VERSION\""], None),
            (&["sh", "-c", "v=$POINTSMAN_VERSION; app \"a \\\"b\\\" $POINTSMAN_VERSION\""], None),
            (&["sh", "-c", "echo '$POINTSMAN_VERSION' \\$POINTSMAN_VERSION $POINTSMAN_ENDPOINTS"], None),
            (&["./migrate", "$POINTSMAN_VERSION"], None),
        ] {
            let notes = variable_notes("the hook", &words(given));
            assert_eq!(notes.len(), usize::from(told.is_some()), "{given:?}: {notes:?}");
            assert!(told.is_none_or(|told| notes[0].contains(told)), "{given:?}: {notes:?}");
        }
    }
}
