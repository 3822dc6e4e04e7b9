//! One deployment of the history: which release, how it ended, who asked for it, when and why.

use serde_json::Value;

use super::screen::{coloured, harmless, wrapped};
use crate::{machine::Millis, text::format_duration};

/// The lines of one deployment, from the API's answer.
pub(super) fn lines(told: &Value, width: Option<usize>) -> Vec<String> {
    let text = |key: &str| told[key].as_str().map(harmless);
    let or_nothing = |key: &str| text(key).unwrap_or_else(|| "-".to_owned());
    let state = text("state").unwrap_or_else(|| "no record tells how it ended".to_owned()).replace('_', " ");
    let head = format!("#{:<4} {} (release {})", told["number"].to_string(), or_nothing("version"), told["release"]);
    let fits = width.is_none_or(|width| head.chars().count() + 2 + state.chars().count() <= width);
    let state_shown = coloured(&state);
    let mut lines =
        if fits { vec![format!("{head}  {state_shown}")] } else { vec![head, format!("{:6}{state_shown}", "")] };
    let why = text("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    let trigger = or_nothing("trigger");
    let asked = format!("asked for {} by {} ({trigger}){why}", or_nothing("at"), or_nothing("asked_by"));
    lines.extend(wrapped(&asked, width, 6));
    lines.extend(text("adopts").iter().flat_map(|stack| wrapped(&format!("adopting stack {stack}"), width, 6)));
    let on = text("live_on").map(|host| format!(", seen on {host}")).unwrap_or_default();
    lines.extend(text("live_at").iter().flat_map(|at| wrapped(&format!("live from {at}{on}"), width, 6)));
    if let Some(downtime) = told["downtime"].as_u64() {
        let length = format_duration(Millis(downtime));
        lines.extend(wrapped(&format!("users got the maintenance page for {length}"), width, 6));
    }
    if let Some(share) = told["share"].as_u64() {
        lines.extend(wrapped(&format!("had {share} % of the users at most"), width, 6));
    }
    if let Some(by) = text("rolled_back_by") {
        lines.extend(wrapped(&format!("rolled back by {by}"), width, 6));
    }
    if let Some(at) = text("ended_at") {
        let why = text("why").map(|why| format!(": {why}")).unwrap_or_default();
        lines.extend(wrapped(&format!("{state} at {at}{why}"), width, 6));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_deployed_what_when_and_why_and_how_it_ended() {
        let told = serde_json::json!({
            "number": 9, "release": 7, "version": "1.4.2", "trigger": "person", "asked_by": "alice", "at": "T1",
            "reason": "orders \u{1b}[2Jfail", "live_at": "T2", "live_on": "web1 (identity 5f)", "state": "rolled_back", "ended_at": "T3",
            "why": "exit status 42", "rolled_back_by": "bob", "share": 5,
        });
        assert_eq!(
            lines(&told, Some(80)),
            [
                "#9    1.4.2 (release 7)  rolled back",
                "      asked for T1 by alice (person): orders \u{fffd}[2Jfail",
                "      live from T2, seen on web1 (identity 5f)",
                "      had 5 % of the users at most",
                "      rolled back by bob",
                "      rolled back at T3: exit status 42",
            ]
        );
    }
}
