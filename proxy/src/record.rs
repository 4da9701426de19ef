//! One session's life as metrics, logs and the ledger see it. Dropping it without an end means that the caller went away:
//! every session ends in exactly one reason.

use std::error::Error;

use proto::v1::Ended;
use scheduler::{NodeId, Placement, Request, SessionId, Work};
use session::{CloseReason, Failover, Usage};
use store::{Allowance, Caller};
use tracing::info;

use crate::delivery::Spool;
use crate::metrics;
use crate::quota::{Bill, used};
use crate::router::{Counting, Reporter};
use crate::trace::Trace;
use crate::usage::{Meter, Open};

/// The record of one admitted session.
pub(crate) struct Record {
    session: SessionId,
    trace: Trace,
    caller: Caller,
    work: Work,
    node: Option<NodeId>,
    usage: Usage,
    /// Of a stream: how well it survives its node.
    failover: Option<Failover>,
    meter: Option<Meter>,
    /// What the legs before the present one were metered with.
    metered: Usage,
    reason: CloseReason,
    reporter: Reporter,
    paid: Option<Paid>,
    upload: Option<Spool>,
    _open: Open,
    _live: metrics::Live,
}

/// What was charged when a session was admitted, and where the rest is.
pub(crate) struct Paid {
    pub(crate) bill: Bill,
    pub(crate) upload_bytes: u64,
    pub(crate) allowance: Option<Allowance>,
}

impl Record {
    /// Begins a session's record.
    pub(crate) fn begin(session: SessionId, trace: Trace, caller: Caller, work: Work, reporter: Reporter) -> Self {
        Self {
            session,
            trace,
            caller,
            work,
            node: None,
            usage: Usage::default(),
            failover: None,
            meter: None,
            metered: Usage::default(),
            reason: CloseReason::CallerGone,
            _open: reporter.meters().open(),
            reporter,
            paid: None,
            upload: None,
            _live: metrics::Live::new(work),
        }
    }

    /// Charges what the session uses beyond what was paid.
    pub(crate) fn paid(mut self, paid: Paid) -> Self {
        if self.caller.limits.concurrent.is_some() {
            self.reporter.may_count(self.session);
        }
        self.paid = Some(paid);
        self
    }

    /// Returns where the key stood with its new sessions when this one was admitted.
    pub(crate) fn allowance(&self) -> Option<Allowance> {
        self.paid.as_ref().and_then(|paid| paid.allowance)
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the trace that the session belongs to.
    pub(crate) fn trace(&self) -> Trace {
        self.trace
    }

    /// Returns how the session counts against its key's concurrent limit.
    pub(crate) fn counting(&self) -> Counting {
        Counting::new(self.caller.limits.concurrent, self.reporter.clone())
    }

    /// Notes what is uploaded: what has come by the end is what was used of it, heard or not.
    pub(crate) fn receiving(&mut self, upload: &Spool) {
        self.upload = Some(upload.clone());
    }

    /// Notes that a file is on its way to a node: the slot there is held until it is answered.
    pub(crate) fn trying(&mut self, wanted: &Request, placement: &Placement) {
        self.reporter.hold(self.session, &placement.node);
        self.meter(wanted, placement);
    }

    /// Notes that a file's node answered.
    pub(crate) fn answered(&mut self, node: &NodeId, epoch: u32) {
        self.reporter.opened(self.session, node, epoch);
        self.node = Some(node.clone());
    }

    /// Notes that a stream's leg was opened.
    pub(crate) fn opened(&mut self, wanted: &Request, placement: &Placement, epoch: u32) {
        self.answered(&placement.node, epoch);
        self.meter(wanted, placement);
    }

    /// Meters what is used from now on at a node, instead of the one before.
    fn meter(&mut self, wanted: &Request, placement: &Placement) {
        self.left();
        self.meter = self.reporter.meters().begin(wanted, placement);
    }

    /// Notes that the session is on no node any more, or on several that are metered for themselves.
    pub(crate) fn left(&mut self) {
        if self.meter.take().is_some() {
            self.metered = self.usage;
        }
    }

    /// Notes that a node refused a leg, while the session may be served elsewhere.
    pub(crate) fn refused(&self, node: &NodeId, cause: &str) {
        info!(session = %self.session, trace = %self.trace.id(), %node, cause, "node refused a session, trying the next");
        self.reporter.refused(self.session, node, cause.to_owned());
    }

    /// Notes that a stream cannot go on at another node, or only while all of it is kept.
    pub(crate) fn uncut(&self, failover: Option<Failover>, why: &dyn Error) {
        let (failover, why) = (failover.map(Failover::label), tracing::field::display(why));
        info!(session = %self.session, trace = %self.trace.id(), failover, why, "stream cannot be cut");
    }

    /// Gives back a slot that was promised and is not used.
    pub(crate) fn unused(&self, node: &NodeId) {
        self.reporter.unused(self.session, node);
    }

    /// Notes that the session has left its node, and is on none.
    pub(crate) fn rests(&mut self, node: &NodeId) {
        self.left();
        self.reporter.left(self.session, node);
    }

    /// Notes that a node refused or lost the session.
    pub(crate) fn failed(&mut self, node: &NodeId, cause: &str) {
        self.left();
        info!(session = %self.session, trace = %self.trace.id(), %node, cause, "node failed a session, trying the next");
        self.reporter.failed(self.session, node, cause.to_owned());
    }

    /// Notes that a stream left a node that goes away, for another.
    pub(crate) fn moved(&mut self, node: &NodeId) {
        self.left();
        info!(session = %self.session, trace = %self.trace.id(), %node, "stream left a node that goes away");
        self.reporter.moved(self.session, node);
    }

    /// Notes what was used so far. It costs next to nothing: streams do so message by message.
    pub(crate) fn used(&mut self, usage: Usage) {
        self.usage = usage;
        if let Some(meter) = &self.meter {
            meter.used(&Usage {
                audio: usage.audio.saturating_sub(self.metered.audio),
                bytes_in: usage.bytes_in.saturating_sub(self.metered.bytes_in),
                bytes_out: usage.bytes_out.saturating_sub(self.metered.bytes_out),
                slot: usage.slot,
            });
        }
    }

    /// Notes how well a stream survives its node, as far as is known.
    pub(crate) fn survives(&mut self, failover: Option<Failover>) {
        self.failover = failover.or(self.failover);
    }

    /// Ends the session for `reason`.
    pub(crate) fn end(mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(meter) = self.meter.take() {
            meter.end(self.reason.label());
        }
        if let Some(upload) = &self.upload {
            self.usage.bytes_in = upload.growth().length;
        }
        metrics::ended(self.work, self.reason, &self.usage);
        if let Some(paid) = &self.paid {
            paid.bill.charge(&self.caller, used(&self.usage, self.work, paid.upload_bytes));
        }
        info!(
            session = %self.session,
            trace = %self.trace.id(),
            tenant = %self.caller.tenant,
            key = %self.caller.key,
            node = self.node.as_ref().map(tracing::field::display),
            reason = self.reason.label(),
            audio_s = self.usage.audio.as_secs_f64(),
            "session ended"
        );
        let milliseconds = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let ending = Ended {
            session: self.session.to_string(),
            node: self.node.as_ref().map(ToString::to_string),
            reason: self.reason.label().to_owned(),
            audio_milliseconds: milliseconds(self.usage.audio),
            bytes_in: self.usage.bytes_in,
            bytes_out: self.usage.bytes_out,
            wall_milliseconds: milliseconds(self.usage.slot),
            failover: self.failover.map(|failover| failover.label().to_owned()),
            counted: None,
        };
        self.reporter.ended(self.session, ending);
    }
}
