//! Random names and keys for the commands. Must not make any itself: see [`crate::random`].

pub(super) use crate::random::hex_of;
