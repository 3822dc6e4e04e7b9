//! `simulate`: a deployment rehearsed on virtual time, told as `--watch` tells one. Must not reach anything but the files of this
//! host.

use std::{process::ExitCode, sync::Arc};

use serde_json::{Value, json};

use super::{
    check::{self, described, good},
    preview::front,
    rail::{Lines, exit_code},
    screen::{harmless, say},
};
use crate::{
    clock::Stopwatch,
    machine::{
        DeploymentState, Entry, EnvironmentId, Fencing, Millis, Trigger,
        model::{self, Moved},
    },
    pipelines::{DefinitionSource, DeployOn, EnvironmentDefinition},
    rehearsal::{
        Answers, BEGIN, Broken, Exploration, Failing, Limits, Moment, Rehearsed, Silence, Story, Terms, World, explore,
        rehearse,
    },
    telling::{about, deployment_of, moved, named},
    text::format_duration,
    units::parse_duration,
};

/// What the exit code says when a deployment would not end by itself.
const ENDLESS: u8 = 124;

/// A told story.
#[derive(clap::Args)]
pub struct Told {
    /// How long the new stack takes to come up
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = |t: &str| parse_duration(t))]
    slow_start: Millis,
    /// When the checks of the new stack begin to fail
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t))]
    check_fails_at: Option<Millis>,
    /// How long they fail [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t), requires = "check_fails_at")]
    check_fails_for: Option<Millis>,
    /// How long the front does not answer
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t))]
    front_silent_for: Option<Millis>,
    /// When it stops answering [default: when it is told to move users]
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t), requires = "front_silent_for")]
    front_silent_at: Option<Millis>,
    /// When the new stack dies
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t))]
    dies_at: Option<Millis>,
    /// When the stack dies that is live at the beginning
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t), conflicts_with = "first")]
    live_dies_at: Option<Millis>,
    /// Nobody approves, proceeds, or sees to anything
    #[arg(long, conflicts_with = "answers_after")]
    nobody_answers: bool,
    /// How long people take to answer what they are asked
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = |t: &str| parse_duration(t))]
    answers_after: Millis,
    /// When a person aborts the deployment
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t))]
    abort_at: Option<Millis>,
    /// When a person rolls it back
    #[arg(long, value_name = "TIME", value_parser = |t: &str| parse_duration(t))]
    rollback_at: Option<Millis>,
    /// Nothing is live before
    #[arg(long)]
    first: bool,
    /// Tell no story: try all that may go wrong, and say whether a promise can break
    #[arg(long, conflicts_with_all = STORY)]
    explore: bool,
    /// The most states to explore of one world
    #[arg(long, value_name = "STATES", default_value_t = 2_000_000, requires = "explore")]
    most: usize,
    /// How long exploring may take
    #[arg(long, value_name = "TIME", default_value = "50s", value_parser = |t: &str| parse_duration(t), requires = "explore")]
    within: Millis,
}

/// The flags of a story.
const STORY: [&str; 12] = [
    "slow_start",
    "check_fails_at",
    "check_fails_for",
    "front_silent_for",
    "front_silent_at",
    "dies_at",
    "live_dies_at",
    "nobody_answers",
    "answers_after",
    "abort_at",
    "rollback_at",
    "first",
];

/// The most states that are held at once: some hundred megabytes.
const HELD: usize = 500_000;

impl Told {
    fn story(&self) -> Story {
        let silence = |length| Silence { at: self.front_silent_at, length };
        Story {
            first: self.first,
            start: self.slow_start,
            failing: self.check_fails_at.map(|at| Failing { at, length: self.check_fails_for }),
            silence: self.front_silent_for.map(silence),
            dies: self.dies_at,
            live_dies: self.live_dies_at,
            answers: if self.nobody_answers { Answers::Never } else { Answers::After(self.answers_after) },
            abort: self.abort_at,
            rollback: self.rollback_at,
        }
    }
}

/// What a rehearsal takes of an environment.
fn terms(environment: &EnvironmentDefinition) -> anyhow::Result<Terms> {
    let front = front(environment);
    let fencing = front.map(|front| front.fencing()).ok_or_else(|| {
        anyhow::anyhow!("the front of {} cannot be opened: `pointsman check` says why", environment.id)
    })?;
    let source = match &environment.stack.definition {
        DefinitionSource::File(_) => None,
        DefinitionSource::Git(path) => Some(path.clone()),
    };
    let trigger = match environment.deploy {
        DeployOn::Build => Trigger::Build,
        DeployOn::Promotion => Trigger::Person,
    };
    let (id, plan, checks) = (environment.id.clone(), environment.plan.clone(), Arc::new(environment.checks.clone()));
    Ok(Terms { id, plan, checks, fencing, source, trigger })
}

/// Plays a story, and tells it.
pub fn simulate(args: &check::Args, id: &EnvironmentId, told: &Told) -> anyhow::Result<ExitCode> {
    let (_, pipelines) = good(args)?;
    let (_, environment) = described(&pipelines, id)?;
    if told.explore {
        return explored(args, environment, told);
    }
    let played = rehearse(&terms(environment)?, &told.story())?;
    let state = played.state.to_string();
    let code = exit_code(&state).filter(|_| played.state.is_final()).unwrap_or(ENDLESS);
    if args.json {
        say(as_json(id, &played));
    } else {
        show(id, &played);
    }
    Ok(ExitCode::from(code))
}

/// Tells it as `--watch` does, and what comes after the end.
fn show(id: &EnvironmentId, played: &Rehearsed) {
    let deployment = format!("{id}/{}", played.number);
    say(format!("{id}: rehearsed on virtual time from T on, when the deployment is asked for; nothing was deployed"));
    let mut lines = Lines::default();
    let last = played.moments.len().saturating_sub(1);
    for (place, (at, moment)) in played.moments.iter().enumerate() {
        let since = at.since(BEGIN);
        match moment {
            Moment::Record(entry) => {
                let (event, words) = in_words(entry, played);
                let (kind, _) = named(&entry.event);
                lines.record(&deployment, since.0, (&kind, &event, &words)).iter().for_each(say);
            }
            Moment::Turn(text) => {
                let told = format!("T+{}: {text}", format_duration(since));
                Lines::between(&harmless(&told)).iter().for_each(say);
            }
            Moment::Waits(text) => Lines::between(&harmless(text)).iter().for_each(say),
            Moment::Ended(state, why) => {
                say(lines.end(&deployment, &state.to_string(), why.as_deref()));
                if place < last {
                    say("afterwards");
                }
            }
        }
    }
    let end = format_duration(played.end.since(BEGIN));
    if !played.state.is_final() {
        say(format!("{deployment} is {} and would not end by itself: the story ends at T+{end}", shown(played.state)));
    }
    say(format!("at T+{end}: {}", harmless(&played.users)));
}

fn shown(state: DeploymentState) -> String {
    state.to_string().replace('_', " ")
}

/// A record, and its words: of another deployment with its number.
fn in_words(entry: &Entry, played: &Rehearsed) -> (Value, String) {
    let event = json!(entry.event);
    let words = about(&event);
    let of = deployment_of(&entry.event);
    let other = of.filter(|number| *number != played.number && event["by"] != json!(played.number));
    match other {
        Some(number) if words.is_empty() => (event, format!("stack {number}")),
        Some(number) => (event, format!("stack {number}: {words}")),
        None => (event, words),
    }
}

fn as_json(id: &EnvironmentId, played: &Rehearsed) -> Value {
    let moment = |(at, moment): &(Millis, Moment)| {
        let after = at.since(BEGIN);
        match moment {
            Moment::Record(Entry { by, event, .. }) => json!({ "after": after, "by": by, "event": event }),
            Moment::Turn(text) => json!({ "after": after, "story": text }),
            Moment::Waits(text) => json!({ "after": after, "waits": text }),
            Moment::Ended(state, reason) => json!({ "after": after, "state": state, "reason": reason }),
        }
    };
    json!({
        "deployment": format!("{id}/{}", played.number),
        "moments": played.moments.iter().map(moment).collect::<Vec<_>>(),
        "state": played.state,
        "users": played.users,
        "after": played.end.since(BEGIN),
    })
}

/// Tries all that the model knows to go wrong on the environment's terms.
fn explored(args: &check::Args, environment: &EnvironmentDefinition, told: &Told) -> anyhow::Result<ExitCode> {
    let Terms { id, plan, fencing, source, checks, .. } = terms(environment)?;
    let terms = model::Terms {
        plan,
        fenced: fencing == Fencing::CompareAndSet,
        from_git: source.is_some(),
        checked: !checks.list.is_empty(),
        adopts: environment.stack.cannot_adopt().is_none(),
    };
    let begun = Stopwatch::start();
    let limits = Limits { states: told.most, held: HELD, time: told.within };
    let found = explore(&terms, limits, || begun.elapsed().into());
    let code = if found.broken.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    let lines = if args.json { vec![exploration(&id, &found).to_string()] } else { explored_lines(&id, &found) };
    lines.iter().for_each(say);
    Ok(code)
}

fn explored_lines(id: &EnvironmentId, found: &Exploration) -> Vec<String> {
    let mut lines = vec![format!("{id}: all moves of the model on this environment's own terms; nothing was deployed")];
    let widest = found.worlds.iter().map(|world| world.what.len()).max().unwrap_or(0);
    for World { what, states, whole, depth } in &found.worlds {
        let states = grouped(*states);
        lines.push(match whole {
            true => format!("  {what:widest$}  all {states} states"),
            false => format!("  {what:widest$}  the first {states} states, {depth} steps deep"),
        });
    }
    let all = grouped(found.worlds.iter().map(|world| world.states).sum());
    match &found.broken {
        None => {
            let (whole, worlds) = (found.worlds.iter().filter(|world| world.whole).count(), found.worlds.len());
            lines.push(format!("no promise breaks in {all} states; {whole} of {worlds} worlds were explored whole"));
        }
        Some(Broken { promise, way }) => {
            lines.push(format!("a promise breaks after {} steps in the last of these: {promise}", way.len()));
            let step = |(nth, one): (usize, &Moved)| format!("  {:3}. {}", nth + 1, harmless(&moved(one)));
            lines.extend(way.iter().enumerate().map(step));
            lines.push(
                "this is a defect of Pointsman and not of the pipeline: please report it with these lines".to_owned(),
            );
        }
    }
    lines
}

fn exploration(id: &EnvironmentId, found: &Exploration) -> Value {
    let world = |World { what, states, whole, depth }: &World| json!({ "what": what, "states": states, "whole": whole, "steps": depth });
    let broken = |Broken { promise, way }: &Broken| {
        let way = way.iter().map(moved).collect::<Vec<_>>();
        json!({ "promise": promise, "way": way })
    };
    json!({
        "environment": id,
        "worlds": found.worlds.iter().map(world).collect::<Vec<_>>(),
        "broken": found.broken.as_ref().map(broken),
    })
}

/// Writes a count with a comma between thousands.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::model::{Action, Turn};

    #[test]
    fn a_promise_that_breaks_is_told_with_its_way_and_what_it_means() {
        let world = |what, states, whole| World { what, states, whole, depth: 7 };
        let way = vec![Moved { action: Action::Crash(0), turn: Turn::None }];
        let mut found = Exploration {
            worlds: vec![world("short", 1_234_567, true), world("much longer", 999, false)],
            broken: Some(Broken { promise: "2. what is live is never torn down", way }),
        };
        let id = "shop/prod".parse().unwrap();
        let lines = explored_lines(&id, &found);
        assert_eq!(
            lines[1..],
            [
                "  short        all 1,234,567 states",
                "  much longer  the first 999 states, 7 steps deep",
                "a promise breaks after 1 steps in the last of these: 2. what is live is never torn down",
                "    1. the controller is killed and started again",
                "this is a defect of Pointsman and not of the pipeline: please report it with these lines",
            ]
        );
        let told = exploration(&id, &found);
        assert_eq!(told["broken"]["way"], json!(["the controller is killed and started again"]));
        found.broken = None;
        let last = explored_lines(&id, &found).pop();
        assert_eq!(last.as_deref(), Some("no promise breaks in 1,235,566 states; 1 of 2 worlds were explored whole"));
    }
}
