//! `[[environments.hooks]]`: what is run besides moving the traffic.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderName, HeaderValue, Uri, uri::Scheme};

use super::{super::keys, Reader, is_name, meant};
use crate::{
    checks::StatusSet,
    hooks::{Call, HookDefinition, HttpCall, Method, not_runnable, variable},
    machine::{HookPoint, Millis, Name},
    text::excerpt,
    toml_file::{Table, Value},
};

/// How long a hook may run that says nothing else.
const TIMEOUT: Millis = Millis(5 * 60_000);
/// What begins the names of the facts.
const FACTS: &str = "POINTSMAN_";

impl Reader<'_, '_> {
    /// All of them, by point and then in the order of the file.
    pub(super) fn hooks(&self, list: &Value<'_, '_>) -> Vec<HookDefinition> {
        let mut hooks: Vec<HookDefinition> = Vec::new();
        for table in list.list().unwrap_or_default().iter().filter_map(Value::table) {
            let Some(hook) = self.hook(&table) else { continue };
            if hooks.iter().any(|other| other.name == hook.name) {
                let why = format!("there is a hook \"{}\" already; each needs a name of its own", hook.name);
                table.get("name").inspect(|v| v.wrong(&why));
            }
            hooks.push(hook);
        }
        hooks.sort_by_key(|hook| hook.at);
        hooks
    }

    fn hook(&self, table: &Table<'_, '_>) -> Option<HookDefinition> {
        table.only(keys::HOOK);
        let name = table.require("name", "name = \"migrate\"").and_then(|v| v.parsed(str::parse::<Name>));
        let points = HookPoint::ALL.map(|point| (point.as_str(), point));
        let at = table.require("at", "at = \"after-checks\"").and_then(|v| v.word(&points));
        let one_way = table.get("one_way").and_then(|v| v.boolean()).unwrap_or(false);
        if let Some(at) = at.filter(|at| one_way && at.is_after_the_end()) {
            let why = format!(
                "`one_way` says that going back does not undo the hook, and at \"{at}\" there is nothing to go back from; \
                 remove it"
            );
            table.wrong_at("one_way", &why);
        }
        let secrets = table.get("secrets").map(|v| self.secrets.handed_over(&v)).unwrap_or_default();
        let called: Vec<Arc<str>> = secrets.keys().cloned().collect();
        for odd in called.iter().filter(|name| !is_name(name)) {
            let why = format!("\"{}\" is not a name for a secret of a hook: letters, digits, `_`, `-`", excerpt(odd));
            table.wrong_at("secrets", &why);
        }
        let timeout = table.get("timeout").map_or(Some(TIMEOUT), |v| v.some_duration());
        let call = match (table.get("command"), table.get("http")) {
            (Some(command), None) => self.command(table, &command, &called),
            (None, Some(http)) => self.http(table, &http.table()?, &called),
            _ => {
                table.wrong(
                    "a hook has exactly one of `command` and `http`, such as command = [\"./bin/migrate\", \"up\"]",
                );
                None
            }
        };
        let name: Arc<str> = name?.as_str().into();
        Some(HookDefinition { name, at: at?, call: call?, secrets, timeout: timeout?, one_way })
    }

    fn command(&self, table: &Table<'_, '_>, value: &Value<'_, '_>, secrets: &[Arc<str>]) -> Option<Call> {
        let list = value.list()?;
        let words: Vec<String> = list.iter().map(|v| self.filled(v)).collect::<Option<_>>()?;
        if words.first().is_none_or(String::is_empty) {
            value.wrong("`command` is empty; name a program and its arguments, such as [\"./bin/migrate\", \"up\"]");
            return None;
        }
        // What stands beside the file belongs to it, as definitions do; the rest of the host may be another one's.
        let beside = words.first().filter(|program| !program.starts_with('/'));
        if let Some((program, why)) = list.first().zip(beside.and_then(|program| not_runnable(program, &self.folder))) {
            program.wrong(&format!("{why}; it is looked for from the pipeline file's folder"));
        }
        let mut environment = BTreeMap::new();
        if let Some(variables) = table.get("environment").and_then(|v| v.table()) {
            for (name, value) in variables.entries() {
                if name.is_empty() || name.contains(['=', '\0']) || name.starts_with(FACTS) {
                    let why =
                        "is not a name for a variable of a hook: not empty, without `=`, and not one of POINTSMAN_*";
                    variables.wrong_at(name, &format!("\"{}\" {why}", excerpt(name)));
                }
                environment.extend(self.filled(&value).map(|text| (name.to_owned(), text)));
            }
        }
        let mut taken: Vec<String> = environment.keys().cloned().collect();
        for secret in secrets {
            let name = variable(secret);
            if taken.contains(&name) || name.starts_with(FACTS) {
                table.wrong_at(
                    "secrets",
                    &format!("the secret `{secret}` would stand in the variable {name}, which is taken; rename one"),
                );
            }
            taken.push(name);
        }
        Some(Call::Command { words, folder: self.folder.clone(), environment })
    }

    fn http(&self, hook: &Table<'_, '_>, table: &Table<'_, '_>, secrets: &[Arc<str>]) -> Option<Call> {
        table.only(keys::HOOK_HTTP);
        if hook.get("environment").is_some() {
            hook.wrong_at("environment", "`environment` is for commands; a server is told by `headers` and `body`");
        }
        let url = table.require("url", "url = \"https://cron.example/activate\"");
        let url = url.and_then(|v| self.filled(&v).filter(|text| is_address(&v, text)));
        let method = table.get("method").map_or(Some(Method::default()), |v| v.word(&Method::WORDS));
        let headers = table.get("headers").and_then(|v| v.table());
        let headers = headers.map(|t| self.headers(&t, secrets)).unwrap_or_default();
        for secret in secrets.iter().filter(|name| !headers.values().any(|v| v.contains(&format!("{{{name}}}")))) {
            let why = format!("no header has the secret `{secret}`; write {{{secret}}} where it belongs, or remove it");
            hook.wrong_at("secrets", &why);
        }
        let body = table.get("body").and_then(|v| self.filled(&v));
        if body.is_some() && method.is_some_and(|method| !method.has_body()) {
            table.wrong_at("body", "such a request has no body; use `method = \"POST\"` or remove it");
        }
        let status = match table.plain(&[], &|_, text| text.to_owned()).remove("status") {
            None => toml::Value::String("200-299".to_owned()),
            Some(written) => written,
        };
        let status = status.try_into::<StatusSet>().map_err(|error| {
            table.get("status").inspect(|v| v.wrong(&format!("`status`: {}", error.message().trim())));
        });
        Some(Call::Http(HttpCall { url: url?, method: method?, headers, body, status: status.ok()? }))
    }

    /// Reads headers, with the names of secrets in braces.
    fn headers(&self, table: &Table<'_, '_>, secrets: &[Arc<str>]) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        for (name, value) in table.entries() {
            let Some(text) = self.filled(&value) else { continue };
            // Not the value: it may be a credential.
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(&text).is_err() {
                value.wrong("this cannot be a header, or has a value that no header can have");
                continue;
            }
            for unknown in placeholders(&text).filter(|name| !secrets.iter().any(|secret| **secret == **name)) {
                let hint = meant(unknown, secrets.iter().map(|s| &**s), "name it in the `secrets` of the hook");
                value.wrong(&format!("{{{}}} is not one of the hook's secrets; {hint}", excerpt(unknown)));
            }
            headers.insert(name.to_owned(), text);
        }
        headers
    }

    fn filled(&self, value: &Value<'_, '_>) -> Option<String> {
        let text = self.variables.expand(value, value.text()?, &self.secrets.names())?;
        if text.contains('\0') {
            value.wrong("it has a zero byte, which no program or server can be given");
            return None;
        }
        Some(text)
    }
}

/// What stands in braces as names do.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).filter(|name| is_name(name))
}

fn is_address(value: &Value<'_, '_>, text: &str) -> bool {
    let parsed = text.parse::<Uri>().ok();
    let known = parsed.as_ref().and_then(Uri::scheme).is_some_and(|s| *s == Scheme::HTTP || *s == Scheme::HTTPS);
    let Some(authority) = parsed.as_ref().and_then(Uri::authority).filter(|a| known && !a.host().is_empty()) else {
        value.wrong("`url`: only an http:// or https:// address, such as \"https://cron.example/activate\"");
        return false;
    };
    if authority.as_str().contains('@') {
        value.wrong("`url`: no user or password is written here; use a header with a secret");
        return false;
    }
    true
}
