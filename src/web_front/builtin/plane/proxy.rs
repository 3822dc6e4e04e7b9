//! One request: choose the stack, send it, send it again where that is safe, pass the answer back.
//! Must not accept connections.

use std::sync::{Arc, atomic::Ordering, atomic::fence};

use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{
    Shared, Stage,
    activity::Activity,
    body::{Lease, RequestBody, ResponseBody},
    headers::{self, Client},
    pages::wants_json,
    pool::Upstream,
    table::{Open, Wish},
    upgrade,
    worker::{Seat, detach},
};
use crate::descriptors;

/// How often a request may be tried.
const ATTEMPTS: usize = 4;
/// A connection unused for longer may be about to be closed by the stack: only for what can be sent again. In ticks.
const FRESH: u32 = 10;

/// A page instead of an answer of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    NoRoute,
    Maintenance,
    NoCandidate,
    Unreachable,
    Timeout,
    Crowded,
    BadRequest(&'static str),
}

/// What all requests of one client connection have in common.
pub(super) struct Connection {
    pub(super) seat: Seat,
    pub(super) client: Client,
    pub(super) activity: Arc<Activity>,
    /// Beyond the limit of connections: gets a page and has to go.
    pub(super) crowded: bool,
}

/// What came back from a stack.
struct Answered {
    response: Response<Incoming>,
    lease: Lease,
    open: Open,
}

impl Connection {
    /// Answers a request. Never fails: what goes wrong becomes a page.
    pub(super) async fn answer(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let busy = self.activity.begin();
        let http1 = request.version() != Version::HTTP_2;
        let probe = request.headers_mut().remove(&headers::PROBE).is_some();
        let json = wants_json(request.headers());
        let upgrade = headers::upgrade(&request);
        let to_client = upgrade.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let mut response = match self.forward(request, upgrade).await {
            Ok(Answered { mut response, lease, open }) => {
                headers::strip_response(response.headers_mut(), probe.then(|| &open.stack().label));
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    upgrade::join(to_client, &mut response, open, &self.seat);
                    response.map(|_| ResponseBody::page(bytes::Bytes::new(), busy))
                } else {
                    response.map(|body| ResponseBody::stack(body, lease, open, busy))
                }
            }
            Err(page) => {
                let mut response = self.seat.shared.pages.load().answer(page, json);
                if let (true, Some(live)) = (probe, &self.seat.shared.table.load().live) {
                    response.headers_mut().insert(&headers::STACK, live.label.clone());
                }
                response.map(|content| ResponseBody::page(content, busy))
            }
        };
        if http1 && self.must_go() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn must_go(&self) -> bool {
        self.crowded || *self.seat.shared.stage.borrow() != Stage::Serving
    }

    async fn forward(&self, mut request: Request<Incoming>, upgrade: Option<HeaderValue>) -> Result<Answered, Page> {
        if self.crowded {
            return Err(Page::Crowded);
        }
        if request.method() == Method::CONNECT {
            return Err(Page::BadRequest("This is no proxy for CONNECT."));
        }
        self.client.prepare(&mut request).map_err(Page::BadRequest)?;
        let wish = self.wish(&mut request);
        let empty = request.body().is_end_stream();
        let again = empty && upgrade.is_none() && is_idempotent(request.method());
        if let Some(protocol) = upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol);
        }
        let activity = &self.activity;
        let request = request.map(|body| match empty {
            true => RequestBody::Empty,
            false => RequestBody::Incoming(body, activity.clone()),
        });
        self.try_hard(request, &wish, again).await
    }

    /// For whom a request asks: only when a preview is configured it may ask for anybody.
    fn wish(&self, request: &mut Request<Incoming>) -> Wish {
        let preview = &self.seat.shared.settings.preview;
        if let Some(name) = &preview.header
            && let Some(value) = request.headers_mut().remove(name)
        {
            let candidate = value.as_bytes().eq_ignore_ascii_case(b"candidate");
            return if candidate { Wish::Candidate } else { Wish::Named(value) };
        }
        if let Some(wanted) = &preview.host
            && let Some(host) = request.headers().get(header::HOST).and_then(|host| host.to_str().ok())
            && host.split(':').next().is_some_and(|host| host.eq_ignore_ascii_case(wanted))
        {
            return Wish::Candidate;
        }
        Wish::Live
    }

    /// Every attempt looks at the table anew: a cutover that happened meanwhile counts.
    async fn try_hard(&self, request: Request<RequestBody>, wish: &Wish, again: bool) -> Result<Answered, Page> {
        let mut request = request;
        for attempt in 0..ATTEMPTS {
            let open = self.pick(wish)?;
            // The last attempt does not trust the pool.
            let age = if attempt + 1 == ATTEMPTS { None } else { Some(if again { u32::MAX } else { FRESH }) };
            let (index, mut upstream, reused) = match self.connect(&open, age).await {
                Some(found) => found,
                None => continue,
            };
            if !request.headers().contains_key(header::HOST) {
                let host = open.stack().upstreams[index].host.clone();
                request.headers_mut().insert(header::HOST, host);
            }
            let spare = (again && reused).then(|| copy(&request));
            let answer = timeout(self.seat.shared.settings.timeouts.response, upstream.try_send_request(request)).await;
            match answer {
                Ok(Ok(response)) => {
                    let lease = Lease { upstream, index, seat: self.seat.clone() };
                    return Ok(Answered { response, lease, open });
                }
                Ok(Err(mut error)) => match error.take_message().or(spare) {
                    Some(unsent) => request = unsent,
                    None => return Err(Page::Unreachable),
                },
                Err(_) => return Err(Page::Timeout),
            }
        }
        Err(Page::Unreachable)
    }

    /// Counts the request on the stack that the table names, and looks again: a table that changed in between may
    /// mean that the count was read as zero already.
    fn pick(&self, wish: &Wish) -> Result<Open, Page> {
        loop {
            let table = self.seat.shared.table.load();
            let open = Open::new(table.choose(wish)?);
            fence(Ordering::SeqCst);
            if Arc::ptr_eq(&table, &self.seat.shared.table.load()) {
                return Ok(open);
            }
        }
    }

    /// A connection from the pool that is not older than `age`, or a new one. `None`: the endpoint can not be reached.
    async fn connect(&self, open: &Open, age: Option<u32>) -> Option<(usize, Upstream, bool)> {
        let (seat, stack) = (&self.seat, open.stack());
        let now = seat.now();
        let (index, endpoint) = stack.next(seat.worker, now)?;
        if let Some(age) = age
            && let Some(upstream) = endpoint.pool(seat.worker).take(now, age)
        {
            return Some((index, upstream, true));
        }
        match timeout(seat.shared.settings.timeouts.connect, dial(endpoint.endpoint.address, &seat.shared)).await {
            Ok(Ok(upstream)) => Some((index, upstream, false)),
            // We are short of descriptors, and the endpoint can not help it.
            Ok(Err(error)) if descriptors::note(&error) => None,
            _ => {
                endpoint.refused(now);
                None
            }
        }
    }
}

async fn dial(address: std::net::SocketAddr, shared: &Shared) -> std::io::Result<Upstream> {
    let counted = shared.stack_connections.take()?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (upstream, connection) =
        http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    // Its end is seen by whoever uses the connection.
    detach(async move {
        let _counted = counted;
        drop(connection.with_upgrades().await);
    });
    Ok(upstream)
}

fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE)
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    copy
}
