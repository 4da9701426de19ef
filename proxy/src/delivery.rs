//! Files on their way to a node: spooled, then given to one node after the other until one answers. It knows sessions
//! and engines' answers, and no caller API: those say what they want, and how its outcome is told.

mod spool;

use std::time::{Duration, Instant};

use proto::convert::Refused;
use scheduler::{Class, EngineApi, Placement, Request};
use session::{Candidates, CloseReason, Next, Usage};
use store::Secret;

use crate::app::Shared;
use crate::engines::listen::{Garbage, hear_file, send_file};
use crate::engines::openai::Errand;
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

/// What an engine says of a file.
#[derive(Debug)]
pub(crate) enum Heard {
    /// An answer in the words of `/v1/listen`, unread.
    Written(Vec<u8>),
    /// What was heard, understood.
    Words(Transcript),
}

/// What a node answered to a file.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the engine said.
    pub(crate) heard: Heard,
    upload: Spool,
    took: Duration,
}

impl Answer {
    /// Understands it.
    pub(crate) fn transcript(&self) -> Result<Transcript, Failure> {
        match &self.heard {
            Heard::Words(transcript) => Ok(transcript.clone()),
            Heard::Written(body) => hear_file(body).map_err(|Garbage| {
                Failure::new(CloseReason::NodeFailed, "the node's answer makes no sense, please try again")
            }),
        }
    }

    /// Digests the upload, in hexadecimal.
    pub(crate) async fn sha256(&self) -> Result<String, Failure> {
        let unreadable = |_| Failure::new(CloseReason::NodeFailed, "the upload cannot be read again, please try again");
        self.upload.sha256().await.map_err(unreadable)
    }

    /// Returns what the session used, once it is known how much audio was heard and what the caller is told.
    pub(crate) fn usage(&self, audio: Duration, bytes_out: usize) -> Usage {
        Usage { audio, bytes_in: self.upload.length(), bytes_out: bytes_out as u64, slot: self.took }
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

impl From<Refused> for Failure {
    fn from(Refused { refusal, text, .. }: Refused) -> Self {
        let failure = Self::no_node(refusal.into());
        match text {
            Some(text) => Self { text, ..failure },
            None => failure,
        }
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
                        Ok((heard, took)) => return Ok(Answer { heard, upload: self.parcel.spool, took }),
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
        self.shared.placer.place(&self.parcel.wanted, self.record.trace(), &counting).await
    }

    async fn send(&mut self, placement: &Placement, epoch: u32) -> Result<(Heard, Duration), OpenError> {
        let headers = LegHeaders { session: self.record.session(), epoch, trace: self.record.trace() };
        self.record.trying(&self.parcel.wanted, placement);
        let opened = Instant::now();
        let heard = match placement.api {
            EngineApi::Listen => self.send_written(placement, &headers).await,
            EngineApi::OpenAi => self.send_form(placement, &headers).await,
        };
        let (bytes_in, slot) = (self.parcel.spool.length(), opened.elapsed());
        // What another node will be sent once more is paid for there.
        if !matches!(heard, Err(OpenError::TryAnother(_))) {
            self.record.used(Usage { bytes_in, slot, ..Usage::default() });
        }
        let heard = heard?;
        self.record.answered(&placement.node, epoch);
        Ok((heard, slot))
    }

    async fn send_written(&self, placement: &Placement, headers: &LegHeaders) -> Result<Heard, OpenError> {
        let url = format!("http://{}/v1/listen?{}", placement.address, self.parcel.query);
        let body = self.parcel.spool.body().await.map_err(|error| OpenError::TryAnother(error.to_string()))?;
        let upload = (self.parcel.content_type.as_str(), body);
        let sent = send_file(&self.shared.http, &url, headers, upload, self.shared.config.file_timeout).await;
        sent.map(Heard::Written)
    }

    async fn send_form(&self, placement: &Placement, headers: &LegHeaders) -> Result<Heard, OpenError> {
        let key = self.engine_key(placement).await?;
        let errand = Errand {
            placement,
            model: &self.parcel.wanted.model,
            query: &self.parcel.query,
            key: key.as_ref().map(Secret::expose),
            timeout: self.shared.config.file_timeout,
        };
        errand.run(&self.shared.http, headers, &self.parcel.spool).await.map(Heard::Words)
    }

    /// Reads the key of the pool's engines, where they have one: it may change at any time.
    async fn engine_key(&self, placement: &Placement) -> Result<Option<Secret>, OpenError> {
        let Some(file) = self.shared.config.engine_keys.get(&placement.pool) else { return Ok(None) };
        let unreadable = |error| {
            let (pool, file) = (&placement.pool, file.display());
            OpenError::TryAnother(format!("cannot read {file}, the engine key of pool {pool}: {error}"))
        };
        let key = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
        Ok(Some(Secret::new(key.trim())))
    }
}
