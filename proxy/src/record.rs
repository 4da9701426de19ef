//! One session's life as metrics, logs and the ledger see it. Dropping it without an end means that the caller went away:
//! every session ends in exactly one reason.

use proto::v1::Ended;
use scheduler::{NodeId, SessionId, Work};
use session::{CloseReason, Usage};
use store::{Caller, Standing};
use tracing::info;

use crate::metrics;
use crate::quota::{Bill, used};
use crate::router::{Counting, Reporter};
use crate::trace::Trace;

/// The record of one admitted session.
pub(crate) struct Record {
    session: SessionId,
    trace: Trace,
    caller: Caller,
    work: Work,
    node: Option<NodeId>,
    usage: Usage,
    reason: CloseReason,
    reporter: Reporter,
    paid: Option<Paid>,
    _live: metrics::Live,
}

/// What was charged when a session was admitted, and where the rest is.
pub(crate) struct Paid {
    pub(crate) bill: Bill,
    pub(crate) upload_bytes: u64,
    pub(crate) standing: Option<Standing>,
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
            reason: CloseReason::CallerGone,
            reporter,
            paid: None,
            _live: metrics::Live::new(work),
        }
    }

    /// Charges what the session uses beyond what was paid.
    pub(crate) fn paid(mut self, paid: Paid) -> Self {
        self.paid = Some(paid);
        self
    }

    /// Returns where the key stood with its new sessions when this one was admitted.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.paid.as_ref().and_then(|paid| paid.standing)
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

    /// Notes that a file is on its way to a node: the slot there is held until it is answered.
    pub(crate) fn trying(&mut self, node: &NodeId) {
        self.reporter.hold(self.session, node);
    }

    /// Notes that a leg was opened.
    pub(crate) fn opened(&mut self, node: &NodeId, epoch: u32) {
        self.reporter.opened(self.session, node, epoch);
        self.node = Some(node.clone());
    }

    /// Notes that a node refused or lost the session.
    pub(crate) fn failed(&mut self, node: &NodeId, cause: &str) {
        info!(session = %self.session, trace = %self.trace.id(), %node, cause, "node failed a session, trying the next");
        self.reporter.failed(self.session, node, cause.to_owned());
    }

    /// Notes what was used so far.
    pub(crate) fn used(&mut self, usage: Usage) {
        self.usage = usage;
    }

    /// Ends the session for `reason`.
    pub(crate) fn end(mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
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
            counted: None,
        };
        self.reporter.ended(self.session, ending);
    }
}
