//! Our own engine, and any other that has the same two pages.

use std::num::NonZeroU32;

use reqwest::Url;
use scheduler::NodeState;

use super::{Figures, Health, Pages, ProbeError, Server, seconds};
use crate::page::Page;

/// Its pages.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// Is it well, and which process.
    pub(crate) health: Url,
    /// Its slots.
    pub(crate) metrics: Url,
    /// Slots that it may use at most, where the operator says so.
    pub(crate) most: Option<NonZeroU32>,
}

impl Own {
    /// Looks at both pages.
    pub(super) async fn look(&self, pages: &Pages) -> Result<(NodeState, Figures), ProbeError> {
        let health: Health = serde_json::from_slice(&pages.get(&self.health).await?).unwrap_or_default();
        let state = health.state()?;
        let mut figures = figures(&pages.text(&self.metrics).await?, health.pid)?;
        figures.slots = figures.slots.min(self.most.map_or(u32::MAX, NonZeroU32::get));
        Ok((state, figures))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the factor is near 1, reports carry it in single precision")]
fn figures(text: &str, pid: Option<u32>) -> Result<Figures, ProbeError> {
    let page = Page::parse(text);
    Ok(Figures {
        server: Some(Server::Crosspoint),
        slots: page.count("crosspoint_engine_slots").ok_or(ProbeError::NoSlots)?,
        soft_slots: page.count("crosspoint_engine_soft_slots"),
        used: Some(page.count("crosspoint_engine_active_streams").ok_or(ProbeError::NoSlots)?),
        queue_depth: page.count("crosspoint_engine_queue_depth").unwrap_or_default(),
        realtime_factor: page.sum("crosspoint_engine_realtime_factor").unwrap_or_default() as f32,
        chunk_latency_p95: seconds(page.sum("crosspoint_engine_chunk_latency_p95_seconds")),
        pid,
        ..Figures::default()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PAGE: &str = "crosspoint_engine_slots 5\ncrosspoint_engine_active_streams 2\n\
        crosspoint_engine_queue_depth 3\ncrosspoint_engine_realtime_factor 0.25\n\
        crosspoint_engine_chunk_latency_p95_seconds 0.04\n";

    #[test]
    fn a_page_becomes_figures() {
        let figures = figures(PAGE, Some(7)).unwrap();
        assert_eq!((figures.slots, figures.used, figures.queue_depth, figures.soft_slots), (5, Some(2), 3, None));
        assert_eq!(figures.chunk_latency_p95, Duration::from_millis(40));
    }

    #[test]
    fn a_page_without_slots_is_no_engine() {
        assert!(matches!(figures("up 1\n", None), Err(ProbeError::NoSlots)));
    }
}
