//! What several stories need: the yard, in which they play, and its drivers that live in memory; and the house, where
//! the real program runs.

pub mod address;
pub mod cloud;
pub mod faults;
pub mod git;
pub mod herd;
pub mod house;
pub mod memory;
pub mod nest;
pub mod nginx;
pub mod peers;
pub mod permit;
pub mod processes;
pub mod project;
pub mod wire;
pub mod yard;
