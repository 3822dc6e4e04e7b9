//! The page that explains a definition and the reader that accepts it know the same keys.

use super::*;
use crate::{
    docs_tests::{assert_explained, examples, explained, keys_of},
    stacks::process::template::NAMES,
};

const PAGE: &str = include_str!("../../../../docs/process-stacks.md");

#[test]
fn every_key_is_explained_and_nothing_else_is() {
    let mut page = explained(PAGE);
    assert_explained(&mut page, "The file", &KEYS);
    assert_explained(&mut page, "secrets", &keys_of::<SecretDraft>("nonsense = 1"));
    assert_explained(&mut page, "limits", &keys_of::<Limits>("nonsense = 1"));
    assert_explained(&mut page, "stop", &keys_of::<Stop>("nonsense = 1"));
    assert_explained(&mut page, "restart", &keys_of::<Restart>("nonsense = 1"));
    let placeholders = NAMES.into_iter().chain(["parameters.NAME"]).map(|name| format!("{{{name}}}"));
    assert_explained(&mut page, "Placeholders", &placeholders.collect::<Vec<_>>());
    assert!(page.is_empty(), "nothing of the definition: {page:?}");
}

/// No key is only named, and then passed over.
#[test]
fn every_key_is_read() {
    for key in KEYS {
        let told = Definition::parse(&format!("{key} = true")).err().unwrap_or_default();
        let place = format!("1:{}: ", key.len() + 4);
        assert!(told.iter().any(|why| why.starts_with(&place)), "{key}: {told:?}");
    }
}

/// The example with everything says what holds without it, but for what has no default.
#[test]
fn the_examples_are_good_and_the_defaults_are_so() {
    let examples = examples(PAGE);
    let [smallest, whole] = examples[..] else { panic!("{} examples", examples.len()) };
    let smallest = Definition::parse(smallest).unwrap();
    let whole = Definition::parse(whole).unwrap();
    let terms =
        |d: &Definition| format!("{:?} {:?} {:?} {:?} {:?}", d.addresses, d.ports, d.stop, d.restart, d.command);
    assert_eq!(terms(&smallest), terms(&whole));
    assert_eq!((smallest.instances, smallest.limits.memory, smallest.limits.log), (1, None, None));
}
