//! What people and webhooks may ask, and the answer: an event, or a refusal that says what to do instead. A command
//! only ever changes the journal (rule R22).

use std::{collections::BTreeMap, sync::Arc};

use super::{
    event::{Event, Outcome, Trigger},
    ids::{Key, Millis, Number},
    phase::Phase,
    refusal::{Refusal, refused},
    release::{Gate, GateName, Plan, Release},
    state::{Deployment, Environment},
};

/// Request of somebody, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Request of a person.
    pub what: Ask,
    /// Why, for the history; what cannot do without a reason carries its own.
    pub reason: Option<Arc<str>>,
}

/// Requests that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Make a release live.
    Deploy {
        /// What makes it the same if it is asked for again.
        key: Key,
        /// The sender's own count of its builds, where it has one.
        build_number: Option<u64>,
        /// Release to make live.
        release: ReleaseDraft,
        /// Under which terms.
        plan: Arc<Plan>,
        /// Reason why it is deployed.
        trigger: Trigger,
    },
    /// Open that gate of the deployment. A gate that opened by itself meanwhile must not open the next one.
    Approve(Number, GateName),
    /// Stop it before users see it.
    Abort(Number, Arc<str>),
    /// Put back what was live before this one.
    Rollback(Number, Arc<str>),
    /// Go on at once: skip the rest of the time for which it is watched.
    Proceed(Number),
    /// Keep the share of users that it has until somebody lets it go on.
    Pause(Number, Gate),
    /// Show users the maintenance page until somebody ends that; requests are held first, where that is wanted.
    BeginMaintenance {
        /// Hold requests for a while, where the front can.
        hold: bool,
        /// Reason, for people.
        reason: Arc<str>,
    },
    /// Give users what is live again.
    EndMaintenance,
    /// Stop automatic deployments.
    Hold(Arc<str>),
    /// Let them go on.
    Resume,
    /// Keep to one release.
    Pin(u32),
    /// Do not.
    Unpin,
    /// Ban a release.
    Veto(u32, Arc<str>),
    /// Do not.
    Unveto(u32),
    /// Count builds from the beginning.
    ResetBuilds(Arc<str>),
    /// End a stack of ours that is not in the journal.
    DismissStranger(Number, Arc<str>),
    /// Make a stack of ours that is not in the journal live, as it is.
    AdoptStranger {
        /// The number that it carries.
        number: Number,
        /// What makes it the same if it is asked for again.
        key: Key,
        /// What it was made from; its number is given when it is accepted.
        release: Release,
        /// Under which terms.
        plan: Arc<Plan>,
    },
    /// Start what is live again, one instance after the other, or only one of them.
    Restart {
        /// The deployment that is live.
        number: Number,
        /// The only instance that is meant.
        instance: Option<u32>,
        /// The time, of which the number of the order is made.
        at: Millis,
    },
}

impl Ask {
    /// Makes a command of it, for that reason if there is one.
    pub fn because(self, reason: Option<Arc<str>>) -> Command {
        Command { what: self, reason }
    }
}

impl From<Ask> for Command {
    fn from(what: Ask) -> Self {
        what.because(None)
    }
}

/// Release to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseDraft {
    /// A new release; its number is given when it is accepted.
    New(Release),
    /// A release that exists, numbered elsewhere or before.
    Existing(Arc<Release>),
}

/// What becomes of users whose front cannot be pointed at nobody.
pub(super) const STAYS_ON: &str = "the front cannot be pointed at nobody, so traffic stays where it is";

impl Environment {
    /// Answers a command.
    pub fn command(&self, command: &Command, by: &str) -> Result<Event, Refusal> {
        self.command_above(0, command, by)
    }

    /// The same, where the pipeline's other environments have releases up to the number `floor`: a new one is numbered
    /// higher, so that one number means one release wherever it goes.
    pub fn command_above(&self, floor: u32, command: &Command, by: &str) -> Result<Event, Refusal> {
        let reason = command.reason.as_ref();
        match &command.what {
            Ask::Deploy { key, build_number, release, plan, trigger } => {
                let last = self.last_release.max(floor);
                self.accept((*key, *build_number), (release, last), plan, *trigger, reason)
            }
            Ask::Approve(number, gate) => self.approve_command(*number, *gate, by, reason),
            Ask::Abort(number, reason) => self.abort(*number, reason),
            Ask::Rollback(number, reason) => self.rollback(*number, reason),
            Ask::Proceed(number) => self.proceed(*number, by, reason),
            Ask::Pause(number, gate) => self.pause(*number, gate, reason),
            Ask::BeginMaintenance { hold, reason } => self.begin_maintenance(*hold, reason),
            Ask::EndMaintenance => self.end_maintenance(reason),
            Ask::Hold(reason) => Ok(Event::Held { reason: reason.clone() }),
            Ask::Resume if self.hold.is_none() => Err(Refusal::Already("nothing is held")),
            Ask::Resume => Ok(Event::Resumed { reason: reason.cloned() }),
            Ask::Pin(release) => Ok(Event::Pinned { release: *release, reason: reason.cloned() }),
            Ask::Unpin if self.pin.is_none() => Err(Refusal::Already("nothing is pinned")),
            Ask::Unpin => Ok(Event::Unpinned { reason: reason.cloned() }),
            Ask::Veto(release, reason) => Ok(Event::Vetoed { release: *release, reason: reason.clone() }),
            Ask::ResetBuilds(_) if self.last_build_number.is_none() && self.counted_builds.is_empty() => {
                Err(Refusal::Already("no build with a number was accepted here, so there is nothing to reset"))
            }
            Ask::ResetBuilds(reason) => Ok(Event::BuildsReset { reason: reason.clone() }),
            Ask::DismissStranger(number, reason) => self.dismiss_stranger(*number, reason),
            Ask::AdoptStranger { number, key, release, plan } => {
                self.adopt_stranger(*number, *key, (release, self.last_release.max(floor)), plan, reason)
            }
            Ask::Restart { number, instance, at } => self.restart_command((*number, *instance, *at), reason),
            Ask::Unveto(release) if !self.vetoes.iter().any(|v| v.release == *release) => {
                Err(Refusal::Already("that release is not vetoed"))
            }
            Ask::Unveto(release) => Ok(Event::Unvetoed { release: *release, reason: reason.cloned() }),
        }
    }

    fn accept(
        &self,
        (key, build_number): (Key, Option<u64>),
        (release, last_release): (&ReleaseDraft, u32),
        plan: &Arc<Plan>,
        trigger: Trigger,
        reason: Option<&Arc<str>>,
    ) -> Result<Event, Refusal> {
        self.asked_before(key)?;
        if let Some(number) = self.same_build(build_number, trigger).filter(|_| self.rules.one_build_by_hand()) {
            return Err(Refusal::Duplicate(number));
        }
        if let (Some(build_number), Some(newest)) = (build_number, self.newest_build())
            && build_number < newest
        {
            return Err(Refusal::Stale { build_number, newest });
        }
        let is_new = matches!(release, ReleaseDraft::New(_));
        let release = match release {
            ReleaseDraft::New(draft) => Arc::new(Release { number: last_release + 1, ..draft.clone() }),
            ReleaseDraft::Existing(release) => release.clone(),
        };
        let plan = in_order(self.adoptable(&release, is_new, plan)?);
        if let Some(vetoed) = self.vetoed(release.number) {
            return Err(vetoed);
        }
        let number = self.last_number.next();
        Ok(Event::Accepted {
            number,
            key,
            build_number,
            release,
            plan,
            trigger,
            reason: reason.cloned(),
            stranger: false,
        })
    }

    /// Refuses what was granted before under this key (rule R3).
    pub(super) fn asked_before(&self, key: Key) -> Result<(), Refusal> {
        let known = self.keys.iter().rev().find(|(k, _)| k.same_name(key)).filter(|_| self.rules.one_for_each_key());
        match known {
            Some((known, number)) if *known == key => Err(Refusal::Duplicate(*number)),
            Some((_, number)) => Err(Refusal::OtherContent(*number)),
            None => Ok(()),
        }
    }

    pub(super) fn vetoed(&self, release: u32) -> Option<Refusal> {
        let veto = self.vetoes.iter().find(|v| v.release == release)?;
        Some(Refusal::Vetoed(veto.release, veto.reason.clone()))
    }

    /// Why a deployment that is before its cutover must not come to it (rule R30).
    pub(super) fn banned(&self, d: &Deployment) -> Option<Refusal> {
        (d.phase.before_cutover() && self.rules.veto_stops()).then(|| self.vetoed(d.release.number)).flatten()
    }

    pub(super) fn find(&self, number: Number) -> Result<&Deployment, Refusal> {
        let number =
            if self.rules.named_deployment() { number } else { self.active.as_ref().map_or(number, |d| d.number) };
        let found = self.active.iter().chain(&self.queue).find(|d| d.number == number);
        found.ok_or_else(|| Refusal::NotUnderWay { number, ended: self.deployment_state(number).map(|(s, _)| s) })
    }

    fn approve_command(
        &self,
        number: Number,
        gate: GateName,
        by: &str,
        reason: Option<&Arc<str>>,
    ) -> Result<Event, Refusal> {
        let deployment = self.find(number)?;
        if let Some(question) = deployment.question() {
            self.may_answer(deployment, question, by)?;
        }
        if let Some(vetoed) = self.banned(deployment) {
            return Err(vetoed);
        }
        match deployment.gate() {
            Some(at) if at == gate || !self.rules.named_deployment() => {
                Ok(Event::Approved { number: deployment.number, reason: reason.cloned() })
            }
            Some(_) => Err(refused(deployment, "it waits at another gate than the one named; look again")),
            None => Err(refused(deployment, "it does not wait for an approval")),
        }
    }

    /// Refuses who may not answer a question about a deployment.
    pub(super) fn may_answer(&self, deployment: &Deployment, question: &Gate, by: &str) -> Result<(), Refusal> {
        if !self.rules.named_approvers() {
            return Ok(());
        }
        if !question.by.is_empty() && !question.by.iter().any(|name| is_named(name, by)) {
            return Err(Refusal::NotTheirs { by: by.into(), may: question.by.join(", ") });
        }
        if question.not_the_asker && may_be_same(&deployment.asked_by, by) {
            return Err(Refusal::SelfApproval(by.into()));
        }
        Ok(())
    }

    fn abort(&self, number: Number, reason: &Arc<str>) -> Result<Event, Refusal> {
        let deployment = self.find(number)?;
        let event = self.with_what_was_stopped(deployment, self.stop(deployment, reason)?, None);
        Ok(self.with_what_is_left(deployment, deployment.with_what_stays(event)))
    }

    fn stop(&self, deployment: &Deployment, reason: &Arc<str>) -> Result<Event, Refusal> {
        let (number, reason) = (deployment.number, reason.clone());
        let outcome = Outcome::Aborted;
        match &deployment.phase {
            // Whether the order arrived cannot be known by looking (rule R8).
            Phase::CuttingOver { held: Some(_), .. } | Phase::Watching { .. } => {
                Ok(Event::RevertRequested { number, outcome, reason })
            }
            // A person's second word counts more than the health of what users go back to.
            Phase::RevertRequested { outcome, .. } if deployment.operator_needed => {
                let outcome = *outcome;
                let (to, generation) = (self.live.as_ref().map(|s| s.number), self.generation.next());
                Ok(Event::RevertOrdered { number, to, generation, outcome, reason })
            }
            Phase::Paging { back: None, .. } | Phase::Stopping { back: None, .. } => {
                Ok(self.way_back(deployment, outcome, &reason, None))
            }
            Phase::CuttingOver { .. } if self.goes_back_to_stopped(deployment) => {
                Ok(self.way_back(deployment, outcome, &reason, None))
            }
            Phase::CuttingOver { .. } if self.rules.revert_in_doubt() && !self.ends_in_doubt(deployment) => {
                let (to, generation) = (self.live.as_ref().map(|s| s.number), self.generation.next());
                Ok(Event::RevertOrdered { number, to, generation, outcome, reason })
            }
            Phase::CuttingOver { .. } if self.stays_on(deployment) => {
                let reason = format!("{reason}; {STAYS_ON}").into();
                Ok(Event::Ended { number, outcome, reason })
            }
            Phase::CuttingOver { .. } => Ok(Event::Ended { number, outcome, reason }),
            _ if self.may_give_up(deployment) => Ok(Event::Ended { number, outcome, reason }),
            Phase::Baking => Err(refused(deployment, "it is live; roll it back instead")),
            Phase::RollbackRequested { .. }
            | Phase::RevertRequested { .. }
            | Phase::Paging { .. }
            | Phase::Stopping { .. }
            | Phase::Starting { .. }
            | Phase::Reverting { .. } => Err(refused(deployment, "it is going back already")),
            Phase::Queued
            | Phase::AwaitingStart
            | Phase::Provisioning
            | Phase::Checking
            | Phase::AfterChecks
            | Phase::AwaitingCutover
            | Phase::Verifying => Ok(Event::Ended { number, outcome, reason }),
        }
    }

    /// Whether a way back is stuck and a person was called, so that a person may give it up (rule R51). What is live then stays
    /// live, and the front is still to be pointed at it.
    pub(super) fn may_give_up(&self, d: &Deployment) -> bool {
        // Until it was stopped, nothing else may run in its place: nobody's word changes that.
        let runs = matches!(d.phase, Phase::Paging { .. } | Phase::Stopping { .. });
        !runs && d.phase.is_going_back() && d.operator_needed && self.rules.give_up_stuck()
    }

    fn rollback(&self, number: Number, reason: &Arc<str>) -> Result<Event, Refusal> {
        if let Some(event) = self.rollback_of_a_share(number, reason) {
            return Ok(event);
        }
        let live = self.live.as_ref().ok_or(Refusal::NotLive { number, live: None })?;
        if live.number != number && self.rules.named_deployment() {
            return Err(Refusal::NotLive { number, live: Some(live.number) });
        }
        let number = live.number;
        if let Some(active) = &self.active {
            match active.phase {
                _ if self.is_paged() && !active.phase.is_going_back() => {
                    return Err(refused(
                        active,
                        "abort it: that starts the live stack again and sends users back to it",
                    ));
                }
                Phase::Queued
                | Phase::AwaitingStart
                | Phase::Provisioning
                | Phase::Checking
                | Phase::AfterChecks
                | Phase::AwaitingCutover
                | Phase::Verifying
                | Phase::Baking => {}
                Phase::CuttingOver { .. } | Phase::Watching { .. } | Phase::Paging { back: None, .. } => {
                    return Err(refused(
                        active,
                        "abort it: that gives all users back to what is live, which can be rolled back then",
                    ));
                }
                Phase::RollbackRequested { .. }
                | Phase::RevertRequested { .. }
                | Phase::Paging { .. }
                | Phase::Stopping { .. }
                | Phase::Starting { .. }
                | Phase::Reverting { .. } => return Err(refused(active, "it is going back already")),
            }
        }
        if self.standby.is_some() {
            return Ok(Event::RollbackRequested { number, reason: reason.clone() });
        }
        self.cold_rollback(number, reason).ok_or(Refusal::NothingToGoBackTo)
    }

    /// Brings back, by a new deployment, the last release that was found good before the live one. One that is already
    /// on its way is enough.
    pub(super) fn cold_rollback(&self, number: Number, reason: &Arc<str>) -> Option<Event> {
        let live = self.live.as_ref()?.release.number;
        if self.queue.iter().any(|d| d.trigger == Trigger::Rollback) {
            return None;
        }
        let (release, plan) = self.proven.iter().rev().find(|(r, _)| r.number != live)?.clone();
        Some(Event::ColdRollbackQueued { number, by: self.last_number.next(), release, plan, reason: reason.clone() })
    }
}

impl Release {
    /// Whether people call it so: by its version, or by its number.
    pub fn is_called(&self, name: &str) -> bool {
        *self.version == *name || self.number.to_string() == name
    }

    /// A release that only has a version, for drafts and tests; the rest is filled in by whoever knows it.
    pub fn draft(version: &str) -> Self {
        Self {
            number: 0,
            version: version.into(),
            artifact: "".into(),
            commit: None,
            definition: "".into(),
            source: None,
            parameters: BTreeMap::new(),
            given: BTreeMap::new(),
            secrets: BTreeMap::new(),
            link: None,
            adopts: None,
        }
    }
}

/// Whether somebody is the one who is named. An account of a provider is the same whatever it is called; nobody else is named by
/// a name that is like theirs.
fn is_named(name: &str, by: &str) -> bool {
    name == by || account(name).zip(account(by)).is_some_and(|((_, named), (_, mark))| named == mark)
}

/// Whether both may be one person. Somebody who works on the controller's own host is nobody else there, and who has an account
/// of a provider and a user of the same name may well be one person with two doors.
fn may_be_same(one: &str, other: &str) -> bool {
    match (account(one), account(other)) {
        (Some((_, one)), Some((_, other))) => one == other,
        (one_account, other_account) => {
            let name = |by, account: Option<(_, _)>| account.map_or(person(by), |(name, _)| name);
            name(one, one_account) == name(other, other_account)
        }
    }
}

/// The name and the mark of an account that a provider vouches for: `oidc:NAME#MARK`.
fn account(by: &str) -> Option<(&str, &str)> {
    by.strip_prefix("oidc:")?.rsplit_once('#')
}

fn person(by: &str) -> &str {
    by.strip_prefix("local:").unwrap_or(by)
}

/// Its hooks by point, however they were handed over.
pub(super) fn in_order(mut plan: Arc<Plan>) -> Arc<Plan> {
    if !plan.hooks.is_sorted_by_key(|hook| hook.at) {
        Arc::make_mut(&mut plan).hooks.sort_by_key(|hook| hook.at);
    }
    plan
}
