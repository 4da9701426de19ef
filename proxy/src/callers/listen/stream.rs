//! Streams: refused before the upgrade or not at all. The node's leg is open before the caller gets its 101.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use scheduler::rules::Service;
use scheduler::{Class, SessionId, Work};
use session::CloseReason;
use store::{Caller, Scope};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tracing::debug;

use super::key::{Presented, presented};
use super::{Listen, Problem, placement_request};
use crate::app::Shared;
use crate::callers::{browsers, header_value, peer};
use crate::pump::{Admitted, Pump, admit};
use crate::wire::caller_socket;

const FOREIGN: &str = "pages of this origin may not open streams here: add it to proxy.origins";

/// Serves one stream: checks, places and opens it, then answers 101 and leaves it to a pump.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (handshake, caller) = Handshake::check(&shared, request.headers(), peer(&request)).await?;
    let listen = Listen::read(request.uri(), request.headers(), &shared.models.load(), caller)?;
    open(shared, session, request, (handshake, listen)).await
}

/// Places a stream and opens its first leg, then answers.
pub(super) async fn open(
    shared: Arc<Shared>,
    session: SessionId,
    mut request: Request,
    (handshake, mut listen): (Handshake, Listen),
) -> Result<Response<Body>, Problem> {
    shared.facts.add(&mut listen.asked.facts, Service::Listen, request.headers(), peer(&request));
    let upgrade = hyper::upgrade::on(&mut request);
    let record = shared.admit(session, request.headers(), &listen.asked.caller, Work::Stream).await?;
    let mut wanted = placement_request(&shared, session, &listen, Work::Stream);
    if listen.goes_on.is_some() {
        wanted.class = Class::Failover;
    }
    match admit(Arc::clone(&shared), wanted, &listen, record).await {
        Admitted::Open(pump) => {
            let spawner = shared.shutdown.clone();
            spawner.spawn("stream", run(upgrade, pump));
            Ok(handshake.switching(session))
        }
        Admitted::Refused(problem) => Ok(problem.answer(session)),
    }
}

async fn run(upgrade: OnUpgrade, pump: Box<Pump>) {
    match upgrade.await {
        Ok(upgraded) => pump.run(caller_socket(TokioIo::new(upgraded))).await,
        Err(error) => {
            debug!(%error, "caller left before the upgrade");
            pump.abandon();
        }
    }
}

/// A handshake that may be answered.
pub(super) struct Handshake {
    accept: String,
    subprotocol: Option<HeaderValue>,
}

impl Handshake {
    /// Checks a request for an upgrade, and who makes it.
    pub(super) async fn check(shared: &Shared, headers: &HeaderMap, peer: IpAddr) -> Result<(Self, Caller), Problem> {
        let accept = accept_key(headers)?;
        if !browsers::may_upgrade(&shared.config.origins, headers) {
            return Err(Problem::new(CloseReason::ForeignOrigin, FOREIGN));
        }
        let Presented { key, subprotocol } = presented(headers)?;
        let caller = shared.keys.check(&key, peer, Scope::Listen).await?;
        Ok((Self { accept, subprotocol }, caller))
    }

    /// Answers 101.
    pub(super) fn switching(self, session: SessionId) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, header_value(&self.accept));
        headers.insert("dg-request-id", header_value(&session.to_string()));
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        response
    }
}

/// Checks the handshake and computes its answer.
fn accept_key(headers: &HeaderMap) -> Result<String, Problem> {
    let has = |name: header::HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(word)))
    };
    let bad = |text: &str| Problem::new(CloseReason::BadRequest, text);
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(bad("GET /v1/listen opens a WebSocket: ask for an upgrade, or send a file with POST"));
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(bad("expected Sec-WebSocket-Version: 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| bad("Sec-WebSocket-Key is missing"))?;
    Ok(derive_accept_key(key.as_bytes()))
}
