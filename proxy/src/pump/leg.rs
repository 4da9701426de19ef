//! What a node's messages mean to the session.

use session::{Action, CloseReason, Kept, Said, Session, Verdict};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::wake::Received;
use super::{FirstResult, GARBAGE, Pump};
use crate::callers::listen::Interims;
use crate::engines::listen::{hear, hear_close};
use crate::metrics;

/// Makes a message of what was kept.
pub(super) fn message(kept: &Kept) -> Message {
    match kept {
        Kept::Audio(audio) => Message::Binary(audio.clone()),
        Kept::Control(_, text) => Message::Text(Utf8Bytes::try_from(text.clone()).unwrap_or_default()),
    }
}

impl Pump {
    pub(super) fn take_leg(&mut self, message: Received) -> Option<Action> {
        match message {
            Some(Ok(Message::Text(text))) => match hear(&text) {
                Ok(said) => {
                    self.pass_on(said, text);
                    None
                }
                Err(_garbage) => self.note_garbage(),
            },
            Some(Ok(Message::Binary(_))) => self.note_garbage(),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
            Some(Ok(Message::Close(frame))) => {
                let close = hear_close(frame.as_ref());
                let cause = frame.map_or_else(
                    || "closed without a reason".to_owned(),
                    |frame| format!("closed with {}: {}", u16::from(frame.code), frame.reason),
                );
                self.leg_gone(Said::Closed(close), &cause)
            }
            Some(Err(error)) => self.leg_gone(Said::Closed(session::LegClose::Lost), &format!("lost: {error}")),
            None => self.leg_gone(Said::Closed(session::LegClose::Lost), "lost: connection closed"),
        }
    }

    /// Results pass verbatim; interims only to callers who asked for them.
    fn pass_on(&mut self, said: Said, text: Utf8Bytes) {
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
        self.session.told_caller(text.len());
        self.to_caller.push_back(Message::Text(text));
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
