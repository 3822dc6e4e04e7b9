//! `users.toml` in the state folder: people who sign in with a password. Must not hold a password, only its hash.

use std::{fmt::Write as _, sync::Arc};

use super::{
    Digest, Grant, Role,
    file::{read_created, read_only},
    kept::Row,
    name,
    password::PasswordHash,
    sessions::Holder,
};
use crate::{
    machine::Millis,
    text::format_time,
    toml_file::{Document, Mistake, Table, Value},
};

/// One person, without their password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name with which they sign in; the journal has it.
    pub name: Arc<str>,
    /// What is kept of the password.
    pub password: PasswordHash,
    /// What they may do, and where.
    pub grants: Arc<[Grant]>,
    /// When they were added.
    pub created: Millis,
}

impl User {
    /// Returns whose session it would be.
    pub fn holder(&self) -> Holder {
        Holder::User { name: self.name.clone(), stamp: self.stamp() }
    }

    /// Returns what is another one as soon as password or grants are: a session ends with it.
    pub fn stamp(&self) -> Digest {
        let Self { name, password, grants, created } = self;
        Digest::of(format!("{name}\n{password}\n{grants:?}\n{}", created.0).as_bytes())
    }
}

impl Row for User {
    const KIND: &'static str = "user";
    const FILE: &'static str = "users.toml";
    const LOCK: &'static str = "users.lock";
    const REMOVE: &'static str = "remove";
    const DAMAGED: &'static str = "local users cannot sign in, and their sessions are refused";

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Every letter that can come in is harmless between quotes: names, hashes, times.
    fn render(users: &[Self]) -> String {
        let mut text = "# Written by `pointsman user`. Holds hashes, never a password itself.\n".to_owned();
        for user in users {
            // Writing to a text does not fail.
            let _ = writeln!(text, "\n[[users]]\nname = \"{}\"\npassword = \"{}\"", user.name, user.password);
            let _ = writeln!(text, "created = \"{}\"", format_time(user.created));
            for grant in user.grants.iter() {
                let _ = writeln!(text, "[[users.grants]]\nrole = \"{}\"", grant.role);
                if let Some(only) = &grant.only {
                    let quoted: Vec<_> = only.iter().map(|scope| format!("\"{scope}\"")).collect();
                    let _ = writeln!(text, "only = [{}]", quoted.join(", "));
                }
            }
        }
        text
    }

    fn parse(file: &str, text: &str) -> Result<Vec<Self>, Vec<Mistake>> {
        let (document, root) = Document::parse(file, text);
        let table = document.root(&root);
        table.only(&["users"]);
        let mut users: Vec<User> = Vec::new();
        for item in table.get("users").and_then(|list| list.list()).unwrap_or_default() {
            let Some(user) = item.table().and_then(|table| read_user(&table)) else { continue };
            if users.iter().any(|other| other.name == user.name) {
                item.wrong(&format!("there are two users named `{}`", user.name));
            }
            users.push(user);
        }
        let mistakes = document.into_mistakes();
        if mistakes.is_empty() { Ok(users) } else { Err(mistakes) }
    }
}

fn read_user(table: &Table<'_, '_>) -> Option<User> {
    table.only(&["name", "password", "created", "grants"]);
    let name = table.require("name", "name = \"alice\"").and_then(|v| v.parsed(name));
    let password = table.require("password", "password = \"$argon2id$...\"").and_then(|v| v.parsed(str::parse));
    let created = read_created(table);
    let grants = table.require("grants", "grants = [{ role = \"deployer\" }]").and_then(|v| read_grants(&v));
    Some(User { name: name?, password: password?, grants: grants?, created: created? })
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
