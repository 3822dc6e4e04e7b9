//! All environments on one screen: a line each, as wide as the terminal. Must draw two thousand of them at once.

use serde::Deserialize;

use super::screen::{colour, harmless, wrapped};
use crate::{
    machine::Millis,
    text::{format_duration, parse_time},
};

/// What of an environment's answer is shown.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Row {
    environment: String,
    live: Option<Stack>,
    standby: Option<Stack>,
    candidate: Option<Stack>,
    queue: Vec<Stack>,
    rollback: Option<String>,
    #[serde(default)]
    last_downtime: Option<u64>,
    hold: Option<Hold>,
    #[serde(default)]
    maintenance: Option<Hold>,
    pin: Option<u64>,
    pin_version: Option<String>,
    last_failure: Option<Ended>,
    down: Option<Down>,
    restart: Option<Restart>,
    straying: Option<Straying>,
    needs_operator: bool,
    hooks: Vec<Hook>,
    trouble: Vec<Trouble>,
    strangers: Vec<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stack {
    number: u64,
    release: Release,
    since: String,
    until: Option<String>,
    state: String,
    suspect: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Release {
    version: String,
}

#[derive(Deserialize)]
struct Down {
    since: String,
    reason: String,
}

#[derive(Deserialize)]
struct Restart {
    instance: Option<u64>,
    back: Option<u64>,
    of: Option<u64>,
}

#[derive(Deserialize)]
struct Straying {
    since: String,
    times: u64,
    shown: String,
    operator_needed: bool,
}

#[derive(Deserialize)]
struct Ended {
    number: u64,
    version: String,
    outcome: String,
    reason: String,
}

#[derive(Deserialize)]
struct Hold {
    reason: String,
}

#[derive(Deserialize)]
struct Hook {
    name: String,
}

#[derive(Deserialize)]
struct Trouble {
    step: String,
    why: String,
}

const HEAD: [&str; 6] = ["ENVIRONMENT", "LIVE", "SINCE", "CANDIDATE", "STANDBY", "NOTE"];
const GAP: &str = "  ";
/// What is left to the notes at least, or it is no table.
const NOTE: usize = 24;
/// Where the words begin where it is no table.
const INDENT: usize = 13;

/// The lines. `width` is that of the terminal: words are never cut, so where it is too narrow for a table each environment has
/// lines of its own.
pub(super) fn drawn(rows: &[Row], now: Millis, width: Option<usize>, colours: bool) -> String {
    let cells: Vec<[String; 6]> = rows.iter().map(|row| row.cells(now)).collect();
    let mut widths = HEAD.map(str::len);
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [columns @ .., note] = &mut widths;
    let begin = columns.iter().sum::<usize>() + columns.len() * GAP.len();
    if let Some(width) = width {
        if begin + (*note).min(NOTE) > width {
            return stacked(&cells, width, colours);
        }
        *note = width - begin;
    }
    let mut text = String::with_capacity((rows.len() + 1) * (widths.iter().sum::<usize>() + 16));
    line(&mut text, &HEAD, &widths, begin, false);
    for row in &cells {
        text.push('\n');
        line(&mut text, &row.each_ref().map(String::as_str), &widths, begin, colours);
    }
    text
}

/// One environment after the other, with what there is to say of it below its name.
fn stacked(cells: &[[String; 6]], width: usize, colours: bool) -> String {
    let mut lines = Vec::new();
    for [environment, live, since, candidate, standby, note] in cells {
        lines.push(environment.clone());
        let live = [live.as_str(), since].join(GAP);
        let rows =
            [(1, "live", live.as_str()), (3, "candidate", candidate), (4, "standby", standby), (5, "note", note)];
        for (place, name, cell) in rows.into_iter().filter(|(.., cell)| !["", "-", "-  -"].contains(cell)) {
            for (nth, part) in wrapped(cell, Some(width), INDENT).iter().enumerate() {
                let name = if nth == 0 { name } else { "" };
                lines.push(format!("  {name:10} {}", painted(place, cell, part.trim_start(), colours)));
            }
        }
    }
    lines.join("\n")
}

fn line(text: &mut String, cells: &[&str; 6], widths: &[usize; 6], begin: usize, colours: bool) {
    let start = text.len();
    let [columns @ .., note] = cells;
    for (place, (cell, width)) in columns.iter().zip(widths).enumerate() {
        let pad = width.saturating_sub(cell.chars().count()) + GAP.len();
        *text += &painted(place, cell, cell, colours);
        text.extend(std::iter::repeat_n(' ', pad));
    }
    for (nth, part) in wrapped(note, Some(begin + widths[5]), begin).iter().enumerate() {
        if nth > 0 {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', begin));
        }
        *text += &painted(5, note, part.trim_start(), colours);
    }
    text.truncate(start + text[start..].trim_end().len());
}

/// A part of a cell in the colour of its state: that begins after the name of the version; of a note, and of the way back,
/// with their own word.
fn painted(place: usize, cell: &str, part: &str, colours: bool) -> String {
    let state = match place {
        3 => cell.split_once(' ').map_or("", |(_, rest)| rest.split_once(' ').map_or("", |(_, state)| state)),
        4 | 5 => cell,
        _ => "",
    };
    match colour(state).filter(|_| colours) {
        Some(colour) => format!("\u{1b}[{colour}m{part}\u{1b}[0m"),
        None => part.to_owned(),
    }
}

impl Row {
    fn cells(&self, now: Millis) -> [String; 6] {
        let age = |since: &str| parse_time(since).map_or(String::new(), |at| coarse(now.since(at)));
        let named = |stack: &Stack| format!("{} #{}", harmless(&stack.release.version), stack.number);
        let dash = || "-".to_owned();
        let candidate = match (&self.candidate, self.queue.first()) {
            (Some(c), _) => format!("{} {} {}", named(c), c.state.replace('_', " "), age(&c.since)),
            (None, Some(c)) => format!("{} queued {}", named(c), age(&c.since)),
            (None, None) => dash(),
        };
        [
            self.environment.clone(),
            self.live.as_ref().map_or_else(dash, named),
            self.live.as_ref().map_or_else(dash, |live| age(&live.since)),
            candidate,
            self.standby(now),
            self.note(),
        ]
    }

    fn standby(&self, now: Millis) -> String {
        if self.standby.as_ref().is_some_and(|s| s.suspect) {
            return "suspect".to_owned();
        }
        let until = self.standby.as_ref().and_then(|s| s.until.as_deref());
        match (self.rollback.as_deref(), until.map(parse_time)) {
            (Some("ready"), Some(Some(until))) => format!("ready until {}", clock(until, now)),
            (Some("ready"), _) => "ready".to_owned(),
            (Some("start"), _) => match self.last_downtime {
                Some(took) => format!("start, about {}", format_duration(Millis(took))),
                None => "start".to_owned(),
            },
            (Some("cold"), _) => "cold".to_owned(),
            _ => "-".to_owned(),
        }
    }

    /// What a person has to know, the most pressing first.
    fn note(&self) -> String {
        let mut notes = Vec::new();
        // What users may not get comes before all.
        if let Some(down) = &self.down {
            notes.push(format!("DOWN since {}: {}", harmless(&down.since), harmless(&down.reason)));
        }
        if let Some(straying) = self.straying.as_ref().filter(|s| s.operator_needed) {
            let (times, since) = (straying.times, harmless(&straying.since));
            let shown = harmless(&straying.shown);
            notes.push(format!("FRONT repointed by somebody else {times} times since {since}, at last to {shown}"));
        }
        if self.needs_operator {
            notes.push("a person is needed".to_owned());
        }
        if let Some(restart) = &self.restart {
            let what = restart.instance.map_or("restarting".to_owned(), |n| format!("restarting instance {n}"));
            let far = restart.back.zip(restart.of).map(|(back, of)| format!(": {back} of {of} back"));
            notes.push(what + &far.unwrap_or_default());
        }
        if self.candidate.as_ref().is_some_and(|c| c.state == "awaiting_approval") {
            notes.push("awaiting approval".to_owned());
        }
        notes.extend(self.hooks.iter().map(|hook| format!("hook {} runs", harmless(&hook.name))));
        notes.extend(self.trouble.last().map(|t| format!("trouble: {}: {}", harmless(&t.step), harmless(&t.why))));
        notes.extend(self.hold.as_ref().map(|h| format!("held: {}", harmless(&h.reason))));
        notes.extend(self.maintenance.as_ref().map(|m| format!("maintenance: {}", harmless(&m.reason))));
        notes.extend(self.pin.map(|release| match &self.pin_version {
            Some(version) => format!("pinned to {}", harmless(version)),
            None => format!("pinned to release {release}"),
        }));
        notes.extend((!self.strangers.is_empty()).then(|| {
            let count = self.strangers.len();
            let s = if count == 1 { "" } else { "s" };
            format!("{count} stack{s} not in the journal: pointsman stack list {}", harmless(&self.environment))
        }));
        notes.extend(self.last_failure.as_ref().map(|last| {
            let outcome = last.outcome.replace('_', " ");
            format!("{outcome}: {} #{}: {}", harmless(&last.version), last.number, harmless(&last.reason))
        }));
        notes.join("; ")
    }
}

/// An age, as coarse as one reads it: `40 s`, `12 min`, `5 h`, `3 d`.
fn coarse(age: Millis) -> String {
    match age.0 / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        _ => format_duration(Millis(age.0 / 86_400_000 * 86_400_000)),
    }
}

/// A time of today or of another day, in UTC as all times are: `18:00Z`, `11-23 18:00Z`.
fn clock(time: Millis, now: Millis) -> String {
    let text = crate::text::format_time(time);
    let today = time.0 / 86_400_000 == now.0 / 86_400_000;
    let day = if today { String::new() } else { format!("{} ", &text[5..10]) };
    format!("{day}{}Z", &text[11..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let all = serde_json::json!([
            { "environment": "shop/qa", "rollback": "none", "queue": [], "trouble": [],
              "live": { "number": 2, "release": { "version": "v2" }, "since": "2026-11-21T10:00:00.000Z" },
              "candidate": { "number": 3, "release": { "version": "v3" }, "state": "awaiting_approval",
                             "since": "2026-11-21T11:48:00.000Z" } },
            { "environment": "shop/prod", "rollback": "ready", "queue": [], "trouble": [],
              "live": { "number": 7, "release": { "version": "v1" }, "since": "2026-11-18T10:00:00.000Z" },
              "standby": { "number": 6, "release": { "version": "v0" }, "until": "2026-11-21T18:00:00.000Z" },
              "hold": { "by": "ann", "reason": "the audit of the whole year, until all of it is done", "since": "" } },
            { "environment": "mail/live", "rollback": "cold", "queue": [], "pin": 4,
              "trouble": [{ "step": "looking at the front", "why": "refused\u{1b}[2J", "since": "" }] },
        ]);
        serde_json::from_value(all).expect("rows")
    }

    fn noon() -> Millis {
        parse_time("2026-11-21T12:00:00.000Z").expect("a time")
    }

    #[test]
    fn a_line_says_what_is_live_what_comes_and_what_stands_in_the_way() {
        assert_eq!(
            drawn(&rows(), noon(), None, false),
            "\
ENVIRONMENT  LIVE   SINCE  CANDIDATE                       STANDBY             NOTE
shop/qa      v2 #2  2 h    v3 #3 awaiting approval 12 min  -                   awaiting approval
shop/prod    v1 #7  3 d    -                               ready until 18:00Z  held: the audit of the whole year, until all of it is done
mail/live    -      -      -                               cold                trouble: looking at the front: refused\u{fffd}[2J; pinned to release 4"
        );
    }

    #[test]
    fn a_suspect_standby_and_a_front_that_others_repoint_are_noted_before_all_else() {
        let row = serde_json::json!({ "environment": "shop/qa", "rollback": "ready", "queue": [], "trouble": [],
            "live": { "number": 2, "release": { "version": "v2" }, "since": "2026-11-21T10:00:00.000Z" },
            "standby": { "number": 3, "release": { "version": "v3" }, "since": "", "until": "", "suspect": true },
            "needs_operator": true, "hold": { "by": "pointsman", "reason": "v3 was down", "since": "" },
            "straying": { "since": "T1", "times": 5, "shown": "stack 3", "operator_needed": true } });
        let rows: Vec<Row> = vec![serde_json::from_value(row).expect("a row")];
        assert_eq!(
            drawn(&rows, noon(), None, false).lines().nth(1),
            Some(
                "shop/qa      v2 #2  2 h    -          suspect  FRONT repointed by somebody else 5 times since T1, at \
                 last to stack 3; a person is needed; held: v3 was down"
            )
        );
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_every_word_is_whole() {
        let whole = drawn(&rows(), noon(), None, false);
        let words = |text: &str| {
            let skipped = ["-", "live", "candidate", "standby", "note"];
            let words = text.split_whitespace().filter(|word| !skipped.contains(word) && !HEAD.contains(word));
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        for width in [40, 60, 80, 100, 120, 200] {
            let text = drawn(&rows(), noon(), Some(width), false);
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
            assert_eq!(words(&text), words(&whole), "{width}:\n{text}");
        }
    }

    #[test]
    fn where_there_is_no_room_for_a_table_each_environment_has_its_own_lines() {
        let text = drawn(&rows()[1..], noon(), Some(60), false);
        let expected = "shop/prod\n  live       v1 #7  3 d\n  standby    ready until 18:00Z\n  note       held: the audit of the whole year, until all of\n             it is done\nmail/live\n";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn colours_take_no_room() {
        let coloured = drawn(&rows(), noon(), Some(100), true);
        assert!(coloured.contains("\u{1b}[33mawaiting"));
        let mut bare = coloured;
        for number in 31..=36 {
            bare = bare.replace(&format!("\u{1b}[{number}m"), "");
        }
        assert_eq!(bare.replace("\u{1b}[0m", ""), drawn(&rows(), noon(), Some(100), false));
    }
}
