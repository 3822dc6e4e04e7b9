//! The page that explains the pipeline file, the file of the sample application and the reader that accepts them know the
//! same keys.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::super::{
    Registry,
    keys::{self, SECTIONS},
    parse::parse,
};
use crate::{
    checks::Check,
    docs_tests::{assert_explained, examples, explained, keys_of},
    stacks, web_front,
};

const PAGE: &str = include_str!("../../../docs/pipeline-file.md");
const HOOKS: &str = include_str!("../../../docs/hooks.md");
const SAMPLE: &str = include_str!("../../../pipelines/demo.toml");

/// The keys of every table, by the heading under which the page explains them.
fn accepted() -> Vec<(&'static str, Vec<String>)> {
    let section =
        |(heading, keys): &(&'static str, &[&str])| (*heading, keys.iter().map(|k| (*k).to_owned()).collect());
    let mut sections: Vec<(&str, Vec<String>)> = SECTIONS.iter().map(section).collect();
    sections.push(("checks", keys_of::<Check>("nonsense = 1")));
    sections.push(("http", keys_of::<Check>("http = { nonsense = 1 }")));
    for (driver, (heading, table)) in web_front::DRIVERS.iter().flat_map(|d| d.tables.iter().map(move |t| (d, t))) {
        let mut known = keys_of_front(driver, table);
        if table.is_empty() {
            known.push("driver".to_owned());
        }
        sections.push((heading, known));
    }
    let own = stacks::DRIVERS.iter().flat_map(|driver| driver.settings);
    let stack = keys::STACK.iter().copied().chain(own.clone().map(|(key, _)| *key));
    sections.push(("stack", stack.map(str::to_owned).collect()));
    sections.extend(own.map(section));
    sections
}

/// The keys of a table of a front's settings, as its driver names them when it is given another one.
pub(super) fn keys_of_front(driver: &web_front::Driver, table: &str) -> Vec<String> {
    let text = if table.is_empty() { "nonsense = 1".to_owned() } else { format!("{table} = {{ nonsense = 1 }}") };
    let told = (driver.open)(&text.parse().unwrap(), Path::new("/"), Path::new("/")).err().unwrap().join("\n");
    let (_, known) = told.split_once("nonsense`; accepted here: ").unwrap();
    known.lines().next().unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_is_explained_and_nothing_else_is() {
    let mut page = explained(PAGE);
    for (heading, keys) in accepted() {
        assert_explained(&mut page, heading, &keys);
    }
    assert!(page.is_empty(), "no section of the file: {page:?}");
}

#[test]
fn every_example_of_the_page_is_good() {
    let examples = [examples(PAGE), examples(HOOKS)].concat();
    assert!(examples.len() >= 5);
    // The programs that they name stand beside the file.
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("pipelines/bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["migrate", "warm-up", "cron-role"] {
        fs::copy("/bin/sh", bin.join(program)).unwrap();
    }
    symlink(Path::new("stacks").canonicalize().unwrap(), folder.path().join("stacks")).unwrap();
    let file = folder.path().join("pipelines/shop.toml");
    for example in examples {
        let found = parse(&Registry::all(&folder.path().join("state")), &file, example).1;
        assert_eq!(found, [], "{example}");
    }
}

/// Returns whether a sample shows a key, in use or in a comment: as `key =`, or as the name of a table.
fn shows(sample: &str, key: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    sample.match_indices(key).any(|(at, _)| {
        let after = &sample[at + key.len()..];
        !sample[..at].ends_with(word) && [" =", "]"].iter().any(|end| after.starts_with(end))
    })
}

#[test]
fn the_sample_shows_every_key() {
    assert!(shows("[source]\n# git = 1", "git") && !shows("digit = 1 # git", "git"));
    for (heading, keys) in accepted() {
        for key in keys {
            assert!(
                shows(SAMPLE, &key),
                "`{key}`, explained under \"{heading}\", does not stand in pipelines/demo.toml"
            );
        }
    }
}

#[test]
fn every_fact_is_explained() {
    for (variable, _) in crate::hooks::Facts::default().variables() {
        assert!(HOOKS.contains(&format!("`{variable}`")), "{variable}");
    }
}

#[test]
fn every_key_of_a_heat_definition_is_explained() {
    let mut page = explained(include_str!("../../../docs/openstack.md"));
    assert_explained(&mut page, "The definition", crate::stacks::heat::DEFINITION_KEYS);
}
