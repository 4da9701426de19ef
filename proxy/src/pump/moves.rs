//! Doing what the session says about nodes, measuring what a move costs the caller, and keeping what it would take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use relay::{Close, Frame};
use scheduler::{Class, NodeId, Timestamp};
use session::{Action, Cause, CloseReason, Leaving, Limits};
use tracing::warn;

use super::leg::Leg;
use super::{FAREWELL, Pending, Placed, Pump};
use crate::budget::{Pressure, Told};
use crate::metrics;

/// What a node is told that a stream leaves: nothing is wrong.
const MOVED: u16 = 1_000;

/// However short memory is, so much audio is kept: ten seconds back to a pause, and what a node takes to say something final.
const LEAST_RING: Duration = Duration::from_secs(30);

/// Time without results around the loss of a leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    result_at: Timestamp,
    since: Option<Timestamp>,
}

impl Gap {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { result_at: now, since: None }
    }

    /// Notes that the leg that served was lost.
    fn begin(&mut self) {
        self.since.get_or_insert(self.result_at);
    }

    /// Notes a result, and returns how long the caller had none if that was the first of a new leg.
    pub(super) fn end(&mut self, now: Timestamp) -> Option<Duration> {
        self.result_at = now;
        self.since.take().map(|since| now.since(since))
    }
}

impl Pump {
    /// Does what the session says, and returns why it ended once it has.
    pub(super) fn act(&mut self) -> Option<CloseReason> {
        while let Some(action) = self.session.next_action() {
            match action {
                Action::Open { epoch, placement } => {
                    self.pending = Some(Pending::Open(epoch, Box::pin(self.opening(epoch, placement))));
                }
                Action::Ask => self.pending = Some(Pending::Ask(Box::pin(self.asking()))),
                Action::Adopt(epoch) => self.adopt(epoch),
                Action::Leave { epoch, node, why } => self.leave(epoch, &node, why),
                Action::Ping(epoch) => {
                    if let Some(leg) = self.legs.iter_mut().find(|leg| leg.epoch == epoch) {
                        leg.queue.push_back(Frame::ping(b""));
                    }
                }
                Action::Park(reason) => self.part(reason),
                Action::MoveEnded(end) => metrics::move_ended(end),
                Action::End(reason) => return Some(reason),
            }
        }
        None
    }

    fn asking(&mut self) -> impl Future<Output = Placed> + Send + use<> {
        self.wanted.class = Class::Failover;
        self.wanted.exclude = self.session.failed(self.shared.now());
        let (shared, wanted) = (Arc::clone(&self.shared), self.wanted.clone());
        let (trace, counting) = (self.record.trace(), self.record.counting());
        async move { shared.placer.place(&wanted, trace, &counting).await.map_err(|failure| failure.reason) }
    }

    /// Tells the account of all streams what this one keeps, and keeps less while it is nearly spent.
    pub(super) fn account(&mut self) {
        if self.kept.note(self.session.kept_bytes() as u64) == Told::Anew {
            let Limits { ring, unfinished, .. } = self.shared.config.stream;
            self.session.limit(match self.shared.rings.pressure() {
                Pressure::None => (ring, unfinished),
                Pressure::Tight | Pressure::Spent => ((ring / 2).max(LEAST_RING.min(ring)), unfinished / 2),
            });
        }
    }

    fn adopt(&mut self, epoch: u32) {
        let Some(placement) = self.session.node().cloned() else { return };
        self.serving = Some(epoch);
        self.record.opened(&self.wanted, &placement, epoch);
        if self.gap.since.is_some() {
            metrics::replayed(self.session.to_replay());
        }
        self.note_adopted(epoch, self.session.to_replay());
    }

    /// Says that some audio is not heard, because two nodes were lost over it.
    fn note_silenced(&mut self) {
        let silenced = self.session.take_silenced();
        if !silenced.is_zero() {
            warn!(session = %self.wanted.session, ?silenced, "audio that two nodes were lost over is silenced");
            metrics::silenced();
        }
    }

    fn leave(&mut self, epoch: u32, node: &NodeId, why: Leaving) {
        let position = self.legs.iter().position(|leg| leg.epoch == epoch);
        let leg = position.map(|position| self.legs.swap_remove(position));
        if matches!(self.pending, Some(Pending::Open(opening, _)) if opening == epoch) {
            self.pending = None;
        }
        let cause = match why {
            Leaving::Failed(cause) => cause,
            Leaving::Unneeded => return self.let_node_go(epoch, node),
            Leaving::Moved => {
                self.record.moved(node);
                self.note_moved(epoch);
                return leg.map_or((), |leg| self.take_leave(leg));
            }
        };
        let said = leg.map(|leg| leg.last_words);
        let words = said.filter(|words| !words.is_empty()).unwrap_or_else(|| describe(cause).to_owned());
        metrics::leg_lost();
        if self.serving == Some(epoch) {
            metrics::failover(cause);
            self.note_silenced();
            self.record.failed(node, &words);
            self.gap.begin();
            self.note_failover(epoch, cause);
        } else {
            self.record.refused(node, &words);
        }
    }

    /// Gives back a slot: of a leg that never served, or of the one that serves nobody while its caller is away.
    fn let_node_go(&mut self, epoch: u32, node: &NodeId) {
        if self.serving.take_if(|serving| *serving == epoch).is_some() {
            self.record.rests(node);
        } else {
            self.record.unused(node);
        }
    }

    /// Closes a leg that is no longer needed as a caller would, while the stream goes on elsewhere.
    fn take_leave(&self, Leg { mut socket, .. }: Leg) {
        self.shared.shutdown.spawn("leave of a node", async move {
            let _ = tokio::time::timeout(FAREWELL, socket.leave(&Close::new(MOVED, "moved"))).await;
        });
    }
}

fn describe(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "lost: connection closed",
        Cause::Unanswered => "did not answer a ping in time",
        Cause::Behind => "took audio and gave nothing for too long",
        Cause::Nonsense => "its messages make no sense",
    }
}
