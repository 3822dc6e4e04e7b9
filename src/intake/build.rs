//! A build as announced, whoever announced it: what every sender's own shape is turned into.

use std::{collections::BTreeMap, sync::Arc};

/// The longest version and commit, in characters.
pub const LONGEST_NAME: usize = 200;
/// The longest artifact, link and parameter value, in characters.
pub const LONGEST_TEXT: usize = 2000;
/// The most parameters of one build.
pub const MOST_PARAMETERS: usize = 64;

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// What people call it.
    pub version: Arc<str>,
    /// Where it is; the stack driver knows what it means.
    pub artifact: Arc<str>,
    /// The commit it was built from.
    pub commit: Option<Arc<str>>,
    /// The sender's own count of its builds.
    pub number: Option<u64>,
    /// Values for the stack definition.
    pub parameters: BTreeMap<Arc<str>, Arc<str>>,
    /// The build's own page.
    pub link: Option<Arc<str>>,
}

/// Which field of a build can not be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct BadField {
    /// Its name.
    pub field: String,
    /// What is wrong with it.
    pub why: String,
}

impl Build {
    /// Refuses what could do harm where it is shown or used; all that is wrong, at once.
    pub fn check(&self) -> Result<(), Vec<BadField>> {
        let mut bad = Vec::new();
        let mut text = |field: &str, text: &str, longest: usize| {
            if let Some(why) = wrong(text, longest) {
                bad.push(BadField { field: field.to_owned(), why });
            }
        };
        text("version", &self.version, LONGEST_NAME);
        text("artifact", &self.artifact, LONGEST_TEXT);
        self.commit.iter().for_each(|c| text("commit", c, LONGEST_NAME));
        self.link.iter().for_each(|l| text("link", l, LONGEST_TEXT));
        for (name, value) in &self.parameters {
            text("parameters", name, LONGEST_NAME);
            if !value.is_empty() {
                text("parameters", value, LONGEST_TEXT);
            }
        }
        if self.parameters.len() > MOST_PARAMETERS {
            let why = format!("has {} entries; {MOST_PARAMETERS} at most", self.parameters.len());
            bad.push(BadField { field: "parameters".to_owned(), why });
        }
        if self.link.as_ref().is_some_and(|link| !is_web_address(link)) {
            let why = "is no http:// or https:// address".to_owned();
            bad.push(BadField { field: "link".to_owned(), why });
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }
}

fn wrong(text: &str, longest: usize) -> Option<String> {
    // Marks that reorder text make one version look like another.
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if text.is_empty() {
        Some("is empty".to_owned())
    } else if text.len() > longest && text.chars().count() > longest {
        Some(format!("has {} characters; {longest} at most", text.chars().count()))
    } else if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        None
    } else {
        text.chars().find(|c| hidden(*c)).map(|c| format!("has the control character {}", c.escape_unicode()))
    }
}

fn is_web_address(link: &str) -> bool {
    link.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
    })
}
