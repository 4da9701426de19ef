//! Caller APIs: what developers' SDKs speak. They know session events, never engine adapters.

mod asked;
mod browsers;
pub(crate) mod listen;
mod openai;
mod usage;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use scheduler::ModelName;
use sha2::{Digest, Sha256};
use store::Secret;
use uuid::Uuid;

use crate::app::Shared;
use crate::edge::{Dialect, Peer};
use crate::transcript::Timing;

pub use browsers::Origin;

pub(crate) use asked::{Asked, Widened, Wishes};

/// Builds the routes of every caller API.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let cors = browsers::cors(&shared.config.origins);
    let unknown = Router::new().fallback(unknown_path).with_state(Arc::clone(&shared));
    let routes = unknown
        .merge(listen::routes(Arc::clone(&shared)))
        .merge(usage::routes(Arc::clone(&shared)))
        .merge(openai::routes(shared));
    match cors {
        Some(cors) => routes.layer(cors),
        None => routes,
    }
}

/// Answers a path that leads nowhere in the words of the API that it looks like.
async fn unknown_path(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response<Body> {
    let path: String = uri.path().chars().take(200).collect();
    match Dialect::of(&path) {
        Dialect::OpenAi => openai::unknown_path(&shared, &method, &path),
        Dialect::Deepgram => listen::unknown_path(&shared, &path),
    }
}

/// Returns the address a request came from; without one it is taken to be foreign.
fn peer(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip())
}

/// Finds the key in an `Authorization` header: after `Token`, as Deepgram's SDKs send it, or `Bearer`, as all others do.
fn authorization(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    (known && !key.trim().is_empty()).then(|| Secret::new(key.trim()))
}

/// Makes the same id of a model's name everywhere.
fn model_id(model: &ModelName) -> Uuid {
    let digest = Sha256::digest(model.as_str());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Tells callers who want times what the engine did not give them.
fn tell_caveat(headers: &mut HeaderMap, timing: Timing) {
    if let Some(caveat) = timing.caveat() {
        headers.insert("x-crosspoint-warning", HeaderValue::from_static(caveat));
    }
}

/// Keeps what a header may hold: visible ASCII and spaces.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    let visible: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    HeaderValue::from_str(&visible).unwrap_or_else(|_| HeaderValue::from_static("error"))
}
