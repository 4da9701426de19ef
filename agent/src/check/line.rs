//! The line at start. Engine and router have a moment to be there; what is missing is waited for and no error.

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{PATIENCE, engine_found, router_found};
use crate::engine::Engine;
use crate::gpus::FirstLook;
use crate::link::Standing;

/// What the line at start says.
#[derive(Debug, PartialEq, Eq)]
struct Findings {
    engine: Result<String, String>,
    router: Result<String, String>,
    gpus: String,
}

/// Looks at engine, router and GPUs once, and says what is there.
pub(crate) async fn look_around(
    mut engine: watch::Receiver<Engine>,
    mut standing: watch::Receiver<Standing>,
    gpus: FirstLook,
) {
    let asked = timeout(PATIENCE, engine.changed());
    let tried = timeout(PATIENCE, standing.wait_for(|standing| *standing != Standing::Trying));
    // A deadline that passed leaves what is known by then, which says that nothing was found yet.
    let (_, _, gpus) = tokio::join!(asked, async { tried.await.is_ok() }, gpus.describe());
    let gpus = match gpus {
        Ok(text) | Err(text) => text,
    };
    let findings = Findings { engine: engine_found(&engine.borrow()), router: router_found(&standing.borrow()), gpus };
    findings.log();
}

impl Findings {
    fn log(&self) {
        let (engine, router, gpus) = (text(&self.engine), text(&self.router), &self.gpus);
        if self.engine.is_ok() && self.router.is_ok() {
            info!(engine, router, gpus, "agent found engine and router");
        } else {
            warn!(engine, router, gpus, missing = self.missing(), "agent misses something and goes on without it");
        }
    }

    fn missing(&self) -> &'static str {
        match (&self.engine, &self.router) {
            (Ok(_), Ok(_)) => "nothing",
            (Err(_), Ok(_)) => "engine",
            (Ok(_), Err(_)) => "router",
            (Err(_), Err(_)) => "engine, router",
        }
    }
}

fn text(finding: &Result<String, String>) -> &str {
    match finding {
        Ok(text) | Err(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use scheduler::NodeState;

    use super::*;
    use crate::engine::Figures;

    #[test]
    fn what_is_missing_is_named_with_its_reason() {
        let router = "http://127.0.0.1:7400/".to_owned();
        let standing = Standing::Unreachable { router, reason: "connection refused".to_owned() };
        let findings = Findings {
            engine: engine_found(&Engine::default()),
            router: router_found(&standing),
            gpus: "none: switched off".to_owned(),
        };
        assert_eq!(findings.missing(), "engine, router");
        assert_eq!(text(&findings.router), "http://127.0.0.1:7400/ cannot be reached: connection refused");
    }

    #[test]
    fn what_is_there_is_described() {
        let figures = Figures { slots: 4, used: Some(1), ..Figures::default() };
        let engine = Engine { state: NodeState::Serving, figures, problem: None };
        assert_eq!(engine_found(&engine).unwrap(), "serving, 1 of 4 slots in use");
    }
}
