//! A nest of canaries: secrets that are planted in every place where one can stand, and looked for afterwards in all
//! that was heard and written.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

/// Every canary has it, several times, so that pieces are found as well.
const MARK: &str = "zqCANARY";

#[derive(Default)]
pub struct Nest {
    places: Vec<String>,
    /// What has no mark, since its form is not ours to choose.
    odd: Vec<(String, Vec<u8>)>,
    heard: BTreeMap<String, Vec<u8>>,
}

impl Nest {
    /// A secret for this place, like no other.
    pub fn plant(&mut self, place: &str) -> String {
        let number = self.places.len();
        self.places.push(place.to_owned());
        format!("{MARK}{number:02}q").repeat(2)
    }

    /// One that was made elsewhere.
    pub fn plant_odd(&mut self, place: &str, secret: &[u8]) {
        self.odd.push((place.to_owned(), secret.to_owned()));
        self.places.push(place.to_owned());
    }

    pub fn planted(&self) -> usize {
        self.places.len()
    }

    /// Keeps what was said there.
    pub fn hear(&mut self, by: &str, what: &[u8]) {
        self.heard.entry(by.to_owned()).or_default().extend_from_slice(what);
    }

    /// Whether this was said there: a place that says nothing proves nothing.
    pub fn heard(&self, by: &str, what: &str) -> bool {
        self.heard.get(by).is_some_and(|bytes| String::from_utf8_lossy(bytes).contains(what))
    }

    /// Keeps what stands in all files there, but not in those.
    pub fn hear_files(&mut self, folder: &Path, homes: &[&Path]) {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            self.hear("names of files", path.as_os_str().as_encoded_bytes());
            if homes.contains(&path.as_path()) {
                continue;
            } else if kind.is_dir() {
                self.hear_files(&path, homes);
            } else if kind.is_file() {
                self.hear(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
            }
        }
    }

    /// Where canaries were found that should not be: place, form, and the text around it.
    pub fn found(&self) -> Vec<String> {
        let mut needles = forms("a mark", MARK.as_bytes());
        needles.push(("a mark, in small letters".to_owned(), MARK.to_ascii_lowercase().into_bytes()));
        for (place, secret) in &self.odd {
            needles.extend(forms(place, secret));
        }
        let needles: Vec<(String, String)> =
            needles.into_iter().map(|(name, bytes)| (name, bytes.iter().map(|b| char::from(*b)).collect())).collect();
        let mut found = Vec::new();
        for (place, bytes) in &self.heard {
            // Byte for byte as letters: what is looked for may be no text.
            let text: String = bytes.iter().map(|b| char::from(*b)).collect();
            for (name, needle) in &needles {
                if let Some(at) = text.find(needle.as_str()) {
                    let near: String = text[..at].chars().rev().take(120).collect();
                    let near: String = near.chars().rev().collect();
                    let rest: String = text[at..].chars().take(60).collect();
                    found.push(format!("{place}: {name}: …{}{}…", near.escape_debug(), rest.escape_debug()));
                }
            }
        }
        found
    }

    /// What is where, for whoever reads what was found.
    pub fn legend(&self) -> String {
        self.places.iter().enumerate().map(|(number, place)| format!("{number:02} {place}\n")).collect()
    }
}

/// The bytes as they are, in hex, and in base64 wherever they begin in it.
fn forms(name: &str, secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![
        (name.to_owned(), secret.to_owned()),
        (format!("{name}, in hex"), hex::encode(secret).into_bytes()),
        (format!("{name}, in HEX"), hex::encode_upper(secret).into_bytes()),
    ];
    for shift in 0..3 {
        let text = STANDARD.encode([&b"xx"[..shift], secret].concat());
        // The letters that depend on these bytes alone.
        let (begin, end) = ([0, 2, 3][shift], (shift + secret.len()) * 8 / 6);
        let inner = text[begin..end].to_owned();
        let safe = inner.replace('+', "-").replace('/', "_");
        if safe != inner {
            forms.push((format!("{name}, in base64 for addresses"), safe.into_bytes()));
        }
        forms.push((format!("{name}, in base64"), inner.into_bytes()));
    }
    forms
}

#[test]
fn a_canary_is_found_in_every_form() {
    let mut nest = Nest::default();
    let secret = nest.plant("here");
    assert_eq!(nest.found(), Vec::<String>::new());
    for shift in 0..3 {
        let place = format!("base64 {shift}");
        nest.hear(&place, STANDARD.encode(format!("{}{}", &"abc"[..shift], &secret[..11])).as_bytes());
        assert!(nest.found().iter().any(|f| f.starts_with(&format!("{place}: a mark, in base64"))));
    }
    nest.hear("hex", hex::encode(&secret).as_bytes());
    nest.hear("text", format!("\u{0}\u{ff}{}", &secret[3..]).as_bytes());
    assert!(nest.found().iter().any(|f| f.starts_with("hex: a mark, in hex")));
    assert!(nest.found().iter().any(|f| f.starts_with("text: a mark: ")));
}
