//! What a promotion would change, as people read it. Must not ask anybody.

use serde_json::Value;

use super::{follow::plain, screen::harmless};
use crate::text::escaped;

/// The lines, from the API's answer. What stays as it is is not said.
pub(super) fn lines(changes: &Value) -> Vec<String> {
    let (from, to) = (release(&changes["from"]), release(&changes["to"]));
    let mut lines = vec![match (from, to) {
        (_, None) => format!("{}: nothing can be promoted", plain(&changes["environment"])),
        (None, Some(to)) => format!("{}: {to} would be the first that is live here", plain(&changes["environment"])),
        (Some(from), Some(to)) => format!("{}: {to} would replace {from}", plain(&changes["environment"])),
    }];
    lines.extend(remark(&changes["why"]));
    let commits = each(&changes["commits"]).map(commit).collect();
    block(&mut lines, "commits", commits, &changes["commits_why"]);
    block(&mut lines, "parameters", each(&changes["parameters"]).map(parameter).collect(), &Value::Null);
    let secrets = each(&changes["secrets"]).map(|name| format!("{} has another value", plain(name)));
    block(&mut lines, "secrets", secrets.collect(), &Value::Null);
    let definition = changes["definition"].as_str().into_iter().flat_map(str::lines);
    block(&mut lines, "definition", definition.map(harmless).collect(), &changes["definition_why"]);
    block(&mut lines, "hooks", each(&changes["hooks"]).map(hook).collect(), &Value::Null);
    let one_way = each(&changes["one_way"]).map(plain);
    block(&mut lines, "no way back", one_way.collect(), &Value::Null);
    block(&mut lines, "approvals", each(&changes["gates"]).map(gate).collect(), &Value::Null);
    lines
}

fn block(lines: &mut Vec<String>, title: &str, inner: Vec<String>, why: &Value) {
    if inner.is_empty() && why.is_null() {
        return;
    }
    lines.push(format!("  {title}"));
    lines.extend(inner.into_iter().map(|line| format!("    {line}")));
    lines.extend(remark(why).map(|line| format!("  {line}")));
}

fn remark(why: &Value) -> Option<String> {
    why.as_str().map(|why| format!("  ({})", harmless(why)))
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn release(value: &Value) -> Option<String> {
    let version = value["version"].as_str()?;
    Some(format!("{} (release {})", harmless(version), value["number"]))
}

fn commit(value: &Value) -> String {
    let id: String = plain(&value["id"]).chars().take(10).collect();
    format!("{id}  {}  ({})", plain(&value["subject"]), plain(&value["author"]))
}

fn parameter(value: &Value) -> String {
    let name = plain(&value["name"]);
    match (value["from"].as_str(), value["to"].as_str()) {
        (Some(from), Some(to)) => format!("{name}: {} becomes {}", escaped(from), escaped(to)),
        (None, Some(to)) => format!("{name}: {}, which is new", escaped(to)),
        (from, None) => format!("{name}: {} goes away", escaped(from.unwrap_or_default())),
    }
}

fn hook(value: &Value) -> String {
    format!("{} ({})", plain(&value["name"]), plain(&value["at"]))
}

fn gate(value: &Value) -> String {
    let when = plain(&value["name"]).replace('_', " ");
    let by: Vec<_> = each(&value["by"]).map(plain).collect();
    let by = if by.is_empty() { "anybody who may approve".to_owned() } else { by.join(" or ") };
    let not = value["not"].as_str().map(|not| format!(", not {}", harmless(not))).unwrap_or_default();
    let otherwise = if value["otherwise"] == "approve" { "goes on" } else { "is aborted" };
    format!("{when}: by {by}{not}, within {}; otherwise it {otherwise}", plain(&value["within"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_would_change_is_shown_and_nothing_of_it_reaches_the_terminal_as_an_order() {
        let changes = json!({
            "environment": "shop/prod",
            "from": { "number": 3, "version": "v1" },
            "to": { "number": 4, "version": "v2" },
            "why": null,
            "commits": [{ "id": "0123456789abcdef", "subject": "Say \u{1b}[2Jhello", "author": "alice", "link": null }],
            "commits_why": "at least 7 more are not listed",
            "parameters": [{ "name": "greeting", "from": "hi\nthere", "to": null }],
            "secrets": ["db"],
            "definition": "@@ -1 +1 @@\n-a\n+b",
            "definition_why": null,
            "gates": [{ "name": "before_cutover", "by": ["alice", "bob"], "not": "alice", "within": "6 h",
                        "otherwise": "abort" }],
            "hooks": [{ "name": "migrate", "at": "after-checks", "one_way": true }],
            "one_way": ["hook migrate of release 4 is one way"],
        });
        assert_eq!(
            lines(&changes),
            [
                "shop/prod: v2 (release 4) would replace v1 (release 3)",
                "  commits",
                "    0123456789  Say \u{fffd}[2Jhello  (alice)",
                "    (at least 7 more are not listed)",
                "  parameters",
                "    greeting: hi\\nthere goes away",
                "  secrets",
                "    db has another value",
                "  definition",
                "    @@ -1 +1 @@",
                "    -a",
                "    +b",
                "  hooks",
                "    migrate (after-checks)",
                "  no way back",
                "    hook migrate of release 4 is one way",
                "  approvals",
                "    before cutover: by alice or bob, not alice, within 6 h; otherwise it is aborted",
            ]
        );
    }

    #[test]
    fn what_stays_as_it_is_takes_no_room() {
        let same = json!({ "environment": "shop/prod", "from": null, "to": { "number": 1, "version": "v1" },
                           "why": "it would wait", "commits": [], "commits_why": null });
        let first = "shop/prod: v1 (release 1) would be the first that is live here";
        assert_eq!(lines(&same), [first, "  (it would wait)"]);
    }
}
