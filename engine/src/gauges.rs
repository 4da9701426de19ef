//! What the engine tells Prometheus, and the few numbers `/health` repeats.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::ending::Outcome;

/// The audio over which the real-time factor is averaged.
const AVERAGED: Duration = Duration::from_secs(30);
/// The length of audio whose latency is told.
const CHUNK: Duration = Duration::from_millis(100);

/// Handles of every metric of the engine; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gauges {
    active: Gauge,
    slots: Gauge,
    queued_chunks: Gauge,
    queued_seconds: Gauge,
    /// Microseconds of audio that wait: added up in whole numbers, so that nothing drifts.
    queued: Arc<AtomicU64>,
    realtime_factor: Gauge,
    heard: Arc<Mutex<Heard>>,
    audio_seconds: Counter,
    chunk_latency: Histogram,
    chunk_latency_p95: Gauge,
}

/// What one piece adds to: counters are whole numbers, so less than a second waits for the next piece.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    uncounted: Duration,
    /// Seconds of audio and of work, fading out together.
    audio: f64,
    work: f64,
    /// The time within which 95 of 100 chunks were heard lately, in seconds.
    p95: f64,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").field("heard", &self.heard).finish_non_exhaustive()
    }
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            active: gauge!("crosspoint_engine_active_streams"),
            slots: gauge!("crosspoint_engine_slots"),
            queued_chunks: gauge!("crosspoint_engine_queue_depth"),
            queued_seconds: gauge!("crosspoint_engine_queue_seconds"),
            queued: Arc::default(),
            realtime_factor: gauge!("crosspoint_engine_realtime_factor"),
            heard: Arc::default(),
            audio_seconds: counter!("crosspoint_engine_audio_seconds_total"),
            chunk_latency: histogram!("crosspoint_engine_chunk_latency_seconds"),
            chunk_latency_p95: gauge!("crosspoint_engine_chunk_latency_p95_seconds"),
        }
    }
}

impl Gauges {
    /// Says how many slots there are.
    pub(crate) fn slots(&self, total: usize) {
        self.slots.set(u32::try_from(total).unwrap_or(u32::MAX));
    }

    /// Counts a slot taken.
    pub(crate) fn slot_taken(&self) {
        self.active.increment(1.0);
    }

    /// Counts a slot freed.
    pub(crate) fn slot_freed(&self) {
        self.active.decrement(1.0);
    }

    /// Counts a chunk that waits to be heard.
    pub(crate) fn queued(&self, audio: Duration) {
        self.queued_chunks.increment(1.0);
        let before = self.queued.fetch_add(micros(audio), Ordering::Relaxed);
        self.queued_seconds.set(Duration::from_micros(before.saturating_add(micros(audio))).as_secs_f64());
    }

    /// Counts a chunk that no longer waits.
    pub(crate) fn unqueued(&self, audio: Duration) {
        self.queued_chunks.decrement(1.0);
        let before = self.queued.fetch_sub(micros(audio), Ordering::Relaxed);
        self.queued_seconds.set(Duration::from_micros(before.saturating_sub(micros(audio))).as_secs_f64());
    }

    /// Records how long a chunk waited until it was heard to its end.
    pub(crate) fn chunk_heard(&self, waited: Duration) {
        self.chunk_latency.record(waited.as_secs_f64());
    }

    /// Records that hearing `audio` took `work`.
    pub(crate) fn piece_heard(&self, audio: Duration, work: Duration) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let fade = (-audio.as_secs_f64() / AVERAGED.as_secs_f64()).exp();
        heard.audio = heard.audio * fade + audio.as_secs_f64();
        heard.work = heard.work * fade + work.as_secs_f64();
        heard.uncounted += audio;
        heard.chunk(work.as_secs_f64() * CHUNK.as_secs_f64() / audio.as_secs_f64().max(CHUNK.as_secs_f64() / 10.0));
        self.chunk_latency_p95.set(heard.p95);
        self.realtime_factor.set(heard.realtime_factor());
        self.audio_seconds.increment(heard.uncounted.as_secs());
        heard.uncounted = Duration::from_nanos(heard.uncounted.subsec_nanos().into());
    }

    /// Returns the seconds of work per second of audio, 0 before the first piece.
    pub(crate) fn realtime_factor(&self) -> f64 {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).realtime_factor()
    }
}

impl Heard {
    /// Follows the 95th percentile: a step up is nineteen times a step down, so it rests where one in twenty is above.
    fn chunk(&mut self, took: f64) {
        let step = 0.05 * self.p95.max(0.001);
        self.p95 = if took > self.p95 { self.p95 + 0.95 * step } else { (self.p95 - 0.05 * step).max(0.0) };
    }

    fn realtime_factor(&self) -> f64 {
        if self.audio > 0.0 { self.work / self.audio } else { 0.0 }
    }
}

fn micros(audio: Duration) -> u64 {
    u64::try_from(audio.as_micros()).unwrap_or(u64::MAX)
}

/// Says what each metric means.
pub(crate) fn describe() {
    describe_gauge!("crosspoint_engine_active_streams", "Streams and files being heard");
    describe_gauge!("crosspoint_engine_slots", "Streams and files that may be heard at the same time");
    describe_gauge!("crosspoint_engine_queue_depth", "Chunks of audio that wait to be heard");
    describe_gauge!("crosspoint_engine_queue_seconds", Unit::Seconds, "Audio that waits to be heard");
    describe_gauge!(
        "crosspoint_engine_realtime_factor",
        "Seconds of work per second of audio, over the last 30 s of audio"
    );
    describe_gauge!(
        "crosspoint_engine_chunk_latency_p95_seconds",
        Unit::Seconds,
        "Time within which 95 of 100 pieces of 100 ms of audio were heard, once it was their turn"
    );
    describe_counter!("crosspoint_engine_audio_seconds_total", Unit::Seconds, "Audio heard");
    describe_counter!("crosspoint_engine_requests_total", "Streams and files by how they ended");
    describe_histogram!(
        "crosspoint_engine_chunk_latency_seconds",
        Unit::Seconds,
        "Time from a chunk's arrival until it was heard to its end"
    );
}

/// Counts a request by how it ended.
pub(crate) fn count(outcome: Outcome) {
    requests(outcome).increment(1);
}

fn requests(outcome: Outcome) -> Counter {
    counter!("crosspoint_engine_requests_total", "outcome" => outcome.label())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_told_is_exceeded_by_one_chunk_in_twenty() {
        let mut heard = Heard::default();
        let chunks = (0..20_000_u32).map(|i| f64::from(i * 7_919 % 1_000) / 1_000.0);
        chunks.for_each(|took| heard.chunk(took));
        assert!((0.9..0.99).contains(&heard.p95), "{}", heard.p95);
    }
}
