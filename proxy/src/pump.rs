//! The shell around one stream's state machine: a caller's socket, a leg's socket, one timer. No lock, no log and no store
//! per chunk; when a leg's socket is full and one message waits for it, the caller is no longer read.

mod admission;
mod caller;
mod container;
mod ear;
mod farewell;
mod informed;
mod leg;
mod moves;
mod spill;
#[cfg(test)]
mod tests;
mod time;
mod wake;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay::Frame;
use scheduler::{Placement, Request, Timestamp};
use session::{CloseReason, Kind, Session};
use store::End;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::app::Shared;
use crate::budget::Share;
use crate::callers::listen::{Interims, Listen};
use crate::engines::listen::open;
use crate::engines::{LegHeaders, OpenError};
use crate::metrics;
use crate::record::Record;
use crate::router::MoveOrders;
use crate::wire::{CallerSocket, LegSocket};
use container::Cutter;
use ear::Ear;
use farewell::farewell;
use informed::Informed;
use leg::Leg;
use moves::Gap;
use spill::Spill;
use time::LEAST_WAIT;
use wake::Wake;

pub(crate) use admission::{Admitted, admit};
pub use spill::SpillLimits;

/// Results that may wait for a caller who does not read; then the node is no longer read either.
const RESULTS: usize = 64;
/// How long the farewell may take: the last results, the close, the caller's answer to it.
const FAREWELL: Duration = Duration::from_secs(5);
type Placed = Result<Vec<Placement>, CloseReason>;

/// What became of opening a leg.
struct Opened {
    epoch: u32,
    began: Instant,
    placement: Placement,
    leg: Result<LegSocket, OpenError>,
}

/// Something the pump waits for besides its sockets.
enum Pending {
    Open(u32, Pin<Box<dyn Future<Output = Opened> + Send>>),
    Ask(Pin<Box<dyn Future<Output = Placed> + Send>>),
}

/// One stream's sockets, queues and state machine.
pub(crate) struct Pump {
    shared: Arc<Shared>,
    session: Session,
    wanted: Request,
    interims: Interims,
    query: String,
    record: Record,
    /// One leg serves; a second one may stand by while the first is suspect.
    legs: Vec<Leg>,
    /// The leg that serves, or served last.
    serving: Option<u32>,
    ear: Option<Ear>,
    /// Cuts audio that comes in a container, as long as it can be cut.
    cutter: Option<Box<Cutter>>,
    to_caller: VecDeque<Frame>,
    /// What the last of them is, and how many channels have results of their own.
    last: Kind,
    channels: usize,
    /// What the caller sent faster than it is heard.
    spill: Spill,
    /// What is kept for a replay, of what all streams may keep.
    kept: Share,
    pending: Option<Pending>,
    timer: Pin<Box<Sleep>>,
    timer_at: Timestamp,
    caller_blocked: Option<Timestamp>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    drain_at: Option<Timestamp>,
    key_ended: Pin<Box<dyn Future<Output = End> + Send>>,
    move_orders: MoveOrders,
    pings: caller::Pings,
    began: Timestamp,
    first_result: FirstResult,
    gap: Gap,
    informed: Option<Box<Informed>>,
    /// Whether another session had this stream before.
    goes_on: bool,
}

/// Whether the caller has seen a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstResult {
    Awaited,
    Given,
}

impl Pump {
    fn new(
        shared: Arc<Shared>,
        session: Session,
        wanted: Request,
        listen: &Listen,
        (record, now): (Record, Timestamp),
    ) -> Self {
        let begins = session.progress().map_or(0, |progress| progress.received);
        Self {
            informed: Informed::new(&shared.parking, wanted.session, listen, now),
            goes_on: listen.goes_on.is_some(),
            timer: Box::pin(tokio::time::sleep(LEAST_WAIT)),
            timer_at: now + LEAST_WAIT,
            draining: Box::pin(shared.shutdown.token().cancelled_owned()),
            spill: Spill::new(shared.config.spill.bytes, &shared.spills),
            kept: shared.rings.share(),
            drain_at: None,
            key_ended: Box::pin(listen.asked.caller.standing.clone().ended()),
            move_orders: shared.reporter.move_orders(wanted.session),
            shared,
            session,
            wanted,
            interims: listen.interims,
            query: listen.leg_query(Interims::Wanted),
            record,
            legs: Vec::new(),
            serving: None,
            ear: listen.format.map(|format| Ear::new(format, begins)),
            cutter: listen.format.is_none().then(Box::default),
            to_caller: VecDeque::new(),
            last: Kind::Final,
            channels: 1,
            pending: None,
            caller_blocked: None,
            pings: caller::Pings::default(),
            began: now,
            first_result: FirstResult::Awaited,
            gap: Gap::new(now),
        }
    }

    fn opening(&self, epoch: u32, placement: Placement) -> impl Future<Output = Opened> + Send + use<> {
        let headers = LegHeaders { session: self.wanted.session, epoch, trace: self.record.trace() };
        let (query, timeout) = (self.query.clone(), self.shared.config.open_timeout);
        let dialer = Arc::clone(&self.shared.dialer);
        async move {
            let began = Instant::now();
            let leg = open(dialer.as_ref(), &placement.address, &query, &headers, timeout).await;
            Opened { epoch, began, placement, leg }
        }
    }

    /// Takes a leg that opened or did not. The error is the node's word that the request itself is bad: that counts before
    /// another node has taken it.
    fn opened(&mut self, opened: Opened) -> Result<(), String> {
        let Opened { epoch, began, placement, leg } = opened;
        let now = self.shared.now();
        let cause = match leg {
            Ok(socket) => {
                metrics::leg_opened(began.elapsed());
                self.legs.push(Leg::new(epoch, socket));
                self.session.leg_opened(epoch, now);
                return Ok(());
            }
            Err(OpenError::TryAnother(cause)) => cause,
            Err(OpenError::CallersFault { text, .. }) if self.session.node().is_none() => return Err(text),
            Err(OpenError::CallersFault { text, .. }) => text,
        };
        metrics::leg_refused();
        self.record.refused(&placement.node, &cause);
        self.session.leg_refused(epoch, CloseReason::NodeFailed, now);
        Ok(())
    }

    /// Ends a stream whose caller left before its 101 arrived.
    pub(crate) fn abandon(mut self: Box<Self>) {
        self.session.end(CloseReason::CallerGone);
        self.settle(CloseReason::CallerGone);
    }

    /// Moves messages until the session ends, then says farewell.
    pub(crate) async fn run(mut self: Box<Self>, caller: CallerSocket) {
        let mut caller = Some(caller);
        self.greet();
        let reason = loop {
            self.tell_all();
            if let Some(reason) = self.act() {
                break reason;
            }
            self.exchange(&mut caller);
            let wake = self.wake(&mut caller).await;
            self.take(wake);
            self.record.used(self.session.usage(self.shared.now()));
            self.account();
            self.record.survives(self.session.failover());
            self.rearm();
        };
        self.give_up(reason);
        let last = std::mem::take(&mut self.to_caller);
        let lingering = self.lingering(reason);
        // The node is free before the caller has taken its leave, which it may never do.
        self.settle(reason);
        if let Some(lingering) = lingering {
            return lingering.say(caller, last).await;
        }
        let Some(mut caller) = caller else { return };
        // Boxed: what it needs at the end is not held by a stream from its beginning.
        let farewell = Box::pin(farewell(&mut caller, last, reason));
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!("caller did not take the close in time");
        }
    }

    fn take(&mut self, wake: Wake) {
        match wake {
            Wake::Caller(message) => {
                self.take_caller(message);
                self.tick_if_late();
            }
            Wake::Early(message) => {
                self.take_early(message);
                self.tick_if_late();
            }
            Wake::Spilled(message) => {
                self.take_spilled(message);
                self.tick_if_late();
            }
            Wake::SpillLost(error) => {
                tracing::error!(%error, "what a stream spilled cannot be read again");
                self.session.end(CloseReason::Overloaded);
            }
            Wake::Leg(epoch, message) => self.take_leg(epoch, message),
            Wake::Opened(opened) => {
                if self.opened(*opened).is_err() {
                    self.session.end(CloseReason::BadRequest);
                }
            }
            Wake::Placed(answer) => self.session.placed(answer, self.shared.now()),
            Wake::Move(order) => {
                let now = self.shared.now();
                let left = order.deadline.saturating_duration_since(tokio::time::Instant::now());
                self.session.move_away(&order.node, now + left, now);
            }
            Wake::Drain => {
                self.note_drain();
                self.arm();
            }
            Wake::Returned(returned) => self.take_return(returned),
            Wake::KeyEnded(end) => self.end_for_key(end),
            Wake::Time => self.tick(),
        }
    }

    fn settle(mut self: Box<Self>, reason: CloseReason) {
        let usage = self.session.usage(self.shared.now());
        self.record.used(usage);
        self.record.end(reason);
    }
}
