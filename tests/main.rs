//! All integration tests, in one binary: what several of them need is compiled and linked once.

#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "stories end in panics, tell what they measured, and nobody but them notices when a task of theirs dies"
)]

mod architecture;
mod contract;
mod docs;
mod stories;
mod support;
