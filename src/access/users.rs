//! `users.toml` in the state folder: people who sign in with a password. Must not hold a password, only its hash.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Grant, Role,
    file::{read_created, read_only, write_only},
    kept::{self, Row},
    name,
    password::PasswordHash,
};
use crate::{
    machine::Millis,
    text::format_time,
    toml_file::{Table, Value},
};

/// One person, without their password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name with which they sign in; the journal has it.
    pub name: Arc<str>,
    /// Hash of the password.
    pub password: PasswordHash,
    /// Grants of the user.
    pub grants: Arc<[Grant]>,
    /// When they were added.
    pub created: Millis,
}

impl User {
    /// Returns whether this is somebody who looks after the doors, and can sign in.
    pub fn is_admin(&self) -> bool {
        let everywhere = |grant: &Grant| grant.role == Role::Admin && grant.only.is_none();
        self.password.is_chosen() && self.grants.iter().any(everywhere)
    }
}

/// Checks that a change of the users leaves somebody who looks after the doors, where there was somebody.
///
/// # Errors
/// That `name`, whom the change is about, was the last one.
pub fn leaves_an_admin(before: &[User], after: &[User], name: &str) -> Result<(), kept::Error> {
    if before.iter().any(User::is_admin) && !after.iter().any(User::is_admin) {
        return Err(kept::Error::LastAdmin { name: name.into() });
    }
    Ok(())
}

impl Row for User {
    const KIND: &'static str = "user";
    const LIST: &'static str = "users";
    const FILE: &'static str = "users.toml";
    const LOCK: &'static str = "users.lock";
    const REMOVE: &'static str = "remove";
    const DAMAGED: &'static str = "local users cannot sign in, and their sessions are refused";
    const HOLDS: &'static str = "hashes, never a password itself";

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Every letter that can come in is harmless between quotes: names, hashes, times.
    fn write(&self, text: &mut String) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "[[users]]\nname = \"{}\"\npassword = \"{}\"", self.name, self.password);
        let _ = writeln!(text, "created = \"{}\"", format_time(self.created));
        for grant in self.grants.iter() {
            let _ = writeln!(text, "[[users.grants]]\nrole = \"{}\"", grant.role);
            write_only(text, grant.only.as_deref());
        }
    }

    fn read(table: &Table<'_, '_>) -> Option<Self> {
        table.only(&["name", "password", "created", "grants"]);
        let name = table.require("name", "name = \"alice\"").and_then(|v| v.parsed(name));
        let password = table.require("password", "password = \"$argon2id$...\"").and_then(|v| v.parsed(str::parse));
        let created = read_created(table);
        let grants = table.require("grants", "grants = [{ role = \"deployer\" }]").and_then(|v| read_grants(&v));
        Some(Self { name: name?, password: password?, grants: grants?, created: created? })
    }
}

/// Reads grants, as the settings have them too.
pub(crate) fn read_grants(value: &Value<'_, '_>) -> Option<Arc<[Grant]>> {
    let mut grants = Vec::new();
    for item in value.list()? {
        let Some(table) = item.table() else { continue };
        table.only(&["role", "only"]);
        let role = table.require("role", "role = \"deployer\"").and_then(|v| v.word(&Role::ALL));
        let only = table.get("only").map(|value| read_only(&value));
        // A place that cannot be read is a mistake, and with one nothing counts: never taken for "everywhere".
        grants.extend(role.map(|role| Grant { role, only: only.flatten() }));
    }
    if grants.is_empty() {
        value.wrong(
            "`grants` is empty, so this would be good for nothing; name a role, `grants = [{ role = \"viewer\" }]`",
        );
    }
    Some(grants.into())
}
