//! What several stories need: the yard, in which they play, and its drivers that live in memory.

pub mod memory;
pub mod yard;
