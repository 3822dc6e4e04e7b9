//! One list of all that is ours in a cluster, and how long it may be used: for all environments that have stacks there, so that
//! fifty of them that wait ask no more often than one. Must not judge what it lists.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use aws_sdk_ecs::types::{Service, ServiceField};
use aws_sdk_elasticloadbalancingv2::types::TargetHealthDescription;
use futures_util::future::{try_join, try_join_all};

use super::names;
use crate::{
    aws::{Account, Failure, Kind, Owner, Turn},
    clock::Stopwatch,
    machine::StackName,
    stacks::StepError,
};

/// The pause between two lists while something is under way: for each call that a list takes.
const CLOSE: Duration = Duration::from_millis(200);
/// The shortest of these pauses.
const SHORTEST: Duration = Duration::from_millis(400);
/// The pause while nothing is under way. What others do is noticed then.
const IDLE: Duration = Duration::from_secs(10);
/// How long an error is told to all who ask, before AWS is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Services that one answer describes (DescribeServices).
const TENS: usize = 10;

/// A cluster, as one installation sees it.
pub(super) struct Cluster {
    pub(super) account: Arc<Account>,
    pub(super) name: String,
    pub(super) installation: String,
    state: Mutex<State>,
    /// One list at a time.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    last: Option<Last>,
    failing: Option<(Stopwatch, String)>,
    /// Counts what we did.
    changes: u64,
    /// Whose each target group is, by its ARN; `None`: not ours. Tags of ours do not change.
    owners: HashMap<String, Option<Owner>>,
    /// Services that were there and may still be draining.
    known: BTreeSet<StackName>,
    /// Services all of whose tasks ran and were healthy, by their ARN.
    complete: BTreeSet<String>,
}

struct Last {
    changes: u64,
    at: Stopwatch,
    pause: Duration,
    listing: Arc<Listing>,
}

/// All of ours at one moment.
pub(super) type Listing = BTreeMap<StackName, Ours>;

/// What there is of a stack.
#[derive(Debug, Default, Clone)]
pub(super) struct Ours {
    /// Its service, unless it is gone for good.
    pub(super) service: Option<Service>,
    /// ARN of its target group.
    pub(super) group: Option<String>,
    /// Health of its targets, where all its tasks run.
    pub(super) targets: Option<Vec<TargetHealthDescription>>,
    /// Once all its tasks ran and were healthy.
    pub(super) complete: bool,
}

/// Clusters by account, name and installation. Held as long as an environment is.
type Known = HashMap<(usize, String, String), Weak<Cluster>>;
static CLUSTERS: Mutex<Option<Known>> = Mutex::new(None);

impl Cluster {
    /// The cluster of that name, which all environments of an installation share.
    pub(super) fn of(account: &Arc<Account>, name: &str, installation: &str) -> Arc<Self> {
        let mut known = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        known.retain(|_, cluster| cluster.strong_count() > 0);
        // The cluster keeps its account, so no other one can have its place.
        let key = (Arc::as_ptr(account).addr(), name.to_owned(), installation.to_owned());
        if let Some(cluster) = known.get(&key).and_then(Weak::upgrade) {
            return cluster;
        }
        let new = Arc::new(Self {
            account: account.clone(),
            name: name.to_owned(),
            installation: installation.to_owned(),
            state: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        });
        known.insert(key, Arc::downgrade(&new));
        new
    }

    /// Whose a thing of such a stack is.
    pub(super) fn owner(&self, stack: &StackName) -> Owner {
        let home = format!("ecs/{}", self.name);
        Owner { installation: self.installation.clone(), home, stack: stack.clone() }
    }

    fn is_ours(&self, owner: &Owner) -> bool {
        *owner == self.owner(&owner.stack)
    }

    /// We have changed something: what was listed before is old.
    pub(super) fn changed(&self) {
        self.state().changes += 1;
    }

    /// All of ours; as it was a moment ago, where nothing of our doing is missing in that.
    pub(super) async fn look(&self) -> Result<Arc<Listing>, StepError> {
        let _one = self.looking.lock().await;
        {
            let state = self.state();
            if let Some((_, why)) = state.failing.as_ref().filter(|(since, _)| since.elapsed() < RETRY) {
                return Err(StepError::Unavailable(why.clone()));
            }
            let fresh = |last: &&Last| last.changes == state.changes && last.at.elapsed() < last.pause;
            if let Some(last) = state.last.as_ref().filter(fresh) {
                return Ok(last.listing.clone());
            }
        }
        self.list(Turn::Patient).await
    }

    /// All of ours, now.
    pub(super) async fn look_now(&self) -> Result<Arc<Listing>, StepError> {
        let _one = self.looking.lock().await;
        self.list(Turn::First).await
    }

    /// How old the last list is.
    pub(super) fn age(&self) -> Duration {
        self.state().last.as_ref().map_or(Duration::ZERO, |last| last.at.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn list(&self, turn: Turn) -> Result<Arc<Listing>, StepError> {
        let (changes, at) = (self.state().changes, Stopwatch::start());
        let listed = self.all(turn).await.map_err(|failure| failure.step(&format!("cluster {}", self.name)));
        let state = &mut self.state();
        state.failing = listed.as_ref().err().map(|why| (Stopwatch::start(), why.to_string()));
        let (listing, calls) = listed?;
        let pause = if listing.values().any(Ours::is_under_way) { SHORTEST.max(CLOSE * calls) } else { IDLE };
        state.known = listing.iter().filter(|(_, ours)| ours.service.is_some()).map(|(name, _)| name.clone()).collect();
        let complete = listing.values().filter(|ours| ours.complete);
        state.complete = complete.filter_map(|ours| Some(ours.service.as_ref()?.service_arn()?.to_owned())).collect();
        let listing = Arc::new(listing);
        state.last = Some(Last { changes, at, pause, listing: listing.clone() });
        Ok(listing)
    }

    /// Lists all, and says how many calls that took.
    async fn all(&self, turn: Turn) -> Result<(Listing, u32), Failure> {
        let (mut names, groups) = try_join(self.services(turn), self.groups(turn)).await?;
        let mut listing = Listing::new();
        for (arn, owner) in groups {
            names.insert(names::service(&owner.stack));
            listing.entry(owner.stack).or_default().group = Some(arn);
        }
        names.extend(self.state().known.iter().map(names::service));
        let names: Vec<String> = names.into_iter().collect();
        let tens = names.chunks(TENS).map(|ten| self.describe(ten, turn));
        let mut calls = u32::try_from(names.len().div_ceil(TENS)).unwrap_or(u32::MAX).saturating_add(2);
        for service in try_join_all(tens).await?.into_iter().flatten() {
            let tags = service.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?)));
            let owner = Owner::read(tags).filter(|owner| self.is_ours(owner));
            if let Some(owner) = owner.filter(|_| service.status() != Some("INACTIVE")) {
                listing.entry(owner.stack).or_default().service = Some(service);
            }
        }
        let complete = self.state().complete.clone();
        let first = self.state().last.is_none();
        let mut asked = Vec::new();
        for (name, ours) in &mut listing {
            ours.complete = ours.is_complete(&complete, first);
            if let Some(group) = ours.to_be_asked() {
                asked.push((name.clone(), group));
            }
        }
        calls = calls.saturating_add(u32::try_from(asked.len()).unwrap_or(u32::MAX));
        let health = asked.iter().map(|(_, group)| self.health(group, turn));
        for ((name, _), targets) in asked.iter().zip(try_join_all(health).await?) {
            if let Some(ours) = listing.get_mut(name) {
                ours.complete |= ours.has_all_healthy(&targets);
                ours.targets = Some(targets);
            }
        }
        Ok((listing, calls))
    }

    /// Names of the services that may be ours.
    async fn services(&self, turn: Turn) -> Result<BTreeSet<String>, Failure> {
        let (mut names, mut next) = (BTreeSet::new(), None);
        loop {
            let ask = ("ListServices", Kind::EcsLook, turn);
            let answer = self
                .account
                .ecs(ask, |ecs| {
                    ecs.list_services().cluster(&self.name).max_results(100).set_next_token(next.take()).send()
                })
                .await?;
            let last = |arn: &String| arn.rsplit('/').next().map(str::to_owned);
            names.extend(answer.service_arns().iter().filter_map(last).filter(|n| n.starts_with(names::PREFIX)));
            next = answer.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(names);
            }
        }
    }

    async fn describe(&self, names: &[String], turn: Turn) -> Result<Vec<Service>, Failure> {
        let answer = self
            .account
            .ecs(("DescribeServices", Kind::EcsLook, turn), |ecs| {
                let ask = ecs.describe_services().cluster(&self.name).include(ServiceField::Tags);
                ask.set_services(Some(names.to_vec())).send()
            })
            .await?;
        Ok(answer.services.unwrap_or_else(Vec::new))
    }

    /// Target groups of ours, with whose each is.
    async fn groups(&self, turn: Turn) -> Result<Vec<(String, Owner)>, Failure> {
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let ask = ("DescribeTargetGroups", Kind::ElbLook, turn);
            let answer =
                self.account.elb(ask, |elb| elb.describe_target_groups().set_marker(next.take()).send()).await?;
            let may_be = answer
                .target_groups()
                .iter()
                .filter(|group| group.target_group_name().is_some_and(|name| name.starts_with(names::PREFIX)));
            found.extend(may_be.filter_map(|group| group.target_group_arn().map(str::to_owned)));
            next = answer.next_marker().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        let unknown: Vec<String> = {
            let state = &mut self.state();
            state.owners.retain(|arn, _| found.contains(arn));
            found.iter().filter(|arn| !state.owners.contains_key(*arn)).cloned().collect()
        };
        let owners = self.account.owners(&unknown, turn).await?;
        let ours = |owner: Option<Owner>| owner.filter(|owner| self.is_ours(owner));
        self.state().owners.extend(owners.into_iter().map(|(arn, owner)| (arn, ours(owner))));
        let state = self.state();
        let owned = found.into_iter().filter_map(|arn| Some((arn.clone(), state.owners.get(&arn)?.clone()?)));
        Ok(owned.collect())
    }

    async fn health(&self, group: &str, turn: Turn) -> Result<Vec<TargetHealthDescription>, Failure> {
        let ask = ("DescribeTargetHealth", Kind::ElbLook, turn);
        let answer = self.account.elb(ask, |elb| elb.describe_target_health().target_group_arn(group).send()).await;
        match answer {
            Ok(answer) => Ok(answer.target_health_descriptions.unwrap_or_else(Vec::new)),
            // It went meanwhile.
            Err(failure) if failure.code() == Some("TargetGroupNotFound") => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }
}
