//! A body of unknown shape: JSON of which only the wanted fields are kept, and these by their paths, so that every mistake
//! is named by the path where it stands. Must not know any sender.

use std::{cell::Cell, collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Error, build::BadField};
use crate::text::excerpt;

/// The greatest build number that is believed: greater ones are no exact numbers for everybody who reads them, and once
/// recorded would make every later build an older one.
pub(super) const GREATEST_NUMBER: u64 = 999_999_999_999_999;
/// The most values that are kept of one body. A build has a few dozen; this bounds the memory that a large body costs.
const MOST_KEPT: usize = 10_000;

/// The path that wants everything.
#[cfg(test)]
pub(super) const ALL: &[&str] = &[""];

/// Reads a body that must be one JSON object. Keeps what stands at the wanted paths (names joined by dots) and below them,
/// and skips the rest without keeping it. A wanted key that stands twice is refused.
pub(super) fn read(body: &[u8], wanted: &[&str]) -> Result<Value, Error> {
    read_part(body, wanted, false)
}

/// Reads as [`read`] does, and keeps the names of all other fields of the object itself, with null for their values.
pub(super) fn read_with_names(body: &[u8], wanted: &[&str]) -> Result<Value, Error> {
    read_part(body, wanted, true)
}

fn read_part(body: &[u8], wanted: &[&str], names: bool) -> Result<Value, Error> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::Syntax("it begins with a byte order mark; send it without".to_owned()));
    }
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Error::Syntax("it is not a JSON object".to_owned()));
    }
    let (mut json, left) = (serde_json::Deserializer::from_slice(body), Cell::new(MOST_KEPT));
    let part = Part { wanted: wanted.to_vec(), names, left: &left };
    // What serde says of the syntax holds nothing of the body but a place.
    let read = part.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    read.map_err(|e| Error::Syntax(e.to_string()))
}

/// One value of the body: the paths that are wanted of it, and how many values may still be kept.
struct Part<'a> {
    wanted: Vec<&'a str>,
    names: bool,
    left: &'a Cell<usize>,
}

impl<'a> Part<'a> {
    /// Whether all of it is wanted.
    fn whole(&self) -> bool {
        self.wanted.contains(&"")
    }

    fn below(&self, key: &str) -> Vec<&'a str> {
        if self.whole() {
            return vec![""];
        }
        let one = |path: &&'a str| {
            let rest = path.strip_prefix(key)?;
            if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
        };
        self.wanted.iter().filter_map(one).collect()
    }

    fn part(&self, wanted: Vec<&'a str>) -> Self {
        Self { wanted, names: false, left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        let too_many =
            || D::Error::custom(format_args!("it has more than {MOST_KEPT} values where a build is told of"));
        self.left.set(left.ok_or_else(too_many)?);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        if !self.whole() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(list.into());
        }
        while let Some(item) = items.next_element_seed(self.part(vec![""]))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let wanted = self.below(&key);
            if wanted.is_empty() {
                entries.next_value::<IgnoredAny>()?;
                if self.names && self.left.get() > 0 {
                    self.left.set(self.left.get() - 1);
                    map.entry(key).or_insert(Value::Null);
                }
                continue;
            }
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` stands twice", excerpt(&key))));
            }
            let value = entries.next_value_seed(self.part(wanted))?;
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

/// The fields of a tree, and what is wrong with those that were asked for. `null` is as if it were not there.
pub(super) struct Fields<'a> {
    root: &'a Value,
    bad: Vec<BadField>,
}

impl<'a> Fields<'a> {
    /// Returns the facts of this tree.
    pub(super) fn of(root: &'a Value) -> Self {
        Self { root, bad: Vec::new() }
    }

    /// Returns a text by which it is decided whether the delivery counts at all: one that is missing or no text is no
    /// mistake of the sender's, for then the delivery is none of ours.
    pub(super) fn deciding(&self, path: &str) -> Option<&'a str> {
        path.split('.').try_fold(self.root, |at, name| at.get(name))?.as_str()
    }

    /// A text that must be there.
    pub(super) fn needed(&mut self, path: &str) -> Option<&'a str> {
        let (known, text) = (self.bad.len(), self.text(path));
        if text.is_none() && self.bad.len() == known {
            self.missing(path);
        }
        text
    }

    /// A text.
    pub(super) fn text(&mut self, path: &str) -> Option<&'a str> {
        self.find(path, "a text", Value::as_str)
    }

    /// A number that must be there.
    pub(super) fn needed_number(&mut self, path: &str) -> Option<u64> {
        let (known, number) = (self.bad.len(), self.number(path));
        if number.is_none() && self.bad.len() == known {
            self.missing(path);
        }
        number
    }

    /// A whole number from 0 up.
    pub(super) fn number(&mut self, path: &str) -> Option<u64> {
        self.find(path, "a whole number from 0 to 999999999999999", |v| v.as_u64().filter(|n| *n <= GREATEST_NUMBER))
    }

    /// A yes or no.
    pub(super) fn flag(&mut self, path: &str) -> Option<bool> {
        self.find(path, "true or false", Value::as_bool)
    }

    /// An object.
    pub(super) fn object(&mut self, path: &str) -> Option<&'a Map<String, Value>> {
        self.find(path, "an object", Value::as_object)
    }

    /// A list.
    pub(super) fn list(&mut self, path: &str) -> Option<&'a Vec<Value>> {
        self.find(path, "a list", Value::as_array)
    }

    /// An object of texts, of which those with a wanted name are read.
    pub(super) fn texts(&mut self, path: &str, wanted: impl Fn(&str) -> bool) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.object(path).into_iter().flatten().filter(|(key, _)| wanted(key)) {
            match value.as_str() {
                Some(text) => drop(texts.insert(key.as_str().into(), text.into())),
                None => self.bad(&format!("{path}.{}", excerpt(key)), format!("is {}; it must be a text", kind(value))),
            }
        }
        texts
    }

    /// Records that something is wrong with a field.
    pub(super) fn bad(&mut self, path: &str, why: impl Into<String>) {
        self.bad.push(BadField { field: path.to_owned(), why: why.into() });
    }

    fn missing(&mut self, path: &str) {
        self.bad(path, "is missing");
    }

    /// Returns what is wrong with what was asked for so far.
    pub(super) fn into_bad(self) -> Vec<BadField> {
        self.bad
    }

    fn find<T>(&mut self, path: &str, wanted: &str, take: impl Fn(&'a Value) -> Option<T>) -> Option<T> {
        let (mut at, mut end) = (self.root, 0);
        for name in path.split('.') {
            let Some(map) = at.as_object() else {
                if !at.is_null() {
                    self.bad(&path[..end], format!("is {}; it must be an object", kind(at)));
                }
                return None;
            };
            at = map.get(name)?;
            end += name.len() + usize::from(end > 0);
        }
        let taken = take(at);
        if taken.is_none() && !at.is_null() {
            self.bad(path, format!("is {}; it must be {wanted}", kind(at)));
        }
        taken
    }
}

/// What a value is, without what it says: that may be a secret in the wrong place.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(n) if n.as_u64().is_some_and(|n| n <= GREATEST_NUMBER) => "a number",
        Value::Number(_) => "a number that is too large, negative or no whole one",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_object_without_doubles() {
        assert!(read(br#"{"a":{"b":[1,-2,3.5,true,null,"x"]}}"#, ALL).is_ok());
        for (body, why) in [
            (&b""[..], "EOF"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"[]", "not a JSON object"),
            (b"{\"a\":1,\"a\":2}", "`a` stands twice"),
            (b"{\"a\":{\"b\":1,\"b\":1}}", "`b` stands twice"),
            (b"{\"a\":\"\xff\"}", "invalid unicode"),
            (b"{\"a\":1} x", "trailing characters"),
            (b"{\"a\":1e999}", "out of range"),
        ] {
            let error = read(body, ALL).unwrap_err();
            assert!(error.to_string().contains(why) && error.status() == 400, "{error}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes(), ALL).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn every_mistake_is_named_by_its_path() {
        let tree = read(br#"{"a":{"n":-1,"t":7},"l":[],"p":{"x":1}}"#, ALL).unwrap();
        let mut fields = Fields::of(&tree);
        assert_eq!((fields.number("a.n"), fields.text("a.t"), fields.text("l.x")), (None, None, None));
        assert_eq!((fields.needed("a.z"), fields.text("a.z"), fields.text("a.z.y")), (None, None, None));
        assert!(fields.texts("p", |_| true).is_empty());
        let told = Error::Fields(fields.into_bad()).to_string();
        for why in [
            "`a.n` is a number that is too large, negative",
            "`a.t` is a number; it must be a text",
            "`l` is a list; it must be an object",
            "`a.z` is missing",
            "`p.x` is a number; it must be a text",
        ] {
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_skipped_and_not_kept() {
        let body =
            br#"{"kind":"build","kind2":7,"jobs":[{"id":1},{"id":2}],"run":{"id":3,"log":[[[]]],"by":{"name":"a"}},
            "list":[1,2],"kind2":8}"#;
        let tree = read(body, &["kind", "run.id", "run.by", "list.x", "none"]).unwrap();
        assert_eq!(tree, serde_json::json!({ "kind": "build", "run": { "id": 3, "by": { "name": "a" } }, "list": [] }));
        let names = read_with_names(body, &["kind", "run.id"]).unwrap();
        assert_eq!(
            names,
            serde_json::json!({ "kind": "build", "kind2": null, "jobs": null, "run": { "id": 3 }, "list": null })
        );
        let twice = read(br#"{"run":{"id":3,"id":4}}"#, &["run.id"]).unwrap_err();
        assert!(twice.to_string().contains("`id` stands twice"), "{twice}");
    }

    #[test]
    fn a_body_of_a_million_values_keeps_a_bounded_number_of_them() {
        let many = format!("[{}0]", "0,".repeat(1_000_000));
        let skipped = format!(r#"{{"builds":{many},"status":"success"}}"#);
        let tree = read(skipped.as_bytes(), &["status"]).unwrap();
        assert_eq!(tree, serde_json::json!({ "status": "success" }));
        let wanted = format!(r#"{{"status":{many}}}"#);
        assert!(read(wanted.as_bytes(), &["status"]).unwrap_err().to_string().contains("more than 10000 values"));
        let names: String = (0..50_000).map(|n| format!(r#""k{n}":1,"#)).collect();
        let tree = read_with_names(format!(r#"{{{names}"status":1}}"#).as_bytes(), &[]).unwrap();
        assert!(tree.as_object().unwrap().len() <= MOST_KEPT);
    }
}
