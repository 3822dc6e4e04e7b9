//! Reading YAML that other people wrote: clouds.yaml, HOT templates, Heat's environment files. Every scalar keeps the text
//! that stands in the file: what `1e5`, `0644` or `yes` mean is said by whoever asks. It must not know what the files mean.
//!
//! Merge keys, anchors and the words for "nothing" and for yes and no are those of YAML 1.1, because the programs that
//! these files are written for (openstacksdk, Heat) read them by PyYAML.

mod build;
#[cfg(test)]
mod tests;

use std::{fmt, fs, io, path::Path};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Place,
    /// The reason, without anything of the text but names of keys and tags.
    pub(crate) why: String,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
}

impl Place {
    const START: Self = Self { line: 1, column: 1 };

    /// Makes a fault at this place.
    pub(crate) fn fault(self, why: impl Into<String>) -> Fault {
        Fault { at: self, why: why.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.why)
    }
}

/// A value, with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Place,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// `plain`: neither quoted nor tagged as a string, so that `~` is nothing and `<<` merges.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) at: Place,
    pub(crate) value: Node,
}

impl Node {
    /// Returns the text of a scalar as it stands in the file; none where there is nothing.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } if !self.is_absent() => Some(text),
            _ => None,
        }
    }

    /// Whether there is nothing: no value, `~` or `null`, not in quotes.
    pub(crate) fn is_absent(&self) -> bool {
        let nothing = ["", "~", "null", "Null", "NULL"];
        matches!(&self.kind, Kind::Scalar { text, plain: true } if nothing.contains(&text.as_str()))
    }

    /// Returns the entries; none where this is no map.
    pub(crate) fn map(&self) -> Option<&[Entry]> {
        if let Kind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    /// Returns the entries; of what is no map, none.
    pub(crate) fn entries(&self) -> &[Entry] {
        self.map().unwrap_or(&[])
    }

    /// Returns the items; none where this is no list.
    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Kind::List(items) = &self.kind { Some(items) } else { None }
    }

    /// Returns the value of a key that has one.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|entry| entry.key == key)?;
        (!found.value.is_absent()).then_some(&found.value)
    }
}

/// Says yes or no as YAML 1.1 and the programs around OpenStack do, in any case; none for any other word.
pub(crate) fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "y" | "t" => Some(true),
        "false" | "no" | "off" | "0" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// Reads the one document of a text.
///
/// # Errors
/// The first thing that is wrong, with its place: what is no YAML, a second document, a key that stands twice, a tag that
/// stands for something outside of the file, an alias that contains itself, and what becomes too large by its aliases.
pub(crate) fn read(text: &str) -> Result<Node, Fault> {
    build::build(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads a file.
///
/// # Errors
/// One sentence that begins with the file, and the place where there is one.
pub(crate) fn read_file(path: &Path) -> Result<Node, String> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|cause| format!("{shown} cannot be read: {cause}"))?;
    let text = String::from_utf8(bytes).map_err(|bad| {
        let (bytes, upto) = (bad.as_bytes(), bad.utf8_error().valid_up_to());
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            return format!("{shown}: it is written in UTF-16: save it as UTF-8");
        }
        let line = 1 + bytes[..upto].iter().filter(|byte| **byte == b'\n').count();
        format!("{shown}:{line}: not UTF-8: save it as UTF-8")
    })?;
    read(&text).map_err(|fault| format!("{shown}:{fault}"))
}

/// Whether a file is there; one that cannot be looked at is, so that the reading says why.
pub(crate) fn is_there(path: &Path) -> bool {
    !matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}
