//! One connection of a caller for another: what is lost is parked, and who comes back is told what it may have missed.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use process::ShutdownToken;
use relay::{Close, Frame, Message};
use session::{CloseReason, Kept, Progress};

use super::{Informed, resumed};
use crate::metrics::{self, Resume};
use crate::parking::Return;
use crate::pump::spill::Spill;
use crate::pump::wake::Wake;
use crate::pump::{FAREWELL, Pump};
use crate::wire::CallerSocket;

/// What a connection is closed with when the same caller opens another one.
const SUPERSEDED: u16 = 4409;
const SUPERSEDED_TEXT: &str = "this stream goes on over another connection";

impl Pump {
    /// Notes that the caller's connection shall be let go.
    pub(in crate::pump) fn part(&mut self, reason: CloseReason) {
        if let Some(informed) = &mut self.informed {
            informed.parting = Some(reason);
        }
    }

    /// Looks whether the caller comes back.
    pub(in crate::pump) fn poll_return(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        match &mut self.informed {
            Some(informed) => informed.berth.poll_return(cx).map(|returned| Wake::Returned(returned.map(Box::new))),
            None => Poll::Pending,
        }
    }

    /// Takes a caller that is back; without one the stream has been left for another session.
    pub(in crate::pump) fn take_return(&mut self, returned: Option<Box<Return>>) {
        match (&mut self.informed, returned) {
            (Some(informed), Some(returned)) => informed.returned = Some(*returned),
            (Some(_) | None, _) => self.session.end(CloseReason::CallerGone),
        }
    }

    /// Lets go of a connection that is lost, and takes the one that has come.
    pub(in crate::pump) fn exchange(&mut self, caller: &mut Option<CallerSocket>) {
        let Some(informed) = &mut self.informed else { return };
        let (parting, returned) = (informed.parting.take(), informed.returned.take());
        if let Some(reason) = parting {
            let lost = caller.take();
            self.let_go(lost, Close::new(reason.close_code(), reason.close_text()));
            self.park(reason);
        }
        if let Some(returned) = returned {
            let old = caller.replace(returned.socket);
            let outcome = if old.is_some() { Resume::Superseded } else { Resume::Returned };
            metrics::resumed(outcome);
            self.let_go(old, Close::new(SUPERSEDED, SUPERSEDED_TEXT));
            self.key_ended = Box::pin(returned.standing.ended());
            self.welcome(returned.last_seq);
        }
    }

    /// Says goodbye without waiting for an answer: the stream goes on.
    fn let_go(&mut self, caller: Option<CallerSocket>, close: Close) {
        self.to_caller.clear();
        self.caller_blocked = None;
        // What waits on disk was not received: the caller sends it again.
        self.spill = Spill::new(self.shared.config.spill.bytes, &self.shared.spills);
        let Some(mut caller) = caller else { return };
        self.shared.shutdown.spawn("farewell", async move {
            // It may be gone: then nobody hears it.
            let _ = tokio::time::timeout(FAREWELL, caller.leave(&close)).await;
        });
    }

    /// Keeps the stream for a while, if there is room for it, and this proxy goes on itself.
    fn park(&mut self, reason: CloseReason) {
        let is_leaving = self.shared.shutdown.token().is_cancelled();
        let bytes = self.session.held_bytes();
        let Some(informed) = &mut self.informed else { return };
        if is_leaving || informed.berth.park(bytes + informed.kept.bytes()).is_err() {
            self.session.end(reason);
        }
    }

    /// Goes on with a caller that has the results up to a number.
    fn welcome(&mut self, last_seq: u64) {
        let now = self.shared.now();
        self.session.caller_returned(now);
        if let Some(ear) = &mut self.ear {
            ear.forget_broken_frame();
        }
        let Some(informed) = &mut self.informed else { return };
        informed.berth.unpark();
        informed.ack_at = now + super::ACK;
        let progress = self.session.progress().unwrap_or(Progress { received: 0, settled: 0 });
        self.to_caller.extend(missed(progress, &informed.kept, last_seq));
    }

    /// Keeps the results of a stream that is over for a caller that may not hear its end.
    pub(in crate::pump) fn lingering(&mut self, reason: CloseReason) -> Option<Lingering> {
        let progress = self.session.progress().filter(|_| reason == CloseReason::Completed)?;
        let informed = self.informed.take()?;
        let closing = self.shared.shutdown.token();
        Some(Lingering { informed, progress, keep: self.shared.parking.config().keep, closing })
    }
}

/// What a caller is told first that comes back.
fn missed(progress: Progress, kept: &Kept, last_seq: u64) -> VecDeque<Frame> {
    let text = |bytes: &Bytes| Frame::text(&String::from_utf8_lossy(bytes));
    let first = Frame::text(&resumed(progress, kept).text());
    std::iter::once(first).chain(kept.after(last_seq).map(text)).collect()
}

/// A stream that is over, whose caller may not have heard its end.
pub(in crate::pump) struct Lingering {
    informed: Box<Informed>,
    progress: Progress,
    keep: Duration,
    /// Cancelled when callers cannot come back here any more.
    closing: ShutdownToken,
}

impl Lingering {
    /// Says farewell over a connection, and again over every one that the caller opens, until it answers.
    pub(in crate::pump) async fn say(mut self, mut caller: Option<CallerSocket>, mut last: VecDeque<Frame>) {
        let end = tokio::time::Instant::now() + self.keep;
        loop {
            if let Some(caller) = &mut caller
                && tokio::time::timeout(FAREWELL, is_answered(caller, &last)).await == Ok(Answer::Heard)
            {
                return;
            }
            let returned = tokio::select! {
                () = self.closing.cancelled() => None,
                returned = tokio::time::timeout_at(end, self.informed.berth.returned()) => returned.ok().flatten(),
            };
            let Some(returned) = returned else { return };
            metrics::resumed(Resume::Returned);
            last = missed(self.progress, &self.informed.kept, returned.last_seq);
            last.extend(self.informed.summary.clone());
            caller = Some(returned.socket);
        }
    }
}

/// Whether a caller has taken the close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Heard,
    Lost,
}

/// Writes the last messages and the close, and waits for the caller's.
async fn is_answered(caller: &mut CallerSocket, last: &VecDeque<Frame>) -> Answer {
    let reason = CloseReason::Completed;
    last.iter().for_each(|frame| caller.push(frame));
    caller.push_close(Some(&Close::new(reason.close_code(), reason.close_text())));
    if caller.flush().await.is_err() {
        return Answer::Lost;
    }
    loop {
        match caller.next().await {
            Some(Ok(Message::Close(_))) => return Answer::Heard,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Answer::Lost,
        }
    }
}
