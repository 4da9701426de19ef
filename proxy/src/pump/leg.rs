//! What a node's messages mean to the session, and what of them the caller is told.

use std::collections::VecDeque;

use audio::LegWriter;
use bytes::Bytes;
use relay::{Frame, Message};
use session::{Kind, LegClose, Outgoing, Said, Told, Verdict};

use super::container::{self, Cutter};
use super::wake::Received;
use super::{FirstResult, Pump};
use crate::callers::listen::Interims;
use crate::engines::listen::{Garbage, hear, hear_close, retell, retell_moment, retell_summary};
use crate::metrics;
use crate::wire::LegSocket;

/// A connection to a node.
pub(super) struct Leg {
    pub(super) epoch: u32,
    pub(super) socket: LegSocket,
    /// What waits to be sent.
    pub(super) queue: VecDeque<Frame>,
    /// How it ended, where it said so.
    pub(super) last_words: String,
    /// What makes a stream of units; nothing before the first one.
    pub(super) writer: Option<LegWriter>,
}

impl Leg {
    pub(super) fn new(epoch: u32, socket: LegSocket) -> Self {
        Self { epoch, socket, queue: VecDeque::new(), last_words: String::new(), writer: None }
    }

    /// Puts what the session sends behind what waits.
    pub(super) fn send(&mut self, outgoing: &Outgoing, cutter: Option<&Cutter>) {
        self.queue.push_back(match outgoing {
            Outgoing::Audio(audio) => Frame::binary(audio),
            Outgoing::Units(units) => Frame::binary(&container::write(units, &mut self.writer, cutter)),
            Outgoing::Control(_, text) => Frame::text(&String::from_utf8_lossy(text)),
        });
    }
}

impl Pump {
    pub(super) fn take_leg(&mut self, epoch: u32, message: Received) {
        match message {
            Some(Ok(Message::Text(text))) => match hear(text.as_text()) {
                Ok(said) => self.pass_on(epoch, said, text),
                Err(Garbage) => self.note_garbage(epoch),
            },
            Some(Ok(Message::Binary(_))) => self.note_garbage(epoch),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.session.leg_alive(epoch, self.shared.now()),
            Some(Ok(Message::Close(said))) => {
                let close = hear_close(said.as_ref());
                let cause = said.map_or_else(
                    || "closed without a reason".to_owned(),
                    |said| format!("closed with {}: {}", said.code, said.reason),
                );
                self.leg_gone(epoch, close, cause);
            }
            Some(Err(error)) => self.leg_gone(epoch, LegClose::Lost, format!("lost: {error}")),
            None => self.leg_gone(epoch, LegClose::Lost, "lost: connection closed".to_owned()),
        }
    }

    /// Results pass verbatim where they can; interims only to callers who asked for them.
    fn pass_on(&mut self, epoch: u32, said: Said, text: Frame) {
        let kind = if matches!(said, Said::Interim(_)) { Kind::Interim } else { Kind::Final };
        if let Said::Interim(heard) | Said::Final(heard) = &said {
            self.channels = self.channels.max(heard.channels);
        }
        let verdict = self.session.leg_said(epoch, said, text.payload(), self.shared.now());
        self.count_nonsense();
        self.tell_all();
        if verdict == Verdict::Relay {
            self.tell(kind, text);
        }
    }

    /// Tells the caller what cannot be told verbatim.
    pub(super) fn tell_all(&mut self) {
        while let Some(told) = self.session.next_told() {
            let (kind, text) = match told {
                Told::Plain(raw) => (Kind::Final, text(&raw).map(str::to_owned)),
                Told::Result(raw, change) => (change.kind, text(&raw).and_then(|text| retell(text, &change))),
                Told::Moment(raw, at) => (Kind::Final, text(&raw).and_then(|text| retell_moment(text, at))),
                Told::Summary(raw, heard) => (Kind::Final, text(&raw).and_then(|text| retell_summary(text, heard))),
            };
            match text {
                Ok(text) => self.tell(kind, Frame::text(&text)),
                // It was understood before: its leg alone can be to blame.
                Err(Garbage) => self.serving.into_iter().for_each(|epoch| self.note_garbage(epoch)),
            }
        }
    }

    fn tell(&mut self, kind: Kind, text: Frame) {
        if let Some(gap) = self.gap.end(self.shared.now()) {
            metrics::failover_gap(gap);
            self.note_gap(gap);
        }
        if kind == Kind::Interim && self.interims == Interims::Unwanted {
            return;
        }
        if self.first_result == FirstResult::Awaited {
            self.first_result = FirstResult::Given;
            metrics::first_result(self.shared.now().since(self.began));
        }
        self.session.told_caller(text.payload().len());
        if let Some(told) = self.inform(kind, text) {
            self.queue(kind, told);
        }
    }

    /// Puts a message behind those that wait for a caller who reads too slowly; a guess that waits there gives way to what
    /// is known better by now. With several channels nobody knows whose guess it is.
    fn queue(&mut self, kind: Kind, text: Frame) {
        let stale = self.last == Kind::Interim && self.channels <= 1;
        match self.to_caller.back_mut().filter(|_| stale) {
            Some(guess) => *guess = text,
            None => self.to_caller.push_back(text),
        }
        self.last = kind;
    }

    fn note_garbage(&mut self, epoch: u32) {
        self.session.leg_garbled(epoch, self.shared.now());
        self.count_nonsense();
    }

    fn count_nonsense(&mut self) {
        metrics::nonsense(self.session.take_nonsense());
    }

    fn leg_gone(&mut self, epoch: u32, close: LegClose, cause: String) {
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.epoch == epoch) {
            leg.last_words = cause;
        }
        self.session.leg_said(epoch, Said::Closed(close), &Bytes::new(), self.shared.now());
    }
}

fn text(raw: &Bytes) -> Result<&str, Garbage> {
    std::str::from_utf8(raw).map_err(|_| Garbage)
}
