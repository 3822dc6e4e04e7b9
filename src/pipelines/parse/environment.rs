//! One of `[[environments]]`, and the order among them.

use std::{sync::Arc, time::Duration};

use super::{
    super::{DeployOn, EnvironmentDefinition, FrontDefinition, keys, load::FrontFacts},
    Places, Reader, example, known_driver,
    programs::program,
    terms,
};
use crate::{
    checks::{Check, Checks, Via, wrong_keys},
    hooks::HookDefinition,
    machine::{EnvironmentId, Millis, Name, Plan, Strategy},
    toml_file::{Table, Value},
    web_front::Claim,
};

/// The first environment takes the builds, the others what was live before them; no name stands twice.
pub(super) fn order(list: &[Value<'_, '_>], environments: &[(Arc<EnvironmentDefinition>, Places)]) {
    if list.len() != environments.len() {
        return;
    }
    for (place, (value, (environment, _))) in list.iter().zip(environments).enumerate() {
        let Some(table) = value.table() else { continue };
        let deploy = |text: &str| table.get("deploy").inspect(|v| v.wrong(text)).is_none();
        match (place, environment.deploy) {
            (0, DeployOn::Promotion) => {
                deploy("the first environment has none before it to promote from; write `deploy = \"on-build\"`");
            }
            (1.., DeployOn::Build) => {
                deploy(
                    "only the first environment takes builds and numbers their releases; write `deploy = \"on-promotion\"`",
                );
            }
            _ => {}
        }
        if environments.iter().take(place).any(|(other, _)| other.id == environment.id) {
            let name = &environment.id.environment;
            table.get("name").inspect(|v| {
                v.wrong(&format!("there is an environment \"{name}\" already; each needs a name of its own"))
            });
        }
    }
}

/// Shows what a driver says of its settings: at the key that a message names first, where it does.
pub(super) fn at_their_keys(table: &Table<'_, '_>, prefix: &str, found: &[String]) {
    for text in found {
        let path = text.split('`').nth(1).unwrap_or_default();
        match deepest(table, path.strip_prefix(prefix).unwrap_or(path).split('.')) {
            Some(value) => value.wrong(text),
            None => table.wrong(text),
        }
    }
}

/// The value to which the keys lead, or the last that is there.
fn deepest<'d, 't, 'k>(table: &Table<'d, 't>, mut keys: impl Iterator<Item = &'k str>) -> Option<Value<'d, 't>> {
    let value = table.get(keys.next()?)?;
    let inner = if value.is_table() { value.table() } else { None };
    inner.and_then(|inner| deepest(&inner, keys)).or(Some(value))
}

impl Reader<'_, '_> {
    pub(super) fn environment(&mut self, table: &Table<'_, '_>) -> Option<(Arc<EnvironmentDefinition>, Places)> {
        table.only(keys::ENVIRONMENT);
        let name_value = table.require("name", "name = \"live\"");
        let name = name_value.as_ref().and_then(|v| v.parsed(str::parse::<Name>));
        let words = [("on-build", DeployOn::Build), ("on-promotion", DeployOn::Promotion)];
        let deploy = table.require("deploy", "deploy = \"on-build\"").and_then(|v| v.word(&words));
        let promotion = table.get("promotion").and_then(|v| terms::promotion(&v.table()?));
        if deploy == Some(DeployOn::Build) && table.get("promotion").is_some() {
            table
                .wrong_at("promotion", "nothing is promoted to an environment with `deploy = \"on-build\"`; remove it");
        }
        let wanted = self.registry.stack_drivers().first().map_or_else(String::new, |d| {
            format!("stack = {{ driver = \"{}\", definition = \"{}\" }}", d.name, d.definition)
        });
        let stack = table.require("stack", &wanted).and_then(|v| self.stack(&v.table()?));
        let wanted = self
            .registry
            .front_drivers()
            .first()
            .map_or_else(String::new, |d| format!("front = {{ driver = \"{}\", {} }}", d.name, d.example));
        let front_value = table.require("front", &wanted);
        let front = front_value.as_ref().and_then(|v| self.front(&v.table()?));
        if let (Some(stack), Some((front, _)), Some(value)) = (&stack, &front, &front_value)
            && let Some(why) = self.registry.misfit(&stack.driver, &front.driver)
        {
            value.table().and_then(|table| table.get("driver")).inspect(|driver| driver.wrong(&why));
        }
        let checks = table.get("checks").and_then(|v| v.list()).unwrap_or_default();
        let restarts_allowed = table.get("restarts_allowed").and_then(|v| v.integer(0..=1000)).unwrap_or(0);
        let via = table.get("checks_via").and_then(|v| v.word(&[("stack", Via::Stack), ("front", Via::Front)]));
        let cannot_lead = front.as_ref().and_then(|(_, facts)| facts.cannot_lead.as_deref());
        let list = checks.iter().filter_map(|v| self.check(v, via.unwrap_or_default(), cannot_lead)).collect();
        let checks = Checks { list, restarts_allowed };
        let hooks = table.get("hooks").map(|v| self.hooks(&v)).unwrap_or_default();
        let always_on = front.as_ref().is_some_and(|(_, facts)| !facts.can_be_off);
        let hook_terms = hooks.iter().map(HookDefinition::terms).collect();
        let plan = Plan { hooks: hook_terms, always_on, ..terms::plan(table) };
        if let Some((front, ..)) = front.as_ref().filter(|_| !plan.steps.is_empty()) {
            self.splits(table, &front.driver);
        }
        if let (Strategy::StopFirst, Some(stack), Some((front, _))) = (plan.strategy, &stack, &front) {
            self.stops(table, &stack.driver, &front.driver);
        }
        let watch = table.get("watch").and_then(|v| v.some_duration()).unwrap_or(Millis(10_000));
        let (pipeline, environment) = (self.pipeline.clone()?, name?);
        let (front, facts) = front?;
        let named = |claim: Claim| {
            let settings = front_value.as_ref()?.table()?;
            let place = settings.get(claim.key).or_else(|| settings.get("driver")).map(|v| v.place());
            place.map(|place| (claim, place))
        };
        let claims = facts.claims.into_iter().filter_map(named).collect();
        let definition = EnvironmentDefinition {
            id: EnvironmentId { pipeline, environment },
            deploy: deploy?,
            promotion,
            stack: stack?,
            front,
            checks,
            hooks,
            plan: Arc::new(plan),
            watch: Duration::from_millis(watch.0),
            on_trouble: table.get("on_trouble").and_then(|v| program(&v, &self.folder)),
        };
        Some((Arc::new(definition), Places { name: name_value?.place(), claims }))
    }

    /// The front, and what its driver says of itself.
    fn front(&self, table: &Table<'_, '_>) -> Option<(FrontDefinition, FrontFacts)> {
        let names: Vec<_> = self.registry.front_drivers().iter().map(|driver| driver.name).collect();
        let driver = table.require("driver", &example("driver", names.first()));
        let driver = driver.and_then(|v| known_driver(&v, &names, "front"));
        let settings = self.variables.fill(table, &["driver"], &self.secrets.names());
        let (driver, settings) = (driver?, settings?);
        let facts = self.registry.check_front(&driver, &settings, &self.folder).unwrap_or_else(|found| {
            at_their_keys(table, "front.", &found);
            FrontFacts::default()
        });
        Some((FrontDefinition { driver, settings, folder: self.folder.clone() }, facts))
    }

    /// Traffic moves in steps only at a front that can send a share of the users to a second stack.
    fn splits(&self, table: &Table<'_, '_>, front: &str) {
        let drivers = self.registry.front_drivers();
        if drivers.iter().any(|driver| driver.name == front && driver.splits) {
            return;
        }
        let able: Vec<_> = drivers.iter().filter(|driver| driver.splits).map(|driver| driver.name).collect();
        let (able, why) = (able.join(", "), "cannot send a share of the users to a second stack");
        table.wrong_at(
            "steps",
            &format!("the front driver \"{front}\" {why}; those that can are: {able}. Remove `steps`"),
        );
    }

    /// The live stack is stopped first only by a driver that can start it again, behind a front that has a page for that.
    fn stops(&self, table: &Table<'_, '_>, stack: &str, front: &str) {
        let (stacks, fronts) = (self.registry.stack_drivers(), self.registry.front_drivers());
        let listed = |names: Vec<&str>| names.join(", ");
        if !stacks.iter().any(|driver| driver.name == stack && driver.stops) {
            let able = listed(stacks.iter().filter(|driver| driver.stops).map(|driver| driver.name).collect());
            let why = "cannot stop a stack and start it again";
            table.wrong_at("strategy", &format!("the stack driver \"{stack}\" {why}; those that can are: {able}"));
        }
        if !fronts.iter().any(|driver| driver.name == front && driver.pages) {
            let able = listed(fronts.iter().filter(|driver| driver.pages).map(|driver| driver.name).collect());
            let why = "cannot show a maintenance page while nothing runs";
            table.wrong_at("strategy", &format!("the front driver \"{front}\" {why}; those that can are: {able}"));
        }
    }

    /// Reads a check. `via`: which way `http` asks unless it says so itself; `cannot_lead`: why the front leads to no stack.
    fn check(&self, value: &Value<'_, '_>, via: Via, cannot_lead: Option<&str>) -> Option<Check> {
        let written = value.table()?;
        let mut table = self.variables.fill(&written, &[], &self.secrets.names())?;
        let wrong = wrong_keys(&table);
        for (path, why) in &wrong {
            point_at(&written, path, why);
        }
        if !wrong.is_empty() {
            return None;
        }
        if via == Via::Front && table.contains_key("http") && !table.contains_key("via") {
            table.insert("via".to_owned(), "front".into());
        }
        let check = table.try_into::<Check>();
        let check = check.map(|check| check.within(&self.folder));
        let check = check.map_err(|error| value.wrong(&format!("this check: {}", error.message().trim()))).ok()?;
        if let Some(why) = cannot_lead.filter(|_| check.via == Via::Front) {
            let why = format!("`via = \"front\"` asks through the front, which cannot be done: {why}");
            match written.get("via") {
                Some(via) => via.wrong(&why),
                None => value.wrong(&why),
            }
        }
        Some(check)
    }
}

/// Points at the value that the path leads to, or at the last that is there.
fn point_at(table: &Table<'_, '_>, path: &[&str], why: &str) {
    let Some((first, rest)) = path.split_first() else { return };
    match (table.get(first), rest) {
        (Some(value), []) => value.wrong(&format!("`{first}`: {why}")),
        (Some(value), _) => match value.table() {
            Some(inner) => point_at(&inner, rest, why),
            None => value.wrong(why),
        },
        (None, _) => table.wrong(why),
    }
}
