//! A stack: small answers, a long one, events, WebSockets that echo.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

/// Pieces of a long response, one every [`BEAT`].
pub const PIECES: usize = 40;
pub const BEAT: Duration = Duration::from_millis(50);

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub async fn serve(address: SocketAddr, name: String) {
    let listener = TcpListener::bind(address).await.unwrap();
    let name: &'static str = name.leak();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, request)) });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}

fn answer(name: &'static str, request: Request<Incoming>) -> Response<Body> {
    let response = Response::builder().header("x-color", name);
    match request.uri().path() {
        "/long" => response.body(beats(Some(PIECES))).unwrap(),
        "/events" => response.header("content-type", "text/event-stream").body(beats(None)).unwrap(),
        "/socket" => {
            let key = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
            tokio::spawn(echo(request));
            let response = response.status(101).header("connection", "upgrade").header("upgrade", "websocket");
            response.header("sec-websocket-accept", key).body(Full::default().boxed_unsync()).unwrap()
        }
        _ => response.body(Full::new(Bytes::from_static(name.as_bytes())).boxed_unsync()).unwrap(),
    }
}

fn beats(count: Option<usize>) -> Body {
    let beats = stream::unfold(0, move |at| async move {
        if Some(at) == count {
            return None;
        }
        tokio::time::sleep(BEAT).await;
        Some((Ok(Frame::data(Bytes::from_static(b"data: tick\n\n"))), at + 1))
    });
    StreamBody::new(beats).boxed_unsync()
}

async fn echo(request: Request<Incoming>) {
    let io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
