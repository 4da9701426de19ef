//! The proxy's metrics: names, labels and what they count. Nothing here is touched per audio chunk.

mod moves;

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use scheduler::Work;
use session::{CloseReason, Usage};
use store::{JournalError, KeyError};

pub(crate) use moves::{Resume, failover, failover_gap, move_ended, parked, replayed, resumed};

const SESSIONS: &str = "crosspoint_proxy_sessions_total";
const LIVE: &str = "crosspoint_proxy_sessions_live";
const AUDIO: &str = "crosspoint_proxy_audio_seconds_total";
const BYTES_IN: &str = "crosspoint_proxy_audio_bytes_total";
const BYTES_OUT: &str = "crosspoint_proxy_result_bytes_total";
const PLACE: &str = "crosspoint_proxy_place_seconds";
const OPEN: &str = "crosspoint_proxy_leg_open_seconds";
const FIRST: &str = "crosspoint_proxy_first_result_seconds";
const LEGS: &str = "crosspoint_proxy_legs_total";
const CHUNKS: &str = "crosspoint_proxy_chunks_total";
const CHUNKS_IN_FLIGHT: &str = "crosspoint_proxy_chunks_in_flight";
const CERTIFICATES: &str = "crosspoint_proxy_certificates_total";
const MEMORY: &str = "crosspoint_proxy_memory_ratio";
const RINGS: &str = "crosspoint_proxy_rings_bytes";
const RINGS_LIMIT: &str = "crosspoint_proxy_rings_limit_bytes";
const SPILLED: &str = "crosspoint_proxy_spilled_bytes";
const NONSENSE: &str = "crosspoint_proxy_nonsense_total";
const SILENCED: &str = "crosspoint_proxy_silenced_total";
const QUOTA_ALONE: &str = "crosspoint_proxy_quota_local_total";
const USAGE: &str = "crosspoint_proxy_usage_records_total";
const WAITING: &str = "crosspoint_proxy_usage_records_waiting";
const UNSENT: &str = "crosspoint_proxy_updates_dropped_total";
const KEYS: &str = "crosspoint_proxy_keys_refused_total";
const UNWATCHED: &str = "crosspoint_proxy_keys_unwatched_total";

/// Describes every metric and lets the counters start at zero.
pub(crate) fn describe() {
    describe_counter!(SESSIONS, "ended sessions and refused requests, by work and reason");
    describe_gauge!(LIVE, "sessions open now, by work");
    describe_counter!(AUDIO, "audio accepted from callers");
    describe_counter!(BYTES_IN, "bytes of audio accepted from callers");
    describe_counter!(BYTES_OUT, "bytes of results sent to callers");
    describe_histogram!(PLACE, "time a router took to place a session");
    describe_histogram!(OPEN, "time a node took to open a stream's leg");
    describe_histogram!(FIRST, "time from the open of a stream to its first result");
    describe_counter!(LEGS, "legs to nodes, by how they began or ended");
    moves::describe();
    describe_counter!(CHUNKS, "chunks of files, by what a node made of them");
    describe_gauge!(CHUNKS_IN_FLIGHT, "chunks of files decoded and not yet heard");
    describe_counter!(CERTIFICATES, "changes of the TLS certificate, by whether the new one is shown");
    describe_gauge!(MEMORY, "resident memory over what this process may have");
    describe_gauge!(RINGS, "bytes that streams keep for replays");
    describe_gauge!(RINGS_LIMIT, "bytes that streams may keep for replays");
    describe_gauge!(SPILLED, "bytes on disk that streams sent faster than they are heard");
    describe_counter!(NONSENSE, "messages of nodes that could not be read, or not be true");
    describe_counter!(SILENCED, "moments of audio silenced because two nodes were lost over them");
    describe_counter!(QUOTA_ALONE, "sessions admitted or refused by this proxy alone, because the store was away");
    describe_counter!(USAGE, "records of usage, by what the journal did with them");
    describe_gauge!(WAITING, "parts of sessions whose last record of usage no router has acknowledged, or that go on");
    gauge!(WAITING).set(0.0);
    for outcome in USAGE_OUTCOMES {
        counter!(USAGE, "outcome" => outcome).absolute(0);
    }
    describe_counter!(UNSENT, "session updates dropped because no router took them");
    describe_counter!(KEYS, "keys and tokens that opened nothing, by why");
    describe_counter!(UNWATCHED, "looks for revocations that the store did not answer");
    for why in ["unknown", "revoked", "expired", "out_of_scope", "not_lendable", "not_loopback", "away"] {
        counter!(KEYS, "why" => why).absolute(0);
    }
    for work in [Work::Stream, Work::File] {
        gauge!(LIVE, "work" => work_label(work)).set(0.0);
        for reason in CloseReason::ALL {
            counter!(SESSIONS, "work" => work_label(work), "reason" => reason.label()).absolute(0);
        }
    }
    for name in [SILENCED, NONSENSE, AUDIO, BYTES_IN, BYTES_OUT, QUOTA_ALONE, UNSENT, UNWATCHED] {
        counter!(name).absolute(0);
    }
    gauge!(CHUNKS_IN_FLIGHT).set(0.0);
    for outcome in ["heard", "failed", "revoked"] {
        counter!(CHUNKS, "outcome" => outcome).absolute(0);
    }
    for outcome in ["replaced", "rejected"] {
        counter!(CERTIFICATES, "outcome" => outcome).absolute(0);
    }
    for outcome in ["opened", "refused", "lost"] {
        counter!(LEGS, "outcome" => outcome).absolute(0);
    }
}

fn work_label(work: Work) -> &'static str {
    match work {
        Work::Stream => "stream",
        Work::File => "file",
    }
}

pub(crate) fn ended(work: Work, reason: CloseReason, usage: &Usage) {
    counter!(SESSIONS, "work" => work_label(work), "reason" => reason.label()).increment(1);
    counter!(AUDIO).increment((usage.audio + Duration::from_millis(500)).as_secs());
    counter!(BYTES_IN).increment(usage.bytes_in);
    counter!(BYTES_OUT).increment(usage.bytes_out);
}

/// Shows what streams hold of memory and of the disk, in bytes.
pub(crate) fn held(rings: u64, spilled: u64) {
    gauge!(RINGS).set(rings as f64);
    gauge!(SPILLED).set(spilled as f64);
}

pub(crate) fn rings_limit(bytes: u64) {
    gauge!(RINGS_LIMIT).set(bytes as f64);
}

pub(crate) fn silenced() {
    counter!(SILENCED).increment(1);
}

pub(crate) fn nonsense(messages: u32) {
    if messages > 0 {
        counter!(NONSENSE).increment(messages.into());
    }
}

pub(crate) fn placed(took: Duration) {
    histogram!(PLACE).record(took.as_secs_f64());
}

pub(crate) fn leg_opened(took: Duration) {
    histogram!(OPEN).record(took.as_secs_f64());
    counter!(LEGS, "outcome" => "opened").increment(1);
}

pub(crate) fn chunk_heard() {
    counter!(CHUNKS, "outcome" => "heard").increment(1);
}

pub(crate) fn chunk_failed() {
    counter!(CHUNKS, "outcome" => "failed").increment(1);
}

pub(crate) fn chunk_revoked() {
    counter!(CHUNKS, "outcome" => "revoked").increment(1);
}

pub(crate) fn certificate_replaced() {
    counter!(CERTIFICATES, "outcome" => "replaced").increment(1);
}

pub(crate) fn certificate_rejected() {
    counter!(CERTIFICATES, "outcome" => "rejected").increment(1);
}

/// Counts a file's leg; it opens and answers in one, so its time says nothing of how fast a node opens legs.
pub(crate) fn leg_answered() {
    counter!(LEGS, "outcome" => "opened").increment(1);
}

pub(crate) fn leg_refused() {
    counter!(LEGS, "outcome" => "refused").increment(1);
}

pub(crate) fn leg_lost() {
    counter!(LEGS, "outcome" => "lost").increment(1);
}

pub(crate) fn first_result(took: Duration) {
    histogram!(FIRST).record(took.as_secs_f64());
}

pub(crate) fn memory(used: f64) {
    gauge!(MEMORY).set(used);
}

pub(crate) fn quota_alone() {
    counter!(QUOTA_ALONE).increment(1);
}

/// Records taken; records that found the disk or the journal full; records that failed otherwise.
const USAGE_OUTCOMES: [&str; 3] = ["journalled", "disk_full", "failed"];

pub(crate) fn usage_journalled(records: usize, failed: Option<&JournalError>) {
    let [journalled, disk_full, other] = USAGE_OUTCOMES;
    let outcome = match failed {
        None => journalled,
        Some(error) if error.is_full() => disk_full,
        Some(_) => other,
    };
    counter!(USAGE, "outcome" => outcome).increment(records as u64);
}

pub(crate) fn usage_waiting(parts: usize) {
    gauge!(WAITING).set(parts as f64);
}

pub(crate) fn update_dropped() {
    counter!(UNSENT).increment(1);
}

pub(crate) fn key_refused(error: &KeyError) {
    let why = match error {
        KeyError::Unknown => "unknown",
        KeyError::Revoked => "revoked",
        KeyError::Expired => "expired",
        KeyError::OutOfScope(_) => "out_of_scope",
        KeyError::NotLendable => "not_lendable",
        KeyError::NotLoopback(_) => "not_loopback",
        KeyError::Away(_) => "away",
    };
    counter!(KEYS, "why" => why).increment(1);
}

pub(crate) fn keys_unwatched() {
    counter!(UNWATCHED).increment(1);
}

/// Counts a session as live for as long as it is kept.
pub(crate) struct Live(&'static str);

impl Live {
    pub(crate) fn new(work: Work) -> Self {
        gauge!(LIVE, "work" => work_label(work)).increment(1.0);
        Self(work_label(work))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        gauge!(LIVE, "work" => self.0).decrement(1.0);
    }
}

/// Counts a chunk as in flight for as long as it is kept.
pub(crate) struct ChunkInFlight;

impl ChunkInFlight {
    pub(crate) fn new() -> Self {
        gauge!(CHUNKS_IN_FLIGHT).increment(1.0);
        Self
    }
}

impl Drop for ChunkInFlight {
    fn drop(&mut self) {
        gauge!(CHUNKS_IN_FLIGHT).decrement(1.0);
    }
}
