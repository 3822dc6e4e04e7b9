//! `[variables]`: texts that are written once, or come from the environment of whoever reads the file, and stand for
//! `${name}` elsewhere in it. `$${` stands for `${` itself. Must never hold a secret: those are not texts.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    env,
};

use super::{super::keys, is_name, meant};
use crate::{
    text::excerpt,
    toml_file::{Table, Value},
};

/// Values that `${name}` stands for.
#[derive(Default)]
pub(super) struct Variables<'d> {
    /// `None`: its own mistake was told already.
    values: BTreeMap<&'d str, Option<String>>,
    used: RefCell<BTreeSet<&'d str>>,
}

impl<'d> Variables<'d> {
    pub(super) fn read(table: &Table<'d, '_>) -> Self {
        let one = |(name, value): (&'d str, Value<'d, '_>)| {
            if !is_name(name) {
                table.wrong_at(
                    name,
                    &format!("\"{}\" is not the name of a variable: letters, digits, `_`, `-`", excerpt(name)),
                );
            }
            (name, variable(name, &value))
        };
        Self { values: table.entries().map(one).collect(), used: RefCell::default() }
    }

    /// A text with its variables replaced. Nothing when one is not known; that is told at `value`.
    pub(super) fn expand(&self, value: &Value<'_, '_>, text: &str, secrets: &[&str]) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut good) = (text, true);
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((name, left)) = after.split_once('}') else {
                value.wrong("`${` has no `}`; write `$${` for the characters themselves");
                return None;
            };
            match self.values.get_key_value(name) {
                Some((name, found)) => {
                    self.used.borrow_mut().insert(name);
                    good &= found.is_some();
                    out.push_str(found.as_deref().unwrap_or_default());
                }
                None => {
                    value.wrong(&self.unknown(name, secrets));
                    good = false;
                }
            }
            rest = left;
        }
        out.push_str(rest);
        good.then_some(out)
    }

    /// A table with the variables in all its texts replaced.
    pub(super) fn fill(&self, table: &Table<'_, '_>, but: &[&str], secrets: &[&str]) -> Option<toml::Table> {
        let good = Cell::new(true);
        let filled = table.plain(but, &|value, text| {
            self.expand(value, text, secrets).unwrap_or_else(|| {
                good.set(false);
                String::new()
            })
        });
        good.get().then_some(filled)
    }

    /// Tells of those that nothing uses.
    pub(super) fn unused(&self, table: &Table<'_, '_>) {
        let used = self.used.borrow();
        for name in self.values.keys().filter(|name| !used.contains(*name)) {
            let why = "nothing uses it; write `${NAME}` in stack.parameters, the front, the checks or the hooks, or remove it";
            table.wrong_at(name, &format!("the variable `{name}`: {}", why.replace("NAME", name)));
        }
    }

    fn unknown(&self, name: &str, secrets: &[&str]) -> String {
        let shown = excerpt(name);
        if secrets.contains(&name) {
            return format!(
                "`{shown}` is a secret, and its value is written nowhere; name it in the `secrets` of the stack or the hook"
            );
        }
        let hint = meant(name, self.values.keys().copied(), "`$${` stands for the characters themselves");
        format!("there is no variable `{shown}` in [variables]; {hint}")
    }
}

fn variable(name: &str, value: &Value<'_, '_>) -> Option<String> {
    if !value.is_table() {
        let text = value.text()?;
        if text.contains("${") {
            value.wrong(&format!("`{name}`: variables do not stand in variables; write the text itself"));
            return None;
        }
        return Some(text.to_owned());
    }
    let table = value.table()?;
    table.only(keys::VARIABLE);
    let from = table.require("env", "{ env = \"ZONE\" }")?;
    let wanted = from.full_text()?;
    let found = if wanted.contains(['=', '\0']) { None } else { env::var(wanted).ok() };
    if found.is_none() {
        let wanted = excerpt(wanted);
        from.wrong(&format!(
            "the environment variable {wanted} is not set, or is not text; `serve` needs it when it starts; to check without it, set it for once: {wanted}=... pointsman check"
        ));
    }
    found
}
