//! One chunk of a file, until a node has heard it: refused, failed and revoked chunks are placed again, ever later. It
//! takes slots that nobody else needs, so waiting is what it is for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use rand::Rng;
use scheduler::{NodeId, Placement, Priority, Request};
use session::{Candidates, CloseReason, Next, Usage};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::gathered::Piece;
use super::leg::Leg;
use super::placing::place;
use super::sound::{Cut, RATE};
use super::{Failure, Freight, Parcel, late};
use crate::app::Shared;
use crate::engines::{LegHeaders, OpenError};
use crate::metrics;
use crate::record::Record;
use crate::router::{ChunkId, Counting, Hold};
use crate::trace::Trace;

/// The wait before a chunk is placed again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(4);
/// Bytes of a second of sound.
const BYTES_PER_SECOND: u64 = RATE.hertz() as u64 * 2;

/// What all chunks of one file have in common.
pub(super) struct Lane {
    shared: Arc<Shared>,
    wanted: Request,
    query: String,
    trace: Trace,
    counting: Counting,
    /// When a chunk of the file was last heard.
    progress: watch::Sender<Instant>,
}

/// What became of a chunk.
#[derive(Debug)]
pub(super) struct Outcome {
    /// What was heard.
    pub(super) piece: Piece,
    /// For how long it held slots.
    pub(super) slot: Duration,
}

/// Why a chunk was not heard this time.
enum Setback {
    /// It never will be.
    Final(Failure),
    /// It may be later.
    Passing(CloseReason),
}

/// How a leg ended that brought no answer.
enum Lost {
    /// The router wants the slot for somebody else.
    Revoked,
    /// The node refused, failed, or says that the caller is to blame.
    Failed(OpenError),
}

impl Lane {
    /// Prepares to hear a file in chunks.
    pub(super) fn new(shared: Arc<Shared>, parcel: &Parcel, record: &Record) -> Self {
        let wanted = Request {
            file: Some(parcel.wanted.session),
            priority: Priority::Batch,
            // Nobody waits for a piece of a chunk.
            latency_limit: shared.config.files.chunk_timeout,
            audio_bytes_per_second: BYTES_PER_SECOND,
            ..parcel.wanted.clone()
        };
        Self {
            shared,
            wanted,
            query: leg_query(&parcel.query),
            trace: record.trace(),
            counting: record.counting(),
            progress: watch::Sender::new(Instant::now()),
        }
    }

    /// Gets a chunk heard, however often it must be placed for that.
    pub(super) async fn hear(&self, cut: Cut) -> Result<Outcome, Failure> {
        let id = ChunkId { session: self.shared.new_session(), file: self.wanted.session };
        let used = Usage { audio: cut.length, bytes_in: cut.bytes.len() as u64, ..Usage::default() };
        let samples = Freight::Chunk(cut.bytes.into());
        let mut chunk = Chunk { lane: self, id, samples, used, epoch: 0 };
        let (began, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let tried = Instant::now();
            let reason = match chunk.round().await {
                Ok(piece) => {
                    self.progress.send_replace(Instant::now());
                    return Ok(Outcome { piece, slot: chunk.used.slot });
                }
                Err(Setback::Final(failure)) => return Err(failure),
                Err(Setback::Passing(reason)) => reason,
            };
            self.check_patience(began, reason)?;
            sleep(jittered(wait)).await;
            // While other chunks of the file are heard, slots become free.
            let moves = *self.progress.borrow() > tried;
            wait = if moves { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
        }
    }

    /// Gives up on a file of which no chunk was heard for too long.
    fn check_patience(&self, began: Instant, reason: CloseReason) -> Result<(), Failure> {
        let (since, patience) = (began.max(*self.progress.borrow()), self.shared.config.files.patience);
        if since.elapsed() < patience {
            return Ok(());
        }
        let why = Failure::no_node(reason);
        let text = format!("no part of the file was heard for {} s: {}", patience.as_secs(), why.text);
        Err(Failure { text, ..why })
    }
}

/// Chunks that were refused together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.75..1.25))
}

/// The caller's query, with the layout of a chunk in place of the file's.
fn leg_query(query: &str) -> String {
    let layout = |name: &str| matches!(name, "encoding" | "sample_rate" | "channels" | "multichannel");
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !layout(name));
    let mut query = Serializer::new(String::new());
    query.extend_pairs(pairs);
    query.append_pair("encoding", "linear16").append_pair("sample_rate", &RATE.hertz().to_string());
    query.append_pair("channels", "1").finish()
}

/// One chunk on its way.
struct Chunk<'a> {
    lane: &'a Lane,
    id: ChunkId,
    samples: Freight,
    /// What it comes to once it is heard, and for how long it has held slots so far.
    used: Usage,
    epoch: u32,
}

impl Chunk<'_> {
    /// Asks for nodes and tries them.
    async fn round(&mut self) -> Result<Piece, Setback> {
        let mut candidates = Candidates::new(self.place(BTreeSet::new()).await?);
        let mut last = CloseReason::NoCapacity;
        loop {
            match candidates.advance() {
                Next::Try(placement) => match self.try_node(&placement).await {
                    Ok(piece) => return Ok(piece),
                    Err(Lost::Revoked) => return Err(Setback::Passing(CloseReason::NoCapacity)),
                    Err(Lost::Failed(OpenError::CallersFault { status, text })) => {
                        return Err(Setback::Final(Failure::of_caller(status, text)));
                    }
                    Err(Lost::Failed(OpenError::TryAnother(_))) => {
                        candidates.note_failed(placement.node);
                        last = CloseReason::NodeFailed;
                    }
                },
                Next::Ask => candidates.add(self.place(candidates.failed().clone()).await?),
                Next::Exhausted => return Err(Setback::Passing(last)),
            }
        }
    }

    fn wanted(&self, exclude: BTreeSet<NodeId>) -> Request {
        Request { session: self.id.session, exclude, ..self.lane.wanted.clone() }
    }

    async fn place(&self, exclude: BTreeSet<NodeId>) -> Result<Vec<Placement>, Setback> {
        let Lane { shared, counting, trace, .. } = self.lane;
        let placed = place(shared, self.wanted(exclude), *trace, counting.clone()).await;
        placed.map_err(|failure| match failure.reason {
            CloseReason::NotAllowed => Setback::Final(failure),
            // A file that was counted has its place, however the store has lost it.
            CloseReason::ConcurrencyLimited if !counting.is_counted(&self.lane.wanted) => Setback::Final(failure),
            reason => Setback::Passing(reason),
        })
    }

    /// Tries one node. Its slot is paid for as long as it is held, the chunk itself where it was heard and nowhere else.
    async fn try_node(&mut self, placement: &Placement) -> Result<Piece, Lost> {
        let reporter = &self.lane.shared.reporter;
        let hold = reporter.hold_chunk(self.id, &placement.node);
        let meter = reporter.meters().begin(&self.wanted(BTreeSet::new()), placement);
        let opened = Instant::now();
        let answered = tokio::select! {
            answer = self.send(placement) => answer.map_err(Lost::Failed),
            () = hold.revoked() => Err(Lost::Revoked),
        };
        self.used.slot += opened.elapsed();
        if let (Some(meter), Ok(_)) = (&meter, &answered) {
            meter.used(&self.used);
        }
        self.note(&hold, &placement.node, answered)
    }

    /// Sends the chunk and reads the answer.
    async fn send(&mut self, placement: &Placement) -> Result<Piece, OpenError> {
        self.epoch += 1;
        let Lane { shared, wanted, query, trace, .. } = self.lane;
        let headers = LegHeaders { session: self.id.session, epoch: self.epoch, trace: *trace };
        let leg = Leg { shared, placement, model: &wanted.model, query, headers };
        let answer = timeout(shared.config.files.chunk_timeout, leg.send(&self.samples));
        Piece::read(answer.await.map_err(|_elapsed| late())??)
    }

    fn note(&self, hold: &Hold, node: &NodeId, answered: Result<Piece, Lost>) -> Result<Piece, Lost> {
        let (file, chunk) = (self.id.file, self.id.session);
        match &answered {
            Ok(_) => {
                metrics::leg_answered();
                metrics::chunk_heard();
                hold.opened(self.epoch);
            }
            Err(Lost::Revoked) => {
                metrics::chunk_revoked();
                info!(%file, %chunk, %node, "a stream takes the slot of a chunk, placing it again later");
            }
            Err(Lost::Failed(OpenError::TryAnother(cause))) => {
                metrics::leg_refused();
                metrics::chunk_failed();
                info!(%file, %chunk, %node, cause, "node failed a chunk, trying another");
                hold.failed(cause.clone());
            }
            Err(Lost::Failed(OpenError::CallersFault { status, text })) => {
                metrics::chunk_failed();
                warn!(%file, %chunk, %node, status, cause = text, "node calls a chunk bad");
            }
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_a_layout_of_its_own_and_the_callers_wishes() {
        let query = leg_query("model=m&encoding=mulaw&sample_rate=8000&channels=2&keyterm=a+b&multichannel=false");
        assert_eq!(query, "model=m&keyterm=a+b&encoding=linear16&sample_rate=16000&channels=1");
    }
}
