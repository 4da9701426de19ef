//! Files on their way to a node: spooled, then given to one node after the other until one answers. It knows sessions
//! and engines' answers, and no caller API: those say what they want, and how its outcome is told.

mod spool;

use std::time::{Duration, Instant};

use scheduler::{Class, Placement, Request};
use session::{Candidates, CloseReason, Next, Usage};

use crate::app::Shared;
use crate::engines::listen::{Garbage, hear_file, send_file};
use crate::engines::{LegHeaders, OpenError};
use crate::metrics;
use crate::quota::Limited;
use crate::record::Record;
use crate::transcript::Transcript;

pub(crate) use spool::Spool;

/// A file, and what is wanted for it.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// What the session needs of a node.
    pub(crate) wanted: Request,
    /// The query of its legs.
    pub(crate) query: String,
    /// The type that the upload is said to have.
    pub(crate) content_type: String,
    /// The upload.
    pub(crate) spool: Spool,
}

/// What a node answered to a file.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The engine's answer, unread.
    pub(crate) body: Vec<u8>,
    bytes_in: u64,
    took: Duration,
}

impl Answer {
    /// Understands it.
    pub(crate) fn transcript(&self) -> Result<Transcript, Failure> {
        hear_file(&self.body).map_err(|Garbage| {
            Failure::new(CloseReason::NodeFailed, "the node's answer makes no sense, please try again")
        })
    }

    /// Returns what the session used, once it is known how much audio was heard and what the caller is told.
    pub(crate) fn usage(&self, audio: Duration, bytes_out: usize) -> Usage {
        Usage { audio, bytes_in: self.bytes_in, bytes_out: bytes_out as u64, slot: self.took }
    }
}

/// Why no node answered a file, or why there was none to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the session ends for.
    pub(crate) reason: CloseReason,
    /// What the caller may be told.
    pub(crate) text: String,
    /// The limit that stopped it, where one did.
    pub(crate) limited: Option<Limited>,
}

impl Failure {
    /// Tells of a failure in its own words.
    pub(crate) fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into(), limited: None }
    }

    /// Tells why no node serves a session.
    pub(crate) fn no_node(reason: CloseReason) -> Self {
        let text = match reason {
            CloseReason::NotAllowed => {
                "no pool may serve this request: check x-crosspoint-residency and x-crosspoint-compliance"
            }
            CloseReason::NoCapacity => "every node that may serve this request is full, please try again",
            CloseReason::ConcurrencyLimited => "limit: sessions at one time",
            CloseReason::RouterAway => "no router answers, please try again",
            _ => reason.close_text(),
        };
        Self::new(reason, text)
    }
}

/// Gives a file to one node after the other until one answers, and notes in `record` how that goes.
pub(crate) async fn deliver(shared: &Shared, record: &mut Record, parcel: Parcel) -> Result<Answer, Failure> {
    let answer = Delivery { shared, record, parcel }.run().await?;
    metrics::leg_answered();
    Ok(answer)
}

/// Says what a node means that calls a file bad.
fn fault(status: u16) -> CloseReason {
    match status {
        413 => CloseReason::UploadTooBig,
        415 => CloseReason::UnsupportedBody,
        _ => CloseReason::BadAudio,
    }
}

/// One file on its way through the candidates.
struct Delivery<'a> {
    shared: &'a Shared,
    record: &'a mut Record,
    parcel: Parcel,
}

impl Delivery<'_> {
    async fn run(mut self) -> Result<Answer, Failure> {
        let mut candidates = Candidates::new(self.place().await?);
        let mut epoch = 0;
        let mut last = CloseReason::NoCapacity;
        loop {
            match candidates.advance() {
                Next::Try(placement) => {
                    epoch += 1;
                    match self.send(&placement, epoch).await {
                        Ok(answer) => return Ok(answer),
                        Err(OpenError::CallersFault { status, text }) => return Err(Failure::new(fault(status), text)),
                        Err(OpenError::TryAnother(cause)) => {
                            metrics::leg_refused();
                            self.record.failed(&placement.node, &cause);
                            candidates.note_failed(placement.node);
                            last = CloseReason::NodeFailed;
                        }
                    }
                }
                Next::Ask => {
                    self.parcel.wanted.class = Class::Failover;
                    self.parcel.wanted.exclude = candidates.failed().clone();
                    candidates.add(self.place().await?);
                }
                Next::Exhausted => return Err(Failure::no_node(last)),
            }
        }
    }

    async fn place(&self) -> Result<Vec<Placement>, Failure> {
        let counting = self.record.counting();
        let placed = self.shared.placer.place(&self.parcel.wanted, self.record.trace(), &counting).await;
        placed.map_err(Failure::no_node)
    }

    async fn send(&mut self, placement: &Placement, epoch: u32) -> Result<Answer, OpenError> {
        let headers = LegHeaders { session: self.record.session(), epoch, trace: self.record.trace() };
        let url = format!("http://{}/v1/listen?{}", placement.address, self.parcel.query);
        let body = self.parcel.spool.body().await.map_err(|error| OpenError::TryAnother(error.to_string()))?;
        self.record.trying(&placement.node);
        let opened = Instant::now();
        let upload = (self.parcel.content_type.as_str(), body);
        let sent = send_file(&self.shared.http, &url, &headers, upload, self.shared.config.file_timeout).await;
        let (bytes_in, slot) = (self.parcel.spool.length(), opened.elapsed());
        self.record.used(Usage { bytes_in, slot, ..Usage::default() });
        let body = sent?;
        self.record.opened(&placement.node, epoch);
        Ok(Answer { body, bytes_in, took: slot })
    }
}
