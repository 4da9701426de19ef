//! A file that goes to a node as it is, while it still comes in; to one node after the other until one answers.

use std::time::{Duration, Instant};

use scheduler::{Class, Placement};
use session::{Candidates, CloseReason, Next, Usage};

use super::leg::Leg;
use super::placing::place;
use super::{Answer, Failure, Freight, Parcel, Spool, late};
use crate::app::Shared;
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
        let (trace, counting) = (self.record.trace(), self.record.counting());
        place(self.shared, self.parcel.wanted.clone(), trace, counting).await
    }

    async fn send(&mut self, placement: &Placement) -> Result<Answer, OpenError> {
        *self.epoch += 1;
        let headers = LegHeaders { session: self.record.session(), epoch: *self.epoch, trace: self.record.trace() };
        let Parcel { wanted, query, content_type, spool } = &self.parcel;
        let leg = Leg { shared: self.shared, placement, model: &wanted.model, query, headers };
        let file = Freight::File { content_type: content_type.clone(), spool: spool.clone() };
        self.record.trying(wanted, placement);
        let opened = Instant::now();
        let heard = tokio::select! {
            heard = leg.send(&file) => heard,
            error = overdue(spool, self.shared.config.file_timeout) => Err(error),
        };
        let slot = opened.elapsed();
        // What another node will be sent once more is paid for there.
        if !matches!(heard, Err(OpenError::TryAnother(_))) {
            self.record.used(Usage { bytes_in: spool.growth().length, slot, ..Usage::default() });
        }
        let heard = heard?;
        self.record.answered(&placement.node, *self.epoch);
        Ok(Answer { heard, upload: self.parcel.spool.clone(), slot })
    }
}

/// Resolves when a node has had all of the file for too long. Until it has, the caller's pace is not the node's fault.
async fn overdue(spool: &Spool, limit: Duration) -> OpenError {
    spool.settled().await;
    tokio::time::sleep(limit).await;
    late()
}
