//! `/v1/listen`: Deepgram's API, streaming over WebSocket and files over POST.

mod answer;
mod extension;
mod file;
mod grant;
mod key;
mod progress;
mod query;
mod resume;
mod stream;
mod text;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use scheduler::{SessionId, Work};
use session::CloseReason;

use crate::app::Shared;

pub(crate) use answer::Problem;
pub(crate) use extension::{Extension, Failover, Notice, Tale, cause_name, merged_name, numbered, tale};
pub(crate) use query::{Interims, Listen};
pub(crate) use text::{CallerText, hear, schema_error};

/// Builds the routes.
pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/listen", get(stream).post(file).fallback(wrong_method))
        .route("/v1/auth/grant", post(grant).fallback(wrong_method_of_grant))
        .with_state(shared)
}

async fn stream(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let session = shared.new_session();
    let answered = match resume::asked(request.uri()) {
        Some(asked) => resume::serve(shared, session, request, asked).await,
        None => stream::serve(shared, session, request).await,
    };
    answered.unwrap_or_else(|problem| problem.refuse(session, Work::Stream))
}

async fn file(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let session = shared.new_session();
    let answered = file::serve(shared, session, request).await;
    answered.unwrap_or_else(|problem| problem.refuse(session, Work::File))
}

async fn grant(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let id = shared.new_session();
    grant::serve(&shared, request).await.unwrap_or_else(|problem| problem.answer(id))
}

async fn wrong_method_of_grant(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let text = format!("{} is not taken here: ask for a token with POST", request.method());
    Problem::new(CloseReason::WrongMethod, text).answer(shared.new_session())
}

async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let text = format!("{} is not taken here: open a WebSocket with GET, or send a file with POST", request.method());
    Problem::new(CloseReason::WrongMethod, text).answer(shared.new_session())
}

/// Answers a path that leads nowhere.
pub(super) fn unknown_path(shared: &Shared, path: &str) -> Response {
    let served = "/v1/listen, /v1/audio/transcriptions, /v1/models and /v1/usage";
    let text = format!("there is no {path}; this proxy serves {served}");
    Problem::new(CloseReason::UnknownPath, text).answer(shared.new_session())
}

/// Writes what a session needs in the router's terms.
pub(crate) fn placement_request(
    shared: &Shared,
    session: SessionId,
    listen: &Listen,
    work: Work,
) -> scheduler::Request {
    listen.asked.request(shared, session, work, listen.bytes_per_second())
}
