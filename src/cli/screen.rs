//! Writing for people: lines, colours, the width of the terminal. Must not know what is written.

use std::io::{IsTerminal, Write, stdout};

pub use crate::text::harmless;

/// Writes a line for people or scripts. A closed pipe is no mistake of ours.
pub fn say(text: impl std::fmt::Display) {
    let _ = writeln!(stdout(), "{text}");
}

/// A state in colour, where that can be seen and is wanted.
pub fn coloured(state: &str) -> String {
    match colour(state.trim_end()) {
        Some(colour) if colours() => format!("\u{1b}[{colour}m{state}\u{1b}[0m"),
        _ => state.to_owned(),
    }
}

/// Whether colours can be seen and are wanted: <https://no-color.org>.
pub fn colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The number by which a terminal knows the colour of a state.
pub fn colour(state: &str) -> Option<u8> {
    let first = state.split([' ', '_']).next().unwrap_or_default();
    match first {
        "" | "-" => None,
        "succeeded" | "ready" => Some(32),
        "DOWN" | "FRONT" | "failed" | "rolled" | "needs" | "trouble" | "operator" => Some(31),
        "aborted" | "suspect" | "superseded" | "awaiting" | "held" | "pinned" | "cold" | "maintenance" => Some(33),
        _ => Some(36),
    }
}

/// The characters of a line: as many as `COLUMNS` says, or as the terminal has, where there is one to be filled.
pub fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    if let Some(columns) = said.filter(|columns| *columns > 0) {
        return Some(columns);
    }
    let out = stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok())??;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Breaks a text into lines of whole words, as wide as the terminal, each with so many spaces before it. A word that is longer
/// than a line stands alone.
pub fn wrapped(text: &str, width: Option<usize>, indent: usize) -> Vec<String> {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
    let (mut lines, mut line, mut length) = (Vec::new(), " ".repeat(indent), 0);
    for word in text.split(' ') {
        let long = word.chars().count();
        if length > 0 && length + 1 + long > room {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)).trim_end().to_owned());
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += long;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_whole_and_lines_fit() {
        let text =
            "Users get errors: 1.4.2 (deployment 9), which is live, is down since 2026-11-26T02:58:12.000Z: it ended.";
        let lines = wrapped(text, Some(60), 9);
        assert!(lines.iter().all(|line| line.chars().count() <= 60 && line.starts_with("         ")), "{lines:#?}");
        let again: Vec<&str> = lines.iter().flat_map(|line| line.split_whitespace()).collect();
        assert_eq!(again.join(" "), text);
        assert_eq!(wrapped(text, None, 0), [text]);
    }
}
