//! The plain JSON sender:
//! `{ "version": "v2", "artifact": "...", "commit": "...", "build": 17, "parameters": {...}, "link": "https://..." }`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;

use super::build::{BadField, Build};

/// The sender's name, as it stands in the journal behind `webhook:`.
pub const SENDER: &str = "json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    version: Arc<str>,
    artifact: Arc<str>,
    #[serde(default)]
    commit: Option<Arc<str>>,
    #[serde(default)]
    build: Option<u64>,
    #[serde(default)]
    parameters: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    link: Option<Arc<str>>,
}

/// Why a body announces no build.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON, or of another shape.
    #[error(
        "the body is not what it must be: {0}; send {{\"version\": \"...\", \"artifact\": \"...\"}} and optionally commit, build, parameters, link"
    )]
    Shape(#[from] serde_json::Error),
    /// Fields that can not be taken.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields(Vec<BadField>),
}

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Build, Error> {
    // A list in the order of the fields would be taken as well.
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Error::Shape(serde::de::Error::custom("it is no JSON object")));
    }
    let Body { version, artifact, commit, build, parameters, link } = serde_json::from_slice(body)?;
    let build = Build { version, artifact, commit, number: build, parameters, link };
    build.check().map_err(Error::Fields)?;
    Ok(build)
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
            ("[]", "it is no JSON object"),
            (r#"["v1","a",null,null,{},null]"#, "it is no JSON object"),
            ("{}", "missing field `version`"),
            (r#"{"version":"v1"}"#, "missing field `artifact`"),
            (r#"{"version":1,"artifact":"a"}"#, "invalid type: integer `1`"),
            (r#"{"version":null,"artifact":"a"}"#, "invalid type: null"),
            (r#"{"version":"","artifact":"a"}"#, "`version` is empty"),
            (r#"{"version":"v1","artifact":""}"#, "`artifact` is empty"),
            (r#"{"version":"v1","artifact":"a","build":"17"}"#, "invalid type: string \"17\""),
            (r#"{"version":"v1","artifact":"a","build":-1}"#, "integer `-1`"),
            (r#"{"version":"v1","artifact":"a","build":1.5}"#, "floating point `1.5`"),
            (r#"{"version":"v1","artifact":"a","commit":7}"#, "invalid type"),
            (r#"{"version":"v1","artifact":"a","parameters":[]}"#, "expected a map"),
            (r#"{"version":"v1","artifact":"a","parameters":{"a":1}}"#, "expected"),
            (r#"{"version":"v1","artifact":"a","parameters":{"":"x"}}"#, "`parameters` is empty"),
            (r#"{"version":"v1","artifact":"a","artefact":"a"}"#, "unknown field `artefact`"),
            (r#"{"version":"v1","version":"v2","artifact":"a"}"#, "duplicate field `version`"),
            (r#"{"version":"v1","artifact":"a","link":"javascript:alert(1)"}"#, "`link` is no http"),
            (r#"{"version":"v1","artifact":"a","link":"/17"}"#, "`link` is no http"),
            (r#"{"version":"v1","artifact":"a","link":"file:///etc/passwd"}"#, "`link` is no http"),
            (r#"{"version":"v1\u001b[2J","artifact":"a"}"#, "control character \\u{1b}"),
            (r#"{"version":"v1\u202e","artifact":"a"}"#, "control character \\u{202e}"),
            (r#"{"version":"v1","artifact":"a\n"}"#, "control character \\u{a}"),
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
