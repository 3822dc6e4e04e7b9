//! The web front as an Application Load Balancer: the default action of a listener, or a rule, is repointed from one target group to
//! another. Candidates are reached by test rules that their stacks bring along.
//!
//! AWS compares no orders and shows none: what was ordered is kept here, and what is live is read before each change. A change is
//! known to every node of the load balancer only after a while, so whoever is torn down is waited out ([`Fencing::WaitOut`]).

mod actions;
mod change;
mod proof;
mod settings;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_sdk_elasticloadbalancingv2::types::Action;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::interval;

use self::{
    actions::{End, Wanted},
    settings::{LONGEST_PAGE, Place, Settings},
};
use super::{
    CutOver, Driver, FrontDriver, Route, SeenFront, Target,
    maintenance::{MediaType, TEXT, TITLE},
    record::Record,
};
use crate::{
    aws::{self, Account, Failure, Kind, TestRule, TestRules, Turn},
    clock::Stopwatch,
    machine::{Fencing, Generation, StackName},
    outgoing::{Mark, Way},
    reach::{Reach, ReachKind},
    stacks::StepError,
};

/// How often it is looked again where our own orders come between.
const TRIES: usize = 3;
/// Pause between two tries to take the lock.
const PACE: Duration = Duration::from_millis(20);

/// What others must know of the driver.
pub const DRIVER: Driver = Driver {
    name: "alb",
    open,
    example: "at = \"arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/ID/ID\"",
    takes: &[ReachKind::Named(aws::GROUP)],
    tables: &[("alb front", ""), ("alb public", "public")],
    splits: true,
    pages: true,
};

/// Opens the driver; nothing is asked.
pub fn open(table: &toml::Table, written_in: &Path, folder: &Path) -> Result<Arc<dyn FrontDriver>, Vec<String>> {
    let settings = Settings::read(table, written_in)?;
    page(&settings).map_err(|why| vec![why])?;
    let account = Account::of(settings.account.clone());
    Ok(Arc::new(Alb { settings, account, folder: folder.to_owned(), seen: Mutex::default() }))
}

/// The page that users get while nobody has them: the pipeline's own one, or ours.
fn page(settings: &Settings) -> Result<String, String> {
    let ours = || format!("<!doctype html><title>{TITLE}</title><h1>{TITLE}</h1><p>{TEXT}</p>\n");
    let text = settings.maintenance.own()?.map_or_else(ours, |own| own.text);
    if text.len() <= LONGEST_PAGE {
        return Ok(text);
    }
    Err(format!(
        "`front.maintenance.page` has {} bytes, and a load balancer answers with {LONGEST_PAGE} at most: make it shorter",
        text.len()
    ))
}

/// The driver.
struct Alb {
    settings: Settings,
    account: Arc<Account>,
    folder: PathBuf,
    seen: Mutex<Seen>,
}

/// What the last look saw.
#[derive(Default)]
struct Seen {
    /// What each place does.
    ends: Vec<Result<End, String>>,
    /// The test rules of stacks.
    rules: BTreeMap<StackName, TestRule>,
    /// Whose each test rule is, by its ARN; `None`: not ours. Tags of ours do not change.
    owners: HashMap<String, Option<StackName>>,
    /// When it was changed by us.
    changed: Option<(Generation, Stopwatch)>,
}

impl Alb {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> Result<Record, StepError> {
        Record::read(&self.folder).map_err(|why| self.lost(&why))
    }

    fn keep(&self, record: &Record) -> Result<(), StepError> {
        record.write(&self.folder).map_err(|why| self.lost(&why))
    }

    fn lost(&self, why: &std::io::Error) -> StepError {
        StepError::Unavailable(format!(
            "what the load balancer was ordered is kept in {}: {why}",
            self.folder.display()
        ))
    }

    /// Takes the lock of the front: one controller at a time orders.
    async fn lock(&self) -> Result<File, StepError> {
        let path = self.folder.join("lock");
        let file = File::options().create(true).append(true).read(true).open(path).map_err(|why| self.lost(&why))?;
        let mut pace = interval(PACE);
        let most = aws::CALL.as_millis() / PACE.as_millis();
        for _ in 0..most {
            pace.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(why)) => return Err(self.lost(&why)),
            }
        }
        Err(StepError::Unavailable("an earlier order is still under way".to_owned()))
    }

    /// Reads the test rules of the listener, and whose each is.
    async fn read_test_rules(&self, turn: Turn) -> Result<(), StepError> {
        let read = async {
            let rules = TestRules::read(&self.account.rules(&self.settings.listener, turn).await?).rules;
            let unknown: Vec<String> = {
                let owners = &mut self.seen().owners;
                owners.retain(|arn, _| rules.iter().any(|rule| rule.arn == *arn));
                rules.iter().map(|rule| rule.arn.clone()).filter(|arn| !owners.contains_key(arn)).collect()
            };
            let owners = self.account.owners(&unknown, turn).await?;
            let seen = &mut self.seen();
            seen.owners.extend(owners.into_iter().map(|(arn, owner)| (arn, owner.map(|owner| owner.stack))));
            let of_stack = |rule: TestRule| Some((seen.owners.get(&rule.arn)?.clone()?, rule));
            seen.rules = rules.into_iter().filter_map(of_stack).collect();
            Ok::<(), Failure>(())
        };
        read.await.map_err(|failure| failure.step("reading the test rules"))
    }

    /// What a place does now.
    async fn read(&self, place: &Place, turn: Turn) -> Result<Vec<Action>, StepError> {
        let doing = || format!("reading {}", place.words());
        let read = match place {
            Place::Listener(arn) => {
                let call = ("DescribeListeners", Kind::ElbLook, turn);
                let answer = self.account.elb(call, |elb| elb.describe_listeners().listener_arns(arn).send()).await;
                answer.map(|answer| answer.listeners().first().map(|found| found.default_actions().to_vec()))
            }
            Place::Rule(arn) => {
                let call = ("DescribeRules", Kind::ElbLook, turn);
                let answer = self.account.elb(call, |elb| elb.describe_rules().rule_arns(arn).send()).await;
                answer.map(|answer| answer.rules().first().map(|found| found.actions().to_vec()))
            }
        };
        let actions = read.map_err(|failure| failure.step(&doing()))?;
        actions.ok_or_else(|| StepError::Refused(format!("{}: AWS does not know it", doing())))
    }

    fn wanted(&self, route: &Route) -> Result<Wanted, StepError> {
        let end = End::wanted(route, &page(&self.settings).map_err(StepError::Unavailable)?)?;
        let media_type = match self.settings.maintenance.media_type() {
            MediaType::Html => "text/html",
            MediaType::Text => "text/plain",
            MediaType::Json => "application/json",
        };
        Ok(Wanted { end, sticky: self.settings.sticky, media_type })
    }

    /// What was ordered, and what each place does, both at one moment: an order may be carried out meanwhile.
    async fn look(&self) -> Result<(Record, Vec<Result<End, String>>), StepError> {
        for _ in 0..TRIES {
            let record = self.record()?;
            let mut ends = Vec::new();
            for place in &self.settings.at {
                ends.push(End::of(&self.read(place, Turn::Patient).await?));
            }
            if self.record()? == record {
                return Ok((record, ends));
            }
        }
        Err(StepError::Unavailable("it is being changed by our own orders; it is looked at again".to_owned()))
    }

    /// The order that is in force, and whether somebody else has changed what it set; none where it was never given one, and knows
    /// no candidate.
    fn route_in_force(
        &self,
        record: &Record,
        ends: &[Result<End, String>],
    ) -> Result<Option<(Route, bool)>, StepError> {
        let Some(in_force) = &record.in_force else {
            // An order that was cut short may be in force all the same. Else whoever is live there is not ours.
            let never = Route::whole(Generation(0), None);
            let Some(accepted) = &record.accepted else { return Ok(record.staged.as_ref().map(|_| (never, false))) };
            let wanted = self.wanted(accepted)?.end;
            let shown = ends.iter().all(|end| end.as_ref() == Ok(&wanted));
            return Ok(Some((if shown { accepted.clone() } else { never }, false)));
        };
        if record.untouched {
            return Ok(Some((in_force.clone(), false)));
        }
        let before = self.wanted(in_force)?.end;
        let begun = record.accepted.as_ref().map(|accepted| Ok::<_, StepError>((accepted, self.wanted(accepted)?.end)));
        let begun = begun.transpose()?;
        let is_begun = |end: &Result<End, String>| begun.as_ref().is_some_and(|(_, wanted)| end.as_ref() == Ok(wanted));
        if let Some((accepted, _)) = begun.as_ref().filter(|_| ends.iter().all(is_begun)) {
            return Ok(Some(((*accepted).clone(), false)));
        }
        // Of several places some may have been changed when an order was cut short: it is given again.
        let other = ends.iter().find(|end| end.as_ref() != Ok(&before) && !is_begun(end));
        Ok(Some(match other {
            None => (in_force.clone(), false),
            Some(other) => (Self::elsewhere(in_force, other), true),
        }))
    }

    /// What is shown of an order where the load balancer does something else.
    fn elsewhere(route: &Route, shown: &Result<End, String>) -> Route {
        let group = match shown {
            Ok(End::Groups(groups)) => groups.iter().max_by_key(|(_, weight)| *weight).map(|(arn, _)| arn.clone()),
            Ok(End::Answer { .. }) | Err(_) => None,
        };
        let named = |id: String| Reach::Named { kind: aws::GROUP.into(), id: id.into() };
        let target = match (&route.target, group) {
            (Some(target), Some(group)) => Some(Target { stack: target.stack.clone(), reach: named(group) }),
            (None, _) | (_, None) => None,
        };
        Route { target, split: None, ..route.clone() }
    }
}

/// What a place does, for people.
fn said(end: &Result<End, String>) -> String {
    match end {
        Ok(end) => end.words(),
        Err(what) => format!("ends with {what}"),
    }
}

#[async_trait::async_trait]
impl FrontDriver for Alb {
    async fn stage(&self, candidate: &Target) -> Result<(), StepError> {
        if let Some(why) = candidate.flaw(DRIVER.takes) {
            return Err(StepError::Refused(why));
        }
        self.read_test_rules(Turn::First).await?;
        let leads = |rule: &TestRule| matches!(&candidate.reach, Reach::Named { id, .. } if **id == *rule.group);
        let known = self.seen().rules.get(&candidate.stack).is_some_and(leads);
        if !known {
            return Err(StepError::Refused(format!(
                "no test rule of listener {} leads to {}: `target_group.listener` of its stack must be that listener",
                self.settings.listener, candidate.stack
            )));
        }
        let _lock = self.lock().await?;
        let mut record = self.record()?;
        record.staged = Some(candidate.stack.clone());
        self.keep(&record)
    }

    async fn cut_over(&self, route: &Route) -> Result<CutOver, StepError> {
        let route = &route.without_hold();
        if let Some(why) = route.flaw(DRIVER.takes) {
            return Err(StepError::Refused(why));
        }
        let _lock = self.lock().await?;
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
        let wanted = self.wanted(route)?;
        if record.accepted.is_none() || record.untouched {
            record.untouched = route.target.is_none();
            if record.untouched {
                // Going back from an order that was refused: its users never were ours.
                (record.accepted, record.in_force) = (Some(route.clone()), Some(route.clone()));
                return self.keep(&record).map(|()| CutOver::Applied);
            }
            self.may_begin().await?;
        } else {
            self.take_up(&mut record).await?;
        }
        record.accepted = Some(route.clone());
        self.keep(&record)?;
        self.apply(&wanted).await?;
        {
            let seen = &mut self.seen();
            seen.ends = self.settings.at.iter().map(|_| Ok(wanted.end.clone())).collect();
            let again = seen.changed.is_some_and(|(generation, _)| generation == route.generation);
            if !again {
                seen.changed = Some((route.generation, Stopwatch::start()));
            }
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
        let (record, ends) = self.look().await?;
        self.read_test_rules(Turn::Patient).await?;
        let known = {
            let seen = &mut self.seen();
            seen.ends.clone_from(&ends);
            seen.rules.keys().cloned().collect()
        };
        let Some((route, altered)) = self.route_in_force(&record, &ends)? else { return Ok(None) };
        // Who gets users is no candidate any more.
        let users = || route.target.iter().chain(route.split.as_ref().map(|split| &split.target));
        let staged = record.staged.filter(|staged| users().all(|target| target.stack != *staged));
        // How many requests are open is not known: that there are some cannot be ruled out.
        let open = record.before.into_iter().map(|stack| (stack, 1)).collect();
        Ok(Some(SeenFront { altered, staged, open, known, ..SeenFront::new(route) }))
    }

    /// Only a while after a change do all nodes go by it. Where the application says which stack it is, each node is asked.
    async fn ask_public(&self) -> Result<Option<StackName>, StepError> {
        if let Some(public) = &self.settings.public
            && let Some(header) = &public.stack_header
        {
            let record = self.record()?;
            // Of an order whose answer was lost it is not known whether it is in force.
            let orders: Vec<&Route> = record.accepted.iter().chain(&record.in_force).collect();
            return if orders.is_empty() { Ok(None) } else { proof::ask(public, header, &orders).await.map(Some) };
        }
        let changed = self.seen().changed;
        let waited = changed.map_or(self.settings.guard, |(_, since)| since.elapsed());
        if waited >= self.settings.guard {
            return Ok(None);
        }
        Err(StepError::Unavailable(format!(
            "waiting until every node of the load balancer goes by the change: {} of {} s",
            waited.as_secs(),
            self.settings.guard.as_secs()
        )))
    }

    fn cannot_lead(&self) -> Option<String> {
        match &self.settings.public {
            Some(_) => None,
            None => {
                Some("write `public = { url = \"https://...\" }` into `front`: the address that is asked".to_owned())
            }
        }
    }

    fn way_to(&self, stack: &StackName, connect: Duration) -> Result<Way, StepError> {
        let public = self.settings.public.as_ref();
        let public = public.ok_or_else(|| StepError::Refused("front.public is not set".to_owned()))?;
        let key = {
            let seen = self.seen();
            seen.rules.get(stack).map(|rule| rule.key.clone())
        };
        let key = key.ok_or_else(|| StepError::Unavailable(format!("no test rule is known that leads to {stack}")))?;
        let mut key = HeaderValue::try_from(key).map_err(|error| StepError::Refused(error.to_string()))?;
        key.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static(aws::HEADER), key)]);
        let client = proof::client(public, connect, public.nodes.first().copied())?;
        let nowhere = StatusCode::from_u16(aws::NOWHERE).map_err(|error| StepError::Refused(error.to_string()))?;
        let origin = public.url.origin().ascii_serialization();
        Ok(Way { client, origin, headers, mark: Mark::AllBut(nowhere) })
    }

    fn does_not_count(&self) -> Option<&'static str> {
        Some("a load balancer's counts are in CloudWatch, minutes later")
    }

    fn fencing(&self) -> Fencing {
        Fencing::WaitOut((self.settings.guard + aws::CALL).into())
    }

    fn notes(&self) -> Vec<String> {
        let settings = &self.settings;
        let places: Vec<_> = settings.at.iter().map(Place::words).collect();
        let mut notes = vec![
            format!("Application Load Balancer in {}: {}", self.account.shown(), places.join(" and ")),
            "cut over: one change of its last action, and all that stands before it stays".to_owned(),
        ];
        notes.push(
            match settings.public.as_ref().and_then(|public| public.stack_header.as_ref().map(|h| (public, h))) {
                Some((public, header)) => format!("asked at every node of {}, by the header {header}", public.url),
                None => format!("not proven at its nodes: {} s are waited after a change", settings.guard.as_secs()),
            },
        );
        notes.push("maintenance page: 503, without Retry-After, which a load balancer cannot say".to_owned());
        notes.push("how many requests are open at a stack is not known: draining takes all of its time".to_owned());
        notes
    }

    fn call_limit(&self) -> Duration {
        aws::CALL * 4
    }
}
