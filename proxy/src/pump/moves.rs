//! Doing what the session says about nodes, and measuring what a move costs the caller.

use std::time::Duration;

use relay::Frame;
use scheduler::{NodeId, Timestamp};
use session::{Action, Cause, CloseReason, Leaving};

use super::{Pending, Pump};
use crate::metrics;

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
                Action::End(reason) => return Some(reason),
            }
        }
        None
    }

    fn adopt(&mut self, epoch: u32) {
        let Some(placement) = self.session.node().cloned() else { return };
        self.serving = Some(epoch);
        self.record.opened(&self.wanted, &placement, epoch);
        if self.gap.since.is_some() {
            metrics::replayed(self.session.to_replay());
            self.note_adopted(epoch, self.session.to_replay());
        }
    }

    fn leave(&mut self, epoch: u32, node: &NodeId, why: Leaving) {
        let position = self.legs.iter().position(|leg| leg.epoch == epoch);
        let said = position.map(|position| self.legs.swap_remove(position).last_words);
        if matches!(self.pending, Some(Pending::Open(opening, _)) if opening == epoch) {
            self.pending = None;
        }
        let Leaving::Failed(cause) = why else { return self.let_node_go(epoch, node) };
        let words = said.filter(|words| !words.is_empty()).unwrap_or_else(|| describe(cause).to_owned());
        metrics::leg_lost();
        if self.serving == Some(epoch) {
            metrics::failover(cause);
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
}

fn describe(cause: Cause) -> &'static str {
    match cause {
        Cause::Lost => "lost: connection closed",
        Cause::Unanswered => "did not answer a ping in time",
        Cause::Behind => "took audio and gave nothing for too long",
        Cause::Nonsense => "its messages make no sense",
    }
}
