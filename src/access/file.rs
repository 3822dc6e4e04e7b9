//! `tokens.toml` in the state folder. Must not hold the text of a token.

use std::{fmt::Write as _, sync::Arc};

use super::{Digest, Grant, Role, Scope, kept::Row, name};
use crate::{
    machine::Millis,
    text::{format_time, parse_time},
    toml_file::{Table, Value},
};

/// The longest name of who made a token, in bytes.
const MAKER: usize = 128;

/// One token, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who has it; the journal says this name.
    pub name: Arc<str>,
    /// Role that the token has.
    pub role: Role,
    /// Digest that a presented secret is compared with.
    pub digest: Digest,
    /// When it was made.
    pub created: Millis,
    /// Who made it, as the journal would name them; `None`: it is from before this was kept.
    pub by: Option<Arc<str>>,
    /// Time at which it expires; `None`: when it is revoked.
    pub expires: Option<Millis>,
    /// Where it is good; `None`: everywhere.
    pub only: Option<Arc<[Scope]>>,
}

impl Token {
    /// Returns what it allows, and where.
    pub fn grant(&self) -> Grant {
        Grant { role: self.role, only: self.only.clone() }
    }

    /// Returns the name of who makes a token as it is kept: what the file cannot have of it is left out.
    pub fn maker(by: &str) -> Option<Arc<str>> {
        let kept: String = by.chars().filter(|c| maker(c.encode_utf8(&mut [0; 4])).is_ok()).take(MAKER).collect();
        (!kept.is_empty()).then(|| kept.into())
    }

    /// Returns what it allows, where and until when, in words.
    pub fn terms(&self) -> String {
        let until = self.expires.map_or("until it is revoked".to_owned(), |at| format!("until {}", format_time(at)));
        format!("{}, {until}", self.grant())
    }

    /// Returns whether it has not expired at this time.
    pub fn is_good(&self, now: Millis) -> bool {
        self.expires.is_none_or(|at| now < at)
    }
}

impl Row for Token {
    const KIND: &'static str = "token";
    const LIST: &'static str = "tokens";
    const FILE: &'static str = "tokens.toml";
    const LOCK: &'static str = "tokens.lock";
    const REMOVE: &'static str = "revoke";
    const DAMAGED: &'static str = "only the local token is accepted";
    const HOLDS: &'static str = "digests, never a token itself";

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn clash(&self, other: &Self) -> Option<String> {
        (self.digest == other.digest).then(|| format!("`{}` is the same token as one above", self.name))
    }

    /// Every letter that can come in is harmless between quotes: names, digests, times.
    fn write(&self, text: &mut String) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "[[tokens]]\nname = \"{}\"\nrole = \"{}\"", self.name, self.role);
        let _ = writeln!(text, "sha256 = \"{}\"", hex::encode(self.digest.0));
        let _ = writeln!(text, "created = \"{}\"", format_time(self.created));
        if let Some(by) = &self.by {
            let _ = writeln!(text, "by = \"{by}\"");
        }
        if let Some(expires) = self.expires {
            let _ = writeln!(text, "expires = \"{}\"", format_time(expires));
        }
        write_only(text, self.only.as_deref());
    }

    fn read(table: &Table<'_, '_>) -> Option<Self> {
        table.only(&["name", "role", "sha256", "created", "by", "expires", "only"]);
        let (name, role) = (
            table.require("name", "name = \"alice\"").and_then(|v| v.parsed(name)),
            table.require("role", "role = \"deployer\"").and_then(|v| v.word(&Role::ALL)),
        );
        let digest = table.require("sha256", "sha256 = \"<64 hexadecimal digits>\"");
        let digest = digest.and_then(|v| v.parsed(read_digest));
        let created = read_created(table);
        let by = table.get("by").and_then(|value| value.parsed(maker));
        // What is there and cannot be read is a mistake, and with one the file does not count: never taken for "none".
        let expires = table.get("expires").and_then(|value| time(&value));
        let only = table.get("only").and_then(|value| read_only(&value));
        Some(Self { name: name?, role: role?, digest: digest?, created: created?, by, expires, only })
    }
}

/// Reads who made a token, as the journal would name them.
fn maker(text: &str) -> Result<Arc<str>, &'static str> {
    let plain =
        (1..=MAKER).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"\\".contains(&b));
    if plain {
        Ok(text.into())
    } else {
        Err("it must be 1 to 128 visible ASCII characters without quotes and backslashes")
    }
}

/// Writes where something holds, as [`read_only`] reads it.
pub(super) fn write_only(text: &mut String, only: Option<&[Scope]>) {
    if let Some(only) = only {
        let quoted: Vec<_> = only.iter().map(|scope| format!("\"{scope}\"")).collect();
        // Writing to a text does not fail.
        let _ = writeln!(text, "only = [{}]", quoted.join(", "));
    }
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
