//! What vLLM tells of its load. It counts engine requests, of which a file longer than it hears at once makes several; a
//! chunk of at most 30 s, as proxies cut them, makes one. Names lost their colon where Ray serves it.

use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::{Pages, ProbeError, seconds};
use crate::page::Page;
use crate::window::Window;

const RUNNING: [&str; 3] = ["vllm:num_requests_running", "vllm_num_requests_running", "ray_vllm_num_requests_running"];
const WAITING: [&str; 3] = ["vllm:num_requests_waiting", "vllm_num_requests_waiting", "ray_vllm_num_requests_waiting"];
const FIRST_TOKEN: [&str; 3] =
    ["vllm:time_to_first_token_seconds", "vllm_time_to_first_token_seconds", "ray_vllm_time_to_first_token_seconds"];

/// Time between two looks at the page of vLLM, which is long, ...
const OFTEN: Duration = Duration::from_secs(1);
/// ... and at that of a server that has none or is another: it may be replaced.
const SELDOM: Duration = Duration::from_secs(30);

/// What vLLM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Requests that it works on.
    pub(super) running: u32,
    /// Requests that wait.
    pub(super) waiting: u32,
    /// Request to first word, 95th percentile of the last half minute.
    pub(super) latency: Duration,
}

/// Its metrics page, and what it said last.
#[derive(Debug)]
pub(crate) struct Vllm {
    metrics: Url,
    first_token: Window,
    said: Option<(Instant, Option<Load>)>,
}

impl Vllm {
    /// Makes one that was not asked yet.
    pub(crate) fn new(metrics: Url) -> Self {
        Self { metrics, first_token: Window::default(), said: None }
    }

    /// Returns what it does; nothing where it is no vLLM.
    pub(super) async fn load(&mut self, pages: &Pages) -> Option<Load> {
        if let Some((at, said)) = self.said
            && at.elapsed() < if said.is_some() { OFTEN } else { SELDOM }
        {
            return said;
        }
        let page: Result<String, ProbeError> = pages.text(&self.metrics).await;
        let load = page.ok().and_then(|page| self.read(&Page::parse(&page), Instant::now()));
        self.said = Some((Instant::now(), load));
        load
    }

    fn read(&mut self, page: &Page<'_>, now: Instant) -> Option<Load> {
        let running = crate::page::whole(page.sum_of_first(&RUNNING)?);
        let waiting = page.sum_of_first(&WAITING).map_or(0, crate::page::whole);
        let histogram = FIRST_TOKEN.iter().find_map(|name| page.histogram(name));
        let latency = seconds(self.first_token.quantile(now, histogram, 0.95));
        Some(Load { running, waiting, latency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE vllm:num_requests_running gauge\n\
        vllm:num_requests_running{engine=\"0\",model_name=\"openai/whisper-small\"} 3.0\n\
        vllm:num_requests_running{engine=\"1\",model_name=\"openai/whisper-small\"} 2.0\n\
        vllm:num_requests_waiting{engine=\"0\",model_name=\"openai/whisper-small\"} 4.0\n\
        vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"openai/whisper-small\",reason=\"capacity\"} 99.0\n\
        vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"openai/whisper-small\"} 0.25\n\
        vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.1\",model_name=\"openai/whisper-small\"} 10.0\n\
        vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.25\",model_name=\"openai/whisper-small\"} 10.0\n\
        vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"+Inf\",model_name=\"openai/whisper-small\"} 10.0\n\
        vllm:time_to_first_token_seconds_created{engine=\"0\",model_name=\"openai/whisper-small\"} 1.78e+09\n";

    fn vllm() -> Vllm {
        Vllm::new(Url::parse("http://gpu:8000/metrics").unwrap())
    }

    #[test]
    fn engines_are_added_up_and_names_that_look_alike_are_not() {
        let load = vllm().read(&Page::parse(PAGE), Instant::now()).unwrap();
        assert_eq!((load.running, load.waiting), (5, 4));
    }

    #[test]
    fn names_of_other_versions_are_known() {
        let load = vllm().read(&Page::parse(&PAGE.replace("vllm:", "ray_vllm_")), Instant::now()).unwrap();
        assert_eq!((load.running, load.waiting), (5, 4));
        assert_eq!(vllm().read(&Page::parse("sglang:num_running_reqs 1\n"), Instant::now()), None);
    }

    #[test]
    fn latency_is_of_the_last_half_minute_and_unknown_after_a_restart() {
        let (mut vllm, start) = (vllm(), Instant::now());
        vllm.read(&Page::parse(PAGE), start);
        let later = PAGE.replace(
            "25\",model_name=\"openai/whisper-small\"} 10.0",
            "25\",model_name=\"openai/whisper-small\"} 30.0",
        );
        let later = later.replace(
            "+Inf\",model_name=\"openai/whisper-small\"} 10.0",
            "+Inf\",model_name=\"openai/whisper-small\"} 30.0",
        );
        let load = vllm.read(&Page::parse(&later), start + Duration::from_secs(2)).unwrap();
        assert!(load.latency > Duration::from_millis(200) && load.latency <= Duration::from_millis(250), "{load:?}");
        let again = vllm.read(&Page::parse(PAGE), start + Duration::from_secs(3)).unwrap();
        assert_eq!(again.latency, Duration::ZERO);
    }
}
