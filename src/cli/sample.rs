//! `pointsman sample`: a small application to deploy, for the demo and the tests; it can be made to misbehave. Hidden.
//!
//! Must not be used for anything that matters.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{clock::after, units::parse_timer};

/// What the sample is to be like.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Version that it names.
    #[arg(long, default_value = "v1")]
    version: String,
    /// Greeting on its page.
    #[arg(long, default_value = "Hello")]
    greeting: String,
    /// Is not healthy before.
    #[arg(long, value_parser = parse_timer)]
    ready_after: Option<Duration>,
    /// Is never healthy.
    #[arg(long, env = "SAMPLE_BROKEN", value_parser = clap::builder::FalseyValueParser::new())]
    broken: bool,
    /// Is not healthy from then on.
    #[arg(long, value_parser = parse_timer)]
    sick_after: Option<Duration>,
    /// Ends with status 3 then.
    #[arg(long, value_parser = parse_timer)]
    crash_after: Option<Duration>,
    /// Is not healthy for whoever comes past a front: without `X-Forwarded-Proto`.
    #[arg(long)]
    behind_front: bool,
    /// Answers each request after so many milliseconds.
    #[arg(long, default_value_t = 0)]
    slow: u64,
}

struct Sample {
    args: Args,
    healthy: watch::Receiver<bool>,
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    ms: u64,
}

/// Serves until TERM; requests that have begun are answered.
///
/// # Errors
/// When it cannot listen.
pub fn run(args: Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (health, healthy) = watch::channel(args.ready_after.is_none() && !args.broken);
    let life = live(args.clone(), health);
    let app = router(Arc::new(Sample { args, healthy }));
    let told = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let server = axum::serve(listener, app).with_graceful_shutdown(told).into_future();
    tokio::select! {
        served = server => served.context("it stopped serving"),
        died = life => died,
    }
}

/// Health as time goes by. Ends only with a crash.
async fn live(args: Args, health: watch::Sender<bool>) -> anyhow::Result<()> {
    let crash = async {
        match args.crash_after {
            Some(time) => after(time).await,
            None => std::future::pending().await,
        }
    };
    let change = async {
        if let Some(time) = args.ready_after {
            after(time).await;
            health.send_replace(!args.broken);
        }
        if let Some(time) = args.sick_after {
            after(time).await;
            health.send_replace(false);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = crash => anyhow::bail!("crashed, as it was told to"),
        () = change => Ok(()),
    }
}

fn router(sample: Arc<Sample>) -> Router {
    let version = HeaderValue::try_from(sample.args.version.clone()).unwrap_or_else(|_| HeaderValue::from_static("?"));
    Router::new()
        .route("/", get(page).post(receive))
        .route("/healthz", get(healthz))
        .route("/slow", get(slow))
        .route("/stream", get(stream_lines))
        .layer(axum::middleware::map_response(move |mut response: Response| {
            response.headers_mut().insert(HeaderName::from_static("x-version"), version.clone());
            std::future::ready(response)
        }))
        .with_state(sample)
}

async fn healthz(State(sample): State<Arc<Sample>>, headers: axum::http::HeaderMap) -> (StatusCode, &'static str) {
    after(Duration::from_millis(sample.args.slow)).await;
    if sample.args.behind_front && !headers.contains_key("x-forwarded-proto") {
        return (StatusCode::FORBIDDEN, "only through the front\n");
    }
    if *sample.healthy.borrow() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not well\n") }
}

async fn slow(State(sample): State<Arc<Sample>>, Query(wait): Query<Wait>) -> String {
    after(Duration::from_millis(wait.ms.min(600_000))).await;
    format!("{} after {} ms\n", sample.args.version, wait.ms)
}

/// Ten lines, one each `ms`.
async fn stream_lines(State(sample): State<Arc<Sample>>, Query(wait): Query<Wait>) -> Response {
    let pause = Duration::from_millis(wait.ms.clamp(1, 60_000));
    let lines = stream::unfold(0, move |n| {
        let line = Bytes::from(format!("{} line {n}\n", sample.args.version));
        let next: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            if n > 0 {
                after(pause).await;
            }
            (n < 10).then_some((Ok::<_, std::convert::Infallible>(line), n + 1))
        });
        next
    });
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(lines)).into_response()
}

/// Reads what was sent, and says how much it was.
async fn receive(State(sample): State<Arc<Sample>>, body: Bytes) -> String {
    format!("{} got {} bytes\n", sample.args.version, body.len())
}

/// A line for programs, a page for people.
async fn page(State(sample): State<Arc<Sample>>, headers: axum::http::HeaderMap) -> Response {
    let Args { version, greeting, listen, slow, .. } = &sample.args;
    after(Duration::from_millis(*slow)).await;
    let wants_page = headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"));
    if !wants_page {
        return format!("{greeting} from {version}\n").into_response();
    }
    let hue = version.bytes().fold(200_u32, |hue, byte| (hue * 31 + u32::from(byte) * 47) % 360);
    let (version, greeting) = (escape(version), escape(greeting));
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{greeting} from {version}</title>\
         <style>body{{margin:0;min-height:100vh;display:grid;place-content:center;text-align:center;\
         font-family:system-ui,sans-serif;color:#fff;background:hsl({hue} 60% 28%)}}h1{{font-size:5rem;margin:0}}</style>\
         <main><p>{greeting} from</p><h1>{version}</h1><p>on {listen}</p></main></html>"
    ))
    .into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
