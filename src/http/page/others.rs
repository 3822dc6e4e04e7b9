//! Who could press what somebody may not: the role that it takes, and whoever has it. Names are for those who are signed in
//! themselves.

use super::{Visitor, act};
use crate::{
    access::{
        Role,
        who::{Able, Named},
    },
    http::App,
    machine::EnvironmentId,
    telling::{self, WhoCan},
};

/// Whoever else may press the buttons of an environment.
pub(super) struct Others {
    id: EnvironmentId,
    role: Option<Role>,
    /// Everybody who has a role there; none where the visitor is not to read names.
    able: Option<Able>,
}

impl Others {
    /// Looks for them, for whoever looks at the page.
    pub(super) fn of(app: &App, visitor: &Visitor, id: &EnvironmentId) -> Self {
        let able = visitor.caller.session().map(|_| app.access.able(id, app.clock.host()));
        Self { id: id.clone(), role: visitor.caller.role_in(id), able }
    }

    /// Why whoever looks may not do what takes this role, and who may; none when they may.
    pub(super) fn not_for(&self, needs: Role) -> Option<String> {
        let why = act::not_for(self.role, needs, &self.id)?;
        Some(match self.who_can(needs, None) {
            Some(who) => format!("{why} {who}"),
            None => why,
        })
    }

    /// Who can do what takes this role, without `but`; none where the visitor is not to read names.
    pub(super) fn who_can(&self, needs: Role, but: Option<&str>) -> Option<String> {
        let Able { users, groups, provider, tokens } = self.able.as_ref()?;
        let may = |(name, role): &&Named| *role >= needs && but != Some(&**name);
        let users = users.as_ref().ok().map(|users| users.iter().filter(may).map(told).collect());
        let tokens = tokens.as_ref().ok().map(|tokens| tokens.iter().filter(may).map(told).collect());
        let groups = groups.iter().filter(may).map(|(name, _)| &**name).collect();
        Some(telling::who_can(&WhoCan { users, groups, provider, tokens }))
    }
}

fn told((name, role): &Named) -> (&str, String) {
    (name, role.to_string())
}
