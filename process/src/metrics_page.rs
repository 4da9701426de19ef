//! The metrics recorder and the text page that Prometheus scrapes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::Shutdown;

/// Upper bounds, in seconds, of every `_seconds` histogram: 100 µs to 30 s.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// How often histogram samples are summed up.
const SUM_UP: Duration = Duration::from_secs(5);

/// Says why no metrics can be recorded.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the metrics recorder: {0}")]
pub struct MetricsError(#[from] BuildError);

/// The process's recorder, as a page.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder, or returns the one this process already has.
    ///
    /// # Errors
    /// Fails when another recorder was installed first.
    pub fn install() -> Result<Self, MetricsError> {
        static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
        // Held throughout: of two that come at the same time, the second gets what the first installed.
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*installed {
            return Ok(Self { handle: handle.clone() });
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .install_recorder()?;
        *installed = Some(handle.clone());
        Ok(Self { handle })
    }

    /// Renders every metric in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Sums up histogram samples until the drain begins. Without it they are kept one by one until somebody looks at the
    /// page, which nobody may ever do.
    pub(crate) async fn sum_up(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(SUM_UP);
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                _ = ticks.tick() => self.handle.run_upkeep(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_install_at_the_same_time_share_the_recorder() {
        std::thread::scope(|scope| {
            let installing: Vec<_> = (0..8).map(|_| scope.spawn(Metrics::install)).collect();
            assert!(installing.into_iter().all(|thread| thread.join().unwrap().is_ok()));
        });
    }
}
