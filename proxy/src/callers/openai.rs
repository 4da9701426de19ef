//! `/v1/audio/transcriptions` and `/v1/models`: OpenAI's API for files, and the models under both APIs' names.

mod answer;
mod events;
mod form;
mod language;
mod models;
mod order;
mod render;
mod transcription;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{Method, Response};
use axum::routing::{get, post};
use scheduler::Work;
use session::CloseReason;
use store::Scope;

use crate::app::Shared;
use answer::{Exchange, Problem};

/// Builds the routes.
pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/audio/transcriptions", post(transcribe).fallback(wrong_method))
        .route("/v1/models", get(list).fallback(wrong_method))
        .route("/v1/models/{*name}", get(one).fallback(wrong_method))
        // The edge bounds uploads.
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn transcribe(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let exchange = Exchange::begin(shared.new_session());
    let answered = transcription::serve(&shared, exchange.session(), request).await;
    exchange.end(answered.unwrap_or_else(|problem| problem.refuse(Work::File)))
}

async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let exchange = Exchange::begin(shared.new_session());
    let answered =
        transcription::caller(&shared, &request, Scope::Models).await.map(|_caller| models::all(&shared.models.load()));
    exchange.end(answered.unwrap_or_else(|problem| problem.answer()))
}

async fn one(
    State(shared): State<Arc<Shared>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response<Body> {
    let exchange = Exchange::begin(shared.new_session());
    let name = name.map_or_else(|_| request.uri().path().to_owned(), |Path(name)| name);
    let caller = transcription::caller(&shared, &request, Scope::Models).await;
    let answered = caller.and_then(|_caller| models::one(&shared.models.load(), &name));
    exchange.end(answered.unwrap_or_else(|problem| problem.answer()))
}

async fn wrong_method(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    let text = format!("Not allowed to {method} on {path}: files are sent with POST, models are read with GET");
    Exchange::begin(shared.new_session()).end(Problem::new(CloseReason::WrongMethod, text).answer())
}

/// Answers a path that leads nowhere.
pub(super) fn unknown_path(shared: &Shared, method: &Method, path: &str) -> Response<Body> {
    let text = format!("Invalid URL ({method} {path}): there are /v1/audio/transcriptions and /v1/models");
    Exchange::begin(shared.new_session()).end(Problem::new(CloseReason::UnknownPath, text).answer())
}
