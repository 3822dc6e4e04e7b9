//! Finds the keys of a check that are wrong by themselves, so that all are reported at once. Must not decide whether a
//! check is right as a whole.

use toml::{Table, Value};

use super::{Draft, HttpCheck};

/// A key of a check, `http.path` as two, and what is wrong with its value.
pub type WrongKey<'t> = (Vec<&'t str>, String);

/// Tries every key alone in a check that is right but for it.
pub fn wrong_keys(check: &Table) -> Vec<WrongKey<'_>> {
    let mut wrong = Vec::new();
    for (key, value) in check {
        match (key.as_str(), value) {
            ("http", Value::Table(http)) => {
                let right = Table::from_iter([("path".to_owned(), "/".into())]);
                let keys = http.iter().filter_map(|(key, value)| Some((key, alone::<HttpCheck>(&right, key, value)?)));
                wrong.extend(keys.map(|(key, why)| (vec!["http", key], why)));
            }
            _ => wrong.extend(alone::<Draft>(&Table::new(), key, value).map(|why| (vec![key.as_str()], why))),
        }
    }
    wrong
}

fn alone<T: serde::de::DeserializeOwned>(right: &Table, key: &str, value: &Value) -> Option<String> {
    let mut table = right.clone();
    table.insert(key.to_owned(), value.clone());
    table.try_into::<T>().err().map(|error| error.message().trim().to_owned())
}
