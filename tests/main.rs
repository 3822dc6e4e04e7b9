//! The stories: the real binary, tried from outside.

#![expect(clippy::panic, clippy::print_stdout, reason = "stories end in panics, and tell what they measured")]

mod stories {
    mod process;
}
