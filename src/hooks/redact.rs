//! Takes the values of secrets out of what hooks say: as they are written, and as they look in JSON, in an address and in
//! base64. Must not show one, nor keep one longer than it lives.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret, SecretString};

/// Text that replaces a secret.
const HIDDEN: &str = "[secret]";
/// A text that is shorter would be found in every word.
const SHORTEST: usize = 3;
/// A line of a secret with several is a secret of its own, from this length on.
const SHORTEST_LINE: usize = 8;

/// The values to take out.
#[derive(Default)]
pub struct Redactor {
    /// All their forms, the longest first.
    forms: Vec<SecretString>,
    /// The bytes with which they begin, so that most places in a text are passed at once.
    firsts: Vec<u8>,
}

impl Redactor {
    /// Makes one that takes these values out.
    pub fn of<'a>(values: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut all: Vec<String> = values.into_iter().flat_map(|value| forms(value.expose_secret())).collect();
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        let mut firsts: Vec<u8> = all.iter().filter_map(|form| form.bytes().next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        Self { forms: all.into_iter().map(SecretString::from).collect(), firsts }
    }

    /// The text without them.
    pub fn clean(&self, text: &str) -> String {
        self.take(&mut text.to_owned(), true)
    }

    /// Takes from the beginning of a text that goes on what can be told of it already, and returns it without secrets. What
    /// may be the beginning of a secret stays, unless the text is over.
    pub(super) fn take(&self, text: &mut String, over: bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            if !over && self.may_begin(rest) {
                break;
            }
            match self.find(rest) {
                Some(length) => {
                    out.push_str(HIDDEN);
                    at += length;
                }
                None => {
                    out.push(next);
                    at += next.len_utf8();
                }
            }
        }
        text.drain(..at);
        out
    }

    /// The length of the longest form with which the text begins.
    fn find(&self, text: &str) -> Option<usize> {
        self.all(text).find(|form| text.starts_with(form)).map(str::len)
    }

    /// Whether all of the text is the beginning of a form.
    fn may_begin(&self, text: &str) -> bool {
        self.all(text).take_while(|form| form.len() > text.len()).any(|form| form.starts_with(text))
    }

    /// The forms, if one of them begins with the byte of the text.
    fn all(&self, text: &str) -> impl Iterator<Item = &str> {
        let any = text.bytes().next().is_some_and(|first| self.firsts.contains(&first));
        self.forms.iter().filter(move |_| any).map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({})", self.forms.len())
    }
}

fn forms(value: &str) -> Vec<String> {
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && *line != value);
    let texts = std::iter::once(value.trim()).chain(lines).filter(|text| text.len() >= SHORTEST);
    let base64 = |text: &str| [STANDARD.encode(text), STANDARD_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(text)];
    let written = |text: &str| {
        let json = serde_json::to_string(text).expect("a text serialises");
        let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
        [text.to_owned(), json, percent(text)].into_iter().chain(base64(text)).collect::<Vec<_>>()
    };
    // In base64 the spaces at the ends of a secret change what stands before them.
    let whole = Some(value).filter(|value| value.trim().len() >= SHORTEST && value.trim() != *value);
    texts.flat_map(written).chain(whole.into_iter().flat_map(base64)).collect()
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
    fn a_secret_with_a_space_at_its_end_is_hidden_with_it_and_without() {
        let redactor = of(&["canary \t"]);
        for form in
            ["canary".to_owned(), "canary \t".to_owned(), STANDARD.encode("canary"), STANDARD.encode("canary \t")]
        {
            assert!(redactor.clean(&form).trim() == "[secret]", "{form}: {}", redactor.clean(&form));
        }
    }

    #[test]
    fn a_secret_that_comes_in_pieces_is_taken_out_whole_and_nothing_else_is_held() {
        let redactor = of(&["canary-value", "canary", "first line of it\nab\nlast"]);
        let text = "aaa canary-value can bbb canary\nfirst line of it\nab\nlast first line of it\nxy canary-v";
        let expected = redactor.clean(text);
        assert_eq!(expected, "aaa [secret] can bbb [secret]\n[secret] [secret]\nxy [secret]-v");
        for length in 1..text.len() {
            let (mut held, mut out) = (String::new(), String::new());
            for piece in text.as_bytes().chunks(length) {
                held.push_str(std::str::from_utf8(piece).unwrap());
                out += &redactor.take(&mut held, false);
                assert!(expected.starts_with(&out), "{length}: {out}");
            }
            assert_eq!(out, "aaa [secret] can bbb [secret]\n[secret] [secret]\nxy ", "it may go on");
            assert_eq!(out + &redactor.take(&mut held, true), expected, "{length}");
        }
        let mut held = "a line that ends\n".to_owned();
        assert_eq!((redactor.take(&mut held, false), held), ("a line that ends\n".to_owned(), String::new()));
    }

    #[test]
    fn what_is_too_short_to_be_told_from_a_word_stays() {
        assert_eq!(of(&["a", ""]).clean("a cat"), "a cat");
    }
}
