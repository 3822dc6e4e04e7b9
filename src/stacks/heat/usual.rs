//! How long what is under way has been so, and how long stacks of an environment take as a rule: an aid for the pace. It
//! is kept in a file for each environment, and costs nothing but calls when it is lost.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    listing::{Listing, Ours},
    pace::{self, Usual},
};
use crate::{
    clock::Stopwatch,
    machine::{EnvironmentId, StackName},
};

/// Age from which it is asked what a stack waits for, where none like it was seen before.
const LONG: Duration = Duration::from_secs(120);

/// Waits that are under way.
#[derive(Default)]
pub(super) struct Waits {
    folder: PathBuf,
    /// The waits for stacks, by Heat's ids.
    stacks: HashMap<String, Wait>,
    /// When a stack was last begun or deleted by us.
    touched: HashMap<StackName, Stopwatch>,
    usual: BTreeMap<EnvironmentId, Option<Usual>>,
}

/// One of them.
struct Wait {
    environment: EnvironmentId,
    what: What,
    since: Stopwatch,
    /// How old it was then.
    before: Duration,
    /// How long it had been under way when it was last seen so.
    seen: Duration,
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Coming,
    Going,
    /// It is stopped or started again.
    Turning,
}

impl What {
    fn of(ours: &Ours) -> Option<Self> {
        match ours {
            _ if ours.is_coming() => Some(Self::Coming),
            _ if ours.is_going() => Some(Self::Going),
            _ if ours.is_turning() => Some(Self::Turning),
            _ => None,
        }
    }
}

impl Waits {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.join("usual"), ..Self::default() }
    }

    /// We have just begun or deleted this stack.
    pub(super) fn touched(&mut self, name: &StackName) {
        self.touched.insert(name.clone(), Stopwatch::start());
    }

    /// Takes note of a list that was asked for at that time.
    pub(super) fn saw(&mut self, listing: &Listing, at: Stopwatch) {
        let mut former = std::mem::take(&mut self.stacks);
        for ours in &listing.stacks {
            let wait = former.remove(&ours.id);
            if let Some(what) = What::of(ours) {
                let same = wait.filter(|wait| wait.what == what);
                let mut wait = same.unwrap_or_else(|| self.begin((ours, what), listing, at));
                wait.seen = wait.before + wait.since.until(at);
                self.stacks.insert(ours.id.clone(), wait);
            } else if let Some(wait) = wait.filter(|wait| wait.what == What::Coming && ours.status == "CREATE_COMPLETE")
            {
                self.learn(&wait, wait.before + wait.since.until(at));
            }
        }
        self.touched
            .retain(|name, touched| *touched > at || listing.stacks.iter().any(|ours| ours.tagged.name == *name));
    }

    fn begin(&self, (ours, what): (&Ours, What), listing: &Listing, at: Stopwatch) -> Wait {
        let name = &ours.tagged.name;
        // What was begun before we were here is as old as Heat says; of the rest we know it better.
        let (since, before) = match self.touched.get(name) {
            Some(touched) => (*touched, Duration::ZERO),
            None if what == What::Coming => (at, ours.age(listing.at)),
            None => (at, Duration::ZERO),
        };
        Wait { environment: name.environment.clone(), what, since, before, seen: Duration::ZERO }
    }

    /// The pause after the list of that time; none when nothing is under way. Everything that waits shares the list.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        let usual: Vec<_> = self.stacks.values().map(|wait| wait.environment.clone()).collect();
        let usual: Vec<_> = usual.into_iter().map(|environment| self.usual(&environment)).collect();
        let one = |(wait, usual): (&Wait, Option<Usual>)| match wait.what {
            What::Coming => pace::creating(wait.seen, usual),
            What::Going => pace::going(wait.seen),
            What::Turning => pace::turning(wait.seen),
        };
        self.stacks.values().zip(usual).map(one).min()
    }

    /// Returns the age from which a stack is late.
    pub(super) fn late(&mut self, name: &StackName) -> Duration {
        self.usual(&name.environment).map_or(LONG, |usual| usual.to + usual.to / 4 + LONG / 4)
    }

    /// How long stacks of an environment take.
    fn usual(&mut self, environment: &EnvironmentId) -> Option<Usual> {
        if let Some(known) = self.usual.get(environment) {
            return *known;
        }
        let read = fs::read_to_string(self.path(environment)).ok();
        let read = read.as_deref().and_then(parse);
        *self.usual.entry(environment.clone()).or_insert(read)
    }

    fn learn(&mut self, wait: &Wait, to: Duration) {
        let usual = Usual { from: wait.seen, to };
        self.usual.insert(wait.environment.clone(), Some(usual));
        let text = format!("{} {}\n", usual.from.as_millis(), usual.to.as_millis());
        let kept = fs::create_dir_all(&self.folder).and_then(|()| fs::write(self.path(&wait.environment), text));
        if let Err(error) = kept {
            tracing::debug!(%error, "how long stacks take cannot be kept");
        }
    }

    fn path(&self, environment: &EnvironmentId) -> PathBuf {
        self.folder.join(format!("{}.{}", environment.pipeline, environment.environment))
    }
}

fn parse(text: &str) -> Option<Usual> {
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok().map(Duration::from_millis));
    let usual = Usual { from: numbers.next()??, to: numbers.next()?? };
    (usual.from <= usual.to).then_some(usual)
}
