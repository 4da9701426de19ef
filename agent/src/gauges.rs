//! What the agent tells Prometheus. Its labels are GPU indexes and outcomes, never free text.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Gauge, counter, gauge};
use scheduler::NoticeKind;

use crate::gpus::{Card, Fault};

const REPORTS: &str = "crosspoint_agent_reports_total";
const GPU_FAULTS: &str = "crosspoint_agent_gpu_faults_total";
const DRIVER_FAILURES: &str = "crosspoint_agent_driver_failures_total";
const NOTICES: &str = "crosspoint_agent_notices_total";

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// On its way to the router.
    Sent,
    /// Not sent: the router reads more slowly than reports come.
    Skipped,
    /// The router does not take this node's reports.
    Refused,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
        }
    }
}

/// Handles of every metric of the agent; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gauges {
    connected: Gauge,
    gpus: Gauge,
    shown: Arc<Mutex<BTreeSet<u32>>>,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Default for Gauges {
    /// Makes them, and lets the counters start at zero.
    fn default() -> Self {
        for outcome in [Outcome::Sent, Outcome::Skipped, Outcome::Refused] {
            counter!(REPORTS, "outcome" => outcome.label()).absolute(0);
        }
        for fault in [Fault::Xid(None), Fault::Ecc] {
            counter!(GPU_FAULTS, "fault" => fault.label()).absolute(0);
        }
        for kind in [NoticeKind::Rebalance, NoticeKind::Preemption, NoticeKind::Maintenance] {
            counter!(NOTICES, "kind" => notice_label(kind)).absolute(0);
        }
        counter!(DRIVER_FAILURES).absolute(0);
        notices_readable(None);
        Self {
            connected: gauge!("crosspoint_agent_router_connected"),
            gpus: gauge!("crosspoint_agent_gpus"),
            shown: Arc::default(),
        }
    }
}

impl Gauges {
    /// Counts a report by what became of it.
    pub(crate) fn report(&self, outcome: Outcome) {
        counter!(REPORTS, "outcome" => outcome.label()).increment(1);
    }

    /// Shows that a router takes the reports.
    pub(crate) fn connected(&self) {
        self.connected.set(1.0);
    }

    /// Shows that no router takes the reports.
    pub(crate) fn disconnected(&self) {
        self.connected.set(0.0);
    }

    /// Shows the cards; one that was shown before and is gone reads NaN, as Prometheus marks what is no more.
    pub(crate) fn cards(&self, cards: &[Card]) {
        self.gpus.set(u32::try_from(cards.len()).unwrap_or(u32::MAX));
        let here = cards.iter().map(|card| card.index).collect::<BTreeSet<_>>();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.difference(&here) {
            Readings::GONE.show(*gone);
        }
        for card in cards {
            Readings::from(card).show(card.index);
        }
        *shown = here;
    }
}

/// Counts a fault of a card, or of a program on it.
pub(crate) fn gpu_fault(fault: Fault) {
    counter!(GPU_FAULTS, "fault" => fault.label()).increment(1);
}

/// Counts that NVIDIA's library is not there or stopped working.
pub(crate) fn driver_failed() {
    counter!(DRIVER_FAILURES).increment(1);
}

/// Counts a notice from the cloud.
pub(crate) fn noticed(kind: NoticeKind) {
    counter!(NOTICES, "kind" => notice_label(kind)).increment(1);
}

/// Shows whether the cloud's notices can be read; where no cloud is asked, nothing is unread.
pub(crate) fn notices_readable(fault: Option<&str>) {
    gauge!("crosspoint_agent_notices_readable").set(if fault.is_none() { 1.0 } else { 0.0 });
}

/// Returns a kind of notice as a label.
pub(crate) const fn notice_label(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Rebalance => "rebalance",
        NoticeKind::Preemption => "preemption",
        NoticeKind::Maintenance => "maintenance",
    }
}

/// One card's readings in base units.
struct Readings {
    utilisation_ratio: f64,
    memory_used_bytes: f64,
    memory_total_bytes: f64,
    temperature_celsius: f64,
    power_watts: f64,
}

impl Readings {
    const GONE: Self = Self {
        utilisation_ratio: f64::NAN,
        memory_used_bytes: f64::NAN,
        memory_total_bytes: f64::NAN,
        temperature_celsius: f64::NAN,
        power_watts: f64::NAN,
    };

    fn show(&self, index: u32) {
        let gpu = index.to_string();
        gauge!("crosspoint_agent_gpu_utilisation_ratio", "gpu" => gpu.clone()).set(self.utilisation_ratio);
        gauge!("crosspoint_agent_gpu_memory_used_bytes", "gpu" => gpu.clone()).set(self.memory_used_bytes);
        gauge!("crosspoint_agent_gpu_memory_total_bytes", "gpu" => gpu.clone()).set(self.memory_total_bytes);
        gauge!("crosspoint_agent_gpu_temperature_celsius", "gpu" => gpu.clone()).set(self.temperature_celsius);
        gauge!("crosspoint_agent_gpu_power_watts", "gpu" => gpu).set(self.power_watts);
    }
}

impl From<&Card> for Readings {
    fn from(card: &Card) -> Self {
        let gpu = &card.gpu;
        Self {
            utilisation_ratio: f64::from(gpu.utilisation.get()),
            memory_used_bytes: gpu.memory_used_bytes as f64,
            memory_total_bytes: gpu.memory_total_bytes as f64,
            temperature_celsius: f64::from(gpu.temperature_celsius),
            power_watts: f64::from(gpu.power_milliwatts) / 1000.0,
        }
    }
}
