//! What people see: scenes, the rail of steps, the count, the summary. Colour and a moving line only on a terminal.

use std::io::{IsTerminal, Write, stdout};

use serde_json::Value;

use super::{crowd::Tally, stage::Stage};
use crate::{cli::screen::say, clock::Clock, machine::Millis, text::format_duration};

/// The screen.
pub(super) struct Show {
    clock: Clock,
    began: Millis,
    terminal: bool,
    colour: bool,
}

const BOLD: &str = "1";
const GREEN: &str = "32";
const RED: &str = "31";
const GREY: &str = "90";
const CYAN: &str = "36";

impl Show {
    pub(super) fn new(clock: Clock) -> Self {
        let terminal = stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { began: clock.now(), clock, terminal, colour }
    }

    pub(super) fn opening(&self, stage: &Stage) {
        say(self.paint(BOLD, "Pointsman: blue-green deployments of a sample application, on this machine only"));
        say(format!("  front       {}", stage.front_url()));
        say(format!("  controller  http://{}/", stage.controller));
        say(format!("  files       {}", stage.folder().display()));
    }

    /// Where all of it is to be seen in a browser.
    pub(super) fn page(&self, link: &str) {
        self.wipe();
        say(format!("  page        {}  (good once, for ten minutes)", self.paint(CYAN, link)));
    }

    pub(super) fn scene(&self, title: &str) {
        self.wipe();
        let passed = self.clock.now().since(self.began);
        let mark = format!("[{:>5.1} s]", seconds(passed));
        say(format!("\n{} {}", self.paint(GREY, &mark), self.paint(BOLD, title)));
    }

    pub(super) fn say(&self, text: &str) {
        self.wipe();
        say(format!("  {text}"));
    }

    /// The line that moves.
    pub(super) fn progress(&self, state: &str, tally: Option<&Tally>) {
        if self.terminal {
            let count = tally.map(|t| self.count(t)).unwrap_or_default();
            let state = self.paint(CYAN, &state.replace('_', " "));
            let _ = write!(stdout(), "\r\x1b[K  {state}   {count}");
            let _ = stdout().flush();
        }
    }

    pub(super) fn counting(&self, tally: &Tally) {
        if self.terminal {
            let _ = write!(stdout(), "\r\x1b[K  {}", self.count(tally));
            let _ = stdout().flush();
        }
    }

    /// The steps of a deployment, each with what it took.
    pub(super) fn rail(&self, records: &[Value], end: &Value) {
        self.wipe();
        let at = |r: &Value| r["at"].as_u64().map(Millis).expect("each record was read with its time");
        let steps: Vec<String> = records
            .windows(2)
            .filter_map(|pair| {
                let took = format_duration(at(&pair[1]).since(at(&pair[0])));
                Some(format!("{} {}", step(pair[1]["event"]["kind"].as_str()?)?, self.paint(GREY, &took)))
            })
            .collect();
        say(format!("  {}", steps.join(" ── ")));
        let state = end["state"].as_str().expect("each deployment was read with its state");
        let good = state == "succeeded";
        let mark = if good { self.paint(GREEN, "●") } else { self.paint(RED, "●") };
        let (version, reason) = (end["version"].as_str().unwrap_or("?"), end["reason"].as_str().unwrap_or("-"));
        say(format!("  {mark} {version} {}: {reason}", state.replace('_', " ")));
    }

    pub(super) fn summary(&self, tally: &Tally, cutover: Millis, rollback: Millis, away: Millis) {
        self.wipe();
        say(format!("\n{}", self.paint(BOLD, "Summary")));
        let failed = tally.failed.to_string();
        let failed = self.paint(if tally.failed == 0 { GREEN } else { RED }, &failed);
        say(format!("  requests    {} ({})", tally.requests(), versions(tally)));
        say(format!("  failures    {failed}"));
        say(format!("  slowest     {}", format_duration(tally.slowest)));
        say(format!(
            "  cut over    {} from the order until the front's public address answered from v2",
            format_duration(cutover)
        ));
        say(format!("  roll back   {} from the request until a client had an answer of v1", format_duration(rollback)));
        say(format!("  killed      the controller was away for {}; nothing was lost", format_duration(away)));
    }

    pub(super) fn what_to_try(&self, stage: &Stage) {
        let program = std::env::current_exe().map_or_else(|_| "pointsman".to_owned(), |p| p.display().to_string());
        let config = format!("--config {}", stage.config().display());
        say(format!("\n{}", self.paint(BOLD, "It stays up; try")));
        say(format!("  {program} status {config}"));
        say(format!("  {program} resume demo/live {config}"));
        say(format!("  {program} deploy demo/live --version v4 --artifact sample --watch {config}"));
        say(format!("  {program} rollback demo/live --reason \"I can\" --watch {config}"));
        say(format!("  {program} history demo/live {config}"));
        say(format!("  tail -f {}/state/journal/journal-*.jsonl", stage.folder().display()));
        say(format!("  kill any process you see; then look again at {}", stage.front_url()));
        say("Ctrl-C ends it all.\n");
    }

    fn count(&self, tally: &Tally) -> String {
        let failed = format!("{} failed", tally.failed);
        let failed = if tally.failed == 0 { failed } else { self.paint(RED, &failed) };
        format!("{} requests: {}, {failed}", tally.requests(), versions(tally))
    }

    fn wipe(&self) {
        if self.terminal {
            let _ = write!(stdout(), "\r\x1b[K");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn versions(tally: &Tally) -> String {
    tally.versions.iter().map(|(version, count)| format!("{version} {count}")).collect::<Vec<_>>().join(", ")
}

fn seconds(length: Millis) -> f64 {
    std::time::Duration::from_millis(length.0).as_secs_f64()
}

/// What a record ended, in the words of the rail.
fn step(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "started" => "queued",
        "provisioned" => "provisioned",
        "checked" => "checked",
        "cut_over_ordered" => "verified",
        "went_live" => "cut over",
        "succeeded" => "baked",
        "ended" => "ended",
        "undo_ordered" => "standby verified",
        "undone" => "cut back",
        _ => return None,
    })
}
