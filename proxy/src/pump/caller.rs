//! What a caller's messages mean to the session.

use relay::{Broken, Frame, Message, Violation};
use scheduler::Timestamp;
use session::{CloseReason, Control, Kind, Said, Verdict};
use std::time::Duration;
use store::End;

use super::Pump;
use super::spill::Spilled;
use super::wake::Received;
use crate::callers::listen::{CallerText, hear, schema_error};
use crate::engines::listen as engines;

/// Pings that a caller may send in any second.
const PINGS: u32 = 10;
/// What an empty binary message means.
const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

/// Counts a caller's pings second by second.
#[derive(Debug, Default)]
pub(super) struct Pings {
    second: Timestamp,
    count: u32,
}

impl Pings {
    fn count(&mut self, now: Timestamp) -> u32 {
        if now.since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

impl Pump {
    /// Ends the stream of a caller whose key no longer holds.
    pub(super) fn end_for_key(&mut self, end: End) {
        self.session.end(match end {
            End::Revoked => CloseReason::KeyRevoked,
            End::Expired => CloseReason::KeyExpired,
        });
    }

    pub(super) fn take_caller(&mut self, message: Received) {
        match message {
            Some(Ok(Message::Binary(audio))) => self.audio(audio),
            Some(Ok(Message::Text(text))) => self.text(text),
            Some(Ok(Message::Ping(_))) => {
                if self.pings.count(self.shared.now()) > PINGS {
                    self.session.end(CloseReason::CallerFlooding);
                }
            }
            Some(Ok(Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) => self.session.end(CloseReason::CallerGone),
            None | Some(Err(Broken::Lost(_) | Broken::Ended)) => {
                self.session.caller_lost(CloseReason::CallerGone, self.shared.now());
            }
            Some(Err(Broken::Violation(violation))) => self.session.end(fault(&violation)),
        }
    }

    /// Takes a message that came before there was room for it: audio and text wait, all else does not.
    pub(super) fn take_early(&mut self, message: Received) {
        match message {
            Some(Ok(Message::Binary(audio))) => self.spill.push(&Spilled::Audio(audio.payload().clone())),
            Some(Ok(Message::Text(text))) => self.spill.push(&Spilled::Text(text.payload().clone())),
            other => self.take_caller(other),
        }
    }

    /// Takes a message that has waited.
    pub(super) fn take_spilled(&mut self, message: Spilled) {
        match message {
            Spilled::Audio(audio) => self.audio(Frame::binary(&audio)),
            Spilled::Text(text) => self.text(Frame::text(&String::from_utf8_lossy(&text))),
        }
    }

    fn audio(&mut self, audio: Frame) {
        if audio.payload().is_empty() {
            return self.control(Control::CloseStream, Frame::text(CLOSE_STREAM));
        }
        if let Some(cutter) = self.cutter.take() {
            return self.cut(cutter, &audio);
        }
        if let Some(ear) = &mut self.ear {
            ear.hear(audio.payload(), &mut self.session);
        }
        self.pass_on_audio(audio);
    }

    /// Hands audio to the session as it came.
    pub(super) fn pass_on_audio(&mut self, audio: Frame) {
        let verdict = self.session.caller_audio(audio.payload(), self.shared.now());
        self.relay(verdict, audio);
    }

    /// Passes a frame on, as it came, to the leg that serves.
    fn relay(&mut self, verdict: Verdict, frame: Frame) {
        let serving = self.session.serving();
        let leg = self.legs.iter_mut().find(|leg| Some(leg.epoch) == serving);
        if let (Verdict::Relay, Some(leg)) = (verdict, leg) {
            leg.queue.push_back(frame);
        }
    }

    fn text(&mut self, text: Frame) {
        match hear(text.as_text()) {
            CallerText::KeepAlive => {
                let verdict = self.session.caller_alive(self.shared.now());
                self.relay(verdict, text);
            }
            CallerText::Control(control) => self.control(control, text),
            CallerText::Unknown if self.recalls(&text) => {}
            CallerText::Unknown => {
                self.session.caller_held(self.shared.now());
                self.to_caller.push_back(Frame::text(&schema_error(text.as_text())));
                self.last = Kind::Final;
            }
        }
    }

    /// Takes a result that another session told the caller, which it says again before its first audio.
    fn recalls(&mut self, text: &Frame) -> bool {
        if !self.session.may_recall() {
            return false;
        }
        let Ok(Said::Final(heard)) = engines::hear(text.as_text()) else { return false };
        self.session.recall(&heard, self.shared.now());
        true
    }

    fn control(&mut self, control: Control, text: Frame) {
        if control == Control::CloseStream {
            self.send_what_was_held();
        }
        let verdict = self.session.caller_control(control, text.payload(), self.shared.now());
        self.relay(verdict, text);
    }
}

/// Says what a caller did wrong.
fn fault(violation: &Violation) -> CloseReason {
    match violation.close_code() {
        1009 => CloseReason::FrameTooBig,
        1007 => CloseReason::BadText,
        _ => CloseReason::BadFrames,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_ping_in_a_second_is_one_too_many() {
        let mut pings = Pings::default();
        let now = Timestamp::at(Duration::from_secs(5));
        assert!((1..=10).all(|expected| pings.count(now) == expected));
        assert_eq!(pings.count(now + Duration::from_millis(900)), 11);
        assert_eq!(pings.count(now + Duration::from_millis(1000)), 1);
    }
}
