//! What a promotion to an environment would change, before anybody presses anything. Reads frozen texts; must not record
//! anything, and nothing here is needed to promote.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use serde::Serialize;
use similar::TextDiff;
use utoipa::ToSchema;

use super::{
    App, Problem, act,
    blocking::blocking,
    place::Place,
    responses::{Gate, PlannedHook, Release},
    shown::{Look, Shown},
    view,
};
use crate::{
    access::Caller,
    git::{self, Mirror},
    machine::{self, EnvironmentId, GateName},
    pipelines::{EnvironmentDefinition, frozen::Frozen},
    telling,
    text::format_time,
};

/// The longest difference of two definitions that is shown, in bytes.
const LONGEST: usize = 64 << 10;
/// How long a difference may be looked for; after that it is a coarser one.
const DIFF_LIMIT: Duration = Duration::from_millis(500);
/// How long the source repository may take; a fetch goes on without us.
const GIT: Duration = Duration::from_secs(5);
/// The most commits that are listed.
const MOST: usize = 100;

/// Changes that a promotion would make.
#[derive(Serialize, ToSchema)]
pub(super) struct Changes {
    /// Where it would go live.
    #[schema(example = "shop/prod")]
    pub environment: String,
    /// Where it is live.
    #[schema(example = "shop/qa")]
    pub before: String,
    /// Release that is live there now.
    #[schema(required)]
    pub from: Option<Release>,
    /// Release after the promotion.
    #[schema(required)]
    pub to: Option<Release>,
    /// A promotion would be accepted.
    pub promotable: bool,
    /// Why not, or what is to be known about it.
    #[schema(required)]
    pub why: Option<String>,
    pub parameters: Vec<Changed>,
    /// The stack definition as a unified diff; empty when it stays the same.
    pub definition: String,
    /// The diff is cut off, or why there is none.
    #[schema(required)]
    pub definition_why: Option<String>,
    /// Secrets that would be other ones than those in use, by name.
    pub secrets: Vec<String>,
    /// The commits that would come, newest first; null when they cannot be told.
    #[schema(required)]
    pub commits: Option<Vec<Commit>>,
    /// Why they cannot be told, or what else is to be known about them.
    #[schema(required)]
    pub commits_why: Option<String>,
    /// Where it would wait for someone, in order.
    pub gates: Vec<Gate>,
    /// What would be run besides, in order.
    pub hooks: Vec<PlannedHook>,
    /// What of that going back would not undo, in words.
    pub one_way: Vec<String>,
}

/// A value that would be another one.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Changed {
    pub name: String,
    /// Null when it is added.
    #[schema(required)]
    pub from: Option<String>,
    /// Null when it is removed.
    #[schema(required)]
    pub to: Option<String>,
}

/// A commit. Whoever may push writes its texts: they are free of control characters, not of markup.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Commit {
    pub id: String,
    pub author: String,
    pub time: String,
    pub subject: String,
    /// Its page, where the pipeline names one.
    #[schema(required)]
    pub link: Option<String>,
}

/// What a promotion would change
///
/// With the `ETag` for `If-Match`, so that what is promoted is what was read here.
#[utoipa::path(
    get, path = "/v1/environments/{pipeline}/{environment}/changes", tag = "looking", params(Place),
    responses((status = 200, description = "What would change", body = Changes, headers(("etag" = String, description = "For `If-Match`")))),
)]
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    Path(place): Path<Place>,
    caller: Caller,
) -> Result<Response, Problem> {
    let definition = place.find(&app)?;
    let (changes, shown) = of(&app, &definition, &caller).await?;
    Ok(([(header::ETAG, shown.tag())], Json(changes)).into_response())
}

/// What a promotion to this environment would change, and what a decision is held to.
pub(super) async fn of(
    app: &App,
    definition: &EnvironmentDefinition,
    caller: &Caller,
) -> Result<(Changes, Shown), Problem> {
    let before = app.pipelines.get(&definition.id.pipeline).and_then(|p| p.before(&definition.id)).cloned();
    let id = &definition.id;
    let why = "the first environment of a pipeline takes builds; nothing is promoted to it";
    let deploy = format!("`pointsman deploy {id} --version VERSION --artifact ARTIFACT`");
    let before = before.ok_or_else(|| Problem::not_found(&format!("{why}; deploy a build: {deploy}")))?;
    let look = Look::at(app, &definition.id);
    let live = look.state.live().map(|s| s.release.clone());
    let (to, refused) = match look.promoted.clone() {
        Ok(release) => (Some(release), None),
        Err(why) => (None, Some(why)),
    };
    let refused = refused.or_else(|| to.as_ref().and_then(|to| act::barred(&look, to.number)));
    let (frozen, old, new) = (app.frozen.clone(), live.clone(), to.clone());
    let read = blocking(move || definitions(&frozen, old.as_deref(), new.as_deref()));
    let (text, definition_why) = read.await?;
    let (commits, commits_why) = commits(app, &definition.id, live.as_deref(), to.as_deref()).await;
    let changes = Changes {
        environment: definition.id.to_string(),
        before: before.id.to_string(),
        from: live.as_deref().map(view::release),
        promotable: refused.is_none(),
        why: refused.or_else(|| remark(&look, live.as_deref(), to.as_deref())),
        parameters: to
            .as_ref()
            .map_or_else(Vec::new, |to| differences(live.as_deref().map(|r| &r.parameters), &to.parameters)),
        definition: text,
        definition_why,
        secrets: to.as_ref().map_or_else(Vec::new, |to| {
            let changed = differences(live.as_deref().map(|r| &r.secrets), &to.secrets);
            changed.into_iter().map(|changed| changed.name).collect()
        }),
        to: to.as_deref().map(view::release),
        commits,
        commits_why,
        gates: gates(definition, &caller.by),
        hooks: definition.plan.hooks.iter().map(view::hook).collect(),
        one_way: telling::no_way_back_from(&definition.plan, to.as_deref()),
    };
    Ok((changes, look.shown))
}

/// What is to be known about a promotion that would be accepted.
fn remark(look: &Look, live: Option<&machine::Release>, to: Option<&machine::Release>) -> Option<String> {
    let to = to?.number;
    let tried = look.before.as_ref().and_then(|before| before.live()).filter(|stack| stack.release.number == to);
    let unproven = tried.filter(|stack| !stack.proven);
    let unproven =
        unproven.map(|_| format!("release {to} is not found good yet in the environment before: it is still watched"));
    let here = match (look.state.pin(), live) {
        (Some(pin), _) if pin != to => Some(format!("it would wait: the environment is pinned to release {pin}")),
        (_, Some(live)) if live.number == to => {
            Some(format!("release {to} is live here already; a new stack of it would be made"))
        }
        _ => None,
    };
    let all: Vec<String> = unproven.into_iter().chain(here).chain(in_line(&look.state, to)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Says what a promotion of this release would wait for, and whose turn it would take.
fn in_line(state: &machine::Environment, to: u32) -> impl Iterator<Item = String> {
    let under_way = state.active().map(|active| {
        let same = if active.release.number == to { " of the same release" } else { "" };
        format!("deployment {}{same} is under way: this one would wait for it", active.number)
    });
    let displaced = state.queue().iter().find(|waiting| waiting.trigger != machine::Trigger::Rollback);
    let displaced = displaced.map(|waiting| format!("it would take the place of deployment {}", waiting.number));
    under_way.into_iter().chain(displaced)
}

pub(super) fn gates(definition: &EnvironmentDefinition, asker: &str) -> Vec<Gate> {
    let plan = &definition.plan;
    let all =
        [(GateName::BeforeProvisioning, &plan.before_provisioning), (GateName::BeforeCutover, &plan.before_cutover)];
    all.into_iter().filter_map(|(name, gate)| Some(view::gate(name, gate.as_ref()?, Some(asker)))).collect()
}

type Values = BTreeMap<Arc<str>, Arc<str>>;

/// Every name with another value, in the order of the names.
fn differences(from: Option<&Values>, to: &Values) -> Vec<Changed> {
    let none = Values::new();
    let from = from.unwrap_or(&none);
    let names: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let text = |value: Option<&Arc<str>>| value.map(ToString::to_string);
    let changed = names.into_iter().filter(|name| from.get(*name) != to.get(*name));
    changed.map(|name| Changed { name: name.to_string(), from: text(from.get(name)), to: text(to.get(name)) }).collect()
}

/// The difference of the definitions, and why it is not whole. Reads files and blocks.
fn definitions(
    frozen: &Frozen,
    from: Option<&machine::Release>,
    to: Option<&machine::Release>,
) -> (String, Option<String>) {
    let Some(to) = to else { return Default::default() };
    if to.awaits_definition() {
        return (String::new(), Some("the definition is read from git when the deployment begins".into()));
    }
    if from.is_some_and(|from| from.definition == to.definition) {
        return Default::default();
    }
    let text = |release: Option<&machine::Release>| match release {
        Some(release) if !release.definition.is_empty() => frozen.thaw(&release.definition),
        _ => Ok("".into()),
    };
    match (text(from), text(Some(to))) {
        (Ok(from), Ok(to)) => unified(&from, &to),
        (Err(error), _) | (_, Err(error)) => (String::new(), Some(error.to_string())),
    }
}

fn unified(from: &str, to: &str) -> (String, Option<String>) {
    let diff = TextDiff::configure().timeout(DIFF_LIMIT).diff_lines(from, to);
    let mut text = diff.unified_diff().context_radius(3).header("live", "promoted").to_string();
    if text.len() <= LONGEST {
        return (text, None);
    }
    let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let end = text[..end].rfind('\n').map_or(end, |feed| feed + 1);
    text.truncate(end);
    (text, Some(format!("it is longer than {LONGEST} bytes and cut off")))
}

type Commits = (Option<Vec<Commit>>, Option<String>);

/// The commits between two releases.
async fn commits(
    app: &App,
    id: &EnvironmentId,
    from: Option<&machine::Release>,
    to: Option<&machine::Release>,
) -> Commits {
    let none = |why: &str| (None, Some(why.to_owned()));
    let Some(to) = to else { return none("nothing would be promoted") };
    let Some(from) = from else { return none("nothing is live here yet") };
    let (Some(old), Some(new)) = (&from.commit, &to.commit) else {
        let unnamed = if from.commit.is_none() { from } else { to };
        return (None, Some(format!("the build of release {} named no commit", unnamed.number)));
    };
    if old == new {
        return (Some(Vec::new()), None);
    }
    let Some(mirror) = app.mirrors.get(&id.pipeline) else {
        return none("the pipeline names no source repository that could be asked");
    };
    let web = app.pipelines.get(&id.pipeline).and_then(|p| p.source.as_ref()?.web.clone());
    match tokio::time::timeout(GIT, between(mirror, old, new)).await {
        Ok(Ok(Some(changes))) => told(&changes, web.as_deref()),
        Ok(Ok(None)) => none("the commits are not in the source repository"),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(_) => none("the source repository did not answer in time; ask again, it is still being read"),
    }
}

/// From the mirror; only what is not there yet is fetched.
async fn between(mirror: &Mirror, old: &str, new: &str) -> Result<Option<git::Changes>, git::Error> {
    let known = mirror.commits_between(old, new, MOST).await?;
    if known.is_some() {
        return Ok(known);
    }
    mirror.fetch_history(new).await?;
    mirror.fetch_history(old).await?;
    mirror.commits_between(old, new, MOST).await
}

fn told(changes: &git::Changes, web: Option<&str>) -> Commits {
    let shown = |commit: &git::Commit| Commit {
        id: commit.id.clone(),
        author: commit.author.clone(),
        time: format_time(commit.time),
        subject: commit.subject.clone(),
        link: web.map(|web| web.replace("{commit}", &commit.id)),
    };
    let least = if changes.at_least { "at least " } else { "" };
    let mut remarks = Vec::new();
    if changes.more > 0 {
        remarks.push(format!("{least}{} more are not listed", changes.more));
    }
    if changes.backwards {
        let gone = changes.gone.len() + changes.more_gone;
        remarks.push(format!("{least}{gone} commits of what is live are not in it and would go away"));
    }
    let remark = (!remarks.is_empty()).then(|| remarks.join("; "));
    (Some(changes.commits.iter().map(shown).collect()), remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn added_removed_and_changed_values_are_told_and_no_others() {
        let (from, to) = (values(&[("a", "1"), ("b", "2"), ("c", "3")]), values(&[("b", "2"), ("c", "4"), ("d", "5")]));
        let told: Vec<_> = differences(Some(&from), &to).into_iter().map(|c| (c.name, c.from, c.to)).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            told,
            [("a".into(), some("1"), None), ("c".into(), some("3"), some("4")), ("d".into(), None, some("5"))]
        );
        assert_eq!(differences(None, &from).len(), 3);
    }

    #[test]
    fn a_long_difference_is_cut_at_a_line_and_says_so() {
        assert_eq!(unified("a\nb\n", "a\nc\n").0, "--- live\n+++ promoted\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        let (text, why) = unified("", &"\u{e4}\u{e4}\u{e4} a line of a definition\n".repeat(10_000));
        assert!(text.len() <= LONGEST && text.ends_with('\n') && why.is_some_and(|why| why.contains("cut off")));
    }
}
