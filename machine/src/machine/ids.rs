//! Names, numbers and times: the vocabulary that every other module speaks.
//!
//! Must not know what a deployment is; must not read a clock.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// The name of a pipeline or of an environment: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 40 characters, so that
/// `<pipeline>-<environment>-<number>` stays a legal host label almost always and a legal Heat name always.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: use 1 to 40 of a-z, 0-9 and '-', beginning and ending with a letter or digit")]
pub struct BadName(pub String);

impl Name {
    /// The longest name, in characters.
    pub const MAX: usize = 40;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
        if ends && bytes.len() <= Self::MAX && bytes.iter().all(|&b| plain(b) || b == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An environment of a pipeline, written `shop/prod`. The unit of ordering and of locking.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvironmentId {
    /// The pipeline.
    pub pipeline: Name,
    /// The environment within it.
    pub environment: Name,
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pipeline, self.environment)
    }
}

/// Why a text is no [`EnvironmentId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// There is no `/` in it.
    #[error("{0:?} names no environment: write PIPELINE/ENVIRONMENT, such as shop/prod")]
    OnePart(String),
    /// One of its two parts is no name.
    #[error(transparent)]
    Name(#[from] BadName),
}

impl FromStr for EnvironmentId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let whole = || BadId::OnePart(text.chars().take(80).collect());
        let (pipeline, environment) = text.split_once('/').ok_or_else(whole)?;
        Ok(Self { pipeline: pipeline.parse()?, environment: environment.parse()? })
    }
}

impl TryFrom<String> for EnvironmentId {
    type Error = BadId;
    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<EnvironmentId> for String {
    fn from(id: EnvironmentId) -> Self {
        id.to_string()
    }
}

/// The number of a deployment within its environment; its stack carries it too. Never used twice (rule R6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(pub u32);

impl Number {
    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A stack: `<pipeline>-<environment>-<number>` for people and providers, but compared by its parts, because
/// `a-b` + `c` and `a` + `b-c` read the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StackName {
    /// Where it runs.
    pub environment: EnvironmentId,
    /// The deployment that made it.
    pub number: Number,
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.environment.pipeline, self.environment.environment, self.number)
    }
}

/// Orders at the front are numbered; a front accepts only a higher one (rule R7). 0: never ordered anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many of 100 users: 1 to 99. Nobody and everybody need no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Share(u8);

/// Why a number is no [`Share`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid share {0}: write a number from 1 to 99, the percentage of users")]
pub struct BadShare(pub i64);

impl Share {
    /// The percentage.
    pub fn percent(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for Share {
    type Error = BadShare;
    fn try_from(percent: i64) -> Result<Self, BadShare> {
        let share = u8::try_from(percent).ok().filter(|percent| (1..100).contains(percent));
        share.map(Self).ok_or(BadShare(percent))
    }
}

impl From<Share> for i64 {
    fn from(share: Share) -> Self {
        share.0.into()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// How many events an environment has folded. An observation names the one it was begun at (rule R5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Milliseconds: since the Unix epoch where it is a time, plain where it is a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// How long ago `earlier` was; nothing when a clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, length: Self) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

impl From<std::time::Duration> for Millis {
    fn from(length: std::time::Duration) -> Self {
        Self(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What makes a build the same build however often it is announced (rule R3): a digest of pipeline, sender and
/// delivery, or of the caller's `Idempotency-Key`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(pub [u8; 16]);

impl Key {
    /// Where the digest of the content stands, between two parts of the name's.
    const CONTENT: std::ops::Range<usize> = 8..12;

    /// Returns the key of a build with this name and content.
    pub fn of(name: [u8; 12], content: [u8; 4]) -> Self {
        let mut key = [0; 16];
        let (front, back) = name.split_at(Self::CONTENT.start);
        key[..Self::CONTENT.start].copy_from_slice(front);
        key[Self::CONTENT].copy_from_slice(&content);
        key[Self::CONTENT.end..].copy_from_slice(back);
        Self(key)
    }

    /// Whether both go by the same name, whatever they say.
    pub fn same_name(self, other: Self) -> bool {
        self.0[..Self::CONTENT.start] == other.0[..Self::CONTENT.start]
            && self.0[Self::CONTENT.end..] == other.0[Self::CONTENT.end..]
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        hex::encode(key.0)
    }
}

impl TryFrom<String> for Key {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut key = [0; 16];
        hex::decode_to_slice(text, &mut key)?;
        Ok(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_some_users_and_not_all() {
        let share = |text: &str| serde_json::from_str::<Share>(text).map_err(|error| error.to_string());
        for percent in [1, 5, 99] {
            let read = share(&percent.to_string()).unwrap();
            assert_eq!((i64::from(read), read.to_string()), (percent, format!("{percent} %")));
            assert_eq!(serde_json::to_string(&read).unwrap(), percent.to_string());
        }
        for percent in ["0", "100", "-5", "300"] {
            assert_eq!(
                share(percent).unwrap_err(),
                format!("invalid share {percent}: write a number from 1 to 99, the percentage of users")
            );
        }
        assert!(share("2.5").is_err() && share("\"5\"").is_err());
    }
}
