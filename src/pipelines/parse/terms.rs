//! The terms of a deployment: promotion, deadlines, gates, retention.

use std::sync::Arc;

use super::super::keys;
use crate::{
    machine::{
        Gate, Millis, Otherwise, Plan, Recover, RecoverTo, Retain, Share, Step, Strategy, promotion::PromotionRule,
    },
    text::excerpt,
    toml_file::{Table, Value},
    units::parse_duration,
};

pub(super) fn plan(table: &Table<'_, '_>) -> Plan {
    let mut plan = Plan::default();
    let set = |table: &Table<'_, '_>, key: &str, place: &mut Millis| {
        if let Some(length) = table.get(key).and_then(|v| v.duration()) {
            *place = length;
        }
    };
    if let Some(value) = table.get("steps") {
        plan.steps = steps(&value);
    }
    if let Some(value) = table.get("strategy") {
        let words = [("side-by-side", Strategy::SideBySide), ("stop-first", Strategy::StopFirst)];
        plan.strategy = value.word(&words).unwrap_or_default();
    }
    set(table, "bake", &mut plan.bake);
    set(table, "drain", &mut plan.drain_within);
    if let Some(value) = table.get("retain") {
        plan.retain = retain(&value).unwrap_or(plan.retain);
    }
    if let Some(value) = table.get("recover") {
        plan.recover = recover(&value).unwrap_or(plan.recover);
        if plan.recover.to == RecoverTo::Standby && plan.retain == Retain::None {
            value.wrong("`recover` sends users to the standby, and `retain = \"none\"` keeps none; change one of them");
        }
    }
    if plan.strategy == Strategy::StopFirst {
        without_a_second_one(table, &plan);
    }
    if let Some(deadlines) = table.get("deadlines").and_then(|v| v.table()) {
        deadlines.only(keys::DEADLINES);
        let set = |key: &str, place: &mut Millis| {
            if let Some(length) = deadlines.get(key).and_then(|v| v.some_duration()) {
                *place = length;
            }
        };
        set("provision", &mut plan.provision_within);
        set("check", &mut plan.check_within);
        set("cutover", &mut plan.cut_over_within);
        set("retire", &mut plan.retire_within);
    }
    if let Some(approval) = table.get("approval").and_then(|v| v.table()) {
        approval.only(keys::APPROVAL);
        let gate = |key| approval.get(key).and_then(|v| gate(&v.table()?));
        (plan.before_provisioning, plan.before_cutover) = (gate("before_provisioning"), gate("before_cutover"));
    }
    plan
}

/// Refuses terms that take two stacks that run at the same time.
fn without_a_second_one(table: &Table<'_, '_>, plan: &Plan) {
    if !plan.steps.is_empty() {
        table.wrong_at(
            "steps",
            "`strategy = \"stop-first\"` lets one stack run at a time, and `steps` share the users between two; remove one of them",
        );
    }
    if plan.recover.to == RecoverTo::Standby {
        table.wrong_at(
            "recover",
            "`strategy = \"stop-first\"` keeps the standby stopped, so nothing sends users there by itself; remove one of them",
        );
    }
}

/// A rule by which a release goes on without a person.
pub(super) fn promotion(table: &Table<'_, '_>) -> Option<PromotionRule> {
    table.only(keys::PROMOTION);
    table.require("rule", "rule = \"automatic\"").and_then(|v| v.word(&[("automatic", ())]))?;
    let after = table.get("after").map_or(Some(Millis(0)), |v| v.duration())?;
    Some(PromotionRule { after })
}

/// The shares of users that a new stack gets before it gets all, each larger than the one before.
fn steps(value: &Value<'_, '_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(table) = item.table() else { continue };
        table.only(keys::STEP);
        let share = table.require("share", "share = 5").and_then(|v| v.integer(1..=99));
        let share = share.and_then(|percent| Share::try_from(i64::try_from(percent).ok()?).ok());
        let bake = table.require("bake", "bake = \"5m\"").and_then(|v| v.duration());
        let pause = table.get("pause").and_then(|v| gate(&v.table()?));
        let (Some(share), Some(bake)) = (share, bake) else { continue };
        match steps.last().filter(|before| before.share >= share) {
            Some(before) => table.wrong_at(
                "share",
                &format!(
                    "{share} is not more than the {} of the step before; each step gives the new stack more users",
                    before.share
                ),
            ),
            None => steps.push(Step { share, bake, pause }),
        }
    }
    steps
}

/// A word, or a table with the word and a duration.
fn recover(value: &Value<'_, '_>) -> Option<Recover> {
    let words = [("restart", RecoverTo::Restart), ("standby", RecoverTo::Standby)];
    let usual = Recover::default();
    if !value.is_table() {
        return value.word(&words).map(|to| Recover { to, ..usual });
    }
    let table = value.table()?;
    table.only(keys::RECOVER);
    let to = table.require("to", "to = \"standby\"").and_then(|v| v.word(&words));
    let after = table.get("after").map_or(Some(usual.after), |v| v.some_duration());
    Some(Recover { to: to?, after: after? })
}

fn retain(value: &Value<'_, '_>) -> Option<Retain> {
    match value.text()? {
        "none" => Some(Retain::None),
        "until-next" => Some(Retain::UntilNext),
        text => match parse_duration(text) {
            Ok(length) if length.0 > 0 => Some(Retain::For(length)),
            Ok(_) => {
                value
                    .wrong("`retain` must be longer than zero; write \"none\" if the previous stack shall not be kept");
                None
            }
            Err(why) => {
                value.wrong(&format!("`retain`: {why}, \"none\" or \"until-next\""));
                None
            }
        },
    }
}

fn gate(table: &Table<'_, '_>) -> Option<Gate> {
    table.only(keys::GATE);
    let timeout = table.require("timeout", "timeout = \"6h\"").and_then(|v| v.some_duration());
    let words = [("approve", Otherwise::Approve), ("abort", Otherwise::Abort)];
    let otherwise = table.require("otherwise", "otherwise = \"abort\"").and_then(|v| v.word(&words));
    let by = table.get("by").and_then(|v| v.some_texts()).unwrap_or_default();
    for (name, item) in &by {
        if name.chars().any(char::is_control) || name.trim() != *name {
            item.wrong(&format!(
                "\"{}\" is not a name: it has control characters or spaces at its ends",
                excerpt(name)
            ));
        }
    }
    let by: Vec<Arc<str>> = by.into_iter().map(|(name, _)| name.into()).collect();
    let not_the_asker = table.get("not_the_asker").and_then(|v| v.boolean()).unwrap_or(false);
    let (timeout, otherwise) = (timeout?, otherwise?);
    if otherwise == Otherwise::Approve && (not_the_asker || !by.is_empty()) {
        let key = if by.is_empty() { "not_the_asker" } else { "by" };
        table.wrong_at(
            key,
            &format!("`{key}` means nothing where `otherwise` approves by itself; write `otherwise = \"abort\"`"),
        );
    }
    Some(Gate { timeout, otherwise, by, not_the_asker })
}
