//! Waiting: writes what can be written, then returns the first thing that happened.

use std::task::{Context, Poll, ready};

use relay::{Broken, Frame, Message, Socket};
use scheduler::Timestamp;
use session::Session;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use store::End;

use super::container::Cutter;
use super::leg::Leg;
use super::spill::Spilled;
use super::{Opened, Pending, Placed, Pump, RESULTS};
use crate::parking::Return;
use crate::router::MoveOrder;
use crate::wire::{CallerSocket, Pipe};

/// What the caller's, or the leg's, socket gave.
pub(super) type Received = Option<Result<Message, Broken>>;

/// Something happened.
pub(super) enum Wake {
    Caller(Received),
    /// A message of the caller for which there is no room yet.
    Early(Received),
    /// A message of the caller that has waited.
    Spilled(Spilled),
    SpillLost(io::Error),
    Leg(u32, Received),
    Opened(Box<Opened>),
    Placed(Placed),
    Move(MoveOrder),
    Drain,
    Returned(Option<Box<Return>>),
    KeyEnded(End),
    Time,
}

impl Pump {
    /// Waits for the next thing that happens.
    pub(super) async fn wake(&mut self, caller: &mut Option<CallerSocket>) -> Wake {
        poll_fn(|cx| self.poll_wake(caller, cx)).await
    }

    fn poll_wake(&mut self, caller: &mut Option<CallerSocket>, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(broken) = self.poll_write(caller, cx) {
            return Poll::Ready(broken);
        }
        if let Poll::Ready(wake) = self.poll_read(caller, cx) {
            return Poll::Ready(wake);
        }
        if let Poll::Ready(wake) = self.poll_pending(cx) {
            return Poll::Ready(wake);
        }
        if let Poll::Ready(order) = self.move_orders.poll(cx) {
            return Poll::Ready(Wake::Move(order));
        }
        if self.drain_at.is_none() && self.draining.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Drain);
        }
        if let Poll::Ready(returned) = self.poll_return(cx) {
            return Poll::Ready(returned);
        }
        if let Poll::Ready(end) = self.key_ended.as_mut().poll(cx) {
            return Poll::Ready(Wake::KeyEnded(end));
        }
        // Time comes last: what was said in time must be heard before silence is judged.
        self.timer.as_mut().poll(cx).map(|()| Wake::Time)
    }

    /// Writes what waits; ready only when a socket broke.
    fn poll_write(&mut self, caller: &mut Option<CallerSocket>, cx: &mut Context<'_>) -> Poll<Wake> {
        let now = self.shared.now();
        for leg in &mut self.legs {
            if let Poll::Ready(Err(error)) = poll_send(leg, (&mut self.session, self.cutter.as_deref()), now, cx) {
                return Poll::Ready(Wake::Leg(leg.epoch, Some(Err(error.into()))));
            }
        }
        let Some(caller) = caller else { return Poll::Pending };
        match poll_drain(&mut self.to_caller, caller, cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Wake::Caller(Some(Err(error.into())))),
            Poll::Ready(Ok(())) => self.caller_blocked = None,
            Poll::Pending if self.caller_blocked.is_none() => self.caller_blocked = Some(self.shared.now()),
            Poll::Pending => {}
        }
        Poll::Pending
    }

    /// Reads a side only when the other one has taken what was read before, or it can wait on disk, and the caller only while
    /// it takes what it is told: its nonsense is answered. Results come first: a caller that never stops sending must not hold them up.
    fn poll_read(&mut self, caller: &mut Option<CallerSocket>, cx: &mut Context<'_>) -> Poll<Wake> {
        let told = self.to_caller.len() < RESULTS;
        for leg in &mut self.legs {
            if told && let Poll::Ready(message) = leg.socket.poll_next(cx) {
                return Poll::Ready(Wake::Leg(leg.epoch, message));
            }
        }
        let Some(caller) = caller else { return Poll::Pending };
        let serving = self.session.serving();
        let sent = self.legs.iter().all(|leg| Some(leg.epoch) != serving || leg.queue.is_empty());
        let is_due = told && sent && self.session.has_room();
        if self.spill.is_empty() && is_due {
            return caller.poll_next(cx).map(Wake::Caller);
        }
        self.session.caller_held(self.shared.now());
        if let Poll::Ready(Err(error)) = self.spill.poll_job(cx) {
            return Poll::Ready(Wake::SpillLost(error));
        }
        if is_due && let Poll::Ready(next) = self.spill.poll_next(cx) {
            return match next.transpose() {
                Some(Ok(message)) => Poll::Ready(Wake::Spilled(message)),
                Some(Err(error)) => Poll::Ready(Wake::SpillLost(error)),
                None => caller.poll_next(cx).map(Wake::Caller),
            };
        }
        if told && self.spill.has_room() { caller.poll_next(cx).map(Wake::Early) } else { Poll::Pending }
    }

    /// Waits for what was asked or is being opened.
    pub(super) async fn pending(&mut self) -> Option<Wake> {
        self.pending.is_some().then_some(())?;
        Some(poll_fn(|cx| self.poll_pending(cx)).await)
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        let wake = match &mut self.pending {
            Some(Pending::Open(_, opening)) => Wake::Opened(Box::new(ready!(opening.as_mut().poll(cx)))),
            Some(Pending::Ask(asking)) => Wake::Placed(ready!(asking.as_mut().poll(cx))),
            None => return Poll::Pending,
        };
        self.pending = None;
        Poll::Ready(wake)
    }
}

/// Sends a leg what waits for it, and then what it has not been sent of the caller's.
fn poll_send(
    leg: &mut Leg,
    (session, cutter): (&mut Session, Option<&Cutter>),
    now: Timestamp,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(poll_drain(&mut leg.queue, &mut leg.socket, cx))?;
        match session.next_for(leg.epoch, now) {
            Some(outgoing) => leg.send(&outgoing, cutter),
            None => return Poll::Ready(Ok(())),
        }
    }
}

/// Writes the queue into the socket, as much at once as it has room for, and flushes it.
fn poll_drain<P: Pipe>(
    queue: &mut VecDeque<Frame>,
    socket: &mut Socket<P>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while socket.has_room()
            && let Some(frame) = queue.pop_front()
        {
            socket.push(&frame);
        }
        ready!(socket.poll_flush(cx))?;
        if queue.is_empty() {
            return Poll::Ready(Ok(()));
        }
    }
}
