//! Takes the values of secrets out of what hooks say: as they are written, and as they look in JSON, in an address and in
//! base64. Must not show one, nor keep one longer than it lives.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// How much of an output is kept, in bytes.
pub(super) const KEPT: usize = 16 << 10;
/// Text that replaces a secret.
const HIDDEN: &str = "[secret]";
/// A text that is shorter would be found in every word.
const SHORTEST: usize = 3;
/// A line of a secret with several is a secret of its own, from this length on.
const SHORTEST_LINE: usize = 8;

/// The values to take out, in all their forms, the longest first.
#[derive(Default)]
pub struct Redactor(Vec<SecretString>);

impl Redactor {
    /// Makes one that takes these values out.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut all: Vec<String> = values.into_iter().flat_map(|value| forms(value.expose_secret())).collect();
        all.sort_by_key(|form| std::cmp::Reverse(form.len()));
        all.dedup();
        Self(all.into_iter().map(SecretString::from).collect())
    }

    /// The length of the longest form, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.0.first().map_or(0, |form| form.expose_secret().len())
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        self.clean_from(text, 0)
    }

    /// The end of an output, as text without control characters. `said`: the last [`KEPT`] bytes of it and at least
    /// [`Redactor::longest`] before them, or all of it.
    pub(super) fn last_words(&self, said: &[u8]) -> String {
        let text = plain(&String::from_utf8_lossy(said));
        // A secret of which the beginning was cut off is not recognised, and it ends before this.
        let cut = if said.len() >= KEPT + self.longest() { self.longest() } else { 0 };
        let clean = self.clean_from(&text, cut.max(text.len().saturating_sub(KEPT)));
        let mut start = clean.len().saturating_sub(KEPT);
        while !clean.is_char_boundary(start) {
            start += 1;
        }
        clean[start..].trim_end().to_owned()
    }

    /// The part of the text from there on, without those that begin in it or reach into it.
    pub(super) fn clean_from(&self, text: &str, start: usize) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
            let found = self.0.iter().map(ExposeSecret::expose_secret).find(|form| text[at..].starts_with(*form));
            let length = found.map_or(next.len_utf8(), str::len);
            if at + length > start {
                match found {
                    Some(_) => out.push_str(HIDDEN),
                    None => out.push(next),
                }
            }
            at += length;
        }
        out
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({})", self.0.len())
    }
}

/// Removes colours and other control characters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            while letters.next_if(|c| !('@'..='~').contains(c)).is_some() {}
            letters.next();
        } else if !letter.is_control() || matches!(letter, '\n' | '\t') {
            out.push(letter);
        }
    }
    out
}

fn forms(value: &str) -> Vec<String> {
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && *line != value);
    let texts = std::iter::once(value.trim()).chain(lines).filter(|text| text.len() >= SHORTEST);
    let written = |text: &str| {
        let json = serde_json::to_string(text).expect("a text serialises");
        let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
        let base64 = [STANDARD.encode(text), STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)];
        [text.to_owned(), json, percent(text)].into_iter().chain(base64).collect::<Vec<_>>()
    };
    texts.flat_map(written).collect()
}

/// Returns the text as it stands in an address.
fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Redactor {
        let values: Vec<SecretString> = values.iter().map(|v| SecretString::from(*v)).collect();
        Redactor::of(&values)
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form_it_is_often_written_in() {
        let redactor = of(&["p@ss \"w\u{f6}rd\""]);
        let forms = ["p@ss \"w\u{f6}rd\"", "p@ss \\\"w\u{f6}rd\\\"", "p%40ss%20%22w%C3%B6rd%22", "cEBzcyAid8O2cmQi"];
        for form in forms {
            assert_eq!(redactor.clean(&format!("before {form} after")), "before [secret] after", "{form}");
        }
        assert!(!format!("{redactor:?}").contains("ss"));
    }

    #[test]
    fn the_lines_of_a_key_are_secrets_and_the_longer_secret_wins() {
        let key = "-----BEGIN KEY-----\nMIIEpAIBAAKC\nshort\n-----END KEY-----\n";
        let redactor = of(&[key, "MIIE"]);
        assert_eq!(redactor.clean("x MIIEpAIBAAKC y MIIE z"), "x [secret] y [secret] z");
        assert_eq!(redactor.clean(key), "[secret]\n");
    }

    #[test]
    fn a_secret_that_reaches_over_the_cut_leaves_nothing() {
        let redactor = of(&["canary-value"]);
        let text = "aaa canary-value bbb";
        for cut in 0..text.len() {
            let kept = redactor.clean_from(text, cut);
            assert!(!kept.contains("value") && !kept.contains("nary"), "{cut}: {kept}");
            assert!(kept.ends_with(&" bbb"[cut.saturating_sub(16)..]), "{cut}: {kept}");
        }
    }

    #[test]
    fn the_end_of_a_long_output_is_kept_without_colours_and_without_a_piece_of_a_secret() {
        let secret = "canary-".repeat(20);
        let redactor = of(&[&secret]);
        for filler in 0..300 {
            let mut said = format!("{}{secret}\n", "x".repeat(KEPT + filler)).into_bytes();
            said.extend("y".repeat(KEPT - 10).bytes());
            said.drain(..said.len().saturating_sub(KEPT + redactor.longest()));
            let kept = redactor.last_words(&said);
            assert!(kept.len() <= KEPT && !kept.contains("canary"), "{filler}");
        }
        assert_eq!(redactor.last_words(b"\x1b[31;1mred\x1b[0m\r\n\tend\x07\n\n"), "red\n\tend");
    }

    #[test]
    fn what_is_too_short_to_be_told_from_a_word_stays() {
        assert_eq!(of(&["a", ""]).clean("a cat"), "a cat");
    }
}
