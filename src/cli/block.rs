//! One environment as a block of lines: who has the traffic, what is on its way, what stands in the way.

use serde_json::Value;

use super::screen::{harmless, wrapped};

/// The lines, from the API's answer, as wide as the terminal.
pub(super) fn lines(e: &Value, width: Option<usize>) -> Vec<String> {
    let mut rows: Vec<(&str, String)> = Vec::new();
    for role in ["live", "standby", "candidate"] {
        rows.push((role, stack(&e[role]).unwrap_or("-".to_owned())));
    }
    rows.push(("rollback", text(&e["rollback"]).to_owned()));
    rows.extend(e["front"]["preview"].as_object().map(|_| ("preview", preview(&e["front"]["preview"]))));
    rows.extend(e["straying"].as_object().map(|_| ("front", straying(&e["straying"]))));
    rows.extend(each(&e["one_way"]).map(|limit| ("one way", text(limit).to_owned())));
    rows.extend(each(&e["hooks"]).map(|running| ("hook", hook(running))));
    rows.extend(each(&e["queue"]).map(|d| ("queue", stack(d).unwrap_or_default())));
    let retiring: Vec<_> = each(&e["retiring"]).map(Value::to_string).collect();
    if !retiring.is_empty() {
        rows.push(("retiring", format!("deployments {}", retiring.join(", "))));
    }
    if let Some(hold) = e["hold"].as_object() {
        rows.push((
            "hold",
            format!("by {} since {}: {}", text(&hold["by"]), text(&hold["since"]), text(&hold["reason"])),
        ));
    }
    rows.extend(each(&e["pages"]).map(|up| ("page", page(up))));
    if let Some(pin) = e["pin"].as_u64() {
        let version = e["pin_version"].as_str().map(|version| format!("{version} (release {pin})"));
        rows.push(("pin", version.unwrap_or_else(|| format!("release {pin}"))));
    }
    let release = |v: &Value| v["version"].as_str().map(|version| format!("{version} (release {})", v["release"]));
    let release = |v: &Value| release(v).unwrap_or_else(|| format!("release {}", v["release"]));
    rows.extend(each(&e["vetoes"]).map(|v| ("veto", format!("{}: {}", release(v), text(&v["reason"])))));
    rows.extend(e["last_failure"].as_object().map(|_| ("failure", ended(&e["last_failure"]))));
    let trouble = |t: &Value| format!("since {}: {}: {}", text(&t["since"]), text(&t["step"]), text(&t["why"]));
    rows.extend(each(&e["trouble"]).map(|t| ("trouble", trouble(t))));
    let newest = e["ended"].as_array().map_or(&[][..], Vec::as_slice).iter().rev().take(3);
    rows.extend(newest.map(|d| ("ended", ended(d))));
    rows.extend(situation(&e["situation"]));

    let mut lines = vec![text(&e["environment"]).to_owned()];
    let mut before = "";
    for (name, value) in rows {
        let shown = if name == before { "" } else { name };
        let mut value = wrapped(&harmless(&value), width, 13);
        if let Some(first) = value.first_mut() {
            first.replace_range(..13, &format!("  {shown:10} "));
        }
        lines.extend(value);
        before = name;
    }
    lines
}

/// The three lines of a situation, by name.
pub(super) fn situation(value: &Value) -> impl Iterator<Item = (&'static str, String)> {
    let rows = [("users", "users"), ("doing", "doing"), ("command", "command")];
    rows.into_iter().filter_map(|(name, key)| Some((name, value[key].as_str()?.to_owned())))
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// Both numbers where they differ: `v2 (release 2, deployment 3)`.
fn numbered(value: &Value) -> String {
    let (release, number) = (&value["release"]["number"], &value["number"]);
    if release.is_null() || release == number {
        return format!("({number})");
    }
    format!("(release {release}, deployment {number})")
}

/// `v2 (2)  baking  since …, until …; ready, passing at 127.0.0.1:20001`.
fn stack(value: &Value) -> Option<String> {
    let version = value["release"]["version"].as_str()?;
    let state = value["state"].as_str().map(|s| format!("  {}", s.replace('_', " "))).unwrap_or_default();
    let until = value["until"].as_str().map(|u| format!(", until {u}")).unwrap_or_default();
    let state = if value["suspect"] == true { "  suspect".to_owned() } else { state };
    let mut line =
        format!("{:16}{state}  since {}{until}", format!("{version} {}", numbered(value)), text(&value["since"]));
    if let Some(adopted) = value["release"]["adopts"].as_str() {
        line += &format!("; adopted stack {adopted}");
    }
    let seen = &value["stack"];
    if let Some(condition) = seen["condition"].as_str() {
        line += &format!("; {condition}, {}", text(&seen["health"]));
        let endpoints: Vec<_> = each(&seen["endpoints"]).map(text).collect();
        if !endpoints.is_empty() {
            line += &format!(" at {}", endpoints.join(" "));
        }
        if let Some(remark) = seen["remark"].as_str() {
            line += &format!("; {remark}");
        }
    }
    Some(line)
}

/// The link that lets a browser in, or else how there is one.
fn preview(value: &Value) -> String {
    let ranges: Vec<_> = each(&value["from"]).map(text).collect();
    let from = if ranges.is_empty() { String::new() } else { format!(", from {}", ranges.join(", ")) };
    match value["link"].as_str() {
        Some(link) => format!("{link}{from}"),
        None => format!("{}{from}; who may deploy here sees the key", text(&value["address"])),
    }
}

/// Says how often others repointed the front.
fn straying(value: &Value) -> String {
    let shown = value["shown"].as_str().filter(|shown| !shown.is_empty());
    let shown = shown.map(|shown| format!(", at last to {shown}")).unwrap_or_default();
    let needed = if value["operator_needed"] == true { "; a person is needed" } else { "" };
    let (times, since) = (&value["times"], text(&value["since"]));
    format!("repointed by somebody else {times} times since {since}{shown}{needed}")
}

/// Says for whom users get the maintenance page, and what ends it.
fn page(value: &Value) -> String {
    let [by, since, reason, ends] = ["by", "since", "reason", "ends"].map(|key| text(&value[key]));
    format!("maintenance page by {by} since {since}: {reason}; {ends}")
}

fn hook(value: &Value) -> String {
    let (name, at, number) = (text(&value["name"]), text(&value["at"]), &value["number"]);
    format!(
        "{name} ({at}) of deployment {number} runs since {}, until {}",
        text(&value["since"]),
        text(&value["until"])
    )
}

fn ended(value: &Value) -> String {
    let named = format!("{} ({})", text(&value["version"]), value["number"]);
    let outcome = text(&value["outcome"]).replace('_', " ");
    format!("{named:16}  {outcome} at {}: {}", text(&value["at"]), text(&value["reason"]))
        .trim_end_matches([':', ' '])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_names_each_kind_once_and_says_what_stands_in_the_way() {
        let environment = serde_json::json!({
            "environment": "shop/qa",
            "live": { "number": 1, "release": { "version": "v1" }, "since": "T1",
                      "stack": { "condition": "ready", "health": "passing", "endpoints": ["127.0.0.1:20001"] } },
            "candidate": { "number": 3, "release": { "version": "v3" }, "state": "awaiting_approval", "since": "T2",
                           "until": "T3" },
            "standby": { "number": 2, "release": { "version": "v2" }, "since": "T0", "until": "T9", "suspect": true },
            "straying": { "since": "T1", "times": 5, "shown": "stack 2", "mended_from": "T9", "operator_needed": true },
            "rollback": "none",
            "front": { "preview": { "address": "http://shop.test/.pointsman/preview", "from": ["10.0.0.0/8"] } },
            "one_way": ["hook migrate of release 1 is one way"],
            "hooks": [{ "name": "warm-up", "at": "before-cutover", "number": 3, "since": "T8", "until": "T9" }],
            "hold": { "by": "local:ann", "since": "T4", "reason": "audit" },
            "pages": [{ "by": "ann", "since": "T4", "reason": "the database moves",
                        "ends": "`pointsman maintenance shop/qa off` ends it" }],
            "trouble": [{ "step": "standing up stack 3", "why": "no \u{1b}[2Jsuch file", "since": "T5" }],
            "ended": [{ "number": 1, "version": "v1", "outcome": "succeeded", "reason": "", "at": "T6" },
                      { "number": 2, "version": "v2", "outcome": "rolled_back", "reason": "orders fail", "at": "T7" }],
            "situation": { "users": "Users see v1.", "doing": "It waits.", "command": null },
        });
        assert_eq!(
            lines(&environment, None),
            [
                "shop/qa",
                "  live       v1 (1)            since T1; ready, passing at 127.0.0.1:20001",
                "  standby    v2 (2)            suspect  since T0, until T9",
                "  candidate  v3 (3)            awaiting approval  since T2, until T3",
                "  rollback   none",
                "  preview    http://shop.test/.pointsman/preview, from 10.0.0.0/8; who may deploy here sees the key",
                "  front      repointed by somebody else 5 times since T1, at last to stack 2; a person is needed",
                "  one way    hook migrate of release 1 is one way",
                "  hook       warm-up (before-cutover) of deployment 3 runs since T8, until T9",
                "  hold       by local:ann since T4: audit",
                "  page       maintenance page by ann since T4: the database moves; `pointsman maintenance shop/qa off` ends it",
                "  trouble    since T5: standing up stack 3: no \u{fffd}[2Jsuch file",
                "  ended      v2 (2)            rolled back at T7: orders fail",
                "             v1 (1)            succeeded at T6",
                "  users      Users see v1.",
                "  doing      It waits.",
            ]
        );
    }
}
