//! A file that goes to a node as it is, while it still comes in; to one node after the other until one answers.

use std::time::{Duration, Instant};

use scheduler::{Class, Placement};
use session::{Candidates, CloseReason, Next, Usage};

use super::placing::place;
use super::{Answer, Failure, Parcel, Spool, late};
use crate::app::Shared;
use crate::engines::listen::send_file;
use crate::engines::{LegHeaders, OpenError};
use crate::metrics;
use crate::record::Record;

/// Gives a file to one node after the other until one answers, and notes in `record` how that goes. `epoch` is the last
/// one that the session used.
pub(crate) async fn deliver_whole(
    shared: &Shared,
    record: &mut Record,
    parcel: Parcel,
    epoch: &mut u32,
) -> Result<Answer, Failure> {
    let answer = Delivery { shared, record, parcel, epoch }.run().await?;
    metrics::leg_answered();
    Ok(answer)
}

/// One file on its way through the candidates.
struct Delivery<'a> {
    shared: &'a Shared,
    record: &'a mut Record,
    parcel: Parcel,
    epoch: &'a mut u32,
}

impl Delivery<'_> {
    async fn run(mut self) -> Result<Answer, Failure> {
        let mut candidates = Candidates::new(self.place().await?);
        let mut last = CloseReason::NoCapacity;
        loop {
            match candidates.advance() {
                Next::Try(placement) => match self.send(&placement).await {
                    Ok(answer) => return Ok(answer),
                    Err(OpenError::CallersFault { status, text }) => return Err(Failure::of_caller(status, text)),
                    Err(OpenError::TryAnother(cause)) => {
                        metrics::leg_refused();
                        self.record.failed(&placement.node, &cause);
                        candidates.note_failed(placement.node);
                        last = CloseReason::NodeFailed;
                    }
                },
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
        place(self.shared, self.parcel.wanted.clone(), self.record.trace()).await.map_err(Failure::no_node)
    }

    async fn send(&mut self, placement: &Placement) -> Result<Answer, OpenError> {
        *self.epoch += 1;
        let headers = LegHeaders { session: self.record.session(), epoch: *self.epoch, trace: self.record.trace() };
        let url = format!("http://{}/v1/listen?{}", placement.address, self.parcel.query);
        let upload = (self.parcel.content_type.as_str(), self.parcel.spool.body());
        self.record.trying(&placement.node);
        let opened = Instant::now();
        let sent = tokio::select! {
            sent = send_file(&self.shared.http, &url, &headers, upload) => sent,
            error = overdue(&self.parcel.spool, self.shared.config.file_timeout) => Err(error),
        };
        let (bytes_in, slot) = (self.parcel.spool.growth().length, opened.elapsed());
        self.record.used(Usage { bytes_in, slot, ..Usage::default() });
        let body = sent?;
        self.record.opened(&placement.node, *self.epoch);
        Ok(Answer { body, bytes_in, slot })
    }
}

/// Resolves when a node has had all of the file for too long. Until it has, the caller's pace is not the node's fault.
async fn overdue(spool: &Spool, limit: Duration) -> OpenError {
    spool.settled().await;
    tokio::time::sleep(limit).await;
    late()
}
