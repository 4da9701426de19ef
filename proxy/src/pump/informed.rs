//! Callers who asked to be told more: how far their stream is, what happens to it. Their final results are numbered and kept
//! for a while, and a lost connection is not the end of their stream.
//!
//! * `exchange`: one connection of the caller for another.

mod exchange;

use std::time::Duration;

use relay::Frame;
use scheduler::Timestamp;
use session::{Cause, CloseReason, Kept, Kind, Progress};

use super::{Pump, RESULTS};
use crate::callers::listen::{Extension, Failover, Listen, Notice, Tale, cause_name, merged_name, numbered, tale};
use crate::parking::{Berth, Parking, Return, Ticket};

/// How often a caller is told how far its stream is.
const ACK: Duration = Duration::from_secs(1);

/// What is told to a caller who asked for more, and what is kept for it.
pub(super) struct Informed {
    extension: Extension,
    berth: Berth,
    token: String,
    kept: Kept,
    /// The last message of the stream, once there is one.
    summary: Option<Frame>,
    ack_at: Timestamp,
    recovery: Option<Recovery>,
    parting: Option<CloseReason>,
    returned: Option<Return>,
}

/// A move that the caller was told has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    epoch: Option<u32>,
    gap: Option<Duration>,
    replayed: Duration,
}

impl Informed {
    /// Informs the caller of a session, if it asked for that.
    pub(super) fn new(
        parking: &Parking,
        session: scheduler::SessionId,
        listen: &Listen,
        now: Timestamp,
    ) -> Option<Box<Self>> {
        if listen.extension == Extension::Plain {
            return None;
        }
        let (stream, last_seq) = listen.goes_on.map_or((session, 0), |goes_on| (goes_on.stream, goes_on.last_seq));
        let config = parking.config();
        Some(Box::new(Self {
            extension: listen.extension,
            berth: parking.berth(stream, session, last_seq),
            token: parking.issue(&Ticket::new(stream, &listen.asked.caller, listen.parameters())),
            kept: Kept::new(last_seq, config.results, config.result_bytes),
            summary: None,
            ack_at: now + ACK,
            recovery: None,
            parting: None,
            returned: None,
        }))
    }

    /// Keeps what the caller must get, if late, and returns it with its number.
    fn note(&mut self, tale: Tale, text: Frame) -> Frame {
        match tale {
            Tale::Final => {
                let kept = self.kept.push(|seq| numbered(text.as_text(), seq).into());
                self.berth.told(self.kept.last());
                Frame::text(&String::from_utf8_lossy(&kept))
            }
            Tale::Summary => {
                self.summary = Some(text.clone());
                text
            }
            Tale::Other => text,
        }
    }
}

impl Pump {
    /// Says what the caller must know first.
    pub(super) fn greet(&mut self) {
        let Some(informed) = &self.informed else { return };
        let progress = self.session.progress();
        let notice = match progress.filter(|_| self.goes_on) {
            Some(progress) => resumed(progress, &informed.kept),
            None => Notice::SessionInfo {
                resume_token: progress.map(|_| informed.token.as_str()),
                max_unacked_samples: self.session.most_unsettled(),
                failover: if progress.is_some() { Failover::Full } else { Failover::None },
            },
        };
        self.to_caller.push_back(Frame::text(&notice.text()));
        self.last = Kind::Final;
    }

    /// Makes of a message what the caller shall see; nothing while it is away.
    pub(super) fn inform(&mut self, kind: Kind, text: Frame) -> Option<Frame> {
        let Some(informed) = &mut self.informed else { return Some(text) };
        let tale = if kind == Kind::Final { tale(text.as_text()) } else { Tale::Other };
        let text = informed.note(tale, text);
        if tale == Tale::Final {
            self.note_recovered();
        }
        (!self.session.is_parked()).then_some(text)
    }

    fn tell_event(&mut self, notice: &Notice<'_>) {
        let wants = self.informed.as_ref().is_some_and(|informed| informed.extension.tells_events());
        if wants && !self.session.is_parked() {
            self.notify(notice);
        }
    }

    /// Puts a notice behind what waits for the caller.
    fn notify(&mut self, notice: &Notice<'_>) {
        self.to_caller.push_back(Frame::text(&notice.text()));
        self.last = Kind::Final;
    }

    /// Notes that the leg that serves was lost.
    pub(super) fn note_failover(&mut self, epoch: u32, cause: Cause) {
        self.note_departure(epoch, Some(cause));
    }

    /// Notes that the leg that serves was left because its node goes away.
    pub(super) fn note_moved(&mut self, epoch: u32) {
        self.note_departure(epoch, None);
    }

    fn note_departure(&mut self, epoch: u32, cause: Option<Cause>) {
        let Some(informed) = &mut self.informed else { return };
        informed.recovery = Some(Recovery::default());
        let from_sample = self.session.progress().map_or(0, |progress| progress.settled);
        let (reason, planned) = (cause.map_or("moved", cause_name), cause.is_none());
        self.tell_event(&Notice::Failover { epoch, from_sample, reason, planned });
    }

    /// Notes that another leg serves, which is sent so much again.
    pub(super) fn note_adopted(&mut self, epoch: u32, replayed: Duration) {
        let recovery = self.informed.as_mut().and_then(|informed| informed.recovery.as_mut());
        if let Some(recovery) = recovery {
            (recovery.epoch, recovery.replayed) = (Some(epoch), replayed);
        }
    }

    /// Notes how long there were no results.
    pub(super) fn note_gap(&mut self, gap: Duration) {
        let recovery = self.informed.as_mut().and_then(|informed| informed.recovery.as_mut());
        if let Some(recovery) = recovery {
            recovery.gap = Some(gap);
        }
    }

    /// The first final result of a new leg says how it was joined.
    fn note_recovered(&mut self) {
        let recovery = self.informed.as_mut().and_then(|informed| informed.recovery.take());
        if let Some(Recovery { epoch: Some(epoch), gap, replayed }) = recovery {
            let merged = merged_name(self.session.merged());
            let gap_ms = milliseconds(gap.unwrap_or_default());
            self.tell_event(&Notice::Recovered { epoch, gap_ms, replayed_ms: milliseconds(replayed), merged });
        }
    }

    /// Returns when the caller is told next how far its stream is.
    pub(super) fn ack_due(&self) -> Option<Timestamp> {
        let informed = self.informed.as_ref().filter(|informed| informed.extension.tells_progress())?;
        (!self.session.is_parked()).then_some(informed.ack_at)
    }

    /// Tells the caller how far its stream is, if it is time.
    pub(super) fn acknowledge(&mut self, now: Timestamp) {
        if self.ack_due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(informed) = &mut self.informed {
            informed.ack_at = now + ACK;
        }
        let has_room = self.to_caller.len() < RESULTS;
        if let Some(progress) = self.session.progress().filter(|_| has_room) {
            self.notify(&Notice::ack(progress));
        }
    }

    /// Says why the session ends, where that is not the caller's doing.
    pub(super) fn give_up(&mut self, reason: CloseReason) {
        let Some(informed) = &mut self.informed else { return };
        informed.berth.ended(reason);
        if reason.blame() != session::Blame::Caller {
            let token = self.session.progress().map(|_| informed.token.clone());
            self.tell_event(&Notice::gave_up(reason, token.as_deref()));
        }
    }
}

fn resumed(Progress { received, settled }: Progress, kept: &Kept) -> Notice<'static> {
    Notice::Resumed { received_samples: received, final_samples: settled, last_seq: kept.last() }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
