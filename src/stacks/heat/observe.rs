//! Turns a list into what is seen of each stack: how far it is, where it serves, and why it failed, down to the
//! resource. What does not change is asked once. Of a stack that a race made twice, the younger one is deleted.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;

use super::{
    Heat,
    actions::{self, ABORTED},
    client::Failure,
    endpoints::addresses,
    listing::{Listing, Ours},
};
use crate::{
    clock::Stopwatch,
    machine::{Millis, StackName},
    reach::Reach,
    stacks::{Condition, SeenStack, StepError, orders::RunOrder},
    text::one_line,
};

/// What Heat may take beyond its own limit, before a stack that it forgot counts as failed.
const GRACE: Duration = Duration::from_secs(120);
/// How often at most something is tried or asked again.
const WAITING: Duration = Duration::from_secs(30);

/// What about a stack was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Reach,
    Remark,
    Whole,
}

/// What was asked about one stack while it had this status, for this reason.
#[derive(Clone)]
pub(super) struct Detail {
    status: (String, String),
    at: Stopwatch,
    answer: Told,
}

#[derive(Clone)]
enum Told {
    Reach(Reach),
    /// The reason why it failed, or what it waits for.
    Remark(String),
    /// All of it runs, though an action failed.
    Whole(bool),
}

impl Heat {
    /// All that are ours, and those that Heat would not make.
    pub(super) async fn see(&self) -> Result<Vec<SeenStack>, StepError> {
        let listing = self.look().await?;
        {
            let state = &mut self.state();
            let there = |id: &String| listing.stacks.iter().any(|ours| ours.id == *id);
            state.details.retain(|(id, _), _| there(id));
            state.tried.retain(|id, _| there(id));
            state.stuck.retain(|id, _| there(id));
        }
        let kept = self.one_of_each(&listing).await;
        let mut seen = join_all(kept.into_iter().map(|ours| self.seen(ours, listing.at))).await;
        let refused = self.state().refused.clone();
        for (name, why) in refused {
            if !seen.iter().any(|stack| stack.name == name) {
                seen.push(SeenStack::new(name, Condition::Failed, Reach::default()).remarked(Some(why)));
            }
        }
        Ok(seen)
    }

    /// One stack for each name: the oldest, because it was there before the request that made another got through.
    async fn one_of_each<'a>(&self, listing: &'a Listing) -> Vec<&'a Ours> {
        let mut by_name: BTreeMap<&StackName, Vec<&Ours>> = BTreeMap::new();
        for ours in &listing.stacks {
            by_name.entry(&ours.tagged.name).or_default().push(ours);
        }
        let mut kept = Vec::new();
        for (name, mut same) in by_name {
            same.sort_by_key(|ours| (ours.status.starts_with("DELETE"), ours.created, &ours.id));
            kept.extend(same.first().copied());
            // What was there before us is nobody's double.
            let doubles = same.into_iter().skip(1).filter(|ours| !ours.is_going() && ours.tagged.adopted.is_none());
            for double in doubles {
                // One that cannot be deleted is tried again now and then.
                if self.told(double, Asked::Remark, Some(WAITING)).is_some() {
                    continue;
                }
                self.keep(double, Told::Remark(String::new()));
                tracing::warn!(stack = %name, id = double.id, "{name} was made twice: the younger one is deleted");
                if let Err(why) = self.delete(double).await {
                    tracing::warn!(stack = %name, %why, "{why}");
                }
            }
        }
        kept
    }

    async fn seen(&self, ours: &Ours, now: Option<Millis>) -> SeenStack {
        let order = match self.orders().newest(&ours.tagged.name) {
            Ok(order) => order,
            Err(why) => {
                let why = why.to_string();
                let seen = SeenStack::new(ours.tagged.name.clone(), Condition::Creating, Reach::default());
                return SeenStack { made: ours.created, ..seen.remarked(Some(why)) };
            }
        };
        let seen = match self.is_to_go_on(ours, order).await {
            true => {
                let seen = SeenStack::new(ours.tagged.name.clone(), Condition::Creating, Reach::default());
                SeenStack { made: ours.created, ..seen.remarked(Some(said(ours, order))) }
            }
            false => self.as_heat_says(ours, order, now).await,
        };
        SeenStack { obeyed: order.order, ..seen }
    }

    /// Whether an action failed of a stack that is to run, and left something of it that does not.
    async fn is_to_go_on(&self, ours: &Ours, order: RunOrder) -> bool {
        let failed = matches!(ours.status.as_str(), "SUSPEND_FAILED" | "CHECK_FAILED");
        if order.order == 0 || order.stopped || !failed {
            return false;
        }
        if let Some(Told::Whole(whole)) = self.told(ours, Asked::Whole, None) {
            return !whole;
        }
        let Some(all) = self.resources(ours).await else { return true };
        let whole = actions::after_failure(&statuses(&all), order.stopped).is_none();
        self.keep(ours, Told::Whole(whole));
        !whole
    }

    /// A stack as Heat says that it is, whatever was ordered.
    async fn as_heat_says(&self, ours: &Ours, order: RunOrder, now: Option<Millis>) -> SeenStack {
        let of = |condition, reach, remark| SeenStack {
            made: ours.created,
            ..SeenStack::new(ours.tagged.name.clone(), condition, reach).remarked(remark)
        };
        let failed = |remark| of(Condition::Failed, Reach::default(), Some(remark));
        match ours.status.as_str() {
            "CREATE_IN_PROGRESS" | "INIT_COMPLETE" | "INIT_IN_PROGRESS" => {
                let age = ours.age(now);
                let late = age >= self.state().seen.waits.late(&ours.tagged.name);
                let waits = if late { Some(self.waits_for(ours, age).await) } else { None };
                if age >= ours.tagged.limit + GRACE {
                    let (limit, waits) = (ours.tagged.limit.as_secs() / 60, waits.unwrap_or_default());
                    return failed(format!(
                        "Heat has not ended it within {limit} min, its own limit, nor after that: {waits}"
                    ));
                }
                of(Condition::Creating, Reach::default(), waits)
            }
            "CREATE_FAILED" => failed(self.why(ours, "CREATE").await),
            "DELETE_FAILED" => {
                let why = format!("Heat could not delete it: {}", self.why(ours, "DELETE").await);
                self.state().stuck.insert(ours.id.clone(), why.clone());
                failed(why)
            }
            "DELETE_IN_PROGRESS" => {
                let before = self.state().stuck.get(&ours.id).map(|why| format!("it is tried again; before, {why}"));
                of(Condition::Deleting, Reach::default(), before)
            }
            "SUSPEND_IN_PROGRESS" => of(Condition::Stopping, self.last_reach(ours).await, contrary(ours, order)),
            "SUSPEND_COMPLETE" => of(Condition::Stopped, self.last_reach(ours).await, contrary(ours, order)),
            "RESUME_IN_PROGRESS" => of(Condition::Creating, Reach::default(), contrary(ours, order)),
            "RESUME_FAILED" => failed(format!("Heat could not resume it: {}", self.why(ours, "RESUME").await)),
            status => {
                // Somebody has changed it by hand since: whether it still serves is for the checks to say.
                // We have changed ourselves whose it is, if it was there before us.
                let usual =
                    status == "CREATE_COMPLETE" || ours.tagged.adopted.is_some() && status.starts_with("UPDATE");
                let usual = usual && !status.ends_with("_FAILED") || status == "RESUME_COMPLETE" && order.order > 0;
                let remark = match status {
                    "SUSPEND_FAILED" => Some(format!("Heat could not suspend it: {}", self.why(ours, "SUSPEND").await)),
                    _ if order.stopped => contrary(ours, order),
                    _ => (!usual).then(|| format!("Heat says {status}: {}", one_line(&ours.reason))),
                };
                match self.reach(ours).await {
                    Ok(Ok(reach)) => of(Condition::Ready, reach, remark),
                    Ok(Err(why)) => failed(why),
                    Err(why) => of(Condition::Creating, Reach::default(), Some(why.to_string())),
                }
            }
        }
    }

    /// Where it served, and will again; nothing where Heat does not say now.
    async fn last_reach(&self, ours: &Ours) -> Reach {
        match self.reach(ours).await {
            Ok(Ok(reach)) => reach,
            Ok(Err(_)) | Err(_) => Reach::default(),
        }
    }

    /// Where it serves. An inner error: it will never be known.
    async fn reach(&self, ours: &Ours) -> Result<Result<Reach, String>, StepError> {
        if let Some(Told::Reach(known)) = self.told(ours, Asked::Reach, None) {
            return Ok(Ok(known));
        }
        let (name, wanted) = (&ours.called, &ours.tagged.endpoints);
        let answer = self.client.look(&["stacks", name, &ours.id, "outputs", &wanted.output], &[]).await;
        let output = match answer {
            Ok(answer) => answer.body["output"].clone(),
            Err(Failure::Said { status: 404, message }) => {
                return Ok(Err(format!("its output `{}` cannot be read: {message}", wanted.output)));
            }
            Err(failure) => return Err(failure.step(&format!("asking for the output of {name}"))),
        };
        let found = addresses(&output["output_value"], wanted.port);
        let found = found.map_err(|why| {
            let error =
                output["output_error"].as_str().map(|text| format!(" ({})", one_line(text))).unwrap_or_default();
            format!("its output `{}` {why}{error}", wanted.output)
        });
        if let Ok(reach) = &found {
            self.keep(ours, Told::Reach(reach.clone()));
        }
        Ok(found)
    }

    /// Returns the reason why it failed: what Heat says of the resources that did.
    async fn why(&self, ours: &Ours, action: &str) -> String {
        if let Some(Told::Remark(known)) = self.told(ours, Asked::Remark, None) {
            return known;
        }
        let whole = one_line(&ours.reason);
        let failed = |r: &Value| {
            let so = r["resource_status"].as_str() == Some(&format!("{action}_FAILED"));
            so && !is_aborted(r)
        };
        let Some(all) = self.resources(ours).await else { return whole };
        let found: Vec<String> = all.iter().filter(|r| failed(r)).map(|r| told_of(r, true)).collect();
        let why = if found.is_empty() { whole } else { found.join("; ") };
        self.keep(ours, Told::Remark(why.clone()));
        why
    }

    /// What it waits for, asked ever more seldom.
    async fn waits_for(&self, ours: &Ours, age: Duration) -> String {
        if let Some(Told::Remark(known)) = self.told(ours, Asked::Remark, Some(age.max(WAITING))) {
            return known;
        }
        let under_way = |r: &&Value| r["resource_status"].as_str().is_some_and(|s| s.ends_with("_IN_PROGRESS"));
        let Some(all) = self.resources(ours).await else { return "Heat does not say what it waits for".to_owned() };
        let names: Vec<String> = all.iter().filter(under_way).map(|r| told_of(r, false)).collect();
        let waits = if names.is_empty() {
            "it waits for nothing".to_owned()
        } else {
            format!("it waits for {}", names.join(", "))
        };
        self.keep(ours, Told::Remark(waits.clone()));
        waits
    }

    /// All resources, those of nested stacks too; those that are stacks themselves only repeat what is in them.
    pub(super) async fn resources(&self, ours: &Ours) -> Option<Vec<Value>> {
        let answer = self.client.look(&["stacks", &ours.called, &ours.id, "resources"], &[("nested_depth", "5")]).await;
        let list = answer.ok()?.body["resources"].as_array()?.clone();
        let nested = |r: &Value| r["resource_type"].as_str().is_some_and(|kind| kind.ends_with(".yaml"));
        let (outer, inner): (Vec<_>, Vec<_>) = list.into_iter().partition(nested);
        Some(if inner.is_empty() { outer } else { inner })
    }

    fn told(&self, ours: &Ours, asked: Asked, at_most: Option<Duration>) -> Option<Told> {
        let state = self.state();
        let detail = state.details.get(&(ours.id.clone(), asked));
        let detail = detail.filter(|d| d.status.0 == ours.status && d.status.1 == ours.reason)?;
        at_most.is_none_or(|age| detail.at.elapsed() < age).then(|| detail.answer.clone())
    }

    fn keep(&self, ours: &Ours, answer: Told) {
        let detail = Detail { status: (ours.status.clone(), ours.reason.clone()), at: Stopwatch::start(), answer };
        let asked = match detail.answer {
            Told::Reach(_) => Asked::Reach,
            Told::Remark(_) => Asked::Remark,
            Told::Whole(_) => Asked::Whole,
        };
        self.state().details.insert((ours.id.clone(), asked), detail);
    }
}

/// Says that Heat does not show what the newest order says.
fn contrary(ours: &Ours, order: RunOrder) -> Option<String> {
    let rests = ours.status.starts_with("SUSPEND");
    (order.order > 0 && order.stopped != rests).then(|| said(ours, order))
}

/// What was ordered, and what Heat says.
fn said(ours: &Ours, order: RunOrder) -> String {
    let wanted = if order.stopped { "is to be stopped" } else { "is to be started again" };
    format!("it {wanted} (order {}), and Heat says {}: {}", order.order, ours.status, one_line(&ours.reason))
}

/// The statuses of resources. One whose suspend was broken off because another one failed may be suspended all the same.
pub(super) fn statuses(resources: &[Value]) -> Vec<&str> {
    let with_status = resources.iter().filter_map(|r| Some((r, r["resource_status"].as_str()?)));
    let told = |(resource, status)| if status == "SUSPEND_FAILED" && is_aborted(resource) { ABORTED } else { status };
    with_status.map(told).collect()
}

/// Whether it was stopped because another one failed.
fn is_aborted(resource: &Value) -> bool {
    resource["resource_status_reason"].as_str().is_some_and(|why| why.contains("aborted"))
}

fn told_of(resource: &Value, with_reason: bool) -> String {
    let text = |key: &str| resource[key].as_str().unwrap_or("?");
    let what = format!("{} ({})", text("resource_name"), text("resource_type"));
    if with_reason { format!("{what}: {}", one_line(text("resource_status_reason"))) } else { what }
}
