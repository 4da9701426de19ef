//! The last plan that this router knows, its own or another's.

use std::sync::{Arc, Mutex, PoisonError};

use scheduler::Timestamp;
use scheduler::plan::Plan;

use crate::metrics;

/// A plan, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// The router that made it.
    pub(crate) leader: String,
    /// The plan.
    pub(crate) plan: Plan,
    /// When, on this router's clock.
    pub(crate) planned_at: Timestamp,
}

/// Where the last plan hangs.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Option<Arc<Shown>>>);

impl Board {
    /// Hangs a plan up, and sets the metrics to it.
    pub(super) fn show(&self, shown: Shown) {
        metrics::plan(&shown.plan);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(shown));
    }

    /// Returns the last plan.
    pub(crate) fn read(&self) -> Option<Arc<Shown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
