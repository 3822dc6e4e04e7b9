//! What a sender's announcement comes down to, and what the pipeline makes of it: whether it counts, its version, its
//! artifact and its parameters. Must not know the shape of any sender.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    Announced, Announcement, Error,
    build::{BadField, Build, LONGEST_NAME, wrong},
    template::{NoValue, PLACEHOLDERS, fill},
};
use crate::{
    pipelines::Webhook,
    text::{excerpt, percent_decoded},
};

/// Where a sender says what: the name of a fact and its path in the body.
pub(super) type Places = &'static [(&'static str, &'static str)];

/// All that a sender said.
#[derive(Default)]
pub(super) struct Facts {
    /// `webhook:` and its name.
    pub by: &'static str,
    /// Where it says what.
    pub places: Places,
    /// What makes this build the same when it is announced again, where that is not its number or its delivery.
    pub name: Option<String>,
    /// Version, as the sender calls it.
    pub version: Option<Arc<str>>,
    /// The version when neither the sender nor the pipeline says one.
    pub otherwise: Option<Arc<str>>,
    pub artifact: Option<Arc<str>>,
    /// The reason why there is no artifact, where more can be said than that it is missing.
    pub no_artifact: Option<String>,
    pub commit: Option<Arc<str>>,
    pub branch: Option<Arc<str>>,
    pub tag: Option<Arc<str>>,
    pub job: Option<Arc<str>>,
    /// Another name of the job.
    pub full_job: Option<Arc<str>>,
    pub number: Option<u64>,
    /// Whether each job counts its builds from 1.
    pub counted_by_job: bool,
    pub parameters: BTreeMap<Arc<str>, Arc<str>>,
    pub link: Option<Arc<str>>,
    /// What is wrong with the fields that were read.
    pub bad: Vec<BadField>,
}

impl Facts {
    /// Decides what the pipeline does with the announcement.
    pub(super) fn announce(mut self, webhook: &Webhook) -> Result<Announcement, Error> {
        // What decides whether it counts comes first: nobody is told of mistakes in what is not wanted.
        let deciding = ["branch", "job"].map(|fact| self.place(fact));
        let undecided = self.bad.iter().any(|bad| deciding.contains(&&*bad.field));
        if let Some(why) = self.ignored(webhook).filter(|_| !undecided) {
            return Ok(Announcement::Ignored(why));
        }
        self.check();
        if !self.bad.is_empty() {
            return Err(Error::Fields(self.bad));
        }
        let mut bad = Vec::new();
        match self.said("version", &self.version, webhook.version.as_deref(), self.otherwise.as_ref()) {
            Ok(version) => self.version = Some(version),
            Err(error) => bad.push(error),
        }
        match self.said("artifact", &self.artifact, webhook.artifact.as_deref(), None) {
            Ok(artifact) => self.artifact = Some(artifact),
            Err(error) => bad.push(error),
        }
        self.parameters(webhook, &mut bad);
        self.build(webhook, bad)
    }

    /// A fact by the sender's own word, else by the pipeline's template, else by the sender's habit.
    fn said(
        &self,
        fact: &str,
        own: &Option<Arc<str>>,
        template: Option<&str>,
        otherwise: Option<&Arc<str>>,
    ) -> Result<Arc<str>, BadField> {
        match (own, template, otherwise) {
            (Some(own), _, _) => Ok(own.clone()),
            (None, Some(template), _) => self.filled(fact, template),
            (None, None, Some(otherwise)) => Ok(otherwise.clone()),
            (None, None, None) => Err(self.missing(fact)),
        }
    }

    fn build(self, webhook: &Webhook, mut bad: Vec<BadField>) -> Result<Announcement, Error> {
        // The counts of several jobs say nothing about which build is older.
        let number = self.number.filter(|_| !(self.counted_by_job && webhook.jobs.len() > 1));
        let build = Build {
            version: self.version.unwrap_or_default(),
            artifact: self.artifact.unwrap_or_default(),
            commit: self.commit,
            number,
            parameters: self.parameters,
            link: self.link,
        };
        if bad.is_empty() {
            bad = build.check().err().unwrap_or_default();
        }
        if bad.is_empty() {
            return Ok(Announcement::Build(Announced { by: self.by, build, name: self.name }));
        }
        for field in &mut bad {
            if let Some((_, place)) = self.places.iter().find(|(name, _)| *name == field.field) {
                (*place).clone_into(&mut field.field);
            }
        }
        Err(Error::Fields(bad))
    }

    /// What does not get into the build itself is not to do harm either.
    fn check(&mut self) {
        let texts = [("branch", &self.branch), ("tag", &self.tag), ("job", &self.job), ("job", &self.full_job)];
        let bad = texts.into_iter().filter_map(|(name, text)| {
            let why = wrong(text.as_deref()?, LONGEST_NAME)?;
            Some(BadField { field: self.place(name).to_owned(), why })
        });
        let bad: Vec<_> = bad.collect();
        self.bad.extend(bad);
    }

    /// Says why a build does not count; `None`: it does.
    fn ignored(&self, webhook: &Webhook) -> Option<String> {
        let only = |what: &str, wanted: &[String], said: [Option<&Arc<str>>; 2]| {
            // Jenkins encodes the branch in a job's name, `shop/feature%2Fx`; both ways to write it are meant.
            let is = |said: &str| wanted.iter().any(|w| *w == *said || *w == percent_decoded(said));
            let counts = wanted.is_empty() || said.iter().flatten().any(|said| is(said));
            let said = said[0].map_or("none".to_owned(), |said| format!("`{}`", excerpt(said)));
            (!counts).then(|| format!("its {what} is {said}; only builds of {} count", wanted.join(", ")))
        };
        only("branch", &webhook.branches, [self.branch.as_ref(), None])
            .or_else(|| only("job", &webhook.jobs, [self.job.as_ref(), self.full_job.as_ref()]))
    }

    fn parameters(&self, webhook: &Webhook, bad: &mut Vec<BadField>) {
        let Some(accepted) = &webhook.parameters else { return };
        for name in self.parameters.keys().filter(|name| !accepted.iter().any(|a| **a == ***name)) {
            let field = format!("{}.{}", self.place("parameters"), excerpt(name));
            let why = match accepted.join(", ") {
                none if none.is_empty() => "may not be set: builds of this pipeline set no parameters".to_owned(),
                some => format!("may not be set: builds of this pipeline may set {some}"),
            };
            bad.push(BadField { field, why });
        }
    }

    fn filled(&self, key: &str, template: &str) -> Result<Arc<str>, BadField> {
        let filled = fill(template, |name| self.value(name));
        filled.map(Arc::from).map_err(|NoValue(name)| {
            let needs = format!("`webhook.{key}` of the pipeline needs it for {{{}}}", excerpt(name));
            if !PLACEHOLDERS.contains(&name) {
                let why = format!("of the pipeline has the unknown placeholder {{{}}}", excerpt(name));
                return BadField { field: format!("webhook.{key}"), why };
            }
            let fact = if name == "short_commit" { "commit" } else { name };
            match self.places.iter().find(|(known, _)| *known == fact) {
                Some((_, place)) => BadField { field: (*place).to_owned(), why: format!("is missing, and {needs}") },
                None => BadField {
                    field: fact.to_owned(),
                    why: format!("is not in announcements of this kind, and {needs}"),
                },
            }
        })
    }

    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = match name {
            "commit" => &self.commit,
            "branch" => &self.branch,
            "tag" => &self.tag,
            "version" => &self.version,
            "job" => return self.job.as_deref().map(|job| percent_decoded(job).into()),
            "build" => return self.number.map(|n| n.to_string().into()),
            _ => return None,
        };
        text.as_deref().map(Cow::Borrowed)
    }

    fn missing(&self, fact: &str) -> BadField {
        let why = match &self.no_artifact {
            Some(why) if fact == "artifact" => why.clone(),
            _ => format!("is missing; send it, or set `webhook.{fact}` in the pipeline file"),
        };
        BadField { field: self.place(fact).to_owned(), why }
    }

    fn place<'a>(&self, fact: &'a str) -> &'a str {
        self.places.iter().find(|(name, _)| *name == fact).map_or(fact, |(_, place)| place)
    }
}

/// A branch without what git puts before it.
pub(super) fn branch(text: &str) -> &str {
    let text = text.strip_prefix("refs/heads/").or_else(|| text.strip_prefix("refs/remotes/")).unwrap_or(text);
    text.strip_prefix("origin/").unwrap_or(text)
}

/// The branch or the tag that a ref names; a name without `refs/` is a branch's.
pub(super) fn reference(name: &str) -> (Option<&str>, Option<&str>) {
    match name.strip_prefix("refs/tags/") {
        Some(tag) => (None, Some(tag)),
        None if name.starts_with("refs/") && !name.starts_with("refs/heads/") => (None, None),
        None => (Some(branch(name)), None),
    }
}
