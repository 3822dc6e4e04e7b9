//! Reading TOML written by people: every mistake is collected with its line and column, none stops the reading. It must
//! not know what the files mean.

pub(crate) mod filled;

use std::{cell::RefCell, fmt, ops::Range};

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use crate::{
    machine::Millis,
    text::{did_you_mean, excerpt, is_key_like},
    units::parse_duration,
};

/// Something wrong in a file: what, why, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Text of the mistake.
    pub text: String,
}

impl Mistake {
    /// A mistake that has no place in the text, as a file that cannot be read.
    pub fn of_file(file: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, text: text.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.text),
        }
    }
}

/// A text being read, and what was found wrong in it so far.
pub struct Document<'t> {
    file: &'t str,
    text: &'t str,
    /// Where the text is no TOML; what follows from that is not reported as well.
    broken_lines: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl<'t> Document<'t> {
    /// Parses as much of the text as is TOML.
    pub fn parse(file: &'t str, text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { file, text, broken_lines: Vec::new(), mistakes: RefCell::default() };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            document.mistake(at, format!("not valid TOML: {}", error.message()));
            document.broken_lines.push(document.place(at).0);
        }
        (document, root)
    }

    /// The whole text as a table.
    pub fn root<'d>(&'d self, root: &'d Spanned<DeTable<'t>>) -> Table<'d, 't> {
        Table { document: self, table: root.get_ref(), span: 0..0 }
    }

    /// Everything that was found, in the order of the text.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort();
        mistakes.dedup();
        mistakes
    }

    fn mistake(&self, at: usize, text: String) {
        let (line, column) = self.place(at);
        if !self.broken_lines.contains(&line) {
            self.mistakes.borrow_mut().push(Mistake { file: self.file.to_owned(), line, column, text });
        }
    }

    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A key that nobody knows, where it looks like a key. What does not may be a secret that slipped there.
pub(crate) fn shown(key: &str) -> String {
    if is_key_like(key) { format!(" `{key}`") } else { " (not repeated here: it may be a secret)".to_owned() }
}

/// What to write instead of a key that nobody knows.
fn instead(key: &str, accepted: &[&str]) -> String {
    match did_you_mean(key, accepted.iter().copied()) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => format!("accepted here: {}", accepted.join(", ")),
    }
}

/// Says what a value is, by the name of its type in TOML and as it is written. Does not repeat texts, which may be secrets.
fn what_it_is(kind: &str, written: &str) -> String {
    match kind {
        "integer" => format!("the number {}", excerpt(written)),
        "float" => "a floating-point number".to_owned(),
        "boolean" => written.to_owned(),
        "datetime" => "a date".to_owned(),
        "array" => "a list".to_owned(),
        "table" => "a table".to_owned(),
        _ => "a text".to_owned(),
    }
}

const DURATION: &str = "a duration such as \"30s\"";
const LONGER_THAN_ZERO: &str = "must be longer than zero, for example \"30s\"";

/// A table of a document.
#[derive(Clone)]
pub struct Table<'d, 't> {
    document: &'d Document<'t>,
    table: &'d DeTable<'t>,
    span: Range<usize>,
}

impl<'d, 't> Table<'d, 't> {
    /// Refuses every key that is not one of these.
    pub fn only(&self, accepted: &[&str]) {
        for (key, _) in self.table {
            if accepted.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let hint = instead(key.get_ref(), accepted);
            self.wrong_key(key, &format!("unknown key{}; {hint}", shown(key.get_ref())));
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'d, 't>> {
        let (_, value) = self.table.iter().find(|(k, _)| k.get_ref() == key)?;
        Some(self.value(key.to_owned(), value))
    }

    /// The value of a key that must be there.
    pub fn require(&self, key: &str, example: &str) -> Option<Value<'d, 't>> {
        let found = self.get(key);
        if found.is_none() && self.is_whole() {
            self.wrong(&format!("`{key}` is missing, for example `{example}`"));
        }
        found
    }

    /// All keys with their values, in the order of their names.
    pub fn entries(&self) -> impl Iterator<Item = (&'d str, Value<'d, 't>)> {
        let table = self.clone();
        self.table.iter().map(move |(k, v)| (k.get_ref().as_ref(), table.value(k.get_ref().to_string(), v)))
    }

    /// Reports a mistake at the beginning of the table.
    pub fn wrong(&self, text: &str) {
        self.document.mistake(self.span.start, text.to_owned());
    }

    /// Reports a mistake at one of its keys.
    pub fn wrong_at(&self, key: &str, text: &str) {
        match self.table.keys().find(|k| k.get_ref() == key) {
            Some(key) => self.wrong_key(key, text),
            None => self.wrong(text),
        }
    }

    /// Whether all of the text is TOML: else what seems to be missing may stand in the part that could not be read.
    pub fn is_whole(&self) -> bool {
        self.document.broken_lines.is_empty()
    }

    /// The table without its places, for those who read it themselves. `but`: keys that are left out; `text`: what
    /// becomes of each text in it.
    pub fn plain(&self, but: &[&str], text: &dyn Fn(&Value<'d, 't>, &str) -> String) -> toml::Table {
        let kept = self.entries().filter(|(key, _)| !but.contains(key));
        kept.map(|(key, value)| (key.to_owned(), value.plain(text))).collect()
    }

    fn wrong_key(&self, key: &Spanned<DeString<'t>>, text: &str) {
        self.document.mistake(key.span().start, text.to_owned());
    }

    fn value(&self, name: String, value: &'d Spanned<DeValue<'t>>) -> Value<'d, 't> {
        Value { document: self.document, name, value }
    }
}

/// A value of a document. Reading it as what it is not reports a mistake and gives nothing.
pub struct Value<'d, 't> {
    document: &'d Document<'t>,
    name: String,
    value: &'d Spanned<DeValue<'t>>,
}

impl<'d, 't> Value<'d, 't> {
    /// Reports a mistake at this value.
    pub fn wrong(&self, text: &str) {
        self.document.mistake(self.value.span().start, text.to_owned());
    }

    /// Where it begins: line and column.
    pub fn place(&self) -> (usize, usize) {
        self.document.place(self.value.span().start)
    }

    /// A string.
    pub fn text(&self) -> Option<&'d str> {
        self.expect(self.value.get_ref().as_str(), "a text in quotes")
    }

    /// The string, if it is one; nothing is reported.
    pub fn as_text(&self) -> Option<&'d str> {
        self.value.get_ref().as_str()
    }

    /// A string that is not empty.
    pub fn full_text(&self) -> Option<&'d str> {
        let text = self.text()?;
        if text.is_empty() {
            self.wrong(&format!("`{}` is empty", self.name));
            return None;
        }
        Some(text)
    }

    /// A string of which something is made; its error is the mistake.
    pub fn parsed<T, E: fmt::Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        parse(self.text()?).map_err(|error| self.wrong(&format!("`{}`: {error}", self.name))).ok()
    }

    /// A duration.
    pub fn duration(&self) -> Option<Millis> {
        let text = self.expect(self.value.get_ref().as_str(), DURATION)?;
        parse_duration(text).map_err(|error| self.wrong(&format!("`{}`: {error}", self.name))).ok()
    }

    /// A duration longer than zero.
    pub fn some_duration(&self) -> Option<Millis> {
        let length = self.duration()?;
        if length.0 == 0 {
            self.wrong(&format!("`{}` {LONGER_THAN_ZERO}", self.name));
            return None;
        }
        Some(length)
    }

    /// A whole number within limits.
    pub fn integer(&self, limits: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let what = format!("a whole number from {} to {}", limits.start(), limits.end());
        let number = self.value.get_ref().as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
        self.expect(number.filter(|n| limits.contains(n)), &what)
    }

    /// A list of texts, each said once and none empty.
    pub fn texts(&self) -> Option<Vec<(&'d str, Value<'d, 't>)>> {
        let mut texts: Vec<(&'d str, Value<'d, 't>)> = Vec::new();
        for item in self.list()? {
            let Some(text) = item.full_text() else { continue };
            if texts.iter().any(|(other, _)| *other == text) {
                item.wrong(&format!("`{}` has \"{}\" twice", self.name, excerpt(text)));
            } else {
                texts.push((text, item));
            }
        }
        Some(texts)
    }

    /// Reads texts as [`Value::texts`] does, at least one.
    pub fn some_texts(&self) -> Option<Vec<(&'d str, Value<'d, 't>)>> {
        let empty = self.list()?.is_empty();
        if empty {
            self.wrong(&format!("`{}` is empty; name one at least, or leave it out", self.name));
        }
        self.texts().filter(|_| !empty)
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        self.expect(self.value.get_ref().as_bool(), "true or false")
    }

    /// One of some words.
    pub fn word<T: Copy>(&self, accepted: &[(&str, T)]) -> Option<T> {
        let words = || accepted.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let text = self.expect(self.value.get_ref().as_str(), &words())?;
        let found = accepted.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.wrong(&format!("`{}` is \"{}\"; accepted: {}", self.name, excerpt(text), words()));
        }
        found
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// A table.
    pub fn table(&self) -> Option<Table<'d, 't>> {
        let table = self.expect(self.value.get_ref().as_table(), "a table")?;
        Some(Table { document: self.document, table, span: self.value.span() })
    }

    /// A list; its items are named as the list is.
    pub fn list(&self) -> Option<Vec<Value<'d, 't>>> {
        let list = self.expect(self.value.get_ref().as_array(), "a list in [brackets]")?;
        let item = |value| Value { document: self.document, name: self.name.clone(), value };
        Some(list.iter().map(item).collect())
    }

    fn plain(&self, text: &dyn Fn(&Value<'d, 't>, &str) -> String) -> toml::Value {
        let inner = |name: String, value| Value { document: self.document, name, value };
        match self.value.get_ref() {
            DeValue::String(string) => toml::Value::String(text(self, string)),
            DeValue::Integer(n) => toml::Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).unwrap_or(i64::MAX)),
            DeValue::Float(n) => toml::Value::Float(n.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(yes) => toml::Value::Boolean(*yes),
            DeValue::Datetime(time) => toml::Value::Datetime(*time),
            DeValue::Array(list) => {
                toml::Value::Array(list.iter().map(|v| inner(self.name.clone(), v).plain(text)).collect())
            }
            DeValue::Table(table) => {
                let entry = |(k, v): (&Spanned<DeString<'t>>, &'d Spanned<DeValue<'t>>)| {
                    let name = k.get_ref().to_string();
                    (name.clone(), inner(name, v).plain(text))
                };
                toml::Value::Table(table.iter().map(entry).collect())
            }
        }
    }

    fn expect<T>(&self, found: Option<T>, wanted: &str) -> Option<T> {
        if found.is_none() {
            let value = self.value.get_ref();
            let written = match value {
                DeValue::Integer(number) => number.as_str(),
                DeValue::Boolean(true) => "true",
                _ => "false",
            };
            let is = what_it_is(value.type_str(), written);
            self.wrong(&format!("`{}` is {is}; it must be {wanted}", self.name));
        }
        found
    }
}
