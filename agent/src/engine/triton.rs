//! NVIDIA Triton: ready or not, model by model, and what waits. It tells neither what it can do nor what it does:
//! `nv_inference_exec_count` looks like the latter and is a counter. So the operator says how much it hears at the same
//! time, and leases count what it is given.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Url;
use scheduler::{ModelName, NodeState};
use tokio::time::Instant;

use super::{Figures, Pages, ProbeError, Server, page_of, seconds};
use crate::page::Page;
use crate::window::Window;

/// Time between two rounds of questions about models.
const MODELS_INTERVAL: Duration = Duration::from_secs(5);

/// Its pages, and what they have taught.
#[derive(Debug)]
pub(crate) struct Triton {
    base: Url,
    metrics: Url,
    slots: Option<NonZeroU32>,
    wanted: BTreeMap<ModelName, ModelName>,
    ready: Option<(Instant, BTreeMap<ModelName, ModelName>)>,
    latency: Window,
}

impl Triton {
    /// Makes one of which nothing is known; `base` is its HTTP service.
    pub(crate) fn new(
        base: Url,
        metrics: Url,
        slots: Option<NonZeroU32>,
        wanted: BTreeMap<ModelName, ModelName>,
    ) -> Self {
        Self { base, metrics, slots, wanted, ready: None, latency: Window::default() }
    }

    /// Looks at its health and its metrics; at its models every 5 s only.
    pub(super) async fn look(&mut self, pages: &Pages) -> Result<(NodeState, Figures), ProbeError> {
        pages.get(&page_of(&self.base, "v2/health/ready")).await?;
        let slots = self.slots.ok_or(ProbeError::NoTritonSlots)?.get();
        let models = match &self.ready {
            Some((at, models)) if at.elapsed() < MODELS_INTERVAL => models.clone(),
            Some(_) | None => self.ask_models(pages).await?,
        };
        let (queue_depth, latency, remark) = match pages.text(&self.metrics).await {
            Ok(page) => {
                let (waits, latency) = self.figures(&Page::parse(&page), Instant::now());
                (waits, latency, None)
            }
            Err(error) => (0, Duration::ZERO, Some(format!("no metrics: {error}"))),
        };
        let figures = Figures {
            server: Some(Server::Triton),
            slots,
            soft_slots: Some(slots),
            queue_depth,
            chunk_latency_p95: latency,
            models: Some(models),
            remark,
            ..Figures::default()
        };
        Ok((NodeState::Serving, figures))
    }

    /// What waits, and how long requests take, queueing included: the 95th percentile where summaries are switched on, else
    /// the mean of the last half minute.
    fn figures(&mut self, page: &Page<'_>, now: Instant) -> (u32, Duration) {
        let waits = page.count("nv_inference_pending_request_count").unwrap_or_default();
        let counters = ["nv_inference_request_duration_us", "nv_inference_request_success"].map(|name| page.sum(name));
        let mean = self.latency.ratio(now, counters);
        let summary = page.greatest_with("nv_inference_request_summary_us", ("quantile", "0.95"));
        (waits, seconds(summary.or(mean).map(|microseconds| microseconds / 1e6)))
    }

    async fn ask_models(&mut self, pages: &Pages) -> Result<BTreeMap<ModelName, ModelName>, ProbeError> {
        self.ready = None;
        let mut ready = BTreeMap::new();
        for (ours, theirs) in &self.wanted {
            match pages.get(&page_of(&self.base, &format!("v2/models/{theirs}/ready"))).await {
                Ok(_) => drop(ready.insert(ours.clone(), theirs.clone())),
                Err(ProbeError::Status { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if ready.is_empty() {
            let wanted = self.wanted.values().map(ModelName::as_str).collect::<Vec<_>>().join(", ");
            return Err(ProbeError::NoModel { wanted, listed: "none of them ready".to_owned() });
        }
        self.ready = Some((Instant::now(), ready.clone()));
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP nv_inference_request_success Number of successful inference requests, all batch sizes\n\
        nv_inference_request_success{model=\"asr\",version=\"1\"} 100\nnv_inference_request_success{model=\"lid\",version=\"1\"} 50\n\
        nv_inference_exec_count{model=\"asr\",version=\"1\"} 9000\n\
        nv_inference_request_duration_us{model=\"asr\",version=\"1\"} 5000000\n\
        nv_inference_request_duration_us{model=\"lid\",version=\"1\"} 0\n\
        # TYPE nv_inference_pending_request_count gauge\n\
        nv_inference_pending_request_count{model=\"asr\",version=\"1\"} 3\n\
        nv_inference_pending_request_count{model=\"lid\",version=\"1\"} 4\n";

    fn triton() -> Triton {
        let url = || Url::parse("http://gpu:8000/").unwrap();
        Triton::new(url(), url(), NonZeroU32::new(8), BTreeMap::new())
    }

    #[test]
    fn what_waits_is_added_up_over_models_and_latency_is_the_mean_of_lately() {
        let (mut triton, start) = (triton(), Instant::now());
        assert_eq!(triton.figures(&Page::parse(PAGE), start), (7, Duration::ZERO));
        let later = PAGE.replace("} 100", "} 110").replace("5000000", "5400000");
        let seen = triton.figures(&Page::parse(&later), start + Duration::from_secs(5));
        assert_eq!(seen, (7, Duration::from_millis(40)));
    }

    #[test]
    fn a_summary_is_believed_where_it_is_switched_on() {
        let page =
            format!("{PAGE}nv_inference_request_summary_us{{model=\"asr\",version=\"1\",quantile=\"0.95\"}} 70000\n");
        assert_eq!(triton().figures(&Page::parse(&page), Instant::now()).1, Duration::from_millis(70));
    }

    #[test]
    fn before_the_first_request_nothing_waits() {
        assert_eq!(triton().figures(&Page::parse("nv_gpu_utilization 0\n"), Instant::now()), (0, Duration::ZERO));
    }
}
