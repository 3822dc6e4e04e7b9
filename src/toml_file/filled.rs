//! Reads tables whose variables were replaced: the settings of drivers. Every mistake is found, none hides another, and
//! each names first the key that it is about. Must not know what the settings mean.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use super::{DURATION, LONGER_THAN_ZERO, instead, shown, what_it_is};
use crate::{
    text::{excerpt, is_key_like},
    units::{parse_address, parse_timer},
};

/// Takes known keys out of a table, collects what is wrong, and refuses the other keys.
pub(crate) struct Reader<'a> {
    table: &'a toml::Table,
    place: String,
    known: Vec<&'static str>,
    /// Keys that are looked at, and not among those that messages offer.
    unlisted: Vec<&'static str>,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads this table. `place`: its own name, with which mistakes begin.
    pub(crate) fn new(table: &'a toml::Table, place: impl Into<String>, mistakes: &'a mut Vec<String>) -> Self {
        Self { table, place: place.into(), known: Vec::new(), unlisted: Vec::new(), mistakes }
    }

    /// The value of a key that may be left out. What `read` says is wrong follows the name of the key in the message.
    pub(crate) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.table.get(key)?;
        read(value).map_err(|why| self.mistakes.push(format!("`{}.{key}`{why}", self.place))).ok()
    }

    /// The value of a key by an earlier name, which nobody is told of.
    pub(crate) fn earlier<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.optional(key, read);
        self.unlisted.extend(self.known.pop());
        value
    }

    /// Refuses a key that has a meaning elsewhere, and says why it has none here.
    pub(crate) fn refuse(&mut self, key: &'static str, why: &str) {
        self.unlisted.push(key);
        if self.table.contains_key(key) {
            self.mistakes.push(format!("`{}.{key}`: {why}", self.place));
        }
    }

    /// The value of a key that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.mistakes.push(format!("`{}.{key}` is missing", self.place));
        }
        self.optional(key, read)
    }

    /// The table of a key that may be left out.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'_>) -> T) -> Option<T> {
        self.known.push(key);
        let place = format!("{}.{key}", self.place);
        match self.table.get(key)? {
            Value::Table(inner) => {
                let mut reader = Reader::new(inner, place, self.mistakes);
                let value = read(&mut reader);
                reader.refuse_the_rest();
                Some(value)
            }
            value => {
                self.mistakes.push(format!("`{place}`{}", other(value, "a table")));
                None
            }
        }
    }

    /// Refuses every key that was not asked for.
    pub(crate) fn refuse_the_rest(&mut self) {
        let looked_at = |key: &&String| self.known.contains(&key.as_str()) || self.unlisted.contains(&key.as_str());
        for key in self.table.keys().filter(|key| !looked_at(key)) {
            let (place, hint) = (&self.place, instead(key, &self.known));
            self.mistakes.push(match is_key_like(key) {
                true => format!("unknown key `{place}.{key}`; {hint}"),
                false => format!("in `{place}`, unknown key{}; {hint}", shown(key)),
            });
        }
    }
}

/// Says that a value is something else than was wanted.
pub(crate) fn other(value: &Value, wanted: &str) -> String {
    let is = what_it_is(value.type_str(), &value.to_string());
    format!(" is {is}; it must be {wanted}")
}

/// Says that a text is not as wanted, and repeats it.
pub(crate) fn unfit(text: &str, wanted: &str) -> String {
    format!(" is \"{}\"; it must be {wanted}", excerpt(text))
}

/// A text that is not empty.
pub(crate) fn text(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some("") => Err(" is empty".to_owned()),
        Some(text) => Ok(text.to_owned()),
        None => Err(other(value, "a text in quotes")),
    }
}

/// A text of which something is made. Says what is `wanted` where that fails.
pub(crate) fn made<T>(value: &Value, wanted: &str, make: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    let text = text(value)?;
    make(&text).ok_or_else(|| unfit(&text, wanted))
}

/// The name of a file or folder.
pub(crate) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| other(value, "true or false"))
}

/// A whole number within limits.
pub(crate) fn number(value: &Value, limits: RangeInclusive<usize>) -> Result<usize, String> {
    let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| limits.contains(number))
        .ok_or_else(|| other(value, &format!("a whole number from {} to {}", limits.start(), limits.end())))
}

/// A duration longer than zero.
pub(crate) fn duration(value: &Value) -> Result<Duration, String> {
    let text = value.as_str().ok_or_else(|| other(value, DURATION))?;
    let length = parse_timer(text).map_err(|why| format!(": {why}"))?;
    if length.is_zero() { Err(format!(" {LONGER_THAN_ZERO}")) } else { Ok(length) }
}

/// An IP address and a port.
pub(crate) fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = value.as_str().ok_or_else(|| other(value, "an address such as \"127.0.0.1:8080\""))?;
    parse_address(text).map_err(|why| format!(": {why}"))
}

/// A path of this host, meant from a folder.
pub(crate) fn absolute(from: &Path, path: &Path) -> PathBuf {
    let joined = from.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

/// A text that a program takes for one word, and for no option.
pub(crate) fn word(value: &Value) -> Result<String, String> {
    let plain = |text: &str| !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    made(value, "one word that does not begin with -", |text| plain(text).then(|| text.to_owned()))
}

/// A program and its arguments.
pub(crate) fn words(value: &Value) -> Result<Vec<String>, String> {
    let wanted = "a list of texts, the program and its arguments";
    let list = value.as_array().ok_or_else(|| other(value, wanted))?;
    let words: Option<Vec<_>> = list.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let words = words.filter(|words| words.first().is_some_and(|program| !program.is_empty()));
    words.ok_or_else(|| format!(" must be {wanted}"))
}
