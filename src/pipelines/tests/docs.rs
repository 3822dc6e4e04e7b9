//! The page that explains the pipeline file and the reader that accepts it know the same keys.

use std::collections::BTreeMap;

use super::{super::keys::SECTIONS, mistakes};
use crate::{checks::Check, web_front::builtin::settings::Settings};

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
    let front = Settings::read(&toml::from_str("nonsense = 1").unwrap()).unwrap_err().join("\n");
    let mut front = named(front.split_once("nonsense").unwrap().1, "known are ");
    front.push("driver".to_owned());
    expected.push(("front", front));
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

#[test]
fn every_key_of_a_heat_definition_is_explained() {
    let page = include_str!("../../../docs/openstack.md");
    let (_, section) = page.split_once("## The definition").expect("a section");
    let rows = section.split("\n## ").next().unwrap_or_default().lines();
    let mut told: Vec<&str> =
        rows.filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(key, _)| key)).collect();
    let mut keys = crate::stacks::heat::DEFINITION_KEYS.to_vec();
    told.sort_unstable();
    keys.sort_unstable();
    assert_eq!(told, keys);
}
