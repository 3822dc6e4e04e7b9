//! Connections that change protocol (WebSocket): bytes go both ways until one side ends. Must not look into them.
//!
//! They have no time limit of their own, however idle: silence is what a WebSocket often does, and only the two ends
//! know whether it means anything. A dead peer is found by their own pings. They count as open on their stack, so a stack
//! that is to go waits for them, but no longer than the drain of its environment (`drain`, which the machine keeps);
//! then it is torn down, which ends them, and clients connect anew, to what is live by then. A front that has handed
//! over ends what is left after `timeouts.hand_over`.

use hyper::{Response, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::{body::Origin, worker::detach};

/// Joins client and stack; the stack counts it as open, and its connection as used, until it ends.
pub(super) fn join(client: Option<OnUpgrade>, response: &mut Response<Incoming>, origin: Origin) {
    let stack = hyper::upgrade::on(response);
    let Some(client) = client else { return };
    let held = origin.lease.slot.hold();
    // The connection to the stack was counted until here. With none left it goes on all the same: it is open already.
    let onward = origin.lease.slot.shared.stack_connections.take().ok();
    detach(async move {
        let _counted = (origin, held, onward);
        // Whoever hangs up, the other one is hung up on: there is nobody left to tell an error.
        if let (Ok(client), Ok(stack)) = tokio::join!(client, stack) {
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(stack)).await;
        }
    });
}
