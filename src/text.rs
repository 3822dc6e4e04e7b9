//! Texts that people read, and points in time that they write: durations in words, guesses at what was meant. It must not know what
//! they are used for, and must not read a clock.

use crate::machine::Millis;

/// Whether it looks like a key of ours, so that it can be repeated. What does not may be a secret that slipped there.
pub(crate) fn is_key_like(key: &str) -> bool {
    key.len() <= 40 && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

/// Returns the length of the line end behind a text, in bytes; zero where it has none. An editor writes one, and only one.
pub(crate) fn line_end(text: &[u8]) -> usize {
    match text {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Replaces what a terminal would obey in a text of others.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Writes a value of more than one line in one line: its line breaks and whatever else a terminal would obey as escapes.
pub(crate) fn escaped(text: &str) -> String {
    let one = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(one).collect()
}

/// Says a duration as people do: `140 ms`, `3.2 s`, `12 min`, `5 h 10 min`, `3 d 4 h`.
pub(crate) fn format_duration(length: Millis) -> String {
    let ms = length.0;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 if ms < 600_000 && !(ms / 1000).is_multiple_of(60) => {
            format!("{} min {} s", ms / 60_000, ms / 1000 % 60)
        }
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..86_400_000 => two(ms / 3_600_000, "h", ms / 60_000 % 60, "min"),
        _ => two(ms / 86_400_000, "d", ms / 3_600_000 % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// A point in time in UTC as RFC 3339 writes it: `2026-11-21T10:14:00.250Z`.
pub(crate) fn format_time(time: Millis) -> String {
    let (days, ms) = (time.0 / 86_400_000, time.0 % 86_400_000);
    let (year, month, day) = civil(days);
    let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// Reads what [`format_time`] writes.
pub(crate) fn parse_time(text: &str) -> Option<Millis> {
    let field = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let ms = field(11, 13)? * 3_600_000 + field(14, 16)? * 60_000 + field(17, 19)? * 1000 + field(20, 23)?;
    let shifted = if month <= 2 { year.checked_sub(1)? } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year;
    let time = Millis(days.checked_sub(719_468)? * 86_400_000 + ms);
    (format_time(time) == text).then_some(time)
}

/// Reads a time in RFC 3339 with any offset and fraction, as in `2026-11-21T19:14:00.5+09:00`. The fraction is left away.
pub(crate) fn parse_offset_time(text: &str) -> Option<Millis> {
    let (seconds, rest) = text.split_at_checked(19)?;
    let local = parse_time(&format!("{seconds}.000Z"))?;
    let digits = rest.strip_prefix('.').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = digits.unwrap_or(rest);
    if offset == "Z" {
        return Some(local);
    }
    let (sign, offset) = (offset.get(..1)?, offset.get(1..)?);
    let (hours, minutes) = offset.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let away = hours.parse::<u64>().ok()? * 3_600_000 + minutes.parse::<u64>().ok()? * 60_000;
    match sign {
        "+" => local.0.checked_sub(away).map(Millis),
        "-" => local.0.checked_add(away).map(Millis),
        _ => None,
    }
}

/// Decodes `%20` and the like, once: what becomes a percent sign stays one. A text that would not be readable is left as
/// it is.
pub(crate) fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let mut byte = [0];
        let decoded = *first == b'%' && behind.len() >= 2 && hex::decode_to_slice(&behind[..2], &mut byte).is_ok();
        bytes.push(if decoded { byte[0] } else { *first });
        rest = if decoded { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control)).unwrap_or_else(|| text.to_owned())
}

/// Year, month, day of a day counted from 1970-01-01 (the proleptic Gregorian calendar, in years that begin in March).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// The accepted word that `word` was probably meant to be.
pub(crate) fn did_you_mean<'a>(word: &str, accepted: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(word, other);
    let nearest = accepted.into_iter().min_by_key(|other| distance(other))?;
    (distance(nearest) * 3 <= nearest.len().max(3)).then_some(nearest)
}

/// Puts what somebody else says into one line, for people and the journal.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(600).collect()
}

/// The first characters of a foreign text, made harmless for a terminal and a log line.
pub(crate) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_every_offset() {
        let at = parse_offset_time("2026-11-21T10:14:41Z").unwrap();
        assert_eq!(format_time(at), "2026-11-21T10:14:41.000Z");
        for same in ["2026-11-21T19:14:41+09:00", "2026-11-21T10:14:41.547563+00:00", "2026-11-21T06:44:41-03:30"] {
            assert_eq!(parse_offset_time(same), Some(at), "{same}");
        }
        for no_time in [
            "",
            "2026-11-21",
            "2026-11-21T10:14:41",
            "2026-11-21T10:14:41+9",
            "2026-13-21T10:14:41Z",
            "é".repeat(12).as_str(),
        ] {
            assert_eq!(parse_offset_time(no_time), None, "{no_time}");
        }
    }

    #[test]
    fn a_name_is_decoded_once() {
        for (text, decoded) in [
            ("My%20Folder", "My Folder"),
            ("feature%2Fx", "feature/x"),
            ("feature%252Fx", "feature%2Fx"),
            ("100%25", "100%"),
            ("50%", "50%"),
            ("%zz%4", "%zz%4"),
            ("caf%C3%A9", "café"),
            ("bad%FF", "bad%FF"),
            ("line%0Abreak", "line%0Abreak"),
        ] {
            assert_eq!(percent_decoded(text), decoded, "{text}");
        }
    }

    #[test]
    fn lengths_of_time_are_said_as_people_say_them() {
        let said = |ms| format_duration(Millis(ms));
        assert_eq!(said(140), "140 ms");
        assert_eq!(said(3250), "3.2 s");
        assert_eq!(said(30_000), "30 s");
        assert_eq!(said(90_000), "1 min 30 s");
        assert_eq!(said(1_800_000), "30 min");
        assert_eq!(said(18_600_000), "5 h 10 min");
        assert_eq!(said(273_600_000), "3 d 4 h");
    }

    #[test]
    fn times_survive_the_way_there_and_back() {
        assert_eq!(format_time(Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(format_time(Millis(951_782_400_000)), "2000-02-29T00:00:00.000Z");
        for day in (0..80_000).step_by(13) {
            let time = Millis(day * 86_400_000 + 12_345_678);
            assert_eq!(parse_time(&format_time(time)), Some(time));
        }
        for bad in ["", "2026-02-30T00:00:00.000Z", "2026-11-21", "2026-11-21T10:14:00.250+01:00"] {
            assert_eq!(parse_time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let accepted = ["deploy", "stack", "front", "checks"];
        assert_eq!(did_you_mean("stak", accepted), Some("stack"));
        assert_eq!(did_you_mean("check", accepted), Some("checks"));
        assert_eq!(did_you_mean("colour", accepted), None);
    }

    #[test]
    fn an_excerpt_is_short_and_has_no_control_characters() {
        assert_eq!(excerpt("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert!(excerpt(&"x".repeat(10_000)).chars().count() <= 61);
    }
}
