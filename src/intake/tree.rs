//! A body of unknown shape: JSON read strictly, and its fields by their paths, so that every mistake is named by the path
//! where it stands. Must not know any sender.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Error, build::BadField};
use crate::text::excerpt;

/// The greatest build number that is believed: greater ones are no exact numbers for everybody who reads them, and once
/// recorded would make every later build an older one.
pub(super) const GREATEST_NUMBER: u64 = 999_999_999_999_999;

/// Reads a body that must be one JSON object in which no key stands twice.
pub(super) fn read(body: &[u8]) -> Result<Value, Error> {
    if body.starts_with(b"\xef\xbb\xbf") {
        return Err(Error::Syntax("it begins with a byte order mark; send it without".to_owned()));
    }
    if body.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Error::Syntax("it is no JSON object".to_owned()));
    }
    // What serde says of the syntax holds nothing of the body but a place.
    serde_json::from_slice::<Strict>(body).map(|strict| strict.0).map_err(|e| Error::Syntax(e.to_string()))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
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
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{}` stands twice", excerpt(&key))));
            }
            let Strict(value) = entries.next_value()?;
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
    /// Those of this tree.
    pub(super) fn of(root: &'a Value) -> Self {
        Self { root, bad: Vec::new() }
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

    /// An object of texts.
    pub(super) fn texts(&mut self, path: &str) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut texts = BTreeMap::new();
        for (key, value) in self.object(path).into_iter().flatten() {
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

    /// Whether all that was asked for so far is as it must be.
    pub(super) fn done(&mut self) -> Result<(), Error> {
        if self.bad.is_empty() { Ok(()) } else { Err(Error::Fields(std::mem::take(&mut self.bad))) }
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
        assert!(read(br#"{"a":{"b":[1,-2,3.5,true,null,"x"]}}"#).is_ok());
        for (body, why) in [
            (&b""[..], "EOF"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"[]", "no JSON object"),
            (b"{\"a\":1,\"a\":2}", "`a` stands twice"),
            (b"{\"a\":{\"b\":1,\"b\":1}}", "`b` stands twice"),
            (b"{\"a\":\"\xff\"}", "invalid unicode"),
            (b"{\"a\":1} x", "trailing characters"),
            (b"{\"a\":1e999}", "out of range"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.to_string().contains(why) && error.status() == 400, "{error}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn every_mistake_is_named_by_its_path() {
        let tree = read(br#"{"a":{"n":-1,"t":7},"l":[],"p":{"x":1}}"#).unwrap();
        let mut fields = Fields::of(&tree);
        assert_eq!((fields.number("a.n"), fields.text("a.t"), fields.text("l.x")), (None, None, None));
        assert_eq!((fields.needed("a.z"), fields.text("a.z"), fields.text("a.z.y")), (None, None, None));
        assert!(fields.texts("p").is_empty());
        let told = fields.done().unwrap_err().to_string();
        for why in [
            "`a.n` is a number that is too large, negative",
            "`a.t` is a number; it must be a text",
            "`l` is a list; it must be an object",
            "`a.z` is missing",
            "`p.x` is a number; it must be a text",
        ] {
            assert!(told.contains(why), "{told}");
        }
        assert!(fields.done().is_ok());
    }
}
