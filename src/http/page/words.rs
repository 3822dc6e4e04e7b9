//! What templates make of values: marks, times, names. Whatever others wrote comes out as text that stays in its place: control
//! characters and those that turn the direction of writing are replaced, and what is endless is cut.

use askama::{Result, Values, filters::Safe};

use crate::{
    chronicle::Went,
    machine::{DeploymentState, Millis},
    telling::{Light, NeedKind, WaitsFor},
    text::{format_time, parse_time},
};

/// The longest name that is shown, and the longest line, in characters.
const NAME: usize = 60;
const LINE: usize = 600;
/// The length of a time in sentences, in bytes: `2026-11-26T18:00:03.000Z`.
const TIME: usize = 24;

/// Shape, colour and word of a state: they belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub icon: &'static str,
    pub colour: &'static str,
    pub word: &'static str,
    /// The word is for screen readers only: the shape says it.
    pub quiet: bool,
    /// There is no reading in time.
    pub stale: bool,
    /// It is what the page is opened for.
    pub primary: bool,
}

const fn look(icon: &'static str, colour: &'static str, word: &'static str) -> Look {
    Look { icon, colour, word, quiet: false, stale: false, primary: false }
}

impl Look {
    /// Makes one.
    pub(super) const fn tag(icon: &'static str, colour: &'static str, word: &'static str) -> Self {
        look(icon, colour, word)
    }

    /// Returns the class of a note that says it.
    pub(super) fn note(&self) -> &'static str {
        if self.colour == "rest" || self.colour == "blind" { "" } else { self.colour }
    }

    /// Returns how an environment is shown.
    pub(super) fn of(light: Light) -> Self {
        match light {
            Light::Healthy => Self { quiet: true, ..look("live", "go", "healthy") },
            Light::Watched => look("move", "move", "watched"),
            Light::Failing => look("down", "stop", "fails its checks"),
            Light::Down => look("down", "stop", "down"),
            Light::Maintenance => look("wait", "wait", "maintenance page"),
            Light::Drift => look("drift", "wait", "front set elsewhere"),
            Light::NotSeen => Self { stale: true, ..look("stale", "blind", "not seen") },
            Light::Empty => Self { quiet: true, ..look("cold", "blind", "nothing live") },
        }
    }
}

fn clean(text: &str, most: usize) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    let one = |c: char| if c.is_control() || turns(c) { '\u{fffd}' } else { c };
    let mut cut: String = text.chars().take(most).map(one).collect();
    if text.chars().nth(most).is_some() {
        cut.push('…');
    }
    cut
}

/// Writes a text so that HTML takes it for text.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Writes a time as people read a clock: `18:00:03` today, `21 Nov 18:00` before.
fn clock_face(time: &str, now: Millis) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let today = format_time(now);
    let parts = || Some((time.get(..10)?, time.get(11..16)?, time.get(11..19)?));
    let Some((day, minutes, seconds)) = parts() else { return time.to_owned() };
    if today.starts_with(day) {
        return seconds.to_owned();
    }
    let month =
        day.get(5..7).and_then(|month| month.parse::<usize>().ok()).and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    match (month, day.get(8..10)) {
        (Some(month), Some(date)) => format!("{} {month} {minutes}", date.trim_start_matches('0')),
        _ => time.to_owned(),
    }
}

/// An element in which the browser counts down to a time; `before`: the words before it.
fn countdown(time: &str, before: &str) -> Safe<String> {
    let known = parse_time(time).is_some();
    let element = if known { time_element(time, &format!(" data-left=\"{before}\""), "").0 } else { String::new() };
    Safe(format!("<span class=\"left\" aria-hidden=\"true\">{element}</span>"))
}

/// Makes a sentence of the product fit for a page: times by the clock, commands as code.
fn told(text: &str, now: Millis) -> String {
    let mut html = String::new();
    for (at, piece) in clean(text, LINE).split('`').enumerate() {
        if at % 2 == 1 {
            html.push_str(&format!("<code>{}</code>", escape(piece)));
            continue;
        }
        // What looks like a time is one, or is shown as it is.
        let words = piece.split(' ').map(|word| {
            let time = word.get(..TIME).filter(|time| parse_time(time).is_some());
            time.map_or_else(
                || escape(word),
                |time| format!("{}{}", escape(&clock_face(time, now)), escape(&word[TIME..])),
            )
        });
        html.push_str(&words.collect::<Vec<_>>().join(" "));
    }
    html
}

fn time_element(time: &str, attribute: &str, shown: &str) -> Safe<String> {
    Safe(format!("<time datetime=\"{}\"{attribute}>{}</time>", escape(time), escape(shown)))
}

/// The name of an element for a name that may have slashes.
pub(super) fn element(name: &str) -> String {
    name.replace('/', "-")
}

/// Filters that templates call.
pub(super) mod filters {
    use super::{
        DeploymentState, LINE, Light, Look, Millis, NAME, NeedKind, Result, Safe, Values, WaitsFor, Went, clean,
        clock_face, countdown, element, escape, look, parse_time, time_element,
    };

    /// A shape of the sprite.
    #[askama::filter_fn]
    pub fn icon(name: impl AsRef<str>, _: &dyn Values) -> Result<Safe<String>> {
        let name = escape(name.as_ref());
        Ok(Safe(format!(
            "<svg class=\"icon\" viewBox=\"0 0 20 20\" aria-hidden=\"true\"><use href=\"#i-{name}\"/></svg>"
        )))
    }

    /// A time by the clock.
    #[askama::filter_fn]
    pub fn clock(time: impl AsRef<str>, _: &dyn Values, now: &Millis) -> Result<String> {
        Ok(clock_face(time.as_ref(), *now))
    }

    /// A time by the clock, or a text as it is.
    #[askama::filter_fn]
    pub fn clock_or_text(text: impl AsRef<str>, _: &dyn Values, now: &Millis) -> Result<Safe<String>> {
        let text = text.as_ref();
        Ok(match parse_time(text) {
            Some(_) => time_element(text, "", &clock_face(text, *now)),
            None => Safe(escape(&clean(text, LINE))),
        })
    }

    /// A time by the clock, as an element.
    #[askama::filter_fn]
    pub fn at(time: impl AsRef<str>, _: &dyn Values, now: &Millis) -> Result<Safe<String>> {
        Ok(time_element(time.as_ref(), "", &clock_face(time.as_ref(), *now)))
    }

    /// A time that the browser turns into how long ago that is.
    #[askama::filter_fn]
    pub fn ago(time: impl AsRef<str>, _: &dyn Values, now: &Millis) -> Result<Safe<String>> {
        Ok(time_element(time.as_ref(), " data-ago", &clock_face(time.as_ref(), *now)))
    }

    /// How long it is until a time, in brackets, counted by the browser; without one, nothing.
    #[askama::filter_fn]
    pub fn left(time: impl AsRef<str>, _: &dyn Values) -> Result<Safe<String>> {
        Ok(countdown(time.as_ref(), ""))
    }

    /// The same, as a sentence.
    #[askama::filter_fn]
    pub fn time_left(time: impl AsRef<str>, _: &dyn Values) -> Result<Safe<String>> {
        Ok(countdown(time.as_ref(), "Time left: "))
    }

    /// `42 (1.8.4)`, with a space that does not break.
    #[askama::filter_fn]
    pub fn rel(version: impl AsRef<str>, _: &dyn Values, release: &u32) -> Result<Safe<String>> {
        Ok(Safe(format!("{release}&nbsp;(<bdi>{}</bdi>)", escape(&clean(version.as_ref(), NAME)))))
    }

    /// Shows a text of somebody else without control characters.
    #[askama::filter_fn]
    pub fn shown(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(clean(text.as_ref(), NAME))
    }

    /// A sentence of the product's, which may hold what others wrote.
    #[askama::filter_fn]
    pub fn told(text: impl AsRef<str>, _: &dyn Values, now: &Millis) -> Result<Safe<String>> {
        Ok(Safe(super::told(text.as_ref(), *now)))
    }

    /// A line that others wrote.
    #[askama::filter_fn]
    pub fn shown_line(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(clean(text.as_ref(), LINE))
    }

    /// The first and the last characters of a checksum.
    #[askama::filter_fn]
    pub fn short_sum(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        let sum = clean(text.as_ref(), NAME);
        let (first, last) = (sum.chars().take(4), sum.chars().skip(sum.chars().count().saturating_sub(2)));
        Ok(first.chain(std::iter::once('…')).chain(last).collect())
    }

    /// The first characters of a commit.
    #[askama::filter_fn]
    pub fn short_commit(text: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(clean(text.as_ref(), NAME).chars().take(7).collect())
    }

    /// `1 pipeline`, `2 pipelines`; `entry|entries` where it is not done with an s.
    #[askama::filter_fn]
    pub fn counted(count: impl std::borrow::Borrow<usize>, _: &dyn Values, what: &str) -> Result<String> {
        let count = count.borrow();
        let (one, more) =
            what.split_once('|').map_or_else(|| (what, format!("{what}s")), |(one, more)| (one, more.to_owned()));
        Ok(if *count == 1 { format!("1 {one}") } else { format!("{count} {more}") })
    }

    /// The name of an element.
    #[askama::filter_fn]
    pub fn id(name: impl AsRef<str>, _: &dyn Values) -> Result<String> {
        Ok(element(name.as_ref()))
    }

    /// How an environment is shown.
    #[askama::filter_fn]
    pub fn look_of_light(light: &Light, _: &dyn Values) -> Result<Look> {
        Ok(Look::of(*light))
    }

    /// How a need is shown.
    #[askama::filter_fn]
    pub fn look_of_need(kind: &NeedKind, _: &dyn Values) -> Result<Look> {
        Ok(match kind {
            NeedKind::Down => Look { primary: true, ..look("down", "stop", "live is down") },
            NeedKind::Operator => Look { primary: true, ..look("fail", "stop", "needs a person") },
            NeedKind::Approval => Look { primary: true, ..look("wait", "wait", "approval") },
            NeedKind::Drift => look("drift", "wait", "drift"),
            NeedKind::NotSeen => look("stale", "blind", "not seen"),
            NeedKind::OldHold => look("hold", "rest", "old hold"),
        })
    }

    /// What the state of a deployment is called.
    #[askama::filter_fn]
    pub fn state_word(state: &DeploymentState, _: &dyn Values) -> Result<&'static str> {
        Ok(match state {
            DeploymentState::Queued => "waits in line",
            DeploymentState::Stopping => "waits for the live stack to be stopped",
            DeploymentState::Provisioning => "is provisioned",
            DeploymentState::Checking => "is checked",
            DeploymentState::AwaitingApproval => "waits for approval",
            DeploymentState::CuttingOver => "gets the traffic",
            DeploymentState::Shifting => "has a share of the users",
            DeploymentState::Baking => "is live and watched",
            DeploymentState::Succeeded => "is live",
            DeploymentState::Aborting => "is aborted",
            DeploymentState::Aborted => "was aborted",
            DeploymentState::RollingBack => "is rolled back",
            DeploymentState::RolledBack => "was rolled back",
            DeploymentState::Failed => "failed",
            DeploymentState::Superseded => "was superseded",
            DeploymentState::NeedsOperator => "needs a person",
        })
    }

    /// How a deployment went, or goes.
    #[askama::filter_fn]
    pub fn look_of_state(state: &DeploymentState, _: &dyn Values) -> Result<Look> {
        Ok(match state {
            DeploymentState::Succeeded => look("live", "go", "good"),
            DeploymentState::Failed => look("fail", "stop", "failed"),
            DeploymentState::RolledBack => look("back", "stop", "rolled back"),
            DeploymentState::Aborted => look("abort", "rest", "aborted"),
            DeploymentState::Superseded => look("super", "rest", "superseded"),
            DeploymentState::AwaitingApproval => look("wait", "wait", "waits for approval"),
            DeploymentState::NeedsOperator => look("fail", "stop", "needs a person"),
            DeploymentState::Queued
            | DeploymentState::Stopping
            | DeploymentState::Provisioning
            | DeploymentState::Checking
            | DeploymentState::CuttingOver
            | DeploymentState::Shifting
            | DeploymentState::Baking
            | DeploymentState::Aborting
            | DeploymentState::RollingBack => look("move", "move", "under way"),
        })
    }

    /// How a deployment of the past went.
    #[askama::filter_fn]
    pub fn look_of_went(went: &Went, _: &dyn Values) -> Result<Look> {
        Ok(match went {
            Went::Live => look("live", "go", went.words()),
            Went::Failed => look("fail", "stop", went.words()),
            Went::RolledBack => look("back", "stop", went.words()),
            Went::Aborted => look("abort", "rest", went.words()),
            Went::Superseded => look("super", "rest", went.words()),
            Went::UnderWay => look("move", "move", went.words()),
        })
    }

    /// Whether somebody has to answer.
    #[askama::filter_fn]
    pub fn is_approval(waits: &WaitsFor, _: &dyn Values) -> Result<bool> {
        Ok(*waits == WaitsFor::Approval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_text_in_its_place() {
        let evil = "<b>\u{202e}1\u{0}\u{1b}[2J";
        assert_eq!(escape(&clean(evil, NAME)), "&lt;b&gt;\u{fffd}1\u{fffd}\u{fffd}[2J");
        let long = clean(&"x".repeat(10_000), NAME);
        assert!(long.ends_with('…') && long.chars().count() == NAME + 1);
    }

    #[test]
    fn a_sentence_has_its_times_by_the_clock_and_its_commands_as_code() {
        let now = parse_time("2026-11-26T18:00:03.000Z").expect("a time");
        let sentence = "held since 2026-11-26T09:12:46.120Z, <b>; `pointsman resume shop/prod` lets";
        let wanted = "held since 09:12:46, &lt;b&gt;; <code>pointsman resume shop/prod</code> lets";
        assert_eq!(told(sentence, now), wanted);
    }

    #[test]
    fn today_is_told_by_the_second_and_other_days_by_the_day() {
        let now = parse_time("2026-11-26T18:00:03.000Z").expect("a time");
        assert_eq!(clock_face("2026-11-26T09:12:46.120Z", now), "09:12:46");
        assert_eq!(clock_face("2026-11-02T09:12:46.120Z", now), "2 Nov 09:12");
        assert_eq!(clock_face("the next deployment is live", now), "the next deployment is live");
    }
}
