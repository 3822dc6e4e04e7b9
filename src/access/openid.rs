//! People whom an OpenID Connect provider vouches for: who they are, and what their groups may do. Must not talk to the
//! provider.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Digest, Grant, sessions::Holder};

/// Prefix of the names of these people in the journal.
const PREFIX: &str = "oidc:";
/// The length of the mark in a person's name, in hexadecimal digits.
const MARK: usize = 12;
/// The longest name that is shown of a person, in bytes.
const LONGEST: usize = 64;

/// What the members of one group may do.
pub type Granted = (Arc<str>, Arc<[Grant]>);

/// What the groups of a provider may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// What people call the provider.
    pub provider: Arc<str>,
    /// The provider, by the address in its tokens.
    pub issuer: Arc<str>,
    /// Client id of this installation at the provider.
    pub client: Arc<str>,
    /// The claim that has the groups.
    pub claim: Arc<str>,
    /// The grants of each group that has some.
    pub groups: Vec<Granted>,
}

impl Mapping {
    /// Returns whose session it would be; `None` where none of the person's groups has a grant.
    pub fn holder(&self, person: &Person) -> Option<Holder> {
        let groups: Vec<Arc<str>> =
            self.groups.iter().map(|(group, _)| group).filter(|group| person.groups.contains(group)).cloned().collect();
        (!groups.is_empty()).then(|| Holder::Openid {
            issuer: self.issuer.clone(),
            subject: person.subject.clone(),
            name: person.name.clone(),
            stamp: self.stamp(&groups),
            groups,
        })
    }

    /// Returns what members of these groups may do, as long as that is what it was when `stamp` was made.
    pub(super) fn grants(&self, issuer: &str, groups: &[Arc<str>], stamp: Digest) -> Option<Arc<[Grant]>> {
        (*self.issuer == *issuer && self.stamp(groups) == stamp).then(|| self.of(groups).into())
    }

    fn of(&self, groups: &[Arc<str>]) -> Vec<Grant> {
        let mine = self.groups.iter().filter(|(group, _)| groups.contains(group));
        let mut grants: Vec<Grant> = Vec::new();
        for grant in mine.flat_map(|(_, grants)| grants.iter()) {
            if !grants.contains(grant) {
                grants.push(grant.clone());
            }
        }
        grants
    }

    /// What is another one as soon as the settings give these groups something else, or take them from elsewhere.
    fn stamp(&self, groups: &[Arc<str>]) -> Digest {
        let Self { issuer, client, claim, .. } = self;
        Digest::of(format!("{issuer}\n{client}\n{claim}\n{:?}", self.of(groups)).as_bytes())
    }
}

/// A person, as a provider's token has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider's own name for the account; with the issuer it is who they are.
    pub subject: Arc<str>,
    /// What they are called, for people only: whoever has an account may change it.
    pub name: Arc<str>,
    /// The groups that they are in.
    pub groups: Vec<Arc<str>>,
}

/// Returns the name of an account in the journal: `oidc:NAME#MARK`. The mark is of issuer and subject, so that nobody becomes
/// somebody else by another name.
pub(super) fn by(issuer: &str, subject: &str, name: &str) -> Arc<str> {
    format!("{PREFIX}{name}#{}", mark(issuer, subject)).into()
}

/// Returns whether a name of the journal is of this account, whatever that was called then.
pub(super) fn is(issuer: &str, subject: &str, by: &str) -> bool {
    let named = by.strip_prefix(PREFIX).and_then(|name| name.rsplit_once('#'));
    named.is_some_and(|(_, shown)| *shown == mark(issuer, subject))
}

fn mark(issuer: &str, subject: &str) -> String {
    let sum = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(subject).finalize();
    let mut mark = hex::encode(sum);
    mark.truncate(MARK);
    mark
}

/// Makes the name that is shown of what a provider calls somebody: without what could be taken for the rest of a name in the
/// journal, or be read in another direction.
pub fn shown_name(told: &str) -> Arc<str> {
    let plain = |c: char| if c.is_alphanumeric() || "-._@+".contains(c) { c } else { '-' };
    let mut name = String::new();
    for c in told.trim().chars().map(plain) {
        if name.len() + c.len_utf8() > LONGEST {
            break;
        }
        name.push(c);
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(groups: &[(&str, &[&str])]) -> Mapping {
        let grants = |all: &[&str]| all.iter().map(|grant| grant.parse().unwrap()).collect::<Vec<Grant>>().into();
        let groups = groups.iter().map(|(group, all)| ((*group).into(), grants(all))).collect();
        Mapping {
            provider: "Example SSO".into(),
            issuer: "https://sso.example".into(),
            client: "pm".into(),
            claim: "groups".into(),
            groups,
        }
    }

    fn person(groups: &[&str]) -> Person {
        let groups = groups.iter().map(|group| (*group).into()).collect();
        Person { subject: "4711".into(), name: "ann".into(), groups }
    }

    fn grants(mapping: &Mapping, holder: &Holder) -> Option<Arc<[Grant]>> {
        let Holder::Openid { issuer, groups, stamp, .. } = holder else { panic!("{holder:?}") };
        mapping.grants(issuer, groups, *stamp)
    }

    #[test]
    fn somebody_may_what_all_their_groups_may() {
        let all = mapping(&[("ops", &["approver=shop/prod"]), ("dev", &["deployer", "viewer"]), ("boss", &["admin"])]);
        let holder = all.holder(&person(&["dev", "else", "ops"])).unwrap();
        let granted: Vec<_> = grants(&all, &holder).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(granted, ["approver of shop/prod", "deployer", "viewer"]);
        assert_eq!(all.holder(&person(&["else", "OPS", ""])), None);
    }

    #[test]
    fn what_somebody_may_ends_with_every_change_of_the_settings_that_concerns_them() {
        let before = mapping(&[("ops", &["approver"]), ("dev", &["deployer"])]);
        let holder = before.holder(&person(&["ops"])).unwrap();
        let other = mapping(&[("ops", &["approver"]), ("dev", &["viewer"]), ("new", &["admin"])]);
        assert_eq!(grants(&other, &holder), grants(&before, &holder), "what concerns others only");
        for changed in [
            mapping(&[("ops", &["viewer"])]),
            mapping(&[("ops", &["approver=shop"])]),
            mapping(&[("dev", &["approver"])]),
            Mapping { issuer: "https://other.example".into(), ..before.clone() },
            Mapping { client: "other".into(), ..before.clone() },
            Mapping { claim: "roles".into(), ..before.clone() },
        ] {
            assert_eq!(grants(&changed, &holder), None, "{changed:?}");
        }
    }

    #[test]
    fn a_name_in_the_journal_is_of_one_account_whatever_it_is_called() {
        let name = |issuer: &str, subject: &str, name: &str| by(issuer, subject, name).to_string();
        let ann = name("https://sso.example", "4711", "ann");
        assert!(ann.starts_with("oidc:ann#") && ann.len() == "oidc:ann#".len() + MARK, "{ann}");
        let mark = |name: &str| name.rsplit_once('#').unwrap().1.to_owned();
        assert_eq!(mark(&ann), mark(&name("https://sso.example", "4711", "eve")));
        for other in [name("https://sso.example", "4712", "ann"), name("https://sso2.example", "4711", "ann")] {
            assert_ne!(mark(&ann), mark(&other));
        }
        assert_ne!(mark(&name("a", "b", "x")), mark(&name("ab", "", "x")));
        let own = |by: &str| is("https://sso.example", "4711", by);
        assert!(own(&ann) && own(&ann.replace("ann", "eve")));
        for other in ["ann", "oidc:ann", "local:ann", &ann[5..], &name("https://sso.example", "4712", "ann")] {
            assert!(!own(other), "{other}");
        }
    }

    #[test]
    fn a_name_that_is_shown_cannot_be_taken_for_anything_else() {
        for (told, shown) in [
            ("ann@example.org", "ann@example.org"),
            (" Zoë Müller ", "Zoë-Müller"),
            ("ann#0123456789ab", "ann-0123456789ab"),
            ("local:ann", "local-ann"),
            ("a\u{202e}b\nc<script>", "a-b-c-script-"),
        ] {
            assert_eq!(&*shown_name(told), shown);
        }
        assert!(shown_name(&"ü".repeat(100)).len() <= LONGEST);
    }
}
