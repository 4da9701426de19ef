//! What nodes say, and what the caller is told of it.

use bytes::Bytes;
use scheduler::Timestamp;

use super::Session;
use super::speech::SAME;
use crate::asked::Asker;
use crate::events::{Answers, Cause, Change, Heard, Kind, Layout, Said, Told, Verdict};
use crate::leg::{Join, Leg, Manner};
use crate::merge::Placed;
use crate::track::Track;

/// Messages that a rival may have said before it serves, and a leg before it is joined.
const HELD: usize = 256;
/// The most channels that have results of their own.
const CHANNELS: usize = 8;
/// A `Finalize` counts as answered when results go so many milliseconds beyond it.
const BEYOND: u64 = 1_000;

impl Session {
    /// Takes what the node of a leg said; `raw` is the message itself. What is to be told of it otherwise than verbatim
    /// comes from [`Session::next_told`].
    pub fn leg_said(&mut self, epoch: u32, said: Said, raw: &Bytes, now: Timestamp) -> Verdict {
        let Some(leg) = self.leg(epoch) else { return Verdict::Drop };
        leg.health.note_word(now);
        let said = self.cut_short(epoch, said);
        if self.is_nonsense(epoch, &said, now) {
            return Verdict::Drop;
        }
        if !matches!(said, Said::Closed(_)) {
            self.note_life(epoch, now);
        }
        if let Said::Interim(heard) | Said::Final(heard) = &said {
            self.note_heard(epoch, heard, now);
        }
        match said {
            Said::Closed(close) => {
                self.leg_closed(epoch, close, now);
                Verdict::Drop
            }
            Said::Configured if !self.is_news(epoch) => {
                self.owed.note_answer(now);
                Verdict::Drop
            }
            said if self.is_serving(epoch) => self.tell(said, raw, now),
            said => {
                self.hold(epoch, said, raw, now);
                self.decide(now);
                self.go_on_moving(now);
                Verdict::Drop
            }
        }
    }

    /// Notes that a node gave a sign of life, if only the answer to a ping.
    pub fn leg_alive(&mut self, epoch: u32, now: Timestamp) {
        let Some(leg) = self.leg(epoch) else { return };
        leg.health.note_word(now);
        self.note_life(epoch, now);
    }

    /// A leg that was suspect for want of an answer lives if it says anything.
    fn note_life(&mut self, epoch: u32, now: Timestamp) {
        if self.is_serving(epoch) && self.suspicion == Some(Cause::Unanswered) {
            self.acquit(now);
        }
    }

    /// Tells the caller what the leg that serves said, in the session's times.
    pub(super) fn tell(&mut self, said: Said, raw: &Bytes, now: Timestamp) -> Verdict {
        let Some(leg) = &self.current else { return Verdict::Drop };
        match said {
            Said::Interim(heard) => {
                self.owed.note_progress(now);
                self.usage.audio = self.usage.audio.max(heard.end);
                if leg.manner == Manner::Verbatim { self.guess_verbatim(&heard) } else { self.tell_guess(&heard, raw) }
            }
            Said::Final(heard) => {
                self.owed.note_answer(now);
                self.usage.audio = self.usage.audio.max(heard.end);
                if leg.manner == Manner::Verbatim {
                    self.final_verbatim(&heard, raw, now)
                } else {
                    self.join_final(heard, raw, now);
                    Verdict::Drop
                }
            }
            Said::SpeechStarted { .. } | Said::UtteranceEnd { .. } => self.tell_moment(said, raw, now),
            Said::Summary => self.tell_summary(raw, now),
            Said::Configured | Said::Event => {
                self.owed.note_answer(now);
                self.tell_plain(raw)
            }
            Said::Closed(_) => Verdict::Drop,
        }
    }

    /// Keeps what a leg said for when it is clear what the caller has of it already.
    pub(super) fn hold(&mut self, epoch: u32, said: Said, raw: &Bytes, now: Timestamp) {
        let is_kept = match said {
            Said::Final(_) | Said::SpeechStarted { .. } | Said::UtteranceEnd { .. } | Said::Summary => true,
            Said::Configured => true,
            Said::Interim(_) => !self.is_serving(epoch),
            Said::Event | Said::Closed(_) => false,
        };
        let Some(leg) = self.leg(epoch).filter(|_| is_kept) else { return };
        if let Said::Final(newer) | Said::Interim(newer) = &said {
            let is_old = |held: &Said| matches!(held, Said::Interim(guess) if guess.channel == newer.channel);
            leg.held.retain(|(held, _)| !is_old(held));
        }
        leg.held.push((said, raw.clone()));
        if leg.held.len() > HELD {
            self.leg_failed(epoch, Cause::Nonsense, now);
        }
    }

    fn note_heard(&mut self, epoch: u32, heard: &Heard, now: Timestamp) {
        let end = self.timeline.samples(heard.end);
        let (layout, ring_frame) = (self.layout, self.leg(epoch).map_or(0, |leg| leg.sent));
        let sent = self.ring.frame(ring_frame);
        self.widen(heard);
        let Some(leg) = self.leg(epoch) else { return };
        let reached = leg.base.saturating_add(end);
        let reached = if layout == Layout::Opaque { reached } else { reached.min(sent) };
        if reached > leg.heard {
            leg.heard = reached;
            leg.health.note_progress(now);
            self.note_progress(epoch, now);
        }
    }

    /// Makes room for every channel that has results of its own.
    pub(super) fn widen(&mut self, heard: &Heard) {
        let channels = heard.channels.clamp(1, CHANNELS).max(self.tracks.len());
        let begins = self.begins;
        self.tracks.resize_with(channels, || Track::new(begins));
    }

    /// A leg that was suspect and comes forward is none, unless its rival is further.
    fn note_progress(&mut self, epoch: u32, now: Timestamp) {
        let rival = self.rival.as_ref().map_or(0, |leg| leg.heard);
        let leads = self.current.as_ref().is_some_and(|leg| leg.epoch == epoch && leg.heard >= rival);
        if leads {
            self.acquit(now);
        }
    }

    fn is_news(&mut self, epoch: u32) -> bool {
        let Some(leg) = self.leg(epoch) else { return false };
        let answer = leg.configured;
        leg.configured += 1;
        self.asked.configured(answer)
    }

    fn guess_verbatim(&mut self, heard: &Heard) -> Verdict {
        let words = self.place(heard, 0);
        self.track(heard.channel).guess(words);
        Verdict::Relay
    }

    fn final_verbatim(&mut self, heard: &Heard, raw: &Bytes, now: Timestamp) -> Verdict {
        let words = self.place(heard, 0);
        let end = self.within(self.timeline.samples(heard.end));
        let answers = self.answered(heard);
        let start = self.track(heard.channel).end();
        self.commit(heard.channel, (words, end), now);
        if answers == heard.answers {
            return Verdict::Relay;
        }
        let (start, end) = (self.timeline.time(start), heard.end);
        self.told.push_back(Told::Result(
            raw.clone(),
            Change { kind: Kind::Final, dropped: 0, shift: 0, start, end, answers },
        ));
        Verdict::Drop
    }

    /// Notes what is final now, and lets go of the audio that nobody will need.
    pub(super) fn commit(&mut self, channel: usize, (words, end): (Vec<Placed>, u64), now: Timestamp) {
        let before = self.fin();
        let channel = channel.min(self.tracks.len() - 1);
        self.note_gaps(&words, end);
        self.tracks[channel].commit(words, end, (&self.pauses, self.timeline));
        if self.fin() > before {
            self.fin_at = now;
            self.losses = 0;
        }
        self.trim();
        self.note_room(now);
    }

    /// Returns what the caller is told that a result answers.
    pub(super) fn answered(&mut self, heard: &Heard) -> Answers {
        // What the leg has heard beyond this may have brought the answer, which waits its turn.
        let base = self.current.as_ref().map_or(0, |leg| leg.base);
        let heard_to = self.within(base.saturating_add(self.timeline.samples(heard.end)));
        let (channel, passed) = (heard.channel, self.passed(heard_to));
        let asker = match (heard.answers, &mut self.current) {
            (Answers::Finalize, Some(leg)) => leg.replies.take(channel, heard.channels.clamp(1, CHANNELS), passed),
            (Answers::Finalize | Answers::Nothing, _) => None,
        };
        let asker = asker.and_then(|number| self.asked.finalized(number));
        if passed > 0 {
            self.asked.passed(passed);
        }
        match (heard.answers, asker) {
            (Answers::Finalize, Some(Asker::Session)) => Answers::Nothing,
            // The leg before has answered it.
            (Answers::Finalize, None) if !self.is_verbatim() => Answers::Nothing,
            (answers, _) => answers,
        }
    }

    /// Returns the byte before which no question is answered by a result that ends here.
    pub(super) fn passed(&self, end: u64) -> u64 {
        let passed = end.checked_sub(self.timeline.millis(BEYOND)).filter(|_| self.layout != Layout::Opaque);
        passed.map_or(0, |passed| self.ring.at_frame(passed))
    }

    fn is_verbatim(&self) -> bool {
        self.current.as_ref().is_some_and(|leg| leg.manner == Manner::Verbatim)
    }

    /// Places a result's words on the session's clock.
    pub(super) fn place(&self, heard: &Heard, shift: i64) -> Vec<Placed> {
        let base = self.current.as_ref().map_or(0, |leg| leg.base);
        heard.words.iter().map(|word| Placed::new(word, base, self.timeline).shifted(shift)).collect()
    }

    /// Bounds a position by what was sent.
    pub(super) fn within(&self, position: u64) -> u64 {
        match self.layout {
            Layout::Opaque => position,
            Layout::Frames { .. } | Layout::Units { .. } => position.min(self.ring.frame(self.ring.end())),
        }
    }

    pub(super) fn track(&mut self, channel: usize) -> &mut Track {
        let channel = channel.min(self.tracks.len() - 1);
        &mut self.tracks[channel]
    }

    /// Tells of a moment once. Between results that wait, it waits for its turn.
    fn tell_moment(&mut self, said: Said, raw: &Bytes, now: Timestamp) -> Verdict {
        self.owed.note_progress(now);
        let Some(leg) = &self.current else { return Verdict::Drop };
        let (epoch, base, is_verbatim) = (leg.epoch, leg.base, leg.manner == Manner::Verbatim);
        let Join::Done(shift) = leg.join(0) else {
            self.hold(epoch, said, raw, now);
            return Verdict::Drop;
        };
        let same = self.timeline.millis(SAME);
        let place = |at| base.saturating_add(self.timeline.samples(at)).saturating_add_signed(shift);
        let (at, is_news) = match said {
            Said::SpeechStarted { at } => (place(at), self.moments.start.is_news(epoch, place(at), same)),
            Said::UtteranceEnd { at } => (place(at), self.moments.end.is_news(epoch, place(at), same)),
            Said::Interim(_) | Said::Final(_) | Said::Configured | Said::Summary | Said::Event | Said::Closed(_) => {
                return Verdict::Drop;
            }
        };
        match (is_news, is_verbatim) {
            (false, _) => Verdict::Drop,
            (true, true) => Verdict::Relay,
            (true, false) => {
                self.told.push_back(Told::Moment(raw.clone(), self.timeline.time(at)));
                Verdict::Drop
            }
        }
    }

    /// Passes on the leg's last message: what it heard is the whole session.
    fn tell_summary(&mut self, raw: &Bytes, now: Timestamp) -> Verdict {
        self.owed.note_answer(now);
        self.join_what_is_held(now);
        if self.current.as_ref().is_none_or(|leg| leg.manner == Manner::Verbatim) {
            return Verdict::Relay;
        }
        let heard = match self.layout {
            Layout::Frames { .. } | Layout::Units { .. } => {
                Told::Summary(raw.clone(), self.timeline.time(self.ring.frame(self.ring.end())))
            }
            Layout::Opaque => Told::Plain(raw.clone()),
        };
        self.told.push_back(heard);
        Verdict::Drop
    }

    /// Passes a message on, after those that wait to be told.
    fn tell_plain(&mut self, raw: &Bytes) -> Verdict {
        if self.told.is_empty() && self.current.as_ref().is_some_and(|leg: &Leg| leg.manner == Manner::Verbatim) {
            return Verdict::Relay;
        }
        self.told.push_back(Told::Plain(raw.clone()));
        Verdict::Drop
    }
}
