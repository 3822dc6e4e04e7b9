//! What the documentation explains, for the tests that hold it against the code: a page and the reader of a file know
//! the same keys. Must not know what the keys mean.

use std::collections::BTreeMap;

/// A row of a page's tables that explains a key.
pub(crate) struct Row<'p> {
    /// The heading above it.
    pub(crate) heading: &'p str,
    /// The first column.
    pub(crate) key: &'p str,
    /// The third column: what kind of value the key has.
    pub(crate) kind: &'p str,
}

/// The rows of a page that explain a key.
pub(crate) fn rows(page: &str) -> impl Iterator<Item = Row<'_>> {
    let mut heading = "";
    page.lines().filter_map(move |line| {
        if line.starts_with("##") {
            heading = line.trim_start_matches('#').trim();
        }
        let (key, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        Some(Row { heading, key, kind: rest.split(" | ").nth(1).unwrap_or_default() })
    })
}

/// The keys that stand in the first column of a page's tables, by the heading above them.
pub(crate) fn explained(page: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows(page) {
        sections.entry(row.heading).or_default().push(row.key);
    }
    sections
}

/// Fails unless the page explains these keys under this heading, and no others. What it explains is taken out.
pub(crate) fn assert_explained<K: AsRef<str>>(page: &mut BTreeMap<&str, Vec<&str>>, heading: &str, keys: &[K]) {
    let mut told = page.remove(heading).unwrap_or_default();
    let mut keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
    keys.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, keys, "under the heading \"{heading}\"");
}

/// The keys that a reader made by serde says it knows, when it is given one that it does not.
pub(crate) fn keys_of<T: serde::de::DeserializeOwned>(text: &str) -> Vec<String> {
    let message = toml::from_str::<T>(text).err().unwrap_or_else(|| panic!("{text} was taken")).message().to_owned();
    let (_, list) = message.split_once(", expected ").unwrap_or_else(|| panic!("{message}"));
    let list = list.lines().next().unwrap_or_default();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The examples of a page: its blocks of TOML that are no whole file.
pub(crate) fn examples(page: &str) -> Vec<&str> {
    page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}
