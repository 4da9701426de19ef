//! The edge as callers meet it: raw bytes in, raw bytes out, in paused time.

mod deadlines;
mod framing;
mod lifecycle;
mod probes;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any, get, post};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use process::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::{Edge, Limits};

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4321);
const ROOM: usize = 64 * 1024;

/// Routes for callers: one that answers, one that echoes a body, one that is in no hurry, one that upgrades.
fn routes() -> Router {
    Router::new()
        .route("/", any(|| async { "ok" }))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/later", post(later))
        .route("/ws", get(upgrade))
}

/// Waits ten minutes before it reads the body.
async fn later(body: Body) -> (StatusCode, Bytes) {
    sleep(Duration::from_secs(600)).await;
    match to_bytes(body, usize::MAX).await {
        Ok(body) => (StatusCode::OK, body),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
    }
}

/// Switches protocols and echoes whatever comes then.
async fn upgrade(request: Request) -> Response {
    let Some(upgrade) = request.extensions().get::<hyper::upgrade::OnUpgrade>().cloned() else {
        return Response::new(Body::empty());
    };
    Shutdown::new().spawn("echo", async move {
        let Ok(io) = upgrade.await else { return };
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(io));
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        let _ = writer.shutdown().await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

fn edge(limits: Limits) -> Edge {
    Edge::new(routes(), limits, Shutdown::new())
}

/// Connects a caller through a pipe of `room` bytes: with room for one, every byte is a read of its own.
fn connect(edge: &mut Edge, room: usize) -> DuplexStream {
    let (caller, socket) = duplex(room);
    let seat = edge.seats.take(PEER.ip(), Instant::now()).unwrap();
    edge.host.converse(socket, PEER, (seat, edge.lanes.next().enter().0));
    caller
}

/// Sends `request` and reads until the edge hangs up.
async fn exchange(caller: DuplexStream, request: &[u8]) -> String {
    let (mut reader, mut writer) = tokio::io::split(caller);
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(writer.write_all(request), reader.read_to_end(&mut answer));
    read.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Cuts `answer` into responses.
fn responses(answer: &str) -> Vec<&str> {
    let begins = |&at: &usize| answer.get(at + 9..at + 12).is_some_and(|status| status.parse::<u16>().is_ok());
    let starts: Vec<_> = answer.match_indices("HTTP/1.").map(|(at, _)| at).filter(begins).collect();
    let ends = starts.iter().skip(1).copied().chain([answer.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &answer[start..end]).collect()
}

/// Reads the status codes of the responses in `answer`.
fn statuses(answer: &str) -> Vec<u16> {
    responses(answer).iter().map(|response| response[9..12].parse().unwrap()).collect()
}

/// Reads until `end` has come.
async fn read_until(caller: &mut DuplexStream, end: &str) -> io::Result<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(caller.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
