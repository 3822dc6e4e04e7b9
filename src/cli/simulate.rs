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
    machine::{DeploymentState, Entry, EnvironmentId, Millis, Trigger},
    pipelines::{DefinitionSource, DeployOn, EnvironmentDefinition},
    rehearsal::{Answers, BEGIN, Failing, Moment, Rehearsed, Silence, Story, Terms, rehearse},
    telling::{about, deployment_of, named},
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
}

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
