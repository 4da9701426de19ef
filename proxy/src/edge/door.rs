//! The service behind hyper: answers what the gate refused, refuses what shows only in parsed headers, and hands the
//! rest to the routes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::gate::REFUSAL;
use super::upload::{Upload, Verdict};
use super::violation::Violation;
use super::{Dialect, Limits, Peer, head};

/// The way of one connection's requests to the routes.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// The routes.
    pub(super) app: Router,
    /// The bounds that they are behind.
    pub(super) limits: Arc<Limits>,
    /// The other end of the connection.
    pub(super) peer: SocketAddr,
}

impl Door {
    /// Answers one request.
    pub(super) async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        match self.objection(request.headers()) {
            Some(violation) => violation.answer(Dialect::of(request.uri().path()), None),
            None => self.admit(request).await,
        }
    }

    fn objection(&self, headers: &HeaderMap) -> Option<Violation> {
        if let Some(label) = headers.get(REFUSAL) {
            return Violation::from_label(label.as_bytes()).or(Some(Violation::RequestLine));
        }
        let compressed = headers.get_all(CONTENT_ENCODING).iter().any(|value| value != "identity");
        if compressed {
            return Some(Violation::ContentEncoding);
        }
        let length: u64 = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
        (length > self.limits.upload_bytes.get()).then_some(Violation::UploadTooLarge)
    }

    async fn admit(self, request: Request<Incoming>) -> Response<Body> {
        let verdict = Verdict::default();
        let dialect = Dialect::of(request.uri().path());
        let is_last = request.headers().get_all(UPGRADE).iter().any(|value| head::asks_for_websocket(value.as_bytes()));
        let mut request = request.map(|body| Body::new(Upload::new(body, &self.limits, Arc::clone(&verdict))));
        request.extensions_mut().insert(Peer(self.peer));
        let Ok(mut response) = self.app.oneshot(request).await;
        if let Some(violation) = verdict.get() {
            let id = response.headers().get(dialect.id_header()).and_then(|id| id.to_str().ok());
            return violation.answer(dialect, id);
        }
        // The gate judges nothing after a request for a WebSocket, so nothing may be read as a request after it.
        if is_last && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
