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
        "failed" | "rolled" | "needs" | "trouble" | "operator" => Some(31),
        "aborted" | "superseded" | "awaiting" | "held" | "pinned" | "cold" => Some(33),
        _ => Some(36),
    }
}

/// The characters of a line, where there is a terminal to be filled.
pub fn width() -> Option<usize> {
    let out = stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok())??;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}
