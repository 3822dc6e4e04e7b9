//! Durations, sizes and addresses as people write them in files and on the command line: `500ms`, `30m`, `2d`; `64kB`,
//! `512MB`; `127.0.0.1:8080`. Each has one parser and one message, whoever asks.
//!
//! Must not know which file they stand in.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error};

use crate::{machine::Millis, text::excerpt};

/// The units of durations in milliseconds, the smallest first. `ms` stands before `m` and `s`.
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", DAY)];
const DAY: u64 = 86_400_000;
/// The longest duration. A longer one is a slip, and all clocks can count this far.
const LONGEST: u64 = 366 * DAY;
const SIZES: [(&str, u64); 4] = [("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("B", 1)];

/// Why a text was not taken for a value with a unit, or for an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUnit {
    /// Not a number with a unit of time.
    #[error("invalid duration \"{0}\": write a number and a unit (ms, s, m, h, d), for example \"30m\"")]
    Duration(String),
    /// Longer than any duration may be.
    #[error("the duration \"{0}\" is too long: write 366d at most")]
    TooLong(String),
    /// Not a number with a unit of size.
    #[error("invalid size \"{0}\": write a number and a unit (B, kB, MB, GB), for example \"512MB\"")]
    Size(String),
    /// Not an IP address with a port.
    #[error("invalid address \"{0}\": write an IP address and a port, for example \"127.0.0.1:8080\"")]
    Address(String),
    /// Not an IP address.
    #[error("invalid IP address \"{0}\": write it without a port, for example \"127.0.0.1\"")]
    Ip(String),
}

/// Reads `500ms`, `5s`, `30m`, `6h`, `2d`. Refuses a bare number, whose unit nobody knows.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub(crate) fn parse_duration(text: &str) -> Result<Millis, BadUnit> {
    let (number, factor) = split(text, &DURATIONS).ok_or_else(|| BadUnit::Duration(excerpt(text)))?;
    let length = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    length.filter(|ms| *ms <= LONGEST).map(Millis).ok_or_else(|| BadUnit::TooLong(excerpt(text)))
}

/// Parses a duration for a timer as [`parse_duration`] does.
///
/// # Errors
/// As [`parse_duration`].
pub(crate) fn parse_timer(text: &str) -> Result<Duration, BadUnit> {
    parse_duration(text).map(|length| Duration::from_millis(length.0))
}

/// Reads a size in bytes; `k` is 1024.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub(crate) fn parse_size(text: &str) -> Result<u64, BadUnit> {
    let bytes = split(text, &SIZES).and_then(|(number, factor)| number.parse::<u64>().ok()?.checked_mul(factor));
    bytes.filter(|bytes| *bytes <= i64::MAX.unsigned_abs()).ok_or_else(|| BadUnit::Size(excerpt(text)))
}

/// Reads an IP address with its port.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, BadUnit> {
    text.parse().map_err(|_| BadUnit::Address(excerpt(text)))
}

/// Reads an IP address.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, BadUnit> {
    text.parse().map_err(|_| BadUnit::Ip(excerpt(text)))
}

/// The digits of a text and what its unit stands for.
fn split<'t>(text: &'t str, units: &[(&str, u64)]) -> Option<(&'t str, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    (!number.is_empty()).then_some((number, factor))
}

/// Writes a duration as it would be read, in the largest unit that keeps it whole.
pub(crate) fn show_duration(length: Duration) -> String {
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) =
        DURATIONS.into_iter().rev().find(|(_, factor)| ms >= *factor && ms % factor == 0).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// Reads a duration with serde.
///
/// # Errors
/// As [`parse_duration`].
pub(crate) fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_timer(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// Reads a size that may be left out with serde.
///
/// # Errors
/// As [`parse_size`].
pub(crate) fn optional_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| parse_size(&text)).transpose().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_only() {
        for (text, ms) in [("500ms", 500), ("5s", 5000), ("30m", 1_800_000), ("6h", 21_600_000), ("2d", 2 * DAY)] {
            assert_eq!(parse_duration(text), Ok(Millis(ms)));
        }
        for bad in ["", "5", "s", "5 s", "-5s", "5.5s", "5S", "１s", "1 day"] {
            let said = parse_duration(bad).unwrap_err().to_string();
            assert_eq!(
                said,
                format!("invalid duration \"{bad}\": write a number and a unit (ms, s, m, h, d), for example \"30m\"")
            );
        }
        for long in ["400d", "99999999999999999999s"] {
            assert_eq!(parse_duration(long), Err(BadUnit::TooLong(long.to_owned())));
        }
    }

    #[test]
    fn sizes_read_as_written() {
        assert_eq!(parse_size("512MB"), Ok(512 << 20));
        assert_eq!(parse_size("64kB"), Ok(64 << 10));
        for bad in ["512", "MB", "99999999999999999999GB"] {
            assert_eq!(parse_size(bad), Err(BadUnit::Size(bad.to_owned())));
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for length in ["500ms", "90s", "2m", "6h", "1500ms", "3d"] {
            assert_eq!(show_duration(parse_timer(length).expect("valid")), length);
        }
    }
}
