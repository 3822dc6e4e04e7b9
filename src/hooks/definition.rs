//! What a hook is, as the pipeline file says it. Must not run anything.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    checks::StatusSet,
    machine::{Hook, HookPoint, Millis},
};

/// How much longer than a hook may run somebody waits for its end: to be asked, to be killed, to be recorded.
const ENDING: Millis = Millis(15_000);

/// One of `[[environments.hooks]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookDefinition {
    /// Unique in its environment; a [`crate::machine::Name`].
    pub name: Arc<str>,
    /// When it runs.
    pub at: HookPoint,
    /// Program or request of the hook.
    pub call: Call,
    /// Secrets of the pipeline that it is given, by what it calls each.
    pub secrets: BTreeMap<Arc<str>, Arc<str>>,
    /// How long it may run.
    pub timeout: Millis,
    /// What it does is not undone by going back.
    pub one_way: bool,
}

impl HookDefinition {
    /// The part of it that is frozen with a deployment. The machine waits a little longer than the hook may run.
    pub fn terms(&self) -> Hook {
        let within = self.timeout.plus(ENDING);
        Hook { name: self.name.clone(), at: self.at, within, one_way: self.one_way }
    }
}

/// How long a hook with these terms may run.
pub(super) fn limit(terms: &Hook) -> Millis {
    Millis(terms.within.0.saturating_sub(ENDING.0).max(1))
}

/// Program or request of the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A program of this host.
    Command {
        /// The program and its arguments; never empty.
        words: Vec<String>,
        /// Where it runs: the pipeline file's folder.
        folder: PathBuf,
        /// Variables that it is given besides the facts and the secrets.
        environment: BTreeMap<String, String>,
    },
    /// A request.
    Http(HttpCall),
}

/// A request to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// Address that is called.
    pub url: String,
    /// Method of the request.
    pub method: Method,
    /// Headers of the request; `{NAME}` in a value stands for a secret.
    pub headers: BTreeMap<String, String>,
    /// What is sent; the facts as JSON when it is `None` and the method has a body.
    pub body: Option<String>,
    /// The statuses that count as success.
    pub status: StatusSet,
}

/// How a server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "as HTTP has them")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
    Delete,
    Get,
}

impl Method {
    /// All of them, as they are written.
    pub const WORDS: [(&str, Self); 5] = [
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("PATCH", Self::Patch),
        ("DELETE", Self::Delete),
        ("GET", Self::Get),
    ];

    /// Whether it has a body.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, method)| *method == self).map_or("POST", |(word, _)| word)
    }
}

impl Call {
    /// What is run, in a line; secrets by their names.
    pub fn shown(&self) -> String {
        match self {
            Self::Command { words, .. } => words.join(" "),
            Self::Http(call) => format!("{} {}", call.method.word(), call.url),
        }
    }
}

/// Says why a program that is named with a folder cannot be run. One without a folder is looked for when it runs.
pub fn not_runnable(program: &str, folder: &Path) -> Option<String> {
    let path = folder.join(program);
    let shown = path.display();
    match fs::metadata(&path) {
        _ if !program.contains('/') => None,
        Err(error) => Some(format!("the program {shown} cannot be run: {error}")),
        Ok(found) if !found.is_file() => Some(format!("{shown} is not a program: it is not a file")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Some(format!("the program {shown} is not executable; run `chmod +x {shown}`"))
        }
        Ok(_) => None,
    }
}

/// The variable in which a command finds a secret: its name in capitals, `db-password` in `DB_PASSWORD`.
pub fn variable(secret: &str) -> String {
    secret.to_ascii_uppercase().replace('-', "_")
}
