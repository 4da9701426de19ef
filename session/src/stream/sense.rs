//! What becomes of nonsense: it is not told, and where words are lost by that, or it goes on, another node hears them.

use std::time::Duration;

use scheduler::Timestamp;

use super::Session;
use super::phase::Cover;
use crate::close::CloseReason;
use crate::events::{Answers, Cause, Heard, Kind, Layout, LegClose, Said};
use crate::leg::{Join, Leg, Manner};
use crate::sense::{Judgement, Nonsense, Sense};

/// The most channels that have results of their own.
const CHANNELS: usize = 8;

impl Session {
    /// Takes a message of a node that cannot be read.
    pub fn leg_garbled(&mut self, epoch: u32, now: Timestamp) {
        let Some(noted) = self.leg(epoch).map(|leg| leg.sense.garbled(now)) else { return };
        self.nonsense += 1;
        if noted == Nonsense::TooMuch {
            self.leg_failed(epoch, Cause::Nonsense, now);
        }
    }

    /// Returns how many messages of nodes made no sense since it was asked last.
    pub fn take_nonsense(&mut self) -> u32 {
        std::mem::take(&mut self.nonsense)
    }

    /// Judges what a node said before anything is made of it, and gives the node up where that is due.
    pub(super) fn is_nonsense(&mut self, epoch: u32, said: &Said, now: Timestamp) -> bool {
        let (sent, is_covered) = (self.sent_time(epoch), self.cover == Cover::Whole);
        let is_asked = self.asked.awaits_finalize();
        let Some(leg) = self.leg(epoch) else { return false };
        let judgement = match said {
            // The answer that is awaited may be what could not be read: it need not have covered anything. What comes now may
            // be the answer to a later question.
            Said::Final(heard)
                if is_asked && (heard.answers == Answers::Nothing || leg.replies.owed(heard.channel) > 1) =>
            {
                let before = leg.sense.judge_end();
                leg.sense.judge(heard, Kind::Final, sent).or(before)
            }
            Said::Final(heard) => leg.sense.judge(heard, Kind::Final, sent),
            Said::Interim(heard) => leg.sense.judge(heard, Kind::Interim, sent),
            Said::SpeechStarted { at } | Said::UtteranceEnd { at } if sent.is_some_and(|sent| *at > sent) => {
                Judgement::Wrong
            }
            Said::Summary | Said::Closed(LegClose::Normal) if is_covered => leg.sense.judge_end(),
            Said::SpeechStarted { .. }
            | Said::UtteranceEnd { .. }
            | Said::Summary
            | Said::Configured
            | Said::Event
            | Said::Closed(_) => Judgement::Sound,
        };
        if judgement == Judgement::Sound {
            return false;
        }
        self.nonsense += 1;
        let noted = self.leg(epoch).map(|leg| leg.sense.note(now));
        // Where nobody else can hear the words, the rest of the stream is worth more.
        let is_loss = judgement == Judgement::Loss && is_covered;
        if is_loss || noted == Some(Nonsense::TooMuch) {
            self.lose(epoch, (Cause::Nonsense, CloseReason::NodeFailed), now);
        }
        true
    }

    /// Takes a result that claims to cover more than there is for one that ends with its last word. A leg that says such
    /// things is not told verbatim any more.
    pub(super) fn cut_short(&mut self, epoch: u32, said: Said) -> Said {
        let sent = self.sent_time(epoch);
        let cut = |heard: &Heard| Sense::cut_short(heard, sent);
        let shorter = match &said {
            Said::Final(heard) => cut(heard).map(Said::Final),
            Said::Interim(heard) => cut(heard).map(Said::Interim),
            Said::SpeechStarted { .. }
            | Said::UtteranceEnd { .. }
            | Said::Configured
            | Said::Summary
            | Said::Event
            | Said::Closed(_) => None,
        };
        let Some(shorter) = shorter else { return said };
        self.nonsense += 1;
        if let Some(leg) = self.leg(epoch).filter(|leg| leg.manner == Manner::Verbatim) {
            leg.manner = Manner::Joined(vec![Join::Done(0); CHANNELS]);
        }
        shorter
    }

    /// Returns how much audio a leg was sent, where that can be told in time.
    fn sent_time(&self, epoch: u32) -> Option<Duration> {
        let leg = [&self.current, &self.rival].into_iter().flatten().find(|leg: &&Leg| leg.epoch == epoch)?;
        match self.layout {
            Layout::Frames { .. } | Layout::Units { .. } => {
                Some(self.timeline.time(self.ring.frame(leg.sent).saturating_sub(leg.base)))
            }
            Layout::Opaque => None,
        }
    }
}
