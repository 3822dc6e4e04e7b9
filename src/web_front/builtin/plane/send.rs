//! Sends a request to a stack, and again where that is safe: when the stack cannot have seen it, or when it may see it
//! twice. Must not change requests or answers.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{TrySendError, http1},
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit, time::timeout};

use super::{
    Shared, Stage,
    body::{Lease, Origin},
    counts::Served,
    hold::Place,
    line::{Facts, Line},
    pool::Upstream,
    proxy::{Connection, Page},
    table::{Open, Wish},
    upload::{Late, RequestBody, Upload},
    worker::detach,
};
use crate::{clock::after, descriptors};

/// How often a request is sent again.
const MOST_LOST: usize = 4;
/// Number of dead connections of the pool after which a new one is made.
const TRUST: usize = 3;
/// How long to wait for a stack that refuses connections: an instance or its supervisor may be about to come back. In
/// ticks.
const COMEBACK: u32 = 10;
/// Pause between two rounds of tries; it doubles with each, up to the second value.
const PAUSES: (u64, u64) = (10, 160);

/// A body of unknown length for a stack that knows no chunks is gathered up to this size.
const MOST_GATHERED: u64 = 1 << 20;

/// Response of a stack.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) origin: Origin,
}

/// A connection to use.
struct Reached {
    upstream: Upstream,
    index: usize,
    reused: bool,
    permit: OwnedSemaphorePermit,
}

/// The reason why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unreached {
    /// The endpoint cannot be reached.
    Refused,
    /// We have no descriptor, port or memory left for one.
    Scarce,
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

impl Connection {
    /// Sends it, and counts what becomes of a user's request on the stack that had it last.
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
        wish: &Wish,
        terms: Terms,
    ) -> Result<Answered, Page> {
        let mut on = None;
        let mut answered = self.try_to_send(request, wish, terms, &mut on).await;
        let Some(served) = on.filter(|_| matches!(wish, Wish::Live(_))) else { return answered };
        match &mut answered {
            Ok(answered) => {
                let failed = answered.response.status().is_server_error();
                served.answered(failed);
                answered.origin.counts = (!failed).then_some(served);
            }
            Err(page) if page.is_failure() => served.answered(true),
            Err(_) => {}
        }
        answered
    }

    /// Every attempt looks at the table again: a cutover that happened meanwhile counts. `on`: who had the last one.
    async fn try_to_send(
        &self,
        mut request: Request<RequestBody>,
        wish: &Wish,
        Terms { repeatable, may_wait }: Terms,
        on: &mut Option<Arc<Served>>,
    ) -> Result<Answered, Page> {
        let upload = request.body().upload().cloned();
        let (mut lost, mut again, mut tries) = (0, true, Tries::begin(self.slot.now(), may_wait));
        loop {
            let open = self.find(wish, &mut tries).await?;
            *on = Some(open.stack().served.clone());
            let reached = match self.reach(&open, lost < TRUST, &tries).await? {
                Ok(reached) => reached,
                Err(why) => {
                    self.wait_for_comeback(&mut tries, open.stack().upstreams.len(), why).await?;
                    continue;
                }
            };
            let Reached { mut upstream, index, reused, permit } = reached;
            tries.place = None;
            let endpoint = &open.stack().upstreams[index];
            if let Some(upload) = &upload
                && endpoint.is_old()
                && !request.headers().contains_key(header::CONTENT_LENGTH)
            {
                let length = upload.gather(MOST_GATHERED, self.slot.shared.settings.timeouts.stall).await?;
                request.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                request.headers_mut().remove(header::TRAILER);
            }
            upstream.facts.begin(!repeatable);
            if let Some(upload) = &upload {
                upload.begin(&upstream.facts);
            }
            let mut attempt = copy(&request);
            if !attempt.headers().contains_key(header::HOST) {
                attempt.headers_mut().insert(header::HOST, endpoint.host.clone());
            }
            let sending = upstream.sender.try_send_request(attempt);
            match self.answer_to(sending, upload.as_deref()).await? {
                Ok(response) => {
                    endpoint.speaks(response.version());
                    let lease = Lease { upstream, index, slot: self.slot.clone(), _permit: permit };
                    return Ok(Answered { response, origin: Origin { lease, open, upload, counts: None } });
                }
                Err(_) if upload.as_ref().is_some_and(|upload| upload.is_broken()) => {
                    return Err(Page::BadRequest("The body of the request is malformed."));
                }
                Err(error) => {
                    let unseen = error.message().is_some() || upstream.facts.untouched();
                    let may_repeat = repeatable && (reused || std::mem::take(&mut again));
                    lost += 1;
                    if lost > MOST_LOST || !(unseen || may_repeat) {
                        return Err(Page::Unreachable);
                    }
                }
            }
        }
    }

    /// The stack for a request. While there is none for users, a request of theirs waits for it where route and settings say so.
    async fn find(&self, wish: &Wish, tries: &mut Tries) -> Result<Open, Page> {
        loop {
            match self.pick(wish) {
                Err(Page::Maintenance) => self.hold(wish, tries).await?,
                picked => return picked,
            }
        }
    }

    /// Waits for the route to a stack. An error: it is not waited for, or was for long enough.
    async fn hold(&self, wish: &Wish, tries: &mut Tries) -> Result<(), Page> {
        let shared = &self.slot.shared;
        let terms = shared.settings.hold.as_ref().filter(|_| tries.may_wait && shared.table.load().hold);
        let terms = terms.ok_or(Page::Maintenance)?;
        if tries.place.is_none() {
            tries.place = Some(shared.waiting.enter(terms.requests).ok_or(Page::Maintenance)?);
        }
        let _watched = self.activity.watch_its_end();
        let look = || {
            let table = shared.table.load();
            match table.choose(wish) {
                Ok(_) => Some(Ok(())),
                // Nobody tells a front that ends about another route.
                Err(page) if !table.hold || *shared.stage.borrow() == Stage::Closing => Some(Err(page)),
                Err(_) => None,
            }
        };
        let over = shared.waiting.until(tries.left(self.slot.now(), terms.within), look).await;
        // What is tried from here on has its own time.
        tries.since = self.slot.now();
        over.unwrap_or(Err(Page::Maintenance))
    }

    /// Counts the request on the stack that the table names, and looks again: a table that changed in between may
    /// mean that the count was read as zero already.
    fn pick(&self, wish: &Wish) -> Result<Open, Page> {
        loop {
            let table = self.slot.shared.table.load();
            let open = Open::new(table.choose(wish)?);
            fence(Ordering::SeqCst);
            if Arc::ptr_eq(&table, &self.slot.shared.table.load()) {
                return Ok(open);
            }
        }
    }

    /// A connection from the pool if that is trusted, or a new one.
    async fn reach(&self, open: &Open, trust: bool, tries: &Tries) -> Result<Result<Reached, Unreached>, Page> {
        let (slot, stack) = (&self.slot, open.stack());
        let settings = &slot.shared.settings;
        let permit = match settings.hold.as_ref().filter(|_| tries.place.is_some()) {
            None => stack.gate.enter(&slot.shared, settings.timeouts.queue).await,
            // All that were held come at once. Their number is bounded already.
            Some(terms) => {
                let left = tries.left(slot.now(), terms.within).max(settings.timeouts.queue);
                stack.gate.enter_beyond_the_queue(&slot.shared, left).await
            }
        };
        let permit = permit.ok_or(Page::Busy)?;
        let now = slot.now();
        let Some((index, endpoint)) = stack.next(slot.worker, now) else { return Ok(Err(Unreached::Refused)) };
        if trust && let Some(upstream) = endpoint.pool(slot.worker).take(now) {
            return Ok(Ok(Reached { upstream, index, reused: true, permit }));
        }
        match timeout(settings.timeouts.connect, dial(endpoint.address, &slot.shared)).await {
            Ok(Ok(upstream)) => Ok(Ok(Reached { upstream, index, reused: false, permit })),
            Ok(Err(error)) if is_shortage(&error) => {
                tracing::debug!(%error, "no connection to a stack; closing idle ones");
                slot.shared.table.load().clear_pools();
                Ok(Err(Unreached::Scarce))
            }
            _ => {
                endpoint.refused(now);
                Ok(Err(Unreached::Refused))
            }
        }
    }

    /// Returns at once while there are other instances to try, and after a pause when all have been tried. An error:
    /// that was long enough.
    async fn wait_for_comeback(&self, tries: &mut Tries, instances: usize, why: Unreached) -> Result<(), Page> {
        tries.failed += 1;
        if why == Unreached::Refused && tries.failed < instances {
            return Ok(());
        }
        let page = match why {
            Unreached::Refused => Page::Unreachable,
            Unreached::Scarce => Page::Busy,
        };
        if self.slot.now().saturating_sub(tries.since) >= COMEBACK {
            return Err(page);
        }
        tries.failed = 0;
        tries.rounds += 1;
        pause(tries.rounds, self.slot.jitter()).await;
        Ok(())
    }

    /// Waits for the answer. Its clock begins when the request is complete; until then it must move.
    async fn answer_to(&self, sending: impl Future<Output = Sent>, upload: Option<&Upload>) -> Result<Sent, Page> {
        let timeouts = &self.slot.shared.settings.timeouts;
        let mut sending = pin!(sending);
        let mut limit = if upload.is_some() { timeouts.response.min(timeouts.stall) } else { timeouts.response };
        loop {
            if let Ok(sent) = timeout(limit, &mut sending).await {
                return Ok(sent);
            }
            let Some(upload) = upload else { return Err(Page::Timeout) };
            limit = upload.outlook(timeouts).map_err(|late| match late {
                Late::Client => Page::Stalled,
                Late::Stack => Page::Timeout,
            })?;
        }
    }
}

/// How a request may be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// It may be sent again although the stack may have seen it.
    pub(super) repeatable: bool,
    /// It is a user's, and may wait for a route.
    pub(super) may_wait: bool,
}

/// How long a request has waited, and a stack has been tried. Times are in ticks.
struct Tries {
    arrived: u32,
    may_wait: bool,
    /// Its place among those that wait, until it has a connection.
    place: Option<Place>,
    since: u32,
    /// Number of failures in this round.
    failed: usize,
    rounds: u32,
}

impl Tries {
    fn begin(now: u32, may_wait: bool) -> Self {
        Self { arrived: now, may_wait, place: None, since: now, failed: 0, rounds: 0 }
    }

    /// What is left of this time since its arrival.
    fn left(&self, now: u32, limit: Duration) -> Duration {
        limit.saturating_sub(Duration::from_millis(u64::from(now.saturating_sub(self.arrived)) * 100))
    }
}

/// There is no event for an instance that listens again.
async fn pause(round: u32, jitter: u64) {
    let (first, most) = PAUSES;
    let pause = (first << round.min(10)).min(most);
    after(Duration::from_millis(pause / 2 + jitter % pause)).await;
}

async fn dial(address: SocketAddr, shared: &Shared) -> io::Result<Upstream> {
    let counted = shared.stack_connections.take()?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let facts = Arc::new(Facts::default());
    let line = TokioIo::new(Line::new(stream, facts.clone()));
    let mut builder = http1::Builder::new();
    builder.max_headers(shared.settings.header_fields);
    // What other proxies let pass.
    builder.allow_spaces_after_header_name_in_responses(true).allow_obsolete_multiline_headers_in_responses(true);
    builder.ignore_invalid_headers_in_responses(true);
    let (sender, connection) = builder.handshake(line).await.map_err(io::Error::other)?;
    // Its end is seen by whoever uses the connection.
    detach(async move {
        let _counted = counted;
        drop(connection.with_upgrades().await);
    });
    Ok(Upstream { sender, facts })
}

/// The endpoint cannot help it.
fn is_shortage(error: &io::Error) -> bool {
    descriptors::note(error) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().clone());
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    copy
}
