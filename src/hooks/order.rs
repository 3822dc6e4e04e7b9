//! What a run is told: everything that it needs, because it reads nothing but this. It goes through a pipe, never
//! through a file, an argument or the environment of the process that gets it, for it holds secrets.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    definition::{Call, HookDefinition, HttpCall, Method, limit, variable},
    facts::Facts,
};
use crate::machine::{Hook, Millis};

/// A run that is to begin.
pub struct Order<'a> {
    /// What the pipeline file says of the hook today.
    pub definition: &'a HookDefinition,
    /// What was frozen of it with the deployment.
    pub terms: &'a Hook,
    /// Facts about the deployment.
    pub facts: Facts,
    /// The values of the definition's secrets.
    pub secrets: BTreeMap<Arc<str>, SecretString>,
    /// All that may not be seen in its output.
    pub hidden: Vec<SecretString>,
}

/// The same, for the process that runs it.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) limit: Millis,
    pub(super) work: Work,
    pub(super) hidden: Vec<String>,
}

/// Work of a run: a program or a request.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    Command(Program),
    Http(Request),
}

/// A program of this host.
#[derive(Serialize, Deserialize)]
pub(super) struct Program {
    pub(super) words: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
}

/// A request to a server.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) method: Method,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) good: Vec<(u16, u16)>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

impl Order<'_> {
    pub(super) fn job(&self) -> Job {
        let work = match &self.definition.call {
            Call::Command { words, folder, environment } => {
                let facts = self.facts.variables().into_iter().map(|(name, value)| (name.to_owned(), value));
                let own = environment.iter().map(|(name, value)| (name.clone(), value.clone()));
                let secrets = self.secrets.iter().map(|(n, value)| (variable(n), value.expose_secret().to_owned()));
                let environment = own.chain(secrets).chain(facts).collect();
                // The process that runs it is in another folder. Where our own is gone, the program is not found there
                // either, and the hook fails with that name.
                let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
                Work::Command(Program { words: words.clone(), folder, environment })
            }
            Call::Http(call) => Work::Http(self.request(call)),
        };
        let values = self.secrets.values().chain(&self.hidden);
        let hidden = values.map(|value| value.expose_secret().to_owned()).collect();
        Job { limit: limit(self.terms), work, hidden }
    }

    fn request(&self, call: &HttpCall) -> Request {
        let Facts { pipeline, environment, deployment, hook, .. } = &self.facts;
        let mut headers: Vec<(String, String)> =
            call.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), self.filled(value))).collect();
        let key = format!("{pipeline}-{environment}-{deployment}-{hook}");
        for (name, value) in [("idempotency-key", &*key), ("content-type", "application/json")] {
            let wanted = name != "content-type" || (call.method.has_body() && call.body.is_none());
            if wanted && !headers.iter().any(|(known, _)| known == name) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let facts = || serde_json::to_string(&self.facts).ok();
        let body = if call.method.has_body() { call.body.clone().or_else(facts) } else { None };
        let good = call.status.ranges().to_vec();
        Request { url: call.url.clone(), method: call.method, headers, body, good }
    }

    /// A header with its secrets.
    fn filled(&self, value: &str) -> String {
        let all = self.secrets.iter();
        all.fold(value.to_owned(), |text, (n, secret)| text.replace(&format!("{{{n}}}"), secret.expose_secret()))
    }
}
