//! The built-in front: a reverse proxy that runs as a process of its own (`pointsman front --folder DIR`), outlives
//! the controller, and is driven over a unix socket in its folder.
//!
//! This file is the driver: it starts the process, speaks to it, and asks at its public address who answers. It keeps
//! nothing in memory but a connection; the front remembers its route itself, and its supervisor starts it again.

pub mod control;
mod handoff;
mod launch;
mod left;
mod plane;
pub mod process;
mod public;
pub mod settings;
mod store;
pub mod supervisor;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use self::left::end_below;
use self::{
    control::{Answer, Order, Seen, ask},
    settings::Settings,
    supervisor::{Link, Status},
};
use super::{Claim, Claimed, CutOver, Driver, FrontDriver, FrontTrouble, Route, SeenFront, ShownPreview, Target};
use crate::{
    machine::{Fencing, Millis, StackName},
    outgoing::Way,
    reach::ReachKind,
    stacks::StepError,
};

/// Longest wait for one order: a flush to the disk and a message to a front that is leaving fit in.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "builtin",
    open,
    example: "listen = \"127.0.0.1:8080\"",
    takes: &[ReachKind::Addresses],
    tables: &[("front", ""), ("preview", "preview"), ("maintenance", "maintenance"), ("hold", "hold")],
    splits: true,
    pages: true,
};

/// Opens the driver; nothing is started before [`FrontDriver::ensure_running`].
pub fn open(table: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>> {
    let table = settings::anchored(table, written_in);
    let front = BuiltinFront::run_by(launch::ourselves().map_err(|e| vec![e])?, &table, folder)?;
    front.settings.check_pages()?;
    Ok(Arc::new(front))
}

type SharedLink = Arc<tokio::sync::Mutex<Link>>;

/// Last reports of trouble.
#[derive(Default)]
struct Told {
    /// Trouble that the front reported last.
    front: Vec<FrontTrouble>,
    /// Status that its supervisor reported last.
    status: Option<Status>,
    /// Why the key of the preview could not be brought in, when that was tried last.
    key: Option<String>,
}

/// The driver.
pub struct BuiltinFront {
    folder: PathBuf,
    settings: Settings,
    /// The settings as the front process reads them.
    text: String,
    /// The binary that is to run the front.
    binary: PathBuf,
    /// The connection to the last supervisor.
    link: Mutex<Option<SharedLink>>,
    /// What the front and its supervisor said last.
    told: Mutex<Told>,
}

impl BuiltinFront {
    /// Opens the driver with the binary of Pointsman that is to run the front. File names in the settings are absolute.
    pub fn run_by(binary: PathBuf, table: &toml::Table, folder: &Path) -> Result<Self, Vec<String>> {
        let settings = Settings::read(table)?;
        let text = toml::to_string(table).map_err(|e| vec![format!("the front's settings cannot be written: {e}")])?;
        Ok(Self { folder: folder.to_owned(), settings, text, binary, link: Mutex::new(None), told: Mutex::default() })
    }

    fn link(&self) -> MutexGuard<'_, Option<SharedLink>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn order(&self, order: Order) -> Result<Answer, StepError> {
        match ask(&self.folder, &order, ANSWER_LIMIT).await? {
            Answer::Refused { why } => Err(StepError::Refused(why)),
            Answer::Unavailable { why } => Err(StepError::Unavailable(why)),
            answer => Ok(answer),
        }
    }

    async fn done(&self, order: Order) -> Result<(), StepError> {
        match self.order(order).await? {
            Answer::Done => Ok(()),
            other => Err(strange(&other)),
        }
    }

    /// All that the front says about itself.
    pub async fn seen(&self) -> Result<Seen, StepError> {
        match self.order(Order::Observe).await? {
            Answer::Seen(seen) => Ok(seen),
            other => Err(strange(&other)),
        }
    }

    /// The maintenance page for all users, or no longer.
    pub async fn maintenance(&self, on: bool) -> Result<(), StepError> {
        self.done(Order::Maintenance { on }).await
    }

    /// Brings a key of the preview that is kept elsewhere to where the front reads it. Without it nobody is let in, and
    /// users are served.
    pub(crate) fn bring_key_in(&self) {
        let why = self.settings.preview.bring_in(&self.folder).err().map(|error| error.to_string());
        let mut told = self.told();
        if let Some(error) = why.as_ref().filter(|_| told.key != why) {
            tracing::warn!(folder = %self.folder.display(), %error, "the key of the preview cannot be brought in");
        }
        told.key = why;
    }

    /// Has certificate, pages and the key of the preview read again.
    pub async fn reload(&self) -> Result<(), StepError> {
        self.bring_key_in();
        self.done(Order::Reload).await
    }
}

fn strange(answer: &Answer) -> StepError {
    StepError::Unavailable(format!("the front gave an answer to another question: {answer:?}"))
}

#[async_trait::async_trait]
impl FrontDriver for BuiltinFront {
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        self.done(Order::Stage { candidate: candidate.clone() }).await
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        match self.order(Order::CutOver { route: route.clone() }).await? {
            Answer::CutOver { result } => Ok(result),
            other => Err(strange(&other)),
        }
    }

    async fn observe(&self) -> Result<Option<SeenFront>, StepError> {
        self.bring_key_in();
        let seen = self.seen().await?;
        self.told().front = seen.trouble;
        Ok(seen.front)
    }

    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        public::ask(&self.settings, &self.folder).await.map(Some)
    }

    fn claims(&self) -> Vec<Claim> {
        let claim = |address: &SocketAddr| Claim { key: "listen", host: None, what: Claimed::Address(*address) };
        self.settings.listen.iter().map(claim).collect()
    }

    fn trouble(&self, now: Millis) -> Vec<FrontTrouble> {
        let told = self.told();
        let (ended, not_starting) = told.status.as_ref().map(|status| status.trouble(now)).unwrap_or_default();
        ended.into_iter().chain(told.front.iter().cloned()).chain(not_starting).collect()
    }

    fn does_not_count(&self) -> Option<&'static str> {
        None
    }

    fn fencing(&self) -> Fencing {
        Fencing::CompareAndSet
    }

    fn cannot_lead(&self) -> Option<String> {
        None
    }

    fn way_to(&self, stack: &StackName, connect: Duration) -> Result<Way, StepError> {
        public::way(&self.settings, &self.folder, stack, connect)
    }

    fn holds(&self) -> Option<Duration> {
        self.settings.hold.as_ref().map(|hold| hold.within)
    }

    fn shown_preview(&self) -> Option<ShownPreview> {
        Some(self.settings.preview.shown(&self.settings.origin()?, &self.folder))
    }

    fn notes(&self) -> Vec<String> {
        let preview = self.settings.origin().map(|origin| self.settings.preview.note(&origin));
        let hold = self.settings.hold.as_ref().map(|hold| {
            let (within, requests) = (hold.within.as_secs_f32(), hold.requests);
            format!(
                "requests of users are held for up to {within} s, {requests} at once, where a route to nobody says so"
            )
        });
        preview.into_iter().chain([self.settings.maintenance.note()]).chain(hold).collect()
    }

    async fn ensure_running(&self) -> Result<(), StepError> {
        self.bring_key_in();
        let link = launch::ensure(&self.folder, &self.text, &self.binary).await?;
        self.told().status = Some(link.status.clone());
        *self.link() = Some(Arc::new(tokio::sync::Mutex::new(link)));
        Ok(())
    }

    async fn changed(&self) {
        let link = self.link().clone();
        let Some(link) = link else { return std::future::pending().await };
        let mut open = link.lock().await;
        if open.changed().await {
            self.told().status = Some(open.status.clone());
        } else {
            // Another one may have come meanwhile.
            let mut current = self.link();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &link)) {
                *current = None;
            }
        }
    }
}
