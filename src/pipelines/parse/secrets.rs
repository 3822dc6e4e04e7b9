//! Where secrets are kept, and which of them a stack is given. The values themselves are never read here.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, path::Path, sync::Arc};

use super::{
    super::{SecretSource, keys},
    is_name, meant,
};
use crate::{
    text::excerpt,
    toml_file::{Table, Value},
};

/// `[secrets]`: those that stacks may be given.
#[derive(Default)]
pub(super) struct NamedSecrets<'d> {
    /// `None`: its own mistake was told already.
    sources: BTreeMap<&'d str, Option<SecretSource>>,
    used: RefCell<BTreeSet<&'d str>>,
}

impl<'d> NamedSecrets<'d> {
    pub(super) fn read(table: &Table<'d, '_>, folder: &Path) -> Self {
        let one = |(name, value): (&'d str, Value<'d, '_>)| {
            if !is_name(name) {
                table.wrong_at(
                    name,
                    &format!("\"{}\" is not the name of a secret: letters, digits, `_`, `-`", excerpt(name)),
                );
            }
            (name, secret(&value, folder))
        };
        Self { sources: table.entries().map(one).collect(), used: RefCell::default() }
    }

    pub(super) fn names(&self) -> Vec<&'d str> {
        self.sources.keys().copied().collect()
    }

    /// `stack.secrets`: each must be there. In a table, what the definition calls it stands before its own name.
    pub(super) fn handed_over(&self, written: &Value<'_, '_>) -> BTreeMap<Arc<str>, Arc<str>> {
        let mut names = BTreeMap::new();
        let table = if written.is_table() { written.table() } else { None };
        let wanted: Vec<_> = match &table {
            Some(table) => table.entries().filter_map(|(called, item)| Some((called, item.text()?, item))).collect(),
            None => written.texts().unwrap_or_default().into_iter().map(|(name, item)| (name, name, item)).collect(),
        };
        for (called, name, item) in wanted {
            match self.sources.get_key_value(name) {
                Some((name, _)) => {
                    self.used.borrow_mut().insert(name);
                    names.insert(Arc::from(called), Arc::from(*name));
                }
                None => {
                    let hint = meant(name, self.sources.keys().copied(), "add it: NAME = { file = \"...\" }");
                    item.wrong(&format!("there is no secret `{}` in [secrets]; {hint}", excerpt(name)));
                }
            }
        }
        names
    }

    /// Tells of those that nothing uses.
    pub(super) fn unused(&self, table: &Table<'_, '_>) {
        let used = self.used.borrow();
        for name in self.sources.keys().filter(|name| !used.contains(*name)) {
            let why = "nothing uses it; name it in the `secrets` of a stack or a hook, or remove it";
            table.wrong_at(name, &format!("the secret `{name}`: {why}"));
        }
    }

    pub(super) fn into_sources(self) -> BTreeMap<Arc<str>, SecretSource> {
        self.sources.into_iter().filter_map(|(name, source)| Some((name.into(), source?))).collect()
    }
}

/// A place where a secret is kept: `{ file = "..." }` or `{ env = "..." }`, never the secret itself.
pub(crate) fn secret(value: &Value<'_, '_>, folder: &Path) -> Option<SecretSource> {
    const SHAPE: &str =
        "a secret is not written here, only where it is kept: `{ file = \"...\" }` or `{ env = \"...\" }`";
    if !value.is_table() {
        value.wrong(SHAPE);
        return None;
    }
    let table = value.table()?;
    table.only(keys::SECRET);
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => Some(SecretSource::File(folder.join(file.full_text()?))),
        (None, Some(name)) => variable_name(&name),
        _ => {
            value.wrong(SHAPE);
            None
        }
    }
}

fn variable_name(value: &Value<'_, '_>) -> Option<SecretSource> {
    let name = value.full_text()?;
    if name.contains(['=', '\0']) {
        value.wrong(&format!("\"{}\" cannot be the name of a variable of the environment", excerpt(name)));
        return None;
    }
    Some(SecretSource::Env(name.to_owned()))
}
