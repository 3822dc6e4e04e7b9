//! Stopping a stack and starting it again, by Heat's own suspend and resume. Heat is no lock: what it shows is what is seen,
//! and where that is not as the newest order says, the order is given again.
//!
//! Heat takes neither action for a resource that failed the other one, so what is due after a failure depends on how far
//! each resource came. An action whose engine died stays under way for ever, until it is asked for again. Must not wait for a
//! stack.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Heat,
    client::{ACT, Failure, HEAT, Question},
    listing::Ours,
    observe::statuses,
};
use crate::{
    clock::Stopwatch,
    machine::StackName,
    stacks::{
        StackSpec, StepError,
        orders::{Orders, RunOrder},
    },
    text::one_line,
};

/// How soon at most an action that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long an action is under way before it is asked for again, in case its engine has died: one that lives refuses.
const STALLED: Duration = Duration::from_secs(20);

/// What Heat is to do with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Suspend,
    Resume,
    /// Look at what there is: from what runs, Heat can be led on, whatever it had lost track of.
    Check,
}

impl Action {
    /// Heat's word for it, and what is done, for people.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Suspend => ("suspend", "suspending"),
            Self::Resume => ("resume", "resuming"),
            Self::Check => ("check", "checking"),
        }
    }
}

/// What is due of an order, by how Heat says that the stack is.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Now(Action),
    /// It goes on by itself, unless its engine has died.
    UnderWay(Action),
    /// How far each resource came says which.
    AfterFailure,
    /// Heat suspends only what was complete once.
    Never,
}

fn due(status: &str, stopped: bool) -> Due {
    match (status, stopped) {
        ("SUSPEND_IN_PROGRESS", _) => Due::UnderWay(Action::Suspend),
        ("RESUME_IN_PROGRESS", _) => Due::UnderWay(Action::Resume),
        ("CHECK_IN_PROGRESS", _) => Due::UnderWay(Action::Check),
        // It is for Heat, or for whoever asked, to end that first.
        _ if status.ends_with("_IN_PROGRESS") || status == "INIT_COMPLETE" => Due::Nothing,
        ("SUSPEND_FAILED" | "RESUME_FAILED" | "CHECK_FAILED", _) => Due::AfterFailure,
        ("SUSPEND_COMPLETE", true) => Due::Nothing,
        ("SUSPEND_COMPLETE", false) => Due::Now(Action::Resume),
        ("CREATE_FAILED" | "DELETE_FAILED", true) => Due::Never,
        (_, true) => Due::Now(Action::Suspend),
        (_, false) => Due::Nothing,
    }
}

/// Stands for the status of a resource whose suspend was broken off.
pub(super) const ABORTED: &str = "SUSPEND_ABORTED";

/// What is due after a failure, by the statuses of the resources.
pub(super) fn after_failure(resources: &[&str], stopped: bool) -> Option<Action> {
    let any = |status: &str| resources.contains(&status);
    let resumes = |status: &&str| matches!(*status, "SUSPEND_COMPLETE" | "RESUME_FAILED" | "RESUME_COMPLETE");
    // Its engine died while it resumed that, and Heat takes neither action for it before it has looked at it.
    if ["RESUME_IN_PROGRESS", "CHECK_IN_PROGRESS", "CHECK_FAILED"].into_iter().any(any) {
        return Some(Action::Check);
    }
    match stopped {
        // What failed to be resumed cannot be suspended before it was.
        true if any("RESUME_FAILED") => Some(Action::Resume),
        true => Some(Action::Suspend),
        false if resources.iter().all(resumes) => Some(Action::Resume),
        // What failed to be suspended, or did not come to it, cannot be resumed before it was.
        false if any("SUSPEND_COMPLETE") || any(ABORTED) => Some(Action::Suspend),
        // None of it was suspended: it runs.
        false => None,
    }
}

impl Heat {
    pub(super) fn orders(&self) -> Orders {
        Orders::below(&self.folder)
    }

    /// Has all of a stack suspended.
    pub(super) async fn suspend(&self, name: &StackName, order: u64) -> Result<(), StepError> {
        let order = RunOrder { order, stopped: true };
        if !self.takes(name, order)? {
            return Ok(());
        }
        self.pursue(name, order).await.map(drop)
    }

    /// Has all of a stack that was suspended resumed.
    pub(super) async fn resume(&self, spec: &StackSpec, order: u64) -> Result<(), StepError> {
        let (name, order) = (&spec.name, RunOrder { order, stopped: false });
        let known = self.orders().newest(name)?.order > 0;
        if (known || self.there(name).await?) && !self.takes(name, order)? {
            return Ok(());
        }
        if !self.pursue(name, order).await? {
            return Err(StepError::Unavailable(format!("{name} is not there, so nothing of it is started again")));
        }
        Ok(())
    }

    fn takes(&self, name: &StackName, order: RunOrder) -> Result<bool, StepError> {
        self.installation()?;
        self.orders().takes(name, order)
    }

    /// Brings the stack closer to what its newest order says. Returns whether it is there.
    pub(super) async fn pursue(&self, name: &StackName, order: RunOrder) -> Result<bool, StepError> {
        let named = |ours: &&Ours| ours.tagged.name == *name && !ours.is_going();
        // What a list of a moment ago says costs nothing. Before anything is done, Heat is asked again.
        let held = self.look().await?;
        let mut there = held.stacks.iter().filter(named).peekable();
        let (is_there, mut is_due) = (there.peek().is_some(), false);
        for ours in there {
            is_due |= self.due_now(ours, order)? != Due::Nothing;
        }
        if !is_due {
            return Ok(is_there);
        }
        let listing = self.look_now().await?;
        for ours in listing.stacks.iter().filter(named) {
            match self.due_now(ours, order)? {
                // That is an error by now.
                Due::Nothing | Due::Never => {}
                Due::Now(action) | Due::UnderWay(action) => self.act(ours, action).await?,
                Due::AfterFailure => {
                    if let Some(action) = self.due_after_failure(ours, order).await? {
                        self.act(ours, action).await?;
                    }
                }
            }
        }
        Ok(listing.stacks.iter().any(|ours| named(&ours)))
    }

    /// What is due of an order by now.
    fn due_now(&self, ours: &Ours, order: RunOrder) -> Result<Due, StepError> {
        let doing = if order.stopped { "stopping" } else { "starting" };
        let tried = self.state().tried.get(&ours.id).map(|tried| tried.elapsed());
        let due = due(&ours.status, order.stopped);
        match (&due, tried) {
            (Due::Never, _) => Err(StepError::Refused(format!(
                "stopping {}: Heat says {} and suspends only what is complete; nothing was changed, and it ends when it is torn \
                 down",
                ours.called, ours.status
            ))),
            (Due::AfterFailure, Some(tried)) if tried < AGAIN => Err(StepError::Unavailable(format!(
                "{doing} {}: Heat says {}: {}; retrying in {} s",
                ours.called,
                ours.status,
                one_line(&ours.reason),
                (AGAIN - tried).as_secs() + 1
            ))),
            (Due::UnderWay(_), None) => {
                self.state().tried.insert(ours.id.clone(), Stopwatch::start());
                Ok(Due::Nothing)
            }
            (Due::UnderWay(_), Some(tried)) if tried < STALLED => Ok(Due::Nothing),
            _ => Ok(due),
        }
    }

    /// What is due of a stack whose last action failed.
    async fn due_after_failure(&self, ours: &Ours, order: RunOrder) -> Result<Option<Action>, StepError> {
        let doing = if order.stopped { "stopping" } else { "starting" };
        let all = self.resources(ours).await.ok_or_else(|| {
            StepError::Unavailable(format!("{doing} {}: Heat does not tell of its resources", ours.called))
        })?;
        Ok(after_failure(&statuses(&all), order.stopped))
    }

    async fn act(&self, ours: &Ours, action: Action) -> Result<(), StepError> {
        let (word, doing) = action.words();
        let (name, body) = (&ours.called, json!({ word: Value::Null }));
        let question = Question {
            service: HEAT,
            method: Method::POST,
            path: &["stacks", name, &ours.id, "actions"],
            query: &[],
            body: Some(&body),
            limit: ACT,
        };
        let _change = self.change(&ours.tagged.name);
        self.state().tried.insert(ours.id.clone(), Stopwatch::start());
        match self.client.ask(&question).await {
            Ok(_) | Err(Failure::Said { status: 404, .. }) => Ok(()),
            // It is under way, and its engine lives.
            Err(Failure::Said { status: 409, .. }) if due(&ours.status, true) == Due::UnderWay(action) => Ok(()),
            Err(Failure::Said { status: 409, message }) => Err(StepError::Unavailable(format!(
                "{doing} {name}: Heat is doing something else with it, and is asked again: {message}"
            ))),
            Err(failure) => Err(failure.step(&format!("{doing} {name}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_given_until_heat_shows_it() {
        for (status, to_stop, to_start) in [
            ("CREATE_IN_PROGRESS", Due::Nothing, Due::Nothing),
            ("CREATE_COMPLETE", Due::Now(Action::Suspend), Due::Nothing),
            ("UPDATE_COMPLETE", Due::Now(Action::Suspend), Due::Nothing),
            ("SUSPEND_IN_PROGRESS", Due::UnderWay(Action::Suspend), Due::UnderWay(Action::Suspend)),
            ("SUSPEND_COMPLETE", Due::Nothing, Due::Now(Action::Resume)),
            ("RESUME_IN_PROGRESS", Due::UnderWay(Action::Resume), Due::UnderWay(Action::Resume)),
            ("RESUME_COMPLETE", Due::Now(Action::Suspend), Due::Nothing),
            ("RESUME_FAILED", Due::AfterFailure, Due::AfterFailure),
            ("SUSPEND_FAILED", Due::AfterFailure, Due::AfterFailure),
            ("CREATE_FAILED", Due::Never, Due::Nothing),
        ] {
            assert_eq!((due(status, true), due(status, false)), (to_stop, to_start), "{status}");
        }
    }

    #[test]
    fn after_a_failure_heat_is_asked_for_what_it_takes() {
        let (suspend, resume, check) = (Some(Action::Suspend), Some(Action::Resume), Some(Action::Check));
        for (resources, to_stop, to_start) in [
            // One server was suspended, the other one was not: Heat resumes none of them before both are.
            (vec!["SUSPEND_COMPLETE", "SUSPEND_FAILED", "CREATE_COMPLETE"], suspend, suspend),
            (vec!["SUSPEND_FAILED", "CREATE_COMPLETE"], suspend, None),
            (vec!["SUSPEND_FAILED", ABORTED], suspend, suspend),
            // One was resumed, the other one was not: Heat suspends none of them before both are.
            (vec!["RESUME_COMPLETE", "RESUME_FAILED", "SUSPEND_COMPLETE"], resume, resume),
            // The engine died: what it suspended is suspended again, and what it resumed has to be looked at.
            (vec!["SUSPEND_IN_PROGRESS", "CREATE_COMPLETE"], suspend, None),
            (vec!["RESUME_IN_PROGRESS", "SUSPEND_COMPLETE"], check, check),
            (vec!["CHECK_FAILED", "CHECK_COMPLETE"], check, check),
            (vec!["CHECK_COMPLETE", "SUSPEND_FAILED"], suspend, None),
        ] {
            assert_eq!((after_failure(&resources, true), after_failure(&resources, false)), (to_stop, to_start));
        }
    }
}
