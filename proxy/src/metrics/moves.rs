//! What becomes of streams whose nodes are lost or go away, and of those whose callers have lost their connections.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use session::{Cause, MoveEnd};

const FAILOVERS: &str = "crosspoint_proxy_failovers_total";
const GAP: &str = "crosspoint_proxy_failover_gap_seconds";
const MOVES: &str = "crosspoint_proxy_moves_total";
const REPLAYED: &str = "crosspoint_proxy_replayed_seconds_total";
const PARKED: &str = "crosspoint_proxy_streams_parked";
const RESUMES: &str = "crosspoint_proxy_resumes_total";

/// Describes what becomes of streams whose nodes are lost, or go away.
pub(super) fn describe() {
    describe_counter!(FAILOVERS, "legs of streams that were given up, by why");
    describe_histogram!(GAP, "time from the last result of a leg that was lost to the first of its successor");
    drop(histogram!(GAP));
    describe_counter!(MOVES, "streams that were told to leave a node that goes away, by how that ended");
    for end in
        [MoveEnd::Paused, MoveEnd::Unpaused, MoveEnd::Overtaken, MoveEnd::Late, MoveEnd::Impossible, MoveEnd::Needless]
    {
        counter!(MOVES, "outcome" => move_label(end)).absolute(0);
    }
    describe_counter!(REPLAYED, "audio that was sent again to a stream's next node");
    for cause in [Cause::Lost, Cause::Unanswered, Cause::Behind, Cause::Nonsense] {
        counter!(FAILOVERS, "cause" => cause_label(cause)).absolute(0);
    }
    counter!(REPLAYED).absolute(0);
    describe_gauge!(PARKED, "streams whose callers have lost their connections and may come back");
    gauge!(PARKED).set(0.0);
    describe_counter!(RESUMES, "streams that their callers asked to go on with, by what came of it");
    for outcome in [Resume::Returned, Resume::Superseded, Resume::TakenOver, Resume::Unknown] {
        counter!(RESUMES, "outcome" => outcome.label()).absolute(0);
    }
}

fn cause_label(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "lost",
        Cause::Unanswered => "unanswered",
        Cause::Behind => "behind",
        Cause::Nonsense => "nonsense",
    }
}

fn move_label(end: MoveEnd) -> &'static str {
    match end {
        MoveEnd::Paused => "in_pause",
        MoveEnd::Unpaused => "in_speech",
        MoveEnd::Overtaken => "overtaken",
        MoveEnd::Late => "late",
        MoveEnd::Impossible => "impossible",
        MoveEnd::Needless => "needless",
    }
}

pub(crate) fn move_ended(end: MoveEnd) {
    counter!(MOVES, "outcome" => move_label(end)).increment(1);
}

pub(crate) fn failover(cause: Cause) {
    counter!(FAILOVERS, "cause" => cause_label(cause)).increment(1);
}

pub(crate) fn failover_gap(gap: Duration) {
    histogram!(GAP).record(gap.as_secs_f64());
}

/// Counts audio to the nearest second.
pub(crate) fn replayed(audio: Duration) {
    counter!(REPLAYED).increment((audio + Duration::from_millis(500)).as_secs());
}

pub(crate) fn parked(streams: usize) {
    gauge!(PARKED).set(streams as f64);
}

/// What comes of a wish to go on with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// It waited here.
    Returned,
    /// It still had a connection, which is closed.
    Superseded,
    /// It was another proxy's, or ended, and goes on as a new session.
    TakenOver,
    /// There is none, or it is somebody else's.
    Unknown,
}

impl Resume {
    fn label(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Superseded => "superseded",
            Self::TakenOver => "taken_over",
            Self::Unknown => "unknown",
        }
    }
}

pub(crate) fn resumed(outcome: Resume) {
    counter!(RESUMES, "outcome" => outcome.label()).increment(1);
}
