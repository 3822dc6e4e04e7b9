//! `[webhook]` and `[source]`: how builds are announced, and where their source is.

use std::path::Path;

use super::{
    super::{SecretSource, Source, Webhook, keys},
    meant, secret,
};
use crate::{
    git::address::{BadAddress, check as check_address},
    intake,
    text::excerpt,
    toml_file::{Table, Value},
    units::parse_size,
};

pub(super) fn webhook(table: &Table<'_, '_>, folder: &Path) -> Webhook {
    table.only(keys::WEBHOOK);
    let example = "secrets = [{ file = \"secrets/name.key\" }]";
    let list = table.require("secrets", example).and_then(|v| v.list()).unwrap_or_default();
    let names = |key: &str| {
        let texts = table.get(key).and_then(|v| v.some_texts()).unwrap_or_default();
        texts.into_iter().map(|(text, _)| text.to_owned()).collect()
    };
    let parameters = table.get("parameters").map(|v| v.texts().unwrap_or_default());
    Webhook {
        secrets: list.iter().filter_map(|value| secret(value, folder)).collect(),
        artifact: table.get("artifact").and_then(|v| template(&v, keys::PLACEHOLDERS)),
        version: table.get("version").and_then(|v| {
            let others: Vec<_> = keys::PLACEHOLDERS.iter().copied().filter(|name| *name != "version").collect();
            template(&v, &others)
        }),
        branches: names("branches"),
        jobs: names("jobs"),
        parameters: parameters.map(|list| list.into_iter().map(|(text, _)| text.to_owned()).collect()),
        triggers: table.get("triggers").map(|v| triggers(&v)),
        largest: table.get("largest").and_then(|v| largest(&v)),
    }
}

/// What starts the runs that count. Each is a word of one of the senders.
fn triggers(value: &Value<'_, '_>) -> Vec<String> {
    let known = intake::triggers();
    let mut named = Vec::new();
    for (text, item) in value.some_texts().into_iter().flatten() {
        if !known.contains(&text) {
            let hint = meant(text, known.iter().copied(), "docs/webhooks.md has the triggers of each sender");
            item.wrong(&format!("\"{}\" is not a trigger of any sender; {hint}", excerpt(text)));
        }
        named.push(text.to_owned());
    }
    named
}

fn largest(value: &Value<'_, '_>) -> Option<u64> {
    let size = value.parsed(parse_size)?;
    if (1 << 10..=intake::MOST).contains(&size) {
        return Some(size);
    }
    value.wrong(&format!("`largest` must be from 1kB to {}MB", intake::MOST >> 20));
    None
}

/// A text whose placeholders are among those that are known.
fn template(value: &Value<'_, '_>, known: &[&str]) -> Option<String> {
    let text = value.full_text()?;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let found = rest[at..].strip_prefix('{').and_then(|inner| inner.split_once('}'));
        match found {
            Some((name, left)) if known.contains(&name) => rest = left,
            other => {
                let names: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
                let what = other.map_or_else(
                    || "a single brace is not a placeholder".to_owned(),
                    |(name, _)| format!("{{{}}} is not a placeholder here", excerpt(name)),
                );
                value.wrong(&format!("{what}; there are {}", names.join(", ")));
                return None;
            }
        }
    }
    Some(text.to_owned())
}

pub(super) fn source(table: &Table<'_, '_>, folder: &Path) -> Option<Source> {
    table.only(keys::SOURCE);
    let git = table.require("git", "git = \"https://git.example/shop.git\"");
    let git = git.and_then(|v| address(&v, folder));
    let user = table.get("user").and_then(|v| v.full_text()).map(str::to_owned);
    let password: Option<SecretSource> = table.get("password").and_then(|v| secret(&v, folder));
    let web = table.get("web").and_then(|v| page(&v));
    let (git, remote) = git?;
    let named: Vec<_> = ["user", "password"].into_iter().filter(|key| table.get(key).is_some()).collect();
    if !remote {
        for key in &named {
            table.wrong_at(key, &format!("`{key}` is for an address that asks for it; `git` is a folder of this host"));
        }
        usable(table, &git, &[])?;
    } else {
        usable(table, &git, &named)?;
    }
    Some(Source { git, user, password, web })
}

/// Whether the controller can do with the address what it is to do with it. Its own reading has the last word, so that
/// what was checked is what can be served.
fn usable(table: &Table<'_, '_>, git: &str, named: &[&str]) -> Option<()> {
    let why = check_address(git, !named.is_empty()).err();
    match &why {
        None => {}
        Some(why @ BadAddress::UserElsewhere) => {
            named.iter().for_each(|key| table.wrong_at(key, &format!("`{key}` cannot be used here: {why}")));
        }
        Some(why) => drop(table.get("git").inspect(|value| value.wrong(&format!("`git`: {why}")))),
    }
    why.is_none().then_some(())
}

const ADDRESSES: &str =
    "accepted: an address with http://, https:// or ssh://, `user@host:path`, or a folder of this host";

/// The address of a repository, and whether it is on another host. A folder is meant from the folder of the file.
fn address(value: &Value<'_, '_>, folder: &Path) -> Option<(String, bool)> {
    let text = value.full_text()?;
    let wrong = |why: &str| {
        value.wrong(&format!("`git`: {why}"));
        None
    };
    if text.chars().any(|c| c.is_control()) || text.starts_with('-') {
        return wrong(&format!("not the address of a repository; {ADDRESSES}"));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return match scheme {
            "file" if rest.starts_with('/') => Some((text.to_owned(), false)),
            "http" | "https" | "ssh" => match host(rest, scheme) {
                Ok(()) => Some((text.to_owned(), true)),
                Err(why) => wrong(&why),
            },
            // Not shown: a password may stand before what looks like a scheme.
            _ => wrong(&format!("this kind of address is not known; {ADDRESSES}")),
        };
    }
    match text.split_once(':') {
        Some((before, path)) if !before.contains('/') => {
            let parts = before.split_once('@').unwrap_or(("git", before));
            let good = !parts.0.is_empty() && !parts.1.is_empty() && !path.is_empty() && !before.contains(' ');
            // Something like user:password@host:path.
            if path.split('/').next().is_some_and(|start| start.contains('@')) {
                return wrong("a password is not written here, only where it is kept: `password = { file = \"...\" }`");
            }
            if good { Some((text.to_owned(), true)) } else { wrong(&format!("this is incomplete; {ADDRESSES}")) }
        }
        // Absolute, for the controller may be somewhere else than its files.
        _ => {
            let path = folder.join(text);
            Some((std::path::absolute(&path).unwrap_or(path).display().to_string(), false))
        }
    }
}

/// What stands behind `scheme://`. The text is not repeated: it may hold a password.
fn host(rest: &str, scheme: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password is not written here; remove it, and write where it is kept: \
             `password = { file = \"...\" }` or `{ env = \"...\" }`"
            .to_owned());
    }
    if user.is_some() && scheme != "ssh" {
        return Err(
            "a user or token is not written into this address; write `user = \"...\"`, and `password = { file = \
             \"...\" }`"
                .to_owned(),
        );
    }
    let good =
        format!("http://{host}/").parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some_and(|h| !h.is_empty()));
    if good && rest.len() > authority.len() + 1 {
        return Ok(());
    }
    Err(format!("host or path is missing, for example \"{scheme}://git.example/shop.git\""))
}

/// The address of a page of a commit.
fn page(value: &Value<'_, '_>) -> Option<String> {
    let text = value.full_text()?;
    let wrong = |why: &str| {
        value.wrong(&format!("`web`: {why}, for example \"https://git.example/shop/commit/{{commit}}\""));
        None
    };
    let uri = text.replace("{commit}", "c").parse::<http::Uri>().ok();
    let Some(uri) = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()) else {
        return wrong("only an http:// or https:// address is accepted, in which only {commit} stands in braces");
    };
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("everybody sees this address: no user and no password in it");
    }
    if !text.contains("{commit}") {
        return wrong("it needs {commit}, where the commit is to stand");
    }
    Some(text.to_owned())
}
