//! How a new leg's results go on from those of the leg before: they wait until it has heard beyond what is final; then the
//! words that the caller has are dropped, and the rest is told.

use bytes::Bytes;
use scheduler::Timestamp;

use super::Session;
use crate::events::{Answers, Change, Heard, Kind, Said, Told, Verdict};
use crate::leg::Join;
use crate::merge::{Joint, Placed, join};

/// A leg is joined when a final result goes so many milliseconds beyond what is final.
const BEYOND: u64 = 300;

/// The answer to a `Finalize` joins a leg earlier, where it ends so many milliseconds before that, at most.
const NEAR: u64 = 1_000;

impl Session {
    /// Takes a final result of a leg that does not speak for itself.
    pub(super) fn join_final(&mut self, heard: Heard, raw: &Bytes, now: Timestamp) {
        let Some(leg) = &self.current else { return };
        let (epoch, channel) = (leg.epoch, heard.channel);
        match leg.join(channel) {
            Join::Done(shift) => self.tell_final(&heard, (raw, 0, shift), now),
            Join::Awaited => {
                let end = leg.base.saturating_add(self.timeline.samples(heard.end));
                let fin = self.track(channel).fin();
                let is_due = end >= fin.saturating_add(self.timeline.millis(BEYOND));
                // What the leg before has answered is no news, though it may be old words.
                let near = end.saturating_add(self.timeline.millis(NEAR)) >= fin;
                let is_asked = near && heard.answers == Answers::Finalize && self.is_open_question(channel, end);
                self.hold(epoch, Said::Final(heard), raw, now);
                if is_due || is_asked {
                    self.join_channel(channel, now);
                }
            }
        }
    }

    /// Tells whether the next answer of a channel, which ends here, is for a question that is open.
    fn is_open_question(&self, channel: usize, end: u64) -> bool {
        let Some(leg) = &self.current else { return false };
        let held = leg.held.iter().filter_map(|(said, _)| result(said));
        let waiting = held.filter(|held| held.channel == channel && held.answers == Answers::Finalize).count();
        leg.replies.next(channel, waiting, self.passed(end)).is_some_and(|number| self.asked.is_open(number))
    }

    /// Joins every channel that has waited so far: the leg will say no more.
    pub(super) fn join_what_is_held(&mut self, now: Timestamp) {
        for channel in 0..self.tracks.len() {
            let waits =
                self.current.as_ref().is_some_and(|leg| leg.join(channel) == Join::Awaited && !leg.held.is_empty());
            if waits {
                self.join_channel(channel, now);
            }
        }
    }

    fn join_channel(&mut self, channel: usize, now: Timestamp) {
        let Some(leg) = &mut self.current else { return };
        let (mine, others) =
            std::mem::take(&mut leg.held).into_iter().partition(|(said, _)| channel_of(said) == channel);
        leg.held = others;
        let held: Vec<(Said, Bytes)> = mine;
        let words: Vec<Placed> =
            held.iter().filter_map(|(said, _)| result(said)).flat_map(|heard| self.place(heard, 0)).collect();
        let joint = self.joint(&words, channel);
        if let Some(leg) = &mut self.current {
            leg.joined(channel, joint.shift);
            leg.merged = joint.merged;
        }
        let mut had = joint.had;
        for (said, raw) in held {
            match result(&said) {
                Some(heard) => {
                    let dropped = had.min(heard.words.len());
                    had -= dropped;
                    self.tell_final(heard, (&raw, dropped, joint.shift), now);
                }
                None => {
                    self.tell(said, &raw, now);
                }
            }
        }
    }

    /// Tells a final result less the words that the caller has; one that adds nothing is not told.
    fn tell_final(&mut self, heard: &Heard, (raw, dropped, shift): (&Bytes, usize, i64), now: Timestamp) {
        let (start, base) = (self.track(heard.channel).end(), self.current.as_ref().map_or(0, |leg| leg.base));
        let mapped = base.saturating_add(self.timeline.samples(heard.end)).saturating_add_signed(shift);
        let mut words = self.place(heard, shift);
        words.drain(..dropped.min(words.len()));
        let last = words.last().map_or(0, |word| word.end);
        let end = self.within(mapped.max(last)).max(start);
        let answers = self.answered(heard);
        if words.is_empty() && end <= start && answers == Answers::Nothing {
            return;
        }
        words.iter_mut().for_each(|word| word.confine(start, end));
        self.commit(heard.channel, (words, end), now);
        let change = self.change(Kind::Final, (dropped, shift), (start, end));
        self.told.push_back(Told::Result(raw.clone(), Change { answers, ..change }));
    }

    /// Tells a guess less the words that the caller has; one that adds nothing is told only where it blanks no other guess:
    /// how far the node has heard is news too.
    pub(super) fn tell_guess(&mut self, heard: &Heard, raw: &Bytes) -> Verdict {
        let Some(leg) = &self.current else { return Verdict::Drop };
        let base = leg.base;
        let (dropped, shift) = match leg.join(heard.channel) {
            Join::Done(shift) => {
                let words = self.place(heard, shift);
                self.track(heard.channel).guess(words);
                (0, shift)
            }
            Join::Awaited => self.had_of_guess(heard),
        };
        let start = self.track(heard.channel).end();
        let mapped = base.saturating_add(self.timeline.samples(heard.end)).saturating_add_signed(shift);
        let adds = dropped < heard.words.len() || heard.words.is_empty();
        let blanks = !self.track(heard.channel).before().guessed.is_empty();
        if (adds || !blanks) && mapped > start {
            let change = self.change(Kind::Interim, (dropped, shift), (start, self.within(mapped).max(start)));
            self.told.push_back(Told::Result(raw.clone(), change));
        }
        Verdict::Drop
    }

    /// Says how many words of a guess the caller has, by what the leg has said so far.
    fn had_of_guess(&mut self, heard: &Heard) -> (usize, i64) {
        let held = self.current.iter().flat_map(|leg| &leg.held).filter_map(|(said, _)| result(said));
        let held = held.filter(|held| held.channel == heard.channel);
        let mut words: Vec<Placed> = held.flat_map(|held| self.place(held, 0)).collect();
        let before = words.len();
        words.extend(self.place(heard, 0));
        let joint = self.joint(&words, heard.channel);
        (joint.had.saturating_sub(before), joint.shift)
    }

    fn joint(&mut self, words: &[Placed], channel: usize) -> Joint {
        let timeline = self.timeline;
        join(words, &self.track(channel).before(), timeline)
    }

    fn change(&self, kind: Kind, (dropped, shift): (usize, i64), (start, end): (u64, u64)) -> Change {
        let base = self.current.as_ref().map_or(0, |leg| leg.base);
        let shift = i64::try_from(base).unwrap_or(0).saturating_add(shift);
        let (start, end) = (self.timeline.time(start), self.timeline.time(end));
        Change { kind, dropped, shift: self.timeline.nanos(shift), start, end, answers: Answers::Nothing }
    }
}

fn channel_of(said: &Said) -> usize {
    result(said).map_or(0, |heard| heard.channel)
}

fn result(said: &Said) -> Option<&Heard> {
    match said {
        Said::Final(heard) | Said::Interim(heard) => Some(heard),
        Said::SpeechStarted { .. }
        | Said::UtteranceEnd { .. }
        | Said::Configured
        | Said::Summary
        | Said::Event
        | Said::Closed(_) => None,
    }
}
