//! What this crate's tests share.

use scheduler::{EngineApi, Placement, ScoreTerms};

/// A placement on a node of some pool.
pub(crate) fn placement(node: &str) -> Placement {
    Placement {
        node: node.parse().unwrap(),
        pool: "p".parse().unwrap(),
        address: format!("{node}:80"),
        terms: ScoreTerms::default(),
        api: EngineApi::Listen,
        engine_model: None,
    }
}
