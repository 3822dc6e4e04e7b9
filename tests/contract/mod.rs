//! What every driver must do, whatever it drives: the same stories for each one in the registries, each against its
//! real peer. A new driver needs a fixture here and nothing else.

#[cfg(feature = "aws")]
mod aws;
mod fronts;
mod heat;
mod reach;
mod stacks;
mod stops;

use std::time::Duration;

use futures_util::FutureExt;
use pointsman::machine::{Number, StackName};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pointsman");

fn stack(number: u32) -> StackName {
    StackName { environment: "shop/prod".parse().expect("a name"), number: Number(number) }
}

/// Looks until it is so, for a bounded time.
async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..3000 {
        if so().await {
            return;
        }
        pace.tick().await;
    }
    panic!("never: {what}");
}

/// Starts a call and gives it up at once, or after its first answers: whoever called has crashed.
async fn given_up<T>(call: impl Future<Output = T>, after: Duration) {
    let mut call = Box::pin(call);
    // Answered at once, it cannot be given up.
    if call.as_mut().now_or_never().is_none() {
        let _ = tokio::time::timeout(after, call).await;
    }
}

const GIVEN_UP_AFTER: [Duration; 4] =
    [Duration::ZERO, Duration::from_micros(200), Duration::from_millis(1), Duration::from_millis(5)];
