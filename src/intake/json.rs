//! The plain JSON sender, which Jenkins' `httpRequest` step and scripts use:
//! `{ "version": "v2", "artifact": "...", "commit": "...", "build": 17, "branch": "main", "tag": "...", "job": "...",
//! "parameters": {...}, "link": "https://..." }`. Of these, only what the pipeline has no template for is needed.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Announcement, Error,
    build::Build,
    facts::{Facts, Places, branch},
    tree::{self, Fields},
};
use crate::{
    pipelines::Webhook,
    text::{did_you_mean, is_key_like},
};

const BY: &str = "webhook:json";
/// The fields there are.
pub(super) const KEYS: [&str; 9] =
    ["version", "artifact", "commit", "build", "branch", "tag", "job", "parameters", "link"];
const PLACES: Places = &[
    ("version", "version"),
    ("artifact", "artifact"),
    ("commit", "commit"),
    ("build", "build"),
    ("branch", "branch"),
    ("tag", "tag"),
    ("job", "job"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: Option<Arc<str>>,
    artifact: Option<Arc<str>>,
    commit: Option<Arc<str>>,
    build: Option<u64>,
    branch: Option<Arc<str>>,
    tag: Option<Arc<str>>,
    job: Option<Arc<str>>,
    #[serde(default)]
    parameters: BTreeMap<Arc<str>, Arc<str>>,
    link: Option<Arc<str>>,
}

/// Reads what a person or a script asks to be deployed: the same body as that of a webhook.
pub(crate) fn parse(body: &[u8]) -> Result<Build, Error> {
    let none = Webhook::default();
    let facts = match quick(body, &none) {
        Some(facts) => facts,
        None => slow(&tree::read_with_names(body, &KEYS)?, &none),
    };
    match facts.announce(&none)? {
        Announcement::Build(announced) => Ok(announced.build),
        Announcement::Ignored(why) => Err(Error::Syntax(why)),
    }
}

/// Reads a body in which nothing is wrong, fast.
pub(super) fn quick(body: &[u8], webhook: &Webhook) -> Option<Facts> {
    // A list in the order of the fields would be taken as well.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(body).ok().map(|body| facts(body, webhook))
}

/// Reads any other body, and says of every field what is wrong with it.
pub(super) fn slow(tree: &Value, webhook: &Webhook) -> Facts {
    let mut fields = Fields::of(tree);
    let text = |fields: &mut Fields<'_>, path: &str| fields.text(path).map(Arc::from);
    let body = Body {
        version: text(&mut fields, "version"),
        artifact: text(&mut fields, "artifact"),
        commit: text(&mut fields, "commit"),
        build: fields.number("build"),
        branch: text(&mut fields, "branch"),
        tag: text(&mut fields, "tag"),
        job: text(&mut fields, "job"),
        parameters: fields.texts("parameters", |_| true),
        link: text(&mut fields, "link"),
    };
    for key in tree.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| !KEYS.contains(&key.as_str())) {
        let meant = did_you_mean(key, KEYS).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        let known = format!("is not a field of a build{meant} There are {}", KEYS.join(", "));
        // The answer ends up in the log of whoever sent it.
        fields.bad(if is_key_like(key) { key } else { "…" }, known.replace("build There", "build; there"));
    }
    Facts { bad: fields.into_bad(), ..facts(body, webhook) }
}

fn facts(body: Body, webhook: &Webhook) -> Facts {
    // Where several jobs send, each counts for itself.
    let name = match (&body.job, body.build) {
        (Some(job), Some(number)) if webhook.jobs.len() > 1 => Some(format!("{job}/{number}")),
        _ => None,
    };
    Facts {
        by: BY,
        places: PLACES,
        name,
        version: body.version,
        artifact: body.artifact,
        commit: body.commit,
        branch: body.branch.map(|text| if branch(&text) == &*text { text.clone() } else { branch(&text).into() }),
        tag: body.tag,
        job: body.job,
        number: body.build,
        counted_by_job: true,
        parameters: body.parameters,
        link: body.link,
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_read_with_all_that_it_says() {
        let build = parse(
            br#"{"version":"v2","artifact":"apps/v2","commit":"3f2c1e","build":17,
                 "parameters":{"greeting":"hello"},"link":"https://ci.example/17"}"#,
        )
        .unwrap();
        assert_eq!((&*build.version, build.number), ("v2", Some(17)));
        assert_eq!(build.parameters.len(), 1);
        assert!(parse(br#"{"version":"v2","artifact":"a"}"#).unwrap().number.is_none());
    }

    #[test]
    fn every_bad_body_is_refused_with_the_field_and_the_reason() {
        let long = "x".repeat(10_000);
        for (body, reason) in [
            ("", "EOF"),
            ("[]", "it is not a JSON object"),
            (r#"["v1","a",null,null,{},null]"#, "it is not a JSON object"),
            ("{}", "`version` is missing; send it, or set `webhook.version`"),
            (r#"{"version":"v1"}"#, "`artifact` is missing"),
            (r#"{"version":1,"artifact":"a"}"#, "`version` is a number; it must be a text"),
            (r#"{"version":null,"artifact":"a"}"#, "`version` is missing"),
            (r#"{"version":"","artifact":"a"}"#, "`version` is empty"),
            (r#"{"version":"v1","artifact":""}"#, "`artifact` is empty"),
            (r#"{"version":"v1","artifact":"a","build":"17"}"#, "`build` is a text; it must be a whole number"),
            (r#"{"version":"v1","artifact":"a","build":-1}"#, "`build` is a number that is too large, negative"),
            (r#"{"version":"v1","artifact":"a","build":1.5}"#, "no whole one"),
            (r#"{"version":"v1","artifact":"a","build":1000000000000000}"#, "`build` is greater than 999999999999999"),
            (r#"{"version":"v1","artifact":"a","commit":7}"#, "`commit` is a number"),
            (r#"{"version":"v1","artifact":"a","commit":"--upload-pack"}"#, "`commit` must not begin with a dash"),
            (r#"{"version":"v1","artifact":"a","parameters":[]}"#, "`parameters` is a list; it must be an object"),
            (r#"{"version":"v1","artifact":"a","parameters":{"a":1}}"#, "`parameters.a` is a number"),
            (r#"{"version":"v1","artifact":"a","parameters":{"":"x"}}"#, "`parameters` is empty"),
            (
                r#"{"version":"v1","artifact":"a","artefact":"a"}"#,
                "`artefact` is not a field of a build; did you mean `artifact`?",
            ),
            (r#"{"version":"v1","version":"v2","artifact":"a"}"#, "the key `version` stands twice"),
            (r#"{"version":"v1","artifact":"a","link":"javascript:alert(1)"}"#, "`link` is not an http"),
            (r#"{"version":"v1","artifact":"a","link":"/17"}"#, "`link` is not an http"),
            (r#"{"version":"v1","artifact":"a","link":"file:///etc/passwd"}"#, "`link` is not an http"),
            (r#"{"version":"v1\u001b[2J","artifact":"a"}"#, "control character \\u{1b}"),
            (r#"{"version":"v1\u202e","artifact":"a"}"#, "control character \\u{202e}"),
            (r#"{"version":"v1","artifact":"a\n"}"#, "control character \\u{a}"),
            (r#"{"version":"<b>v1","artifact":"a"}"#, "`version` must not have `<` in it"),
            (r#"{"version":"v1","artifact":"a"} x"#, "trailing characters"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{body}: {error}");
        }
        let body = format!(r#"{{"version":"{long}","artifact":"{long}"}}"#);
        let error = parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("`version` has 10000 characters; 200 at most; `artifact`"), "{error}");
        assert!(parse(b"{\"version\":\"\xff\",\"artifact\":\"a\"}").is_err());
    }
}
