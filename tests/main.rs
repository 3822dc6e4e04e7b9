//! The stories: the real binary, tried from outside.

mod stories {
    mod process;
}
