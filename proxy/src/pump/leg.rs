//! What a node's messages mean to the session.

use relay::{Frame, Message};
use session::{Action, CloseReason, Kept, Said, Session, Verdict};

use super::wake::Received;
use super::{FirstResult, GARBAGE, Pump};
use crate::callers::listen::Interims;
use crate::engines::listen::{hear, hear_close};
use crate::metrics;

/// Makes a frame of what was kept.
pub(super) fn frame(kept: &Kept) -> Frame {
    match kept {
        Kept::Audio(audio) => Frame::binary(audio),
        Kept::Control(_, text) => Frame::text(&String::from_utf8_lossy(text)),
    }
}

impl Pump {
    pub(super) fn take_leg(&mut self, message: Received) -> Option<Action> {
        match message {
            Some(Ok(Message::Text(text))) => match hear(text.as_text()) {
                Ok(said) => {
                    self.pass_on(said, text);
                    None
                }
                Err(_garbage) => self.note_garbage(),
            },
            Some(Ok(Message::Binary(_))) => self.note_garbage(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
            Some(Ok(Message::Close(said))) => {
                let close = hear_close(said.as_ref());
                let cause = said.map_or_else(
                    || "closed without a reason".to_owned(),
                    |said| format!("closed with {}: {}", said.code, said.reason),
                );
                self.leg_gone(Said::Closed(close), &cause)
            }
            Some(Err(error)) => self.leg_gone(Said::Closed(session::LegClose::Lost), &format!("lost: {error}")),
            None => self.leg_gone(Said::Closed(session::LegClose::Lost), "lost: connection closed"),
        }
    }

    /// Results pass verbatim; interims only to callers who asked for them.
    fn pass_on(&mut self, said: Said, text: Frame) {
        let now = self.shared.now();
        let (verdict, _) = self.session.leg_said(said, now);
        let unwanted = matches!(said, Said::Interim { .. }) && self.interims == Interims::Unwanted;
        if verdict == Verdict::Drop || unwanted {
            return;
        }
        if self.first_result == FirstResult::Awaited {
            self.first_result = FirstResult::Given;
            metrics::first_result(now.since(self.began));
        }
        self.session.told_caller(text.payload().len());
        self.to_caller.push_back(text);
    }

    fn note_garbage(&mut self) -> Option<Action> {
        self.garbage += 1;
        if self.garbage < GARBAGE {
            return None;
        }
        self.judge_leg("its messages make no sense", |session| Some(session.leg_failed(CloseReason::NodeFailed)))
    }

    fn leg_gone(&mut self, said: Said, cause: &str) -> Option<Action> {
        let now = self.shared.now();
        self.judge_leg(cause, |session| session.leg_said(said, now).1)
    }

    /// Lets the session judge its leg, and records the node's failure where the session calls it one.
    pub(super) fn judge_leg(
        &mut self,
        cause: &str,
        judge: impl FnOnce(&mut Session) -> Option<Action>,
    ) -> Option<Action> {
        let node = self.session.node().map(|placement| placement.node.clone());
        let action = judge(&mut self.session)?;
        let failed = match &action {
            Action::Open { .. } | Action::Ask => true,
            Action::End(reason) => reason.blame() == session::Blame::Node,
            Action::Replay => false,
        };
        if let (true, Some(node)) = (failed, node) {
            metrics::leg_lost();
            self.record.failed(&node, cause);
        }
        Some(action)
    }
}
