//! What the caller asked beside sending audio, each at its place in the audio, until it is answered: a new leg is asked
//! again what the lost one did not answer.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::events::Control;

/// Questions that may wait for an answer; then the caller is not read any further.
const MOST: usize = 256;
/// Settings that are kept for later legs; the oldest goes first.
const SETTINGS: usize = 16;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The caller, who shall see the answer.
    Caller,
    /// This session, to make results final: nobody else shall know.
    Session,
}

/// A question and its place.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    number: u64,
    /// After this byte of the caller's audio.
    pub(crate) at: u64,
    pub(crate) control: Control,
    pub(crate) raw: Bytes,
    pub(crate) asker: Asker,
    /// The leg that alone is asked; none: whichever serves.
    only: Option<u32>,
    is_answered: bool,
}

/// The questions of a stream, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    open: VecDeque<Question>,
    count: u64,
}

impl Asked {
    /// Takes a question that comes after the byte `at`.
    pub(crate) fn ask(&mut self, asker: Asker, at: u64, (control, raw): (Control, Bytes)) {
        self.add(Question { number: self.count, at, control, raw, asker, only: None, is_answered: false });
    }

    /// Takes a question of this session's own that no other leg is asked.
    pub(crate) fn ask_leg(&mut self, epoch: u32, at: u64, (control, raw): (Control, Bytes)) {
        let (number, asker) = (self.count, Asker::Session);
        self.add(Question { number, at, control, raw, asker, only: Some(epoch), is_answered: false });
    }

    fn add(&mut self, question: Question) {
        self.count += 1;
        self.open.push_back(question);
        let is_setting = |question: &Question| question.control == Control::Configure;
        if self.open.iter().filter(|question| is_setting(question)).count() > SETTINGS {
            let oldest = self.open.iter().position(is_setting);
            oldest.map(|oldest| self.open.remove(oldest));
        }
    }

    /// Returns the number that the next question will have.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Tells whether more may be asked.
    pub(crate) fn has_room(&self) -> bool {
        self.open.len() < MOST
    }

    /// Returns the first question from this number on that a leg is asked.
    pub(crate) fn from(&self, number: u64, epoch: u32) -> Option<&Question> {
        self.open.iter().find(|question| question.number >= number && question.only.is_none_or(|only| only == epoch))
    }

    /// Forgets what a leg alone was asked: it is gone.
    pub(crate) fn withdraw(&mut self, epoch: u32) {
        self.open.retain(|question| question.only != Some(epoch));
    }

    /// Tells whether somebody waits for a `Finalize` to be answered.
    pub(crate) fn awaits_finalize(&self) -> bool {
        self.open.iter().any(|question| question.control == Control::Finalize)
    }

    /// Tells whether the question of this number is open.
    pub(crate) fn is_open(&self, number: u64) -> bool {
        self.open.iter().any(|question| question.number == number)
    }

    /// Notes that the `Finalize` of this number was answered and returns who asked, if nobody answered it before.
    pub(crate) fn finalized(&mut self, number: u64) -> Option<Asker> {
        let asked = self.open.iter().position(|question| question.number == number)?;
        self.open.remove(asked).map(|question| question.asker)
    }

    /// Forgets every `Finalize` at or before a byte: results go far beyond it.
    pub(crate) fn passed(&mut self, at: u64) {
        self.open.retain(|question| question.control != Control::Finalize || question.at > at);
    }

    /// Notes that a leg answered its settings for the `answer`th time, from 0, and tells whether that is news.
    pub(crate) fn configured(&mut self, answer: usize) -> bool {
        let mut settings = self.open.iter_mut().filter(|question| question.control == Control::Configure);
        settings.nth(answer).is_none_or(|question| !std::mem::replace(&mut question.is_answered, true))
    }
}

impl Question {
    /// Returns its number; later questions have higher ones.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(asked: &mut Asked, control: Control, at: u64) {
        asked.ask(Asker::Caller, at, (control, Bytes::from_static(b"{}")));
    }

    #[test]
    fn what_was_answered_is_not_asked_again_but_settings_are() {
        let mut asked = Asked::default();
        ask(&mut asked, Control::Configure, 0);
        ask(&mut asked, Control::Finalize, 10);
        ask(&mut asked, Control::Finalize, 20);
        assert_eq!(asked.finalized(1), Some(Asker::Caller));
        let numbers: Vec<_> = asked.open.iter().map(Question::number).collect();
        assert_eq!((numbers, asked.from(1, 1).map(|question| question.at)), (vec![0, 2], Some(20)));
        asked.passed(20);
        assert!(!asked.awaits_finalize());
        assert_eq!((asked.is_open(2), asked.finalized(2)), (false, None));
    }

    #[test]
    fn what_one_leg_alone_is_asked_no_other_is() {
        let mut asked = Asked::default();
        asked.ask_leg(1, 10, (Control::Finalize, Bytes::from_static(b"{}")));
        ask(&mut asked, Control::Finalize, 20);
        let next = |asked: &Asked, epoch| asked.from(0, epoch).map(|question| question.at);
        assert_eq!((next(&asked, 1), next(&asked, 2)), (Some(10), Some(20)));
        asked.withdraw(1);
        assert_eq!((next(&asked, 1), asked.finalized(0), asked.finalized(1)), (Some(20), None, Some(Asker::Caller)));
    }

    #[test]
    fn the_answer_to_a_setting_is_news_once() {
        let mut asked = Asked::default();
        ask(&mut asked, Control::Configure, 0);
        ask(&mut asked, Control::Configure, 5);
        assert!(asked.configured(0) && !asked.configured(0) && asked.configured(1) && asked.configured(7));
    }

    #[test]
    fn settings_are_kept_up_to_a_bound_and_others_make_the_caller_wait() {
        let mut asked = Asked::default();
        (0..100).for_each(|at| ask(&mut asked, Control::Configure, at));
        assert_eq!((asked.open.len(), asked.from(0, 1).map(|question| question.at)), (SETTINGS, Some(84)));
        (0..MOST as u64).for_each(|at| ask(&mut asked, Control::Finalize, at));
        assert!(!asked.has_room());
    }
}
