//! What people ask about the runs of hooks: what they wrote, without the secrets that are known. Must not change anything.

use std::{collections::HashMap, io, sync::Arc};

use super::{spawn::blocking, world::World};
use crate::{
    hooks::{LinesFrom, Redactor, Run, Runs, State, Written},
    machine::EnvironmentId,
    secrets::Secrets,
};

/// The runs of all environments, for those who only look. Clones share it.
#[derive(Clone, Default)]
pub struct HookLogs(Arc<HashMap<EnvironmentId, (Arc<Runs>, Secrets)>>);

impl HookLogs {
    /// Makes it of these environments.
    pub fn of<'a>(worlds: impl IntoIterator<Item = &'a World>) -> Self {
        let one = |world: &World| Some((world.id.clone(), (world.hooks.runs()?, world.secrets.clone())));
        Self(Arc::new(worlds.into_iter().filter_map(one).collect()))
    }

    /// Makes it of one environment.
    #[cfg(test)]
    pub(crate) fn of_one(id: EnvironmentId, runs: Runs, secrets: Secrets) -> Self {
        Self(Arc::new([(id, (Arc::new(runs), secrets))].into()))
    }

    /// Reads what a run wrote, without the secrets of its pipeline as they are now; nothing when it was not begun, or was
    /// cleared away.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub async fn written(&self, id: &EnvironmentId, run: &Run, from: LinesFrom) -> io::Result<Option<Written>> {
        let Some((runs, secrets)) = self.0.get(id).cloned() else { return Ok(None) };
        let (run, pipeline) = (run.clone(), id.pipeline.clone());
        let read = move || {
            let written = runs.written(&run, from)?;
            // The process of the run has taken out what it knew of; a secret may have become known since.
            Ok(written.map(|written| clean(written, || Redactor::of(&secrets.hidden(&pipeline)))))
        };
        blocking(read).await.unwrap_or_else(|| Err(stopping()))
    }

    /// The runs of which something is kept, in the order of their deployments.
    ///
    /// # Errors
    /// When their folder cannot be read.
    pub async fn kept(&self, id: &EnvironmentId) -> io::Result<Vec<Run>> {
        let Some((runs, _)) = self.0.get(id).cloned() else { return Ok(Vec::new()) };
        blocking(move || runs.kept()).await.unwrap_or_else(|| Err(stopping()))
    }
}

fn stopping() -> io::Error {
    io::Error::other("the controller is stopping")
}

fn clean(mut written: Written, redactor: impl FnOnce() -> Redactor) -> Written {
    let failed = match &mut written.state {
        State::Done(outcome) => outcome.failed.as_mut(),
        State::Running => None,
    };
    if written.lines.lines.is_empty() && failed.is_none() {
        return written;
    }
    let redactor = redactor();
    let texts = written.lines.lines.iter_mut().map(|line| &mut line.text).chain(failed);
    texts.for_each(|text| *text = redactor.clean(text));
    written
}
