//! How drivers read their settings: every mistake is found, none hides another, and each begins with the key that it is
//! about. Must not know what the settings mean.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

/// Takes known keys out of a table, collects what is wrong, and refuses what nobody asked for.
pub(super) struct Reader<'a> {
    table: &'a toml::Table,
    place: String,
    known: Vec<&'static str>,
    mistakes: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a toml::Table, place: impl Into<String>, mistakes: &'a mut Vec<String>) -> Self {
        Self { table, place: place.into(), known: Vec::new(), mistakes }
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.table.get(key)?;
        read(value).map_err(|why| self.mistakes.push(format!("{}.{key}: {why}", self.place))).ok()
    }

    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.mistakes.push(format!("{}.{key} is missing", self.place));
        }
        self.optional(key, read)
    }

    pub(super) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'_>) -> T) -> Option<T> {
        self.known.push(key);
        let place = format!("{}.{key}", self.place);
        match self.table.get(key)? {
            Value::Table(inner) => {
                let mut reader = Reader::new(inner, place, self.mistakes);
                let value = read(&mut reader);
                reader.refuse_the_rest();
                Some(value)
            }
            other => {
                self.mistakes.push(format!("{place}: a table is wanted, not {}", shown(other)));
                None
            }
        }
    }

    pub(super) fn refuse_the_rest(&mut self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.as_str())) {
            self.mistakes.push(format!("{}.{key} is unknown; known are {}", self.place, self.known.join(", ")));
        }
    }
}

pub(super) fn shown(value: &Value) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    format!("{text} ({})", value.type_str())
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("a text is wanted, not {}", shown(value))),
    }
}

pub(super) fn path(value: &Value) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("true or false is wanted, not {}", shown(value)))
}

pub(super) fn number(value: &Value, least: i64, most: i64) -> Result<usize, String> {
    let wanted = || format!("a number from {least} to {most} is wanted, not {}", shown(value));
    let number = value.as_integer().filter(|n| (least..=most).contains(n)).ok_or_else(wanted)?;
    usize::try_from(number).map_err(|_| wanted())
}

pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    let wanted = || format!("a length of time such as \"500ms\", \"10s\", \"2m\" is wanted, not {}", shown(value));
    let text = value.as_str().ok_or_else(wanted)?;
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
    let count: u64 = text[..split].parse().map_err(|_| wanted())?;
    let milliseconds = match &text[split..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wanted()),
    };
    match count.checked_mul(milliseconds).filter(|&ms| (1..=86_400_000).contains(&ms)) {
        Some(ms) => Ok(Duration::from_millis(ms)),
        None => Err(format!("{} is not between 1ms and 24h", shown(value))),
    }
}

/// A path of this host, meant from a folder.
pub(super) fn absolute(from: &Path, path: &Path) -> PathBuf {
    let joined = from.join(path);
    std::path::absolute(&joined).unwrap_or(joined)
}

/// A text that a program takes for one word, and for no option.
pub(super) fn word(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let plain = !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if plain { Ok(text) } else { Err(format!("one word that does not begin with - is wanted, not {}", shown(value))) }
}

/// A program and its arguments.
pub(super) fn words(value: &Value) -> Result<Vec<String>, String> {
    let wanted = || format!("a program and its arguments in a list of texts are wanted, not {}", shown(value));
    let list = value.as_array().ok_or_else(wanted)?;
    let list: Option<Vec<_>> = list.iter().map(|v| v.as_str().map(str::to_owned)).collect();
    list.filter(|list| list.first().is_some_and(|program| !program.is_empty())).ok_or_else(wanted)
}
