//! A front that somebody else's program repoints, such as `change_proxy.sh IP`: run with the address of the new stack.
//! There is no shell in between.
//!
//! What it cannot do: nothing is staged, the switch is as atomic as the program makes it, and without an `observe`
//! command nobody knows what the front really serves, so this tells what it was ordered last. Must not guess beyond.

mod faults;
pub mod settings;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, time::interval};

use self::settings::{Settings, Words};
use super::{CutOver, Driver, FrontDriver, Route, SEEN, SeenFront, Target, cannot_split, record::Record};
use crate::{
    machine::{Fencing, StackName},
    program::{Input, NoEnd, run},
    reach::ReachKind,
    stacks::StepError,
};

/// Pause between two tries to take the lock.
const PACE: Duration = Duration::from_millis(20);

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "command",
    open,
    example: "cut_over = [\"./point\", \"{address}\"]",
    takes: &[ReachKind::Addresses],
    tables: &[("command front", "")],
    splits: false,
    // What users see then is up to the command that points it at nobody.
    pages: false,
};

/// Opens the driver; nothing is run.
pub fn open(table: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>> {
    let settings = Settings::read(table, written_in)?;
    Ok(Arc::new(CommandFront { settings, folder: folder.to_owned() }))
}

/// The driver.
pub struct CommandFront {
    settings: Settings,
    folder: PathBuf,
}

impl CommandFront {
    fn record(&self) -> Result<Record, StepError> {
        Record::read(&self.folder).map_err(|why| self.lost(&why))
    }

    fn keep(&self, record: &Record) -> Result<(), StepError> {
        record.write(&self.folder).map_err(|why| self.lost(&why))
    }

    fn lost(&self, why: &std::io::Error) -> StepError {
        StepError::Unavailable(format!("what the front was ordered is kept in {}: {why}", self.folder.display()))
    }

    /// Takes the lock of the front. A command that runs holds it too: a controller that was killed can leave one running.
    async fn lock(&self) -> Result<File, StepError> {
        let path = self.folder.join("lock");
        let file = File::options().create(true).append(true).read(true).open(path).map_err(|why| self.lost(&why))?;
        let mut pace = interval(PACE);
        let most = self.settings.timeout.as_millis() / PACE.as_millis() + 1;
        for _ in 0..most {
            pace.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(why)) => return Err(self.lost(&why)),
            }
        }
        Err(StepError::Unavailable("the command of an earlier order is still running".to_owned()))
    }

    /// What it says; an error when it does not end well, with whether it ever began.
    async fn run(&self, words: &[String], input: Input<'_>) -> Result<String, (StepError, bool)> {
        let Some((program, arguments)) = words.split_first() else {
            return Err((StepError::Refused("there is no command".to_owned()), false));
        };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.settings.folder);
        match run(&mut command, &SEEN, input, self.settings.timeout).await {
            Ok(ran) if ran.status == Some(0) => Ok(ran.out),
            Ok(ran) => Err((faults::bad_end(program, &ran), true)),
            Err(why) => Err((faults::no_end(program, &why), !matches!(why, NoEnd::NotStarted(_)))),
        }
    }

    /// Whether users are there already: no command has begun since they were sent there.
    async fn is_there(&self, record: &Record, route: &Route) -> Result<bool, StepError> {
        let Some(in_force) = &record.in_force else { return Ok(false) };
        let begun = record.accepted.as_ref().is_some_and(|accepted| accepted != in_force);
        if begun || in_force.target != route.target {
            return Ok(false);
        }
        match &self.settings.observe {
            Some(observe) => Ok(self.shows(observe, route.target.as_ref()).await?.is_ok()),
            None => Ok(true),
        }
    }

    fn words(&self, route: &Route) -> Result<Vec<String>, StepError> {
        match (&route.target, &self.settings.off) {
            (Some(target), _) => self.settings.cut_over.fill(target, route.generation).map_err(StepError::Refused),
            (None, Some(off)) => Ok(off.plain()),
            (None, None) => Err(StepError::Refused(
                "this front cannot be pointed at nobody: name a command for that as front.off".to_owned(),
            )),
        }
    }

    /// Whether `observe` shows the target, and if not, what it shows instead.
    async fn shows(&self, observe: &Words, target: Option<&Target>) -> Result<Result<(), String>, StepError> {
        let said = self.run(&observe.plain(), Input::Nothing).await.map_err(|(why, _)| why)?;
        let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned();
        let is = match target {
            Some(target) => is_at(&said, target.reach.addresses()),
            None => said.is_empty(),
        };
        Ok(if is { Ok(()) } else { Err(said) })
    }
}

/// Whether each address that was printed, `10.0.0.5` or `10.0.0.5:8080`, is one of these.
fn is_at(said: &str, addresses: &[SocketAddr]) -> bool {
    let known = |word: &str| addresses.iter().any(|at| word.parse() == Ok(*at) || word.parse() == Ok(at.ip()));
    !said.is_empty() && printed(said).all(known)
}

/// The addresses in a line, with commas or blanks between them.
fn printed(said: &str) -> impl Iterator<Item = &str> {
    said.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// The target as it would be at what the front shows: the same stack at another address is not that stack.
fn elsewhere(target: &Target, said: &str) -> Target {
    let port = target.reach.addresses().first().map_or(0, SocketAddr::port);
    let address = |word: &str| word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(|ip| (ip, port).into()));
    Target { stack: target.stack.clone(), reach: printed(said).filter_map(address).collect() }
}

#[async_trait::async_trait]
impl FrontDriver for CommandFront {
    /// There is nothing to prepare; the candidate is only remembered.
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        let _lock = self.lock().await?;
        let mut record = self.record()?;
        record.staged = Some(candidate.stack.clone());
        self.keep(&record)
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        let route = &route.without_hold();
        if route.split.is_some() {
            return Err(cannot_split(DRIVER.name));
        }
        if let Some(why) = route.flaw(DRIVER.takes) {
            return Err(StepError::Refused(why));
        }
        let lock = self.lock().await?;
        let mut record = self.record()?;
        if let Some(accepted) = &record.accepted {
            if accepted.generation > route.generation {
                return Ok(CutOver::Stale { applied: accepted.generation });
            }
            if accepted.generation == route.generation && !accepted.is_same_order(route) {
                let why = format!("generation {} was given to another order before", route.generation);
                return Err(StepError::Refused(why));
            }
        }
        if record.in_force.as_ref() == Some(route) {
            return Ok(CutOver::Applied);
        }
        if self.is_there(&record, route).await? {
            record.accepted = Some(route.clone());
            record.in_force = Some(route.clone());
            self.keep(&record)?;
            return Ok(CutOver::Applied);
        }
        let words = self.words(route)?;
        let before = record.accepted.replace(route.clone());
        self.keep(&record)?;
        if let Err((why, begun)) = self.run(&words, Input::File(lock)).await {
            if !begun {
                record.accepted = before;
                self.keep(&record)?;
            }
            return Err(why);
        }
        if let Some(observe) = &self.settings.observe
            && let Err(said) = self.shows(observe, route.target.as_ref()).await?
        {
            return Err(StepError::Unavailable(format!(
                "the front's command succeeded, but the front shows {:?}",
                crate::text::excerpt(&said)
            )));
        }
        let before = record.in_force.take().and_then(|before| before.target).map(|target| target.stack);
        if let Some(before) = before.filter(|before| route.target.as_ref().is_none_or(|t| t.stack != *before)) {
            record.before = Some(before);
        }
        record.in_force = Some(route.clone());
        self.keep(&record)?;
        Ok(CutOver::Applied)
    }

    async fn observe(&self) -> Result<Option<SeenFront>, StepError> {
        let record = self.record()?;
        let begun =
            record.accepted.filter(|accepted| record.in_force.as_ref().is_some_and(|r| r.is_same_order(accepted)));
        let Some(mut route) = record.in_force else {
            // A candidate is known before the first order.
            let route = Route::whole(crate::machine::Generation(0), None);
            return Ok(record.staged.map(|staged| SeenFront { staged: Some(staged), ..SeenFront::new(route) }));
        };
        let mut altered = false;
        if let Some(observe) = &self.settings.observe
            && let Err(said) = self.shows(observe, route.target.as_ref()).await?
        {
            // A command that was cut short may have brought the stack's new addresses in all the same.
            match begun.filter(|route| route.target.as_ref().is_some_and(|t| is_at(&said, t.reach.addresses()))) {
                Some(begun) => route = begun,
                None => {
                    altered = true;
                    route.target = route.target.map(|target| elsewhere(&target, &said));
                }
            }
        }
        // It is not known how many requests are open: that there are some cannot be ruled out.
        let open = record.before.into_iter().map(|stack| (stack, 1)).collect();
        Ok(Some(SeenFront { altered, staged: record.staged, open, ..SeenFront::new(route) }))
    }

    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        Ok(None)
    }

    /// What the program does elsewhere may go on when it is dead.
    fn does_not_count(&self) -> Option<&'static str> {
        Some("the commands of a front tell no counts")
    }

    fn fencing(&self) -> Fencing {
        Fencing::WaitOut(self.settings.timeout.into())
    }

    fn can_be_off(&self) -> bool {
        self.settings.off.is_some()
    }

    fn notes(&self) -> Vec<String> {
        let settings = &self.settings;
        let mut notes = vec![
            format!("cut over: runs {}", settings.cut_over),
            "nothing is staged: the front learns of a stack only at its cutover".to_owned(),
            "the cutover is as atomic as that command is, and it may be run again".to_owned(),
        ];
        notes.push(match &settings.observe {
            Some(observe) => format!("read back with {observe}"),
            None => "nothing is read back: Pointsman trusts the command, and does not notice changes by others; set front.observe"
                .to_owned(),
        });
        if settings.off.is_none() {
            let only = "a first deployment that fails leaves the traffic where it is: there is no command front.off";
            notes.push(only.to_owned());
        }
        notes.push("how many requests are open at a stack is not known: draining takes all of its time".to_owned());
        notes
    }

    fn call_limit(&self) -> Duration {
        self.settings.timeout * 3 + Duration::from_secs(1)
    }
}
