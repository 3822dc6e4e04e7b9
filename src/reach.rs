//! Where a stack is reached: at addresses, or through a thing of its provider. Must not know who gives it, nor who takes it.

use std::{fmt, net::SocketAddr, ops::Deref, sync::Arc};

use serde::{Serialize, Serializer};

/// Where a stack is reached. Written as a list of words: each address, or the one thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Addresses at which it listens; none until they are known.
    Addresses(Addresses),
    /// A thing of a provider that is asked in its place, such as a target group.
    Named {
        /// The kind of thing, by the provider's word for it ([`ReachKind::Named`]).
        kind: Arc<str>,
        /// Its id at the provider.
        id: Arc<str>,
    },
}

/// A set of addresses: sorted, and each once, in whatever order a provider lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Addresses(Vec<SocketAddr>);

/// A kind of reach, as the registries of drivers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReachKind {
    /// Kind of [`Reach::Addresses`].
    Addresses,
    /// Kind of [`Reach::Named`], by the provider's word for such a thing.
    Named(&'static str),
}

impl Reach {
    /// Addresses at which it is asked; none where it is reached by a name.
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::Addresses(addresses) => addresses,
            Self::Named { .. } => &[],
        }
    }

    /// Whether it is not known yet.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Addresses(addresses) if addresses.is_empty())
    }

    /// Whether nothing of another reach is left in this one: whoever goes by that one does not come to the stack any more.
    pub fn has_left(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Addresses(now), Self::Addresses(before)) => !before.iter().any(|address| now.contains(address)),
            _ => self != other,
        }
    }

    /// Returns it in words, one for each address, or one for the thing.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect(),
            Self::Named { kind, id } => vec![format!("{kind} {id}")],
        }
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::Addresses(Addresses::default())
    }
}

impl From<SocketAddr> for Reach {
    fn from(address: SocketAddr) -> Self {
        Self::from_iter([address])
    }
}

impl FromIterator<SocketAddr> for Reach {
    fn from_iter<I: IntoIterator<Item = SocketAddr>>(addresses: I) -> Self {
        Self::Addresses(Addresses::from_iter(addresses))
    }
}

impl FromIterator<SocketAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = SocketAddr>>(addresses: I) -> Self {
        let mut addresses: Vec<_> = addresses.into_iter().collect();
        addresses.sort_unstable();
        addresses.dedup();
        Self(addresses)
    }
}

impl Deref for Addresses {
    type Target = [SocketAddr];

    fn deref(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.words().serialize(to)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

impl ReachKind {
    /// Whether that is a reach of this kind.
    pub fn covers(self, reach: &Reach) -> bool {
        match (self, reach) {
            (Self::Addresses, Reach::Addresses(_)) => true,
            (Self::Named(thing), Reach::Named { kind, .. }) => thing == &**kind,
            _ => false,
        }
    }
}

impl fmt::Display for ReachKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses => f.write_str("addresses"),
            Self::Named(kind) => write!(f, "a {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addresses: &[&str]) -> Reach {
        addresses.iter().map(|address| address.parse::<SocketAddr>().unwrap()).collect()
    }

    #[test]
    fn the_order_of_a_list_makes_no_other_reach() {
        let reach = at(&["10.0.0.9:80", "10.0.0.10:80", "10.0.0.9:80"]);
        assert_eq!(reach, at(&["10.0.0.10:80", "10.0.0.9:80"]));
        assert_eq!(reach.to_string(), "10.0.0.9:80 10.0.0.10:80");
        assert!(at(&[]).is_empty() && !reach.is_empty());
    }

    #[test]
    fn a_reach_is_left_when_none_of_it_remains() {
        let (before, half, other) = (at(&["10.0.0.1:80", "10.0.0.2:80"]), at(&["10.0.0.2:80"]), at(&["10.0.0.3:80"]));
        assert!(!half.has_left(&before) && other.has_left(&before));
        let named = |id: &str| Reach::Named { kind: "target group".into(), id: id.into() };
        assert!(named("blue").has_left(&named("green")) && !named("blue").has_left(&named("blue")));
        assert!(named("blue").addresses().is_empty() && !named("blue").is_empty());
    }
}
