//! Who could press what somebody may not: the role that it takes, and a handful of people who have it. Names are for those who are
//! signed in themselves.

use std::sync::Arc;

use super::{Visitor, act};
use crate::{access::Role, http::App, machine::EnvironmentId};

/// How many people are named.
const NAMED: usize = 5;

/// Whoever else may press the buttons of an environment.
pub(super) struct Others {
    id: EnvironmentId,
    role: Option<Role>,
    /// For each role that the visitor does not have, the people who have it.
    people: Vec<(Role, Vec<Arc<str>>)>,
}

impl Others {
    /// Looks for them, for whoever looks at the page.
    pub(super) fn of(app: &App, visitor: &Visitor, id: &EnvironmentId) -> Self {
        let role = visitor.caller.role_in(id);
        let missing = Role::ALL.into_iter().map(|(_, role)| role).filter(|needs| role.is_none_or(|role| role < *needs));
        let people = |needs: Role| {
            // A file that cannot be read is told where users sign in; the role is told all the same.
            let names = app.access.people_who_may(needs, id, app.clock.host()).unwrap_or_default();
            (needs, names)
        };
        let people = match visitor.caller.session() {
            Some(_) => missing.map(people).collect(),
            None => Vec::new(),
        };
        Self { id: id.clone(), role, people }
    }

    /// Why whoever looks may not do what takes this role, and who may; none when they may.
    pub(super) fn not_for(&self, needs: Role) -> Option<String> {
        let why = act::not_for(self.role, needs, &self.id)?;
        let people = self.people.iter().find(|(role, _)| *role == needs).map(|(_, people)| people.as_slice());
        Some(match named(people.unwrap_or_default()) {
            Some(names) => format!("{why} Who can: {names}."),
            None => why,
        })
    }
}

/// A handful of names, and how many more there are.
fn named(people: &[Arc<str>]) -> Option<String> {
    let (shown, more) = people.split_at(people.len().min(NAMED));
    let names = shown.iter().map(|name| &**name).collect::<Vec<_>>();
    match (names.split_last(), more.len()) {
        (None, _) => None,
        (Some((one, [])), 0) => Some((*one).to_owned()),
        (Some((last, others)), 0) => Some(format!("{} or {last}", others.join(", "))),
        (Some(_), more) => Some(format!("{}, or {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_is_named_and_the_rest_is_counted() {
        let people: Vec<Arc<str>> = ["ann", "bob", "cy", "dee", "eve", "fay", "guy"].map(Into::into).into();
        let told = |count: usize| named(&people[..count]);
        assert_eq!(told(0), None);
        assert_eq!(told(1).as_deref(), Some("ann"));
        assert_eq!(told(3).as_deref(), Some("ann, bob or cy"));
        assert_eq!(told(7).as_deref(), Some("ann, bob, cy, dee, eve, or 2 more"));
    }
}
