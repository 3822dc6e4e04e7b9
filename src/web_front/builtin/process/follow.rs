//! A front that has handed over: it serves the connections that it has, and applies every order that its successor
//! passes on, so that none of them sees an older stack. Must not accept and not remember.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::{
    io::BufReader,
    net::UnixStream,
    time::{interval, timeout},
};

use super::{Front, FrontError};
use crate::web_front::builtin::control::{Order, receive, send};

/// How often it is looked whether anybody is left.
const LOOK: Duration = Duration::from_millis(100);

/// Ends when no connection is left, when the time for that is over, or when the successor is gone: then nobody tells
/// us about new routes, and we must not answer by an old one.
pub(super) async fn until_drained(
    mut front: Front,
    mut link: BufReader<UnixStream>,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), FrontError> {
    let limit = front.settings.timeouts.hand_over;
    let drained = async {
        let mut look = interval(LOOK);
        loop {
            let order = {
                let mut next = std::pin::pin!(receive::<Order>(&mut link));
                loop {
                    tokio::select! {
                        order = &mut next => break order,
                        why = front.plane.died() => return Err(FrontError::Died(why)),
                        () = &mut stop => return Ok(()),
                        _ = look.tick() => if front.plane.connections() == 0 {
                            return Ok(());
                        },
                    }
                }
            };
            let Ok(Some(order)) = order else { return Ok(()) };
            let answer = front.obey(order).await;
            if send(&mut link, &answer).await.is_err() {
                return Ok(());
            }
        }
    };
    match timeout(limit, drained).await {
        Ok(Err(died)) => Err(died),
        Ok(Ok(())) | Err(_) => front.farewell().await,
    }
}
