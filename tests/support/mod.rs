//! What several stories need: the yard, in which they play, and its drivers that live in memory; and the house, where
//! the real program runs.

pub mod address;
pub mod aws;
pub mod aws_account;
pub mod browser;
pub mod cloud;
pub mod faults;
pub mod git;
pub mod herd;
pub mod house;
pub mod memory;
pub mod nest;
pub mod nginx;
pub mod oidc;
pub mod peers;
pub mod permit;
pub mod processes;
pub mod project;
pub mod soon;
pub mod users;
pub mod waiting;
pub mod wire;
pub mod yard;

use std::time::Duration;

/// Looks until there is something to be seen; half a minute without is a failure, however slow the machine.
pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..3000 {
        if let Some(found) = look().await {
            return found;
        }
        pace.tick().await;
    }
    panic!("never came to pass: {what}")
}
