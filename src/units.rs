//! Lengths of time and sizes as people write them in files: `500ms`, `5s`, `30m`, `6h`, `2d`; `64kB`, `512MB`, `2GB`.
//!
//! Must not know which file they stand in.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use crate::{machine::Millis, text};

const SIZES: [(&str, u64); 4] = [("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30), ("B", 1)];

/// Reads a length of time, for the command line.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub fn parse_duration(length: &str) -> Result<Duration, text::BadDuration> {
    text::parse_duration(length).map(|length| Duration::from_millis(length.0))
}

/// Reads a size in bytes; `k` is 1024.
///
/// # Errors
/// What is wrong and what would be accepted, in one sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: write a number and B, kB, MB or GB, such as \"512MB\"");
    scaled(text, &SIZES).ok_or_else(wrong)
}

/// A whole number with one of the units. The units are tried in order, so `ms` stands before `m` and `s`.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|whole| *whole <= i64::MAX.unsigned_abs())
}

/// Writes a length of time as it would be read, in the largest unit that keeps it whole.
pub fn show_duration(length: Duration) -> String {
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) =
        text::UNITS.into_iter().rev().find(|(_, factor)| ms >= *factor && ms % factor == 0).unwrap_or(("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// For `#[serde(deserialize_with = "units::duration")]`.
///
/// # Errors
/// As [`parse_duration`].
pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// As [`duration`], for the machine's terms.
///
/// # Errors
/// As [`parse_duration`].
pub fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    text::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// For a size that may be left out.
///
/// # Errors
/// As [`parse_size`].
pub fn optional_size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| parse_size(&text)).transpose().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_written() {
        assert_eq!(parse_size("512MB"), Ok(512 << 20));
        assert_eq!(parse_size("64kB"), Ok(64 << 10));
        assert!(parse_size("512").is_err());
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for length in ["500ms", "90s", "2m", "6h", "1500ms", "3d"] {
            let read = text::parse_duration(length).expect("valid");
            assert_eq!(show_duration(Duration::from_millis(read.0)), length);
        }
    }
}
