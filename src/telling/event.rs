//! What an event is called for people: one record of the history, or of a deployment that is watched.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    machine::{CheckAnswer, Event, Gate, Otherwise},
    text::{format_duration, harmless},
};

/// The most lines of what a hook said that are shown; `--json` has them all.
const MOST: usize = 20;

/// Why it happened, or what it is about.
pub(crate) fn about(event: &Value) -> String {
    let text = |key: &str| harmless(event[key].as_str().unwrap_or_default());
    match event["kind"].as_str().unwrap_or_default() {
        "accepted" if event["release"]["adopts"].is_object() => {
            let stack = harmless(event["release"]["adopts"]["stack"].as_str().unwrap_or_default());
            let why = text("reason");
            format!("adopting stack {stack}{}{why}", if why.is_empty() { "" } else { ": " })
        }
        "accepted" if event["stranger"] == true => {
            let why = text("reason");
            format!("adopting stack {}, a stranger{}{why}", event["number"], if why.is_empty() { "" } else { ": " })
        }
        "checked" => answers(event),
        "hook_ordered" => format!("{} ({})", text("hook"), point(event)),
        "hook_finished" if event["reason"].is_null() => format!("{} ({}) is good", text("hook"), point(event)),
        "hook_finished" => format!("{} ({}): {}", text("hook"), point(event), text("reason")),
        "cut_over_ordered" if event["share"].is_u64() => format!("{} % of the users", event["share"]),
        "shifted" => {
            let host = event["host"].as_str().map(|host| format!(", seen on {}", harmless(host))).unwrap_or_default();
            format!("{} % of the users{host}", event["share"])
        }
        "page_ordered" | "stop_ordered" if event["back"].is_object() => {
            harmless(event["back"]["reason"].as_str().unwrap_or_default())
        }
        "stop_ordered" => format!("stack {} is stopped; users get the maintenance page", event["stack"]),
        "start_ordered" => format!("stack {} is started again: {}", event["stack"], text("reason")),
        "paused" => {
            let why = text("reason");
            let gate = Gate::deserialize(&event["gate"]).map(|gate| {
                let then = match gate.otherwise {
                    Otherwise::Approve => "it goes on",
                    Otherwise::Abort => "it is aborted",
                };
                format!("for {}, then {then}", format_duration(gate.timeout))
            });
            let gate = gate.unwrap_or_else(|_| "for a time that cannot be read".to_owned());
            format!("{gate}{}{why}", if why.is_empty() { "" } else { ": " })
        }
        "drift_seen" => {
            let stack = event["shown"].as_u64().map_or("nobody".to_owned(), |number| format!("stack {number}"));
            let words = event["words"].as_str().map(harmless);
            let times = event["in_a_row"].as_u64().filter(|times| *times > 1);
            let times = times.map(|times| format!("; that is {times} times in a row")).unwrap_or_default();
            format!("somebody else pointed the front at {}{times}", words.unwrap_or(stack))
        }
        "went_live" | "undone" if event["host"].is_string() => format!("seen on {}", text("host")),
        "restart_asked" => {
            let what = event["instance"].as_u64().map_or("all instances".to_owned(), |n| format!("instance {n}"));
            let (number, why) = (&event["number"], text("reason"));
            format!("{what} of stack {number}{}{why}", if why.is_empty() { "" } else { ": " })
        }
        "restart_ended" if event["reason"].is_null() => "all that was to be started again is up and passes".to_owned(),
        "recovered" => format!("users go to stack {}: {}", event["to"], text("reason")),
        _ => text("reason"),
    }
}

/// What an event is called, and why it happened; where no words were given, what it brings.
pub(crate) fn named(event: &Event) -> (String, String) {
    let event = serde_json::to_value(event).expect("an event serialises: it is recorded as JSON");
    let kind = event["kind"].as_str().expect("an event has its kind").replace('_', " ");
    let release = &event["release"];
    let words = about(&event);
    let words = match (words.is_empty(), release["number"].as_u64(), release["version"].as_str()) {
        (true, Some(number), Some(version)) => format!("{number} ({version})"),
        (true, None, None) => match release.as_u64() {
            Some(number) => format!("release {number}"),
            None => String::new(),
        },
        _ => words,
    };
    (kind, words)
}

/// What the checks of a stack answered.
fn answers(event: &Value) -> String {
    // Earlier versions recorded none.
    let all = Vec::<CheckAnswer>::deserialize(&event["answers"]).into_iter().flatten();
    let all: Vec<String> = all.map(|one| format!("{}: {}", harmless(&one.asked), answer(&one))).collect();
    all.join("; ")
}

/// What a check answered.
pub(crate) fn answer(one: &CheckAnswer) -> String {
    let (said, took) = (harmless(&one.said), format_duration(one.slowest));
    match one.endpoints {
        0 => "there is no endpoint to ask".to_owned(),
        1 => format!("{said} in {took}"),
        many => format!("{said} at all {many} endpoints, in {took} at most"),
    }
}

/// How a hook ended.
pub(crate) fn hook_end(hook: &str, failed: Option<&str>) -> String {
    match failed {
        Some(why) => format!("hook {hook} failed: {why}"),
        None => format!("hook {hook} succeeded"),
    }
}

/// The lines below it: what a hook said.
pub(crate) fn said(event: &Value) -> Vec<String> {
    let lines: Vec<&str> = event["said"].as_str().unwrap_or_default().lines().collect();
    let more = lines.len().saturating_sub(MOST);
    let before = (more > 0).then(|| format!("({more} lines before; --json has them)"));
    before.into_iter().chain(lines.into_iter().skip(more).map(|line| format!("| {}", harmless(line)))).collect()
}

fn point(event: &Value) -> String {
    harmless(event["point"].as_str().unwrap_or_default()).replace('_', "-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_adoption_names_the_stack_that_it_takes_over() {
        let mut event = json!({ "kind": "accepted", "release": { "adopts": { "stack": "reporting_qa_41" } } });
        assert_eq!(about(&event), "adopting stack reporting_qa_41");
        event["reason"] = "moving over".into();
        assert_eq!(about(&event), "adopting stack reporting_qa_41: moving over");
        assert_eq!(about(&json!({ "kind": "accepted", "release": { "version": "2" } })), "");
        let stranger = json!({ "kind": "accepted", "number": 7, "stranger": true, "reason": "it had the users" });
        assert_eq!(about(&stranger), "adopting stack 7, a stranger: it had the users");
    }

    #[test]
    fn what_the_checks_answered_is_told_and_nothing_of_what_was_not_recorded() {
        let answer = |asked: &str, said: &str, endpoints, slowest| CheckAnswer {
            asked: asked.into(),
            said: said.into(),
            endpoints,
            slowest: crate::machine::Millis(slowest),
        };
        let answers = vec![answer("GET /healthz", "200", 1, 12), answer("TCP", "a connection", 3, 1)];
        let told = named(&Event::Checked { number: crate::machine::Number(2), answers });
        let words = "GET /healthz: 200 in 12 ms; TCP: a connection at all 3 endpoints, in 1 ms at most";
        assert_eq!(told, ("checked".to_owned(), words.to_owned()));
        assert_eq!(about(&json!({ "kind": "checked", "number": 2 })), "");
    }

    #[test]
    fn a_cutover_is_told_with_the_host_that_it_was_seen_on() {
        for kind in ["went_live", "undone"] {
            let event = json!({ "kind": kind, "number": 2, "host": "web1 (identity 5f)" });
            assert_eq!(about(&event), "seen on web1 (identity 5f)");
            assert_eq!(about(&json!({ "kind": kind, "number": 2 })), "");
        }
    }

    #[test]
    fn who_repointed_the_front_and_where_users_were_sent_instead_is_told() {
        let mut event = json!({ "kind": "drift_seen", "shown": 3, "generation": 9, "in_a_row": 1 });
        assert_eq!(about(&event), "somebody else pointed the front at stack 3");
        (event["words"], event["in_a_row"]) = ("10.0.0.9:80".into(), 5.into());
        assert_eq!(about(&event), "somebody else pointed the front at 10.0.0.9:80; that is 5 times in a row");
        let event = json!({ "kind": "recovered", "number": 4, "to": 3, "generation": 9, "reason": "exit status 42" });
        assert_eq!(about(&event), "users go to stack 3: exit status 42");
    }

    #[test]
    fn a_hook_is_told_with_its_point_its_failure_and_the_end_of_what_it_said() {
        let mut event = json!({ "kind": "hook_finished", "number": 2, "hook": "migrate", "point": "after_checks" });
        assert_eq!((about(&event), said(&event).len()), ("migrate (after-checks) is good".to_owned(), 0));
        event["reason"] = "it ended with exit status 1".into();
        event["said"] = (1..=25).map(|n| format!("line {n} \u{1b}[2J\n")).collect::<String>().into();
        assert_eq!(about(&event), "migrate (after-checks): it ended with exit status 1");
        let lines = said(&event);
        assert_eq!((lines.len(), &*lines[0]), (21, "(5 lines before; --json has them)"));
        assert_eq!(lines[20], "| line 25 \u{fffd}[2J");
        assert_eq!(about(&json!({ "kind": "ended", "reason": "why" })), "why");
    }
}
