//! Routes that can be listed: what the description of the API must name, no more and no less.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};

/// Routes on their way to a router.
pub(super) struct Routes<S> {
    router: Router<S>,
    paths: Vec<(&'static str, &'static str)>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Starts with none.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), paths: Vec::new() }
    }

    /// Answers GET.
    pub(super) fn get<H: Handler<T, S>, T: 'static>(mut self, path: &'static str, handler: H) -> Self {
        self.paths.push(("get", path));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    /// Answers POST.
    pub(super) fn post<H: Handler<T, S>, T: 'static>(mut self, path: &'static str, handler: H) -> Self {
        self.paths.push(("post", path));
        Self { router: self.router.route(path, post(handler)), ..self }
    }

    /// Gives the handlers what they share.
    pub(super) fn with_state<N>(self, state: S) -> Routes<N> {
        Routes { router: self.router.with_state(state), paths: self.paths }
    }

    /// Adds other routes.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        Self { router: self.router.merge(other.router), paths: self.paths }
    }

    /// Returns the router, and each route as method and path.
    pub(super) fn finish(self) -> (Router<S>, Vec<(&'static str, &'static str)>) {
        (self.router, self.paths)
    }
}
