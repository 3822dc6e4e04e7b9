//! The surroundings of one environment: its provider, its front, its checks. It looks and it acts, but decides
//! nothing; every call has a limit and a name.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::OptionFuture;

use super::{
    board::{ASKING_THE_FRONT, Board, Counted, Ends, LISTING, Seen, StackSight},
    hooking::Hooks,
    promoting::Promotion,
    shared::{SharedStacks, within},
    source::Source,
    watching::known_as,
};
use crate::{
    checks::{self, Check, Checks, KnownAs, Subject},
    clock::Clock,
    hooks::Redactor,
    machine::{
        CheckAnswer, Condition, Effect, Environment, EnvironmentId, Fencing, FrontView, Generation, Health, Millis,
        Number, Observation, Phase, Rules, StackName, StackView, Traffic,
    },
    outgoing::Way,
    pipelines::{
        artifacts::Artifacts,
        frozen::{self, Frozen},
    },
    reach::Reach,
    secrets::Secrets,
    stacks::{SeenStack, StackSpec, StepError},
    telling,
    web_front::{FrontDriver, FrontTrouble, Route, SeenFront, Split, Target},
};

/// How old a listing that another environment asked for may be, while nothing is under way here.
const NEIGHBOURLY: Duration = Duration::from_secs(1);

/// Everything outside that one environment deals with.
pub struct World {
    /// Id of the environment.
    pub id: EnvironmentId,
    /// Its provider.
    pub stacks: Arc<SharedStacks>,
    /// Its front.
    pub front: Arc<dyn FrontDriver>,
    /// Where artifacts may lead.
    pub artifacts: Artifacts,
    /// Checks that a stack must pass.
    pub checks: Arc<Checks>,
    /// Hooks of the environment.
    pub hooks: Hooks,
    /// Stack definitions as they were when their releases were made.
    pub frozen: Frozen,
    /// What stacks are given that nobody else may see.
    pub secrets: Secrets,
    /// Where its releases have their definitions from, when those are in git.
    pub source: Option<Source>,
    /// How releases come here by themselves.
    pub promotion: Option<Promotion>,
    /// How often it is looked at when nothing is under way.
    pub watch: Duration,
    /// The file that says when earlier lives of the controller looked.
    pub lives: PathBuf,
    /// Board that people are shown.
    pub board: Board,
    /// The time.
    pub clock: Clock,
}

/// One look at all of it.
pub struct Look {
    /// Observation for the machine.
    pub observation: Observation,
    /// Where each stack serves.
    pub reach: HashMap<Number, Reach>,
    /// Stacks that the front shows as live or staged; `None`: it was not seen.
    pub(super) at_front: Option<Vec<Number>>,
    /// What the checks of the candidate answered, while they are waited for.
    pub(super) answers: Vec<CheckAnswer>,
}

/// What the checks have said so far of each stack.
pub(crate) type Verdicts = HashMap<Number, Verdict>;

/// What the checks have said so far of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) health: Health,
    pub(crate) remark: Option<String>,
    /// Where the stack was, when they said so.
    pub(crate) reach: Reach,
    /// Since when one of them has had no answer for longer than it may take: people are not shown what is that old. The
    /// machine, which counts only watched time, is.
    pub(crate) unanswered: Option<Millis>,
}

impl World {
    /// Looks at the provider and the front at the same time; asks the public address and probes a stack afresh where
    /// the next step needs it.
    ///
    /// With a mark of [`SharedStacks::mark`] from after the last event, a listing of somebody else's will do.
    pub(super) async fn look(
        &self,
        state: &Environment,
        mut verdicts: Verdicts,
        last_order: Millis,
        mark: Option<u64>,
    ) -> Look {
        let as_of = state.seq();
        let listing = async {
            match mark {
                Some(mark) => self.stacks.listing_since(mark, NEIGHBOURLY).await,
                None => self.stacks.listing().await,
            }
        };
        let (listing, front, definition, hooks) =
            tokio::join!(listing, self.see_front(), self.definition(state), self.see_hooks(state));
        self.note(LISTING, &listing);
        self.note(ASKING_THE_FRONT, &front);
        let now = self.clock.now();
        let seen = Seen {
            stacks: listing.as_ref().ok().map(|listing| Millis(now.0.saturating_sub(Millis::from(listing.age()).0))),
            front: front.is_ok().then_some(now),
        };
        let stacks = listing.ok().map(|listing| listing.of(&self.id));
        let reach: HashMap<Number, Reach> = stacks.iter().flatten().map(|s| (s.name.number, s.reach.clone())).collect();
        self.only_for(&reach, &mut verdicts);
        let made: HashMap<Number, Millis> =
            stacks.iter().flatten().filter_map(|s| Some((s.name.number, s.made?))).collect();
        let ends: HashMap<Number, Ends> =
            stacks.iter().flatten().filter_map(|s| Some((s.name.number, self.ends(s)?))).collect();
        let at_front = front.as_ref().ok().map(|seen| self.at_front(seen.as_ref()));
        let view = front.ok().map(|seen| self.front_view(seen.as_ref(), &reach));
        let asked = public_question(state, view.as_ref()).map(|number| self.ask_public(number));
        let probed = state
            .must_probe()
            .filter(|n| reach.contains_key(n))
            .map(|n| self.probe(n, state, &reach, at_front.as_deref()));
        let instances = self.see_instances(state, stacks.as_deref());
        let (public, probed, instances) =
            tokio::join!(OptionFuture::from(asked), OptionFuture::from(probed), instances);
        if let Some((number, result)) = probed {
            refresh(&mut verdicts, number, result);
        }
        let quiet = self.fencing().quiet(last_order, self.clock.now(), Rules::default());
        let judged = state.active().filter(|d| !d.phase.is_going_back());
        // How often parts of a stranger ended long before it was adopted says nothing of it now.
        let judged = judged.map(|d| d.number).filter(|number| !state.is_stranger(*number));
        let allowed = self.checks.restarts_allowed;
        let of_seen = |seen: SeenStack| {
            let ended = (judged == Some(seen.name.number)).then(|| ended_too_often(&seen, allowed)).flatten();
            let view = stack_view(seen, &verdicts, ended);
            let remark = view.remark.map(|said| self.without_secrets(&said, Some(view.number)).into());
            StackView { remark, ..view }
        };
        let stacks = stacks.map(|stacks| stacks.into_iter().map(of_seen).collect::<Vec<_>>());
        let public = public.flatten();
        let observation = Observation {
            as_of,
            stacks,
            front: view,
            public,
            definition,
            hooks,
            quiet,
            instances,
            ..Observation::default()
        };
        let sights = observation.stacks.iter().flatten().map(|stack| {
            let unanswered = verdicts.get(&stack.number).and_then(|verdict| verdict.unanswered);
            let (reach, made) = (reach.get(&stack.number), made.get(&stack.number).copied());
            let ends = ends.get(&stack.number).cloned();
            StackSight::new(stack, reach, made).with_ends(ends).without_answer_since(unanswered)
        });
        self.show(&observation, state.front_host(), seen, sights.collect());
        Look { observation, reach, at_front, answers: Vec::new() }
    }

    /// What checks said of other addresses says nothing good of a stack that is reached at new ones.
    fn only_for(&self, reach: &HashMap<Number, Reach>, verdicts: &mut Verdicts) {
        for (number, verdict) in verdicts.iter_mut().filter(|_| !self.checks.list.is_empty()) {
            let asked = verdict.reach.addresses();
            let now = reach.get(number).map(Reach::addresses);
            if verdict.health == Health::Passing && now.is_some_and(|now| now.iter().any(|at| !asked.contains(at))) {
                verdict.health = Health::Unknown;
            }
        }
    }

    /// Does one thing that is due. An error promises nothing; the next look tells.
    pub async fn perform(&self, effect: &Effect, state: &Environment, look: &Look) -> Result<(), StepError> {
        match effect {
            Effect::Freeze(number) => {
                let why = || format!("no repository is known to read the definition of deployment {number} from");
                let candidate = state.active().filter(|d| d.number == *number);
                let asked = candidate.zip(self.source.as_ref()).ok_or_else(|| StepError::Refused(why()))?;
                asked.1.fetch(asked.0).await
            }
            Effect::Ensure(number) => {
                let spec = self.spec(*number, state)?;
                let driver = self.stacks.driver();
                if spec.release.adopts.is_none() {
                    self.artifacts.still_harmless(&spec.release.artifact).map_err(StepError::Refused)?;
                }
                within(driver.call_limit(), driver.ensure(&spec)).await
            }
            Effect::RunHook { number, hook } => self.run_hook(*number, hook, state, &look.reach).await,
            Effect::Restart { number, instance, order } => {
                let driver = self.stacks.driver();
                within(driver.call_limit(), driver.restart(&self.name(*number), *instance, *order)).await
            }
            Effect::Stage(number) => {
                let target = self.target(*number, look)?;
                within(self.front.call_limit(), self.front.stage(&target)).await
            }
            Effect::CutOver { to, generation } => {
                self.order(Route { hold: holds(state), ..self.route(*to, *generation, look)? }).await?;
                if let Some(host) = self.front.place() {
                    tracing::info!(environment = %self.id, %generation, host, "cut over on {host}");
                }
                Ok(())
            }
            Effect::Refresh { to, generation } => {
                let route = self.route(*to, *generation, look)?;
                let targets = route.target.iter().chain(route.split.as_ref().map(|split| &split.target));
                let words: Vec<String> =
                    targets.map(|target| format!("{} at {}", target.stack, target.reach)).collect();
                let words = words.join(" and ");
                self.order(route).await?;
                tracing::info!(environment = %self.id, %generation, "{}: the front sends users to {words} now", self.id);
                Ok(())
            }
            Effect::Stop(permit) => {
                let driver = self.stacks.driver();
                within(driver.call_limit(), driver.stop(&self.name(permit.number()), permit)).await
            }
            Effect::Start(permit) => {
                let (spec, driver) = (self.spec(permit.number(), state)?, self.stacks.driver());
                within(driver.call_limit(), driver.start(&spec, permit)).await
            }
            Effect::Retire(permit) => {
                let driver = self.stacks.driver();
                within(driver.call_limit(), driver.retire(&self.name(permit.number()), permit)).await
            }
        }
    }

    /// Brings the front up where it is ours to run.
    pub async fn bring_front_up(&self) -> Result<(), StepError> {
        within(self.front.call_limit(), self.front.ensure_running()).await
    }

    /// Returns when something has happened to the front that is ours to see to.
    pub async fn front_changed(&self) {
        self.front.changed().await;
    }

    /// Whether a late order can overtake a newer one at this front.
    pub fn fencing(&self) -> Fencing {
        self.front.fencing()
    }

    /// What a program, an application or a provider said, without the secrets that are known: those of the pipeline, and those
    /// of that stack's own. Whatever of it is shown or recorded passes here.
    pub(super) fn without_secrets(&self, said: &str, of: Option<Number>) -> String {
        let own = of.map(|number| self.stacks.driver().hidden(&self.name(number))).unwrap_or_default();
        let preview = self.front.hidden();
        Redactor::of(self.secrets.hidden(&self.id.pipeline).iter().chain(&own).chain(&preview)).clean(said)
    }

    /// An error without them.
    pub(super) fn harmless(&self, why: StepError) -> StepError {
        match why {
            StepError::Refused(said) => StepError::Refused(self.without_secrets(&said, None)),
            StepError::Unavailable(said) => StepError::Unavailable(self.without_secrets(&said, None)),
        }
    }

    /// Notes how a step went, for people; only news reaches the log.
    pub fn note<T>(&self, step: &str, result: &Result<T, StepError>) {
        let now = self.clock.now();
        let result = result.as_ref().map_err(|why| self.without_secrets(&why.to_string(), None));
        self.board.update(&self.id, |sight| match &result {
            Ok(_) => sight.works(step),
            Err(why) => {
                if sight.fails(step, why, now) {
                    tracing::warn!(environment = %self.id, step, %why, "{}: {step} does not work: {why}", self.id);
                }
            }
        });
    }

    fn name(&self, number: Number) -> StackName {
        StackName { environment: self.id.clone(), number }
    }

    fn spec(&self, number: Number, state: &Environment) -> Result<StackSpec, StepError> {
        let unknown = || StepError::Refused(format!("no release is known for stack {number}"));
        let release = state.release_of(number).ok_or_else(unknown)?.clone();
        let definition = match &release.adopts {
            // Its definition is in git, and nobody knows at which commit: its output was named instead.
            Some(_) if release.definition.is_empty() => "".into(),
            _ => self.frozen.thaw(&release.definition).map_err(|e| thawing(&e))?,
        };
        // What is kept elsewhere may come back: it is asked again.
        let secrets = self.secrets.values(&self.id, &release);
        let secrets = secrets.map_err(|why| StepError::Unavailable(why.to_string()))?;
        let stranger = state.is_stranger(number);
        Ok(StackSpec { name: self.name(number), release, definition, secrets, stranger })
    }

    fn route(&self, to: Traffic, generation: Generation, look: &Look) -> Result<Route, StepError> {
        let target = to.base().map(|number| self.target(number, look)).transpose()?;
        let split = match to {
            Traffic::Split { candidate, share, .. } => Some(Split { target: self.target(candidate, look)?, share }),
            Traffic::Nobody | Traffic::Whole(_) => None,
        };
        Ok(Route { split, ..Route::whole(generation, target) })
    }

    fn target(&self, number: Number, look: &Look) -> Result<Target, StepError> {
        let reach = look.reach.get(&number).filter(|reach| !reach.is_empty());
        let none = || StepError::Unavailable(format!("stack {} has no endpoint yet", self.name(number)));
        Ok(Target { stack: self.name(number), reach: reach.ok_or_else(none)?.clone() })
    }

    /// How often parts of a stack ended by themselves, where its driver knows them.
    fn ends(&self, seen: &SeenStack) -> Option<Ends> {
        let last = || seen.last_exit.as_deref().map(|said| self.without_secrets(said, Some(seen.name.number)));
        (!seen.instances.is_empty()).then(|| Ends { count: seen.exits, last: last().filter(|_| seen.exits > 0) })
    }

    async fn probe(
        &self,
        number: Number,
        state: &Environment,
        reach: &HashMap<Number, Reach>,
        at_front: Option<&[Number]>,
    ) -> (Number, Result<(), String>) {
        let addresses = reach.get(&number).map(Reach::addresses).unwrap_or_default();
        // While the front does not say what it knows, nothing passes through it.
        let known = at_front.map_or(KnownAs::Expected, |at_front| {
            let candidate = state.active().filter(|d| d.phase.before_cutover()).map(|d| d.number);
            known_as(number, at_front, candidate)
        });
        let answer = match self.subject(number, state) {
            Some(subject) => self.probe_at(&subject, addresses, known).await,
            None => Err(format!("no release is known for stack {number}")),
        };
        (number, answer)
    }

    /// Asks every check of a stack once.
    pub(super) async fn probe_at(&self, subject: &Subject, at: &[SocketAddr], known: KnownAs) -> Result<(), String> {
        checks::probe_now(&self.checks, subject, at, known, |check| self.way_to(subject, check)).await
    }

    /// The way of a check through the front. Half of its time may go by before the front is reached: so it can be told from a
    /// stack that is slow.
    pub(super) fn way_to(&self, subject: &Subject, check: &Check) -> Result<Way, String> {
        self.front.way_to(&subject.stack, check.timeout / 2).map_err(|why| self.harmless(why).to_string())
    }

    /// The stacks of ours that the front can be asked for.
    fn at_front<'s>(&self, seen: Option<&'s SeenFront>) -> Vec<Number> {
        let split = |seen: &'s SeenFront| seen.route.split.iter().map(|split| &split.target);
        let routed = |seen: &'s SeenFront| seen.route.target.iter().chain(split(seen)).map(|target| &target.stack);
        let all = seen.into_iter().flat_map(|seen| routed(seen).chain(&seen.staged).chain(&seen.known));
        all.filter(|name| name.environment == self.id).map(|name| name.number).collect()
    }

    /// Returns the stack whose health is asked for.
    pub fn subject(&self, number: Number, state: &Environment) -> Option<Subject> {
        let version = state.release_of(number)?.version.to_string();
        Some(Subject { stack: self.name(number), version })
    }

    /// What is wrong with the front, where the last cutover was seen on that host.
    fn front_trouble(&self, before: Option<&Arc<str>>, now: Millis) -> Vec<FrontTrouble> {
        let moved = self.front.place().zip(before).filter(|(host, before)| **host != ***before);
        let moved = moved.map(|(host, before)| FrontTrouble::OtherHost { host, before: before.to_string() });
        self.front.trouble(now).into_iter().chain(moved).collect()
    }

    fn show(&self, seen: &Observation, front_host: Option<&Arc<str>>, at: Seen, stacks: Vec<StackSight>) {
        let now = self.clock.now();
        let trouble = self.front_trouble(front_host, now);
        let preview = self.front.shown_preview().map(Arc::new);
        let mut news = Vec::new();
        self.board.update(&self.id, |sight| {
            sight.looked = now;
            sight.seen.stacks = at.stacks.or(sight.seen.stacks);
            sight.seen.front = at.front.or(sight.seen.front);
            if seen.front.is_none() {
                sight.open.clear();
                sight.counted = Counted::Unknown;
            }
            sight.traffic = seen.front.as_ref().map(|front| front.traffic);
            news = sight.front_has(trouble, now);
            sight.preview = preview;
            if seen.stacks.is_some() {
                sight.stacks = stacks;
            }
        });
        for trouble in news {
            let said = telling::front(&trouble, now);
            tracing::warn!(environment = %self.id, "{}: {}: {}", self.id, said.step, said.why());
        }
    }
}

/// Whether users' requests wait while the front is pointed at nobody: a stop is short, and maintenance as its author said.
fn holds(state: &Environment) -> bool {
    match state.maintenance() {
        Some(maintenance) => maintenance.hold,
        None => state.is_paged(),
    }
}

/// A definition that cannot be read may be readable in a moment; one that is gone or is another one stays so.
fn thawing(error: &frozen::Error) -> StepError {
    match error {
        frozen::Error::Read { cause, .. } if cause.kind() != std::io::ErrorKind::NotFound => {
            StepError::Unavailable(error.to_string())
        }
        _ => StepError::Refused(error.to_string()),
    }
}

/// The public address is asked only when the front already shows the cutover that is under way.
pub(crate) fn public_question(state: &Environment, front: Option<&FrontView>) -> Option<Number> {
    let active = state.active()?;
    let cutting_over = matches!(active.phase, Phase::CuttingOver { share: None, .. });
    (cutting_over && front?.traffic == Traffic::Whole(active.number)).then_some(active.number)
}

/// A fresh look outweighs what was known, but neither is one bad answer the verdict of the checks, nor does one good
/// answer take back that they fail.
pub(crate) fn refresh(verdicts: &mut Verdicts, number: Number, fresh: Result<(), String>) {
    let known = verdicts.entry(number).or_default();
    match fresh {
        Ok(()) if known.health == Health::Failing => known.health = Health::Unknown,
        Ok(()) => *known = Verdict { health: Health::Passing, ..Verdict::default() },
        Err(why) if known.health == Health::Passing => {
            *known = Verdict { remark: Some(why), ..Verdict::default() };
        }
        Err(why) => known.remark = Some(why),
    }
}

/// Why a candidate is not well whatever its checks say: parts of it end by themselves. What its driver starts again between
/// two probes is down for users all the same.
fn ended_too_often(seen: &SeenStack, allowed: u64) -> Option<String> {
    if seen.exits <= allowed {
        return None;
    }
    let last = seen.last_exit.as_deref().unwrap_or("the provider does not say why");
    Some(match (seen.exits, allowed) {
        (1, _) => last.to_owned(),
        (times, 0) => format!("it ended {times} times; {last}"),
        (times, allowed) => format!("it ended {times} times ({allowed} allowed); {last}"),
    })
}

/// `ended`: why it counts as failing for what ended of it.
pub(crate) fn stack_view(seen: SeenStack, verdicts: &Verdicts, ended: Option<String>) -> StackView {
    let Verdict { health, remark, .. } = verdicts.get(&seen.name.number).cloned().unwrap_or_default();
    let health = if ended.is_some() { Health::Failing } else { health };
    // Of what is not whole, its provider knows more than a probe, which finds that nobody answers.
    let remark = match seen.condition {
        Condition::Ready => ended.or(remark).or(seen.remark),
        _ => ended.or(seen.remark).or(remark),
    };
    StackView {
        number: seen.name.number,
        condition: seen.condition,
        health,
        remark: remark.map(Into::into),
        obeyed: seen.obeyed,
    }
}
