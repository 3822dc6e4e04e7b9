//! Stack definitions from the source repository: read at a release's commit from the local mirror, checked by the
//! driver, kept by digest. Only [`Source::fetch`] uses the network; nothing here is asked for a release that has its
//! definition, so no repository is ever in the way of a rollback.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};

use super::{spawn::blocking, world::World};
use crate::{
    git::{self, FileError, Mirror, Mirrors, Remote},
    machine::{DefinitionView, Deployment, Environment, Number, Phase, Release},
    pipelines::{Pipeline, release},
    stacks::{StackDriver, StepError},
};

/// The largest stack definition that is read, in bytes: as large as one beside the pipeline file.
const LARGEST: usize = 256 << 10;

/// The source repository of one pipeline, as one environment uses it.
pub struct Source {
    mirror: Mirror,
    /// Whether builds come to that environment.
    takes_builds: bool,
    /// What the repository said last, and for which deployment. Gone with the process: then it is asked again.
    said: Mutex<Option<(Number, git::Error)>>,
}

/// The mirror of a pipeline's source repository, where it names one.
///
/// # Errors
/// When its address is none; says where and why.
pub fn mirror(pipeline: &Pipeline, mirrors: &Mirrors) -> Result<Option<Mirror>, String> {
    let Some(source) = &pipeline.source else { return Ok(None) };
    let password = source.password.clone().map(|secret| {
        git::Password::kept_at(secret.place(), move || {
            let bytes = crate::secrets::source::read(&secret).map_err(|why| why.to_string())?;
            let text = std::str::from_utf8(bytes.expose_secret());
            text.map(SecretString::from).map_err(|_| "the password of the source is not text in UTF-8".to_owned())
        })
    });
    let remote = Remote::new(&source.git, source.user.clone(), password);
    remote.map(|remote| Some(mirrors.of(&remote))).map_err(|why| format!("source.git: {why}"))
}

impl Source {
    /// Reads from this mirror, for an environment to which builds come or not.
    pub fn new(mirror: Mirror, takes_builds: bool) -> Self {
        Self { mirror, takes_builds, said: Mutex::default() }
    }

    /// Brings the commit of the deployment's release into the mirror, within the limits of a fetch.
    pub(super) async fn fetch(&self, deployment: &Deployment) -> Result<(), StepError> {
        let commit = deployment.release.commit.as_deref().unwrap_or_default();
        let answer = self.mirror.fetch(commit).await;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        *said = answer.as_ref().err().map(|error| (deployment.number, error.clone()));
        answer.map_err(|error| match error.may_pass() {
            true => StepError::Unavailable(error.to_string()),
            false => StepError::Refused(error.to_string()),
        })
    }

    fn said(&self, number: Number) -> Option<git::Error> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().filter(|(of, _)| *of == number).map(|(_, error)| error.clone())
    }
}

impl World {
    /// The definition that the candidate awaits, as far as it is on this host. Asks nobody.
    pub(super) async fn definition(&self, state: &Environment) -> DefinitionView {
        let awaits = |d: &&Deployment| d.phase == Phase::Provisioning && d.release.awaits_definition();
        let Some(candidate) = state.active().filter(awaits) else { return DefinitionView::default() };
        let path = candidate.release.source.as_deref().unwrap_or_default();
        let Some(commit) = candidate.release.commit.as_deref() else {
            let why = format!("{path} is read from git at the release's commit, and its build named none");
            return DefinitionView::Refused(why.into());
        };
        let Some(source) = &self.source else {
            let why = format!("{path} is to be read from git, and the pipeline names no [source] any more");
            return DefinitionView::Refused(why.into());
        };
        match source.mirror.file_at(commit, path, LARGEST).await {
            Ok(Some(text)) => match self.whole(&source.mirror, commit, path, &text).await {
                Ok(text) => self.keep(candidate.release.clone(), text, source.takes_builds).await,
                Err(view) => view,
            },
            Ok(None) => source.said(candidate.number).map_or_else(DefinitionView::default, |error| view(&error)),
            Err(FileError::Git(error)) => view(&error),
            Err(error) => DefinitionView::Refused(error.to_string().into()),
        }
    }

    /// The definition with what it names, from the same commit. The driver says file by file what that is.
    async fn whole(&self, mirror: &Mirror, commit: &str, path: &str, text: &str) -> Result<String, DefinitionView> {
        let mut files: BTreeMap<String, Result<String, String>> = BTreeMap::new();
        loop {
            let (whole, missing) = gather(&**self.stacks.driver(), text, &files);
            if missing.is_empty() {
                let short = commit.get(..10).unwrap_or(commit);
                let refused = |why: Vec<String>| format!("{path} at commit {short}: {}", why.join("; "));
                return whole.map_err(|why| DefinitionView::Refused(refused(why).into()));
            }
            for name in missing {
                let beside = path.rsplit_once('/').map_or(name.clone(), |(folder, _)| format!("{folder}/{name}"));
                let found = match mirror.file_at(commit, &beside, LARGEST).await {
                    Ok(Some(text)) => Ok(text),
                    Ok(None) => return Err(DefinitionView::default()),
                    Err(FileError::Git(error)) => return Err(view(&error)),
                    Err(error) => Err(error.to_string()),
                };
                files.insert(name, found);
            }
        }
    }

    /// Has it checked and keeps it, where that may take its time.
    async fn keep(&self, release: Arc<Release>, text: String, takes_builds: bool) -> DefinitionView {
        let (driver, frozen) = (self.stacks.driver().clone(), self.frozen.clone());
        let work = move || match refused(&*driver, &release, &text, takes_builds) {
            Some(why) => Ok(DefinitionView::Refused(why.into())),
            None => frozen.freeze(&text).map(DefinitionView::Kept).map_err(|error| error.to_string()),
        };
        let kept = blocking(work).await.unwrap_or_else(|| Ok(DefinitionView::default()));
        let kept = kept.map_err(StepError::Unavailable);
        self.note("keeping the stack definition", &kept);
        kept.unwrap_or_else(|why| DefinitionView::Unread(Some(why.to_string().into())))
    }
}

/// A definition made whole with these files, and the names of those that it wants besides.
fn gather(
    driver: &dyn StackDriver,
    text: &str,
    files: &BTreeMap<String, Result<String, String>>,
) -> (Result<String, Vec<String>>, BTreeSet<String>) {
    let missing = RefCell::new(BTreeSet::new());
    let read = |name: &str| match files.get(name) {
        Some(found) => found.clone(),
        None => {
            missing.borrow_mut().insert(name.to_owned());
            Err("not read yet".to_owned())
        }
    };
    let whole = driver.gather(text, &read);
    (whole, missing.into_inner())
}

/// What would be refused of a file beside the pipeline file, too: before anything is stood up.
fn refused(driver: &dyn StackDriver, release: &Release, text: &str, takes_builds: bool) -> Option<String> {
    let wrong = match driver.check_definition(text) {
        Err(mistakes) => mistakes,
        Ok(()) => release::unmet(&driver.needs(text)?, release, takes_builds),
    };
    let commit = release.commit.as_deref().unwrap_or_default();
    let (path, commit) = (release.source.as_deref().unwrap_or_default(), commit.get(..10).unwrap_or(commit));
    (!wrong.is_empty()).then(|| format!("{path} at commit {commit}: {}", wrong.join("; ")))
}

fn view(error: &git::Error) -> DefinitionView {
    let why = error.to_string().into();
    if error.may_pass() { DefinitionView::Unread(Some(why)) } else { DefinitionView::Refused(why) }
}
