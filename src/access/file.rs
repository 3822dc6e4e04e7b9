//! `tokens.toml` in the state folder. Must not hold the text of a token.

use std::{fmt::Write as _, sync::Arc};

use super::{Digest, Grant, Role, Scope, kept::Row, name};
use crate::{
    machine::Millis,
    text::{format_time, parse_time},
    toml_file::{Document, Mistake, Table, Value},
};

/// One token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who has it; the journal says this name.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
    /// By which it is recognised.
    pub digest: Digest,
    /// When it was made.
    pub created: Millis,
    /// Until when it is good; `None`: until it is revoked.
    pub expires: Option<Millis>,
    /// Where it is good; `None`: everywhere.
    pub only: Option<Arc<[Scope]>>,
}

impl Token {
    /// Returns what it allows, and where.
    pub fn grant(&self) -> Grant {
        Grant { role: self.role, only: self.only.clone() }
    }

    /// Returns whether it has not expired at this time.
    pub fn is_good(&self, now: Millis) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

impl Row for Token {
    const KIND: &'static str = "token";
    const FILE: &'static str = "tokens.toml";
    const LOCK: &'static str = "tokens.lock";
    const REMOVE: &'static str = "revoke";
    const DAMAGED: &'static str = "only the local token is accepted";

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn render(tokens: &[Self]) -> String {
        let mut text = "# Written by `pointsman token`. Holds digests, never a token itself.\n".to_owned();
        for token in tokens {
            // Writing to a text does not fail.
            let _ = writeln!(text, "\n[[tokens]]\nname = \"{}\"\nrole = \"{}\"", token.name, token.role);
            let _ = writeln!(text, "sha256 = \"{}\"", hex::encode(token.digest.0));
            let _ = writeln!(text, "created = \"{}\"", format_time(token.created));
            if let Some(expires) = token.expires {
                let _ = writeln!(text, "expires = \"{}\"", format_time(expires));
            }
            if let Some(only) = &token.only {
                let quoted: Vec<_> = only.iter().map(|scope| format!("\"{scope}\"")).collect();
                let _ = writeln!(text, "only = [{}]", quoted.join(", "));
            }
        }
        text
    }

    fn parse(file: &str, text: &str) -> Result<Vec<Self>, Vec<Mistake>> {
        let (document, root) = Document::parse(file, text);
        let table = document.root(&root);
        table.only(&["tokens"]);
        let mut tokens: Vec<Token> = Vec::new();
        for item in table.get("tokens").and_then(|list| list.list()).unwrap_or_default() {
            let Some(token) = item.table().and_then(|table| read_token(&table)) else { continue };
            if tokens.iter().any(|other| other.name == token.name) {
                item.wrong(&format!("there are two tokens named `{}`", token.name));
            }
            if tokens.iter().any(|other| other.digest == token.digest) {
                item.wrong(&format!("`{}` is the same token as one above", token.name));
            }
            tokens.push(token);
        }
        let mistakes = document.into_mistakes();
        if mistakes.is_empty() { Ok(tokens) } else { Err(mistakes) }
    }
}

fn read_token(table: &Table<'_, '_>) -> Option<Token> {
    table.only(&["name", "role", "sha256", "created", "expires", "only"]);
    let (name, role) = (
        table.require("name", "name = \"alice\"").and_then(|v| v.parsed(name)),
        table.require("role", "role = \"deployer\"").and_then(|v| v.word(&Role::ALL)),
    );
    let digest = table.require("sha256", "sha256 = \"<64 hexadecimal digits>\"").and_then(|v| v.parsed(read_digest));
    let created = read_created(table);
    // What is there and cannot be read is a mistake, and with one the file does not count: never taken for "none".
    let expires = table.get("expires").and_then(|value| time(&value));
    let only = table.get("only").and_then(|value| read_only(&value));
    Some(Token { name: name?, role: role?, digest: digest?, created: created?, expires, only })
}

pub(super) fn read_created(table: &Table<'_, '_>) -> Option<Millis> {
    table.require("created", "created = \"2026-11-21T10:14:00.000Z\"").and_then(|value| time(&value))
}

pub(super) fn time(value: &Value<'_, '_>) -> Option<Millis> {
    value.parsed(|text| parse_time(text).ok_or("it must be a time such as \"2026-11-21T10:14:00.000Z\""))
}

pub(super) fn read_digest(text: &str) -> Result<Digest, &'static str> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| "it must be a SHA-256 in 64 hexadecimal digits")?;
    Ok(Digest(bytes))
}

pub(super) fn read_only(value: &Value<'_, '_>) -> Option<Arc<[Scope]>> {
    let only: Vec<_> = value.list()?.iter().filter_map(|item| item.parsed(str::parse)).collect();
    if only.is_empty() {
        value.wrong("`only` is empty, so it would be good for nothing; leave it out where it is for everything");
    }
    Some(only.into())
}
