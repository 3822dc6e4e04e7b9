//! What is done when what is live stays down, and fronts that cannot be pointed at nobody.

use super::*;
use crate::machine::{Millis, Plan, Recover, RecoverTo};

fn plan(front: &str, terms: &str) -> Result<Plan, Vec<String>> {
    let state = tempfile::tempdir().unwrap();
    let builtin = "{ driver = \"builtin\", listen = \"127.0.0.1:8080\" }";
    let text = GOOD.replace(builtin, front) + terms;
    let (parsed, mistakes) = parse(&Registry::all(state.path()), Path::new("pipelines/shop.toml"), &text);
    if !mistakes.is_empty() {
        return Err(mistakes.iter().map(ToString::to_string).collect());
    }
    Ok((*parsed.expect("no mistakes").pipeline.environments[0].plan).clone())
}

const BUILTIN: &str = "{ driver = \"builtin\", listen = \"127.0.0.1:8080\" }";

#[test]
fn recover_is_a_word_or_a_table_with_a_time() {
    let seconds = |to, seconds: u64| Recover { to, after: Millis(seconds * 1000) };
    for (text, wanted) in [
        ("", seconds(RecoverTo::Restart, 30)),
        ("recover = \"restart\"", seconds(RecoverTo::Restart, 30)),
        ("recover = \"standby\"", seconds(RecoverTo::Standby, 30)),
        ("recover = { to = \"standby\", after = \"2m\" }", seconds(RecoverTo::Standby, 120)),
        ("recover = { to = \"restart\" }", seconds(RecoverTo::Restart, 30)),
    ] {
        assert_eq!(plan(BUILTIN, text).map(|plan| plan.recover), Ok(wanted), "{text}");
    }
}

#[test]
fn what_recover_can_not_mean_is_pointed_at() {
    for (text, words) in [
        ("recover = \"standbye\"", "standby"),
        ("recover = 30", "recover"),
        ("recover = {}", "`to` is missing"),
        ("recover = { after = \"5s\" }", "`to` is missing"),
        ("recover = { to = \"standby\", after = \"0s\" }", "after"),
        ("recover = { to = \"standby\", after = 5 }", "after"),
        ("recover = { to = \"standby\", within = \"5s\" }", "unknown key `within`"),
        ("recover = \"standby\"\nretain = \"none\"", "`retain = \"none\"` keeps none"),
    ] {
        let mistakes = plan(BUILTIN, text).expect_err(text);
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{text}: {mistakes:?}");
    }
}

#[test]
fn only_a_front_that_can_not_be_pointed_at_nobody_is_always_on() {
    for (front, always_on) in [
        (BUILTIN, false),
        ("{ driver = \"command\", cut_over = [\"true\", \"{ip}\"] }", true),
        ("{ driver = \"command\", cut_over = [\"true\", \"{ip}\"], off = [\"true\"] }", false),
    ] {
        assert_eq!(plan(front, "").map(|plan| plan.always_on), Ok(always_on), "{front}");
    }
}
