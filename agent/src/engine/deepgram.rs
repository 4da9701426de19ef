//! Deepgram self-hosted: the API's `/v1/status` says whether it is well, the engine's metrics page (another port, off by
//! default) what it does. Three of its figures are not what they seem:
//!
//! * `engine_estimated_stream_capacity` rises only as streams open: an idle engine would never be given any. So the greatest
//!   one ever seen counts, and a few streams are tried before that.
//! * `engine_max_active_requests` of 0 is no limit.
//! * `engine_asr_per_batch_realtime_factor` is audio over wall time, the inverse of ours: ours comes from the two sums.
//!
//! Most series appear with the first request, and all start again with the engine.

use std::num::NonZeroU32;

use reqwest::Url;
use scheduler::NodeState;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Figures, Pages, ProbeError, Server, seconds};
use crate::page::Page;
use crate::window::Window;

/// Streams that are tried while the engine has not shown what it can do.
const FIRST_SLOTS: u32 = 4;

/// Its pages, and what they have taught.
#[derive(Debug)]
pub(crate) struct Deepgram {
    status: Url,
    metrics: Url,
    most: Option<NonZeroU32>,
    learned: u32,
    latency: Window,
    factor: Window,
}

/// `/v1/status` of its API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    system_health: Option<String>,
    active_batch_requests: u32,
    active_stream_requests: u32,
    active_listen_v2_stream_requests: u32,
}

impl Status {
    fn active(&self) -> u32 {
        self.active_batch_requests
            .saturating_add(self.active_stream_requests)
            .saturating_add(self.active_listen_v2_stream_requests)
    }
}

impl Deepgram {
    /// Makes one of which nothing is known; `most` is what the operator says it may hear at the same time.
    pub(crate) fn new(status: Url, metrics: Url, most: Option<NonZeroU32>) -> Self {
        let (latency, factor) = (Window::default(), Window::default());
        Self { status, metrics, most, learned: 0, latency, factor }
    }

    /// Looks at both pages. Without the second the operator must have said how much it can do.
    pub(super) async fn look(&mut self, pages: &Pages) -> Result<(NodeState, Figures), ProbeError> {
        let status: Status = serde_json::from_slice(&pages.get(&self.status).await?).unwrap_or_default();
        let health = status.system_health.as_deref().ok_or_else(|| ProbeError::NoStatus(self.status.clone()))?;
        let (state, remark) = match health {
            "Initializing" => (NodeState::Starting, None),
            "Ready" | "Healthy" => (NodeState::Serving, None),
            "Degraded" => (NodeState::Serving, Some("Deepgram's system_health is Degraded".to_owned())),
            other => return Err(ProbeError::Sick(other.chars().take(64).collect())),
        };
        match (pages.text(&self.metrics).await, self.most) {
            (Ok(page), _) => {
                let figures = self.figures(&Page::parse(&page), &status, Instant::now());
                Ok((state, Figures { remark, ..figures }))
            }
            (Err(error), Some(most)) => {
                let remark = remark.or_else(|| Some(format!("engine.slots is believed: {error}")));
                Ok((state, Figures { remark, ..plain(most.get(), status.active()) }))
            }
            (Err(error), None) => Err(ProbeError::NoCapacity(error.to_string())),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the factor is near 1, reports carry it in single precision")]
    fn figures(&mut self, page: &Page<'_>, status: &Status, now: Instant) -> Figures {
        let used = page.count("engine_active_requests").unwrap_or_else(|| status.active());
        self.learned = self.learned.max(page.count("engine_estimated_stream_capacity").unwrap_or_default());
        let known = self.learned.max(FIRST_SLOTS);
        let limit = page.count("engine_max_active_requests").filter(|limit| *limit > 0);
        let slots = match (limit, self.most.map(NonZeroU32::get)) {
            (Some(limit), Some(most)) => limit.min(most),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => (u64::from(known) * 115).div_ceil(100).try_into().unwrap_or(u32::MAX),
        };
        let latency = self.latency.quantile(now, page.histogram("engine_stream_latency"), 0.95);
        let sums = ["engine_asr_per_batch_wall_time_seconds_sum", "engine_asr_per_batch_audio_duration_seconds_sum"];
        let factor = self.factor.ratio(now, sums.map(|sum| page.sum(sum)));
        Figures {
            soft_slots: Some(known.min(slots)),
            chunk_latency_p95: seconds(latency),
            realtime_factor: factor.unwrap_or_default() as f32,
            ..plain(slots, used)
        }
    }
}

fn plain(slots: u32, used: u32) -> Figures {
    Figures { server: Some(Server::Deepgram), slots, used: Some(used), ..Figures::default() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What a container says before its first request.
    const FRESH: &str = "# HELP engine_estimated_stream_capacity The number of streams the node believes it can serve \
        with acceptable latency.\n# TYPE engine_estimated_stream_capacity gauge\nengine_estimated_stream_capacity 0\n\
        # TYPE engine_active_requests gauge\nengine_active_requests{kind=\"batch\"} 0\n\
        engine_active_requests{kind=\"stream\"} 0\nengine_active_requests{kind=\"tts\"} 0\n\
        # TYPE engine_max_active_requests gauge\nengine_max_active_requests 0\n";

    fn deepgram(most: Option<u32>) -> Deepgram {
        let url = || Url::parse("http://gpu:8080/v1/status").unwrap();
        Deepgram::new(url(), url(), most.and_then(NonZeroU32::new))
    }

    fn figures(deepgram: &mut Deepgram, page: &str) -> Figures {
        deepgram.figures(&Page::parse(page), &Status::default(), Instant::now())
    }

    fn busy(estimate: u32, streams: u32) -> String {
        FRESH
            .replace("capacity 0", &format!("capacity {estimate}"))
            .replace("stream\"} 0", &format!("stream\"}} {streams}"))
    }

    #[test]
    fn an_engine_that_heard_nobody_yet_is_given_a_few_streams() {
        let fresh = figures(&mut deepgram(None), FRESH);
        assert_eq!((fresh.soft_slots, fresh.slots, fresh.used), (Some(4), 5, Some(0)));
    }

    #[test]
    fn a_capacity_that_falls_when_streams_leave_is_remembered() {
        let mut deepgram = deepgram(None);
        assert_eq!(figures(&mut deepgram, &busy(40, 30)).soft_slots, Some(40));
        let idle = figures(&mut deepgram, &busy(2, 0));
        assert_eq!((idle.soft_slots, idle.slots), (Some(40), 46));
    }

    #[test]
    fn a_limit_holds_and_zero_is_none() {
        let limited = busy(40, 1).replace("max_active_requests 0", "max_active_requests 10");
        let seen = figures(&mut deepgram(None), &limited);
        assert_eq!((seen.soft_slots, seen.slots), (Some(10), 10));
        assert_eq!(figures(&mut deepgram(Some(8)), &limited).slots, 8, "the operator may say less");
        assert_eq!(figures(&mut deepgram(Some(8)), FRESH).slots, 8);
    }

    #[test]
    fn latency_and_factor_are_of_the_last_half_minute() {
        let page = |slow: u32, all: u32, wall: f64, audio: f64| {
            format!(
                "{FRESH}engine_stream_latency_bucket{{le=\"0.1\"}} {}\nengine_stream_latency_bucket{{le=\"0.2\"}} {all}\n\
                 engine_stream_latency_bucket{{le=\"+Inf\"}} {all}\n\
                 engine_asr_per_batch_wall_time_seconds_sum {wall}\nengine_asr_per_batch_audio_duration_seconds_sum {audio}\n",
                all - slow
            )
        };
        let (mut deepgram, start, status) = (deepgram(None), Instant::now(), Status::default());
        let first = deepgram.figures(&Page::parse(&page(500, 500, 100.0, 100.0)), &status, start);
        assert_eq!((first.chunk_latency_p95, first.realtime_factor), (Duration::ZERO, 0.0));
        let later = start + Duration::from_secs(5);
        let lately = deepgram.figures(&Page::parse(&page(500, 600, 101.0, 110.0)), &status, later);
        assert!(lately.chunk_latency_p95 <= Duration::from_millis(100), "{lately:?}");
        assert!((lately.realtime_factor - 0.1).abs() < 1e-6, "compute over audio, not the inverse: {lately:?}");
        let restarted = deepgram.figures(&Page::parse(&page(0, 3, 0.1, 1.0)), &status, later + Duration::from_secs(1));
        assert_eq!((restarted.chunk_latency_p95, restarted.realtime_factor), (Duration::ZERO, 0.0));
    }

    #[test]
    fn without_the_series_the_status_page_counts() {
        let status = Status { active_stream_requests: 3, active_listen_v2_stream_requests: 2, ..Status::default() };
        let seen = deepgram(None).figures(&Page::parse(""), &status, Instant::now());
        assert_eq!((seen.used, seen.slots), (Some(5), 5));
    }
}
