//! The page that explains the pipeline file and the reader that accepts it know the same keys.

use std::{collections::BTreeMap, path::Path};

use super::{super::keys::SECTIONS, mistakes};
use crate::{checks::Check, web_front};

const PAGE: &str = include_str!("../../../docs/pipeline-file.md");

/// The keys of every table, by the heading above it.
fn explained() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut heading = "";
    for line in PAGE.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title;
        } else if let Some((key, _)) = line.strip_prefix("| `").and_then(|row| row.split_once("` |")) {
            sections.entry(heading).or_default().push(key);
        }
    }
    sections
}

/// The words in `backquotes` of a message, behind these words.
fn named(message: &str, behind: &str) -> Vec<String> {
    let (_, list) = message.split_once(behind).unwrap_or_else(|| panic!("{message}"));
    let list = list.lines().next().unwrap_or_default();
    list.split(',').map(|word| word.trim().trim_start_matches("or ").trim_matches('`').to_owned()).collect()
}

#[test]
fn every_key_is_explained_and_nothing_else_is() {
    let mut explained = explained();
    let mut expected: Vec<(&str, Vec<String>)> =
        SECTIONS.iter().map(|(heading, keys)| (*heading, keys.iter().map(|key| (*key).to_owned()).collect())).collect();
    let wrong = |text: &str| toml::from_str::<Check>(text).unwrap_err().message().to_owned();
    expected.push(("checks", named(&wrong("nonsense = 1"), "expected one of ")));
    expected.push(("http", named(&wrong("http = { nonsense = 1 }"), "expected one of ")));
    for (heading, driver, text, more) in [
        ("front", "builtin", "nonsense = 1", "driver"),
        ("nginx front", "nginx", "nonsense = 1", "driver"),
        ("ssh", "nginx", "ssh = { nonsense = 1 }", ""),
        ("public", "nginx", "public = { nonsense = 1 }", ""),
        ("command front", "command", "nonsense = 1", "driver"),
    ] {
        let (_, open) = web_front::DRIVERS.iter().find(|(name, _)| *name == driver).unwrap();
        let wrong = open(&text.parse().unwrap(), Path::new("/"), Path::new("/")).err().unwrap().join("\n");
        let mut keys = named(wrong.split_once("nonsense").unwrap().1, "known are ");
        keys.extend(Some(more.to_owned()).filter(|more| !more.is_empty()));
        expected.push((heading, keys));
    }
    for (heading, mut keys) in expected {
        let mut told = explained.remove(heading).unwrap_or_default();
        keys.sort();
        told.sort_unstable();
        assert_eq!(told, keys, "under \"## {heading}\"");
    }
    assert!(explained.is_empty(), "no section of the file: {explained:?}");
}

#[test]
fn every_example_of_the_page_is_good() {
    let examples: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        assert_eq!(mistakes(example), [""; 0], "{example}");
    }
}
