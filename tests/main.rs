//! All integration tests, in one binary: what several of them need is compiled and linked once.

#![expect(clippy::panic, clippy::print_stdout, reason = "stories end in panics, and tell what they measured")]

mod architecture;
mod stories;
mod support;
