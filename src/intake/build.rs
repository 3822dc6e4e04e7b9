//! A build as announced, whoever announced it: what every sender's own shape is turned into.

use std::{collections::BTreeMap, sync::Arc};

use super::tree::GREATEST_NUMBER;

/// The longest version and commit, in characters.
pub(crate) const LONGEST_NAME: usize = 200;
/// The longest artifact, link and parameter value, in characters.
pub(crate) const LONGEST_TEXT: usize = 2000;
/// The most parameters of one build.
pub(crate) const MOST_PARAMETERS: usize = 64;
/// What would be more than a name where names are shown.
const MARKUP: [char; 4] = ['<', '>', '"', '`'];

/// Build that a sender announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Version, as people call it.
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

/// A field of a build that cannot be accepted, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {why}")]
pub struct BadField {
    /// Its name.
    pub field: String,
    /// Reason why the field is wrong.
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
            // A certificate or a list has line breaks; they are shown escaped.
            let one_line = value.replace("\r\n", " ").replace('\n', " ");
            if !one_line.is_empty() {
                text("parameters", &one_line, LONGEST_TEXT);
            }
        }
        let names =
            [("version", Some(&self.version)), ("artifact", Some(&self.artifact)), ("commit", self.commit.as_ref())];
        let names = names.into_iter().chain([("link", self.link.as_ref())]);
        let names = names.filter_map(|(field, text)| Some((field, text?)));
        for (field, text) in names.chain(self.parameters.keys().map(|name| ("parameters", name))) {
            // Values of parameters are the application's own affair, these are shown and passed on.
            if let Some(mark) = text.chars().find(|c| MARKUP.contains(c)) {
                bad.push(BadField { field: field.to_owned(), why: format!("must not have `{mark}` in it") });
            }
        }
        // A program that is given one of these would take it for an option.
        let words =
            [("version", Some(&self.version)), ("artifact", Some(&self.artifact)), ("commit", self.commit.as_ref())];
        for (field, _) in
            words.into_iter().filter(|(_, text)| text.is_some_and(|text| text.trim_start().starts_with('-')))
        {
            bad.push(BadField { field: field.to_owned(), why: "must not begin with a dash".to_owned() });
        }
        if self.number.is_some_and(|number| number > GREATEST_NUMBER) {
            bad.push(BadField { field: "build".to_owned(), why: format!("is greater than {GREATEST_NUMBER}") });
        }
        if self.parameters.len() > MOST_PARAMETERS {
            let why = format!("has {} entries; {MOST_PARAMETERS} at most", self.parameters.len());
            bad.push(BadField { field: "parameters".to_owned(), why });
        }
        if self.link.as_ref().is_some_and(|link| !is_web_address(link)) {
            let why = "is not an http:// or https:// address".to_owned();
            bad.push(BadField { field: "link".to_owned(), why });
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// What makes it this build and no other, whatever else is said along with it.
    pub(super) fn essence(&self) -> Vec<u8> {
        let texts = [&self.version, &self.artifact].into_iter().chain(&self.commit);
        let texts = texts.chain(self.parameters.iter().flat_map(|(name, value)| [name, value]));
        texts.flat_map(|text| text.bytes().chain([0])).collect()
    }
}

/// What is wrong with a text, if anything.
pub(super) fn wrong(text: &str, longest: usize) -> Option<String> {
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

/// Whether it is an absolute address that a browser may follow.
pub(super) fn is_web_address(link: &str) -> bool {
    link.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|h| !h.is_empty())
            // A link is shown to everybody: no name and no password in it.
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
    })
}
