//! How often something may happen for each key: failed proofs by their origin, builds by their pipeline. Must not read a
//! clock, and must not grow with the number of keys that strangers think of.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Digest, at_once::AtOnce};
use crate::{
    machine::{Millis, Name},
    text::excerpt,
};

/// A burst, and the rate after it. Written `1000/s`, `1/s burst 20`, `30/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds that one request uses; never zero.
    each: u64,
    /// How many at once; never none.
    burst: u32,
}

impl Rate {
    /// Returns a rate of `count` a second, with a burst.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        let each = if count == 0 { SECOND } else { SECOND / count as u64 };
        Self { each: if each == 0 { 1 } else { each }, burst: if burst == 0 { 1 } else { burst } }
    }

    /// How far ahead of now a key may be and still take one more.
    fn slack(self) -> u64 {
        self.each.saturating_mul(u64::from(self.burst) - 1)
    }
}

const SECOND: u64 = 1_000_000;
/// The highest rate and the largest burst.
const MOST: u32 = 1_000_000;

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no rate: write \"1000/s\", \"30/m\" or \"1/s burst 20\", with numbers from 1 to {MOST}")]
pub struct BadRate(String);

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u32>().ok().filter(|n| plain && (1..=MOST).contains(n))
        };
        let read = || {
            let (rate, burst) = text.split_once(" burst ").map_or((text, None), |(rate, burst)| (rate, Some(burst)));
            let (count, unit) = rate.split_once('/')?;
            let count = number(count)?;
            let length = match unit {
                "s" => SECOND,
                "m" => 60 * SECOND,
                "h" => 3600 * SECOND,
                _ => return None,
            };
            let burst = burst.map_or(Some(count.saturating_mul(2)), number)?;
            Some(Self { each: length / u64::from(count), burst })
        };
        read().ok_or_else(|| BadRate(excerpt(text)))
    }
}

/// Rates of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Webhooks of one pipeline that are proven to be genuine.
    pub webhooks: Rate,
    /// Requests of one origin that prove nothing.
    pub failures: Rate,
    /// Failed sign-ins of one account, wherever they come from.
    pub sign_ins: Rate,
}

/// `6/m burst 10`: nine thousand guesses a day.
const SIGN_INS: Rate = Rate { each: 10 * SECOND, burst: 10 };

impl Default for Rates {
    fn default() -> Self {
        Self { webhooks: Rate::per_second(1000, 2000), failures: Rate::per_second(1, 20), sign_ins: SIGN_INS }
    }
}

/// The limits of a controller.
pub struct Limits {
    /// Webhooks of one pipeline that are proven to be genuine.
    pub webhooks: Limit<Name>,
    /// Requests of one origin that prove nothing.
    pub failures: Limit<Origin>,
    /// Failed sign-ins of one account, by [`Access::account`](super::Access::account).
    pub sign_ins: Limit<Digest>,
    /// Streams that one person follows at the same time.
    pub streams: AtOnce<Arc<str>>,
    /// Bundles of evidence that are made for one person at the same time.
    pub evidence: AtOnce<Arc<str>>,
    /// Addresses whose word is believed on whom they ask for.
    proxies: Vec<IpAddr>,
}

/// The most origins that are remembered: some two megabytes.
const ORIGINS: usize = 16_384;
/// The most streams that one person follows, and that all follow together.
const STREAMS_OF_ONE: usize = 512;
const STREAMS: usize = 16_384;
/// The most bundles of evidence that are made for one person, and for all together: each reads much of the state file.
const EVIDENCE_OF_ONE: usize = 2;
const EVIDENCE: usize = 8;
/// Pipelines are what the files say; this bounds nothing.
const PIPELINES: usize = 1 << 20;

impl Limits {
    /// Returns limits with nothing counted yet.
    pub fn new(rates: Rates, proxies: Vec<IpAddr>) -> Self {
        let webhooks = Limit::new(rates.webhooks, PIPELINES);
        let sign_ins = Limit::new(rates.sign_ins, ORIGINS);
        let failures = Limit::new(rates.failures, ORIGINS);
        let (streams, evidence) = (AtOnce::new(STREAMS_OF_ONE, STREAMS), AtOnce::new(EVIDENCE_OF_ONE, EVIDENCE));
        Self { webhooks, failures, sign_ins, streams, evidence, proxies }
    }

    /// Returns whether this peer is a proxy whose word is believed.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.contains(&peer.to_canonical())
    }

    /// Who asks: the peer, or whom a proxy asks for, by the list of addresses to which each proxy adds its own peer. From
    /// the end, where the nearest one wrote, for as long as it is a proxy of ours who says it.
    pub fn address(&self, peer: IpAddr, forwarded: &str) -> IpAddr {
        let mut address = peer.to_canonical();
        for said in forwarded.rsplit(',') {
            match said.trim().parse::<IpAddr>() {
                Ok(said) if self.proxies.contains(&address) => address = said.to_canonical(),
                _ => break,
            }
        }
        address
    }
}

/// Who fails, and at what: a wrong key for one pipeline must stop neither the other pipelines' builds nor the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The address; of IPv6 the network, of which a host has all addresses.
    address: IpAddr,
    /// The pipeline whose webhook it was; `None`: the API.
    pipeline: Option<Name>,
}

impl Origin {
    /// Returns the key of an address at the API.
    pub fn api(address: IpAddr) -> Self {
        Self { address: network(address), pipeline: None }
    }

    /// Returns the key of an address at the webhook of a pipeline.
    pub fn webhook(address: IpAddr, pipeline: &Name) -> Self {
        Self { address: network(address), pipeline: Some(pipeline.clone()) }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
        four => four,
    }
}

/// The limit must not be asked again before this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait(pub Millis);

/// Counts by key. A key is remembered only while it is ahead of its rate, and not more than so many of them: when there
/// are more, those that are least ahead are forgotten.
pub struct Limit<K> {
    rate: Rate,
    most: usize,
    /// Time, in microseconds, until which each key has used up its rate.
    used: Mutex<HashMap<K, u64>>,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// Returns an empty limiter that remembers at most `most` keys.
    pub fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most: most.max(2), used: Mutex::default() }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// How long it takes until there is one again; then nothing was counted.
    pub fn take(&self, key: &K, now: Millis) -> Result<(), Wait> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = micros(now);
        let until = used.get(key).copied().unwrap_or(0).max(now);
        self.room(until, now)?;
        if !used.contains_key(key) && used.len() >= self.most {
            make_room(&mut used, now, self.most / 2);
        }
        used.insert(key.clone(), until.saturating_add(self.rate.each));
        Ok(())
    }

    /// Whether there would be one, without counting it.
    ///
    /// # Errors
    /// As [`Limit::take`].
    pub fn look(&self, key: &K, now: Millis) -> Result<(), Wait> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let now = micros(now);
        used.get(key).map_or(Ok(()), |until| self.room((*until).max(now), now))
    }

    fn room(&self, until: u64, now: u64) -> Result<(), Wait> {
        let ahead = until - now;
        let over = ahead.saturating_sub(self.rate.slack());
        if over == 0 { Ok(()) } else { Err(Wait(Millis(over.div_ceil(1000)))) }
    }

    /// How many keys are remembered.
    pub fn keys(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Forgets the keys that are not ahead, and of the others those that are least ahead, until `keep` are left.
fn make_room<K: Hash + Eq>(used: &mut HashMap<K, u64>, now: u64, keep: usize) {
    used.retain(|_, until| *until > now);
    if used.len() <= keep {
        return;
    }
    let mut times: Vec<u64> = used.values().copied().collect();
    let (_, bound, _) = times.select_nth_unstable_by(keep, |a, b| b.cmp(a));
    let bound = *bound;
    used.retain(|_, until| *until > bound);
}

fn micros(time: Millis) -> u64 {
    time.0.saturating_mul(1000)
}
