//! Connections that change protocol (WebSocket): bytes go both ways until one side ends. Must not look into them.

use hyper::{Response, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{
    table::Open,
    worker::{Seat, detach},
};

/// Joins client and stack; the stack counts it as open until it ends.
pub(super) fn join(client: Option<OnUpgrade>, response: &mut Response<Incoming>, open: Open, seat: &Seat) {
    let stack = hyper::upgrade::on(response);
    let Some(client) = client else { return };
    let held = seat.hold();
    detach(async move {
        let _counted = (open, held);
        // Whoever hangs up, the other one is hung up on: there is nobody left to tell an error.
        if let (Ok(client), Ok(stack)) = tokio::join!(client, stack) {
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(stack)).await;
        }
    });
}
