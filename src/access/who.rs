//! Who has a role in an environment, by name: users, groups of the provider, and tokens. Must not decide anything.

use std::sync::Arc;

use super::{Access, Grant, Refused, Role, role_in};
use crate::machine::{EnvironmentId, Millis};

/// How old the files may be where only names are told.
const OLD: Millis = Millis(1000);

/// A name, with the greatest role that it has in the environment.
pub type Named = (Arc<str>, Role);

/// Everybody who has a role in an environment, each list in the order of the alphabet.
pub struct Able {
    /// People who sign in with a password; `Err`: their file cannot be used.
    pub users: Result<Vec<Named>, Refused>,
    /// Groups whose members sign in at the provider.
    pub groups: Vec<Named>,
    /// What people call the provider; empty where there is none.
    pub provider: Arc<str>,
    /// Tokens that are good now; `Err`: their file cannot be used.
    pub tokens: Result<Vec<Named>, Refused>,
}

impl Access {
    /// Names everybody who has a role in the environment. The files are looked at at most once a second.
    pub fn able(&self, id: &EnvironmentId, now: Millis) -> Able {
        let named = |name: &Arc<str>, grants: &[Grant]| role_in(grants, id).map(|role| (name.clone(), role));
        let sorted = |names: &mut dyn Iterator<Item = Named>| {
            let mut names: Vec<Named> = names.collect();
            names.sort();
            names
        };
        let users = self
            .users
            .with(now, OLD, |users| Ok(sorted(&mut users.iter().filter_map(|user| named(&user.name, &user.grants)))));
        let tokens = self.tokens.with(now, OLD, |tokens| {
            let good = tokens.iter().filter(|token| token.is_good(now));
            Ok(sorted(&mut good.filter_map(|token| named(&token.name, &[token.grant()]))))
        });
        let groups = self.openid().into_iter().flat_map(|openid| &openid.groups);
        let groups = sorted(&mut groups.filter_map(|(group, grants)| named(group, grants)));
        let provider = self.openid().map_or_else(|| "".into(), |openid| openid.provider.clone());
        Able { users, groups, provider, tokens }
    }
}
