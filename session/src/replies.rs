//! Which `Finalize` a leg's answer is for. Two legs that stand side by side are sent the same questions, each in its own
//! time, and a leg's answer may have to wait until it is told: an answer to one must never pass for an answer to another.

use std::collections::VecDeque;

/// Questions of one leg that are remembered; an engine that answers fewer than it was asked forgets the oldest.
const MOST: usize = 256;

/// The numbers and places of every `Finalize` that a leg was sent, oldest first, and how many each channel has answered.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    sent: VecDeque<(u64, u64)>,
    answered: Vec<usize>,
}

impl Replies {
    /// Notes that the leg was sent the question of this number, at a place in its audio.
    pub(crate) fn sent(&mut self, number: u64, at: u64) {
        self.sent.push_back((number, at));
        if self.sent.len() > MOST {
            self.forget_first();
        }
    }

    /// Returns the number of the question that a channel's next answer but `waiting` is for. An answer that ends at or
    /// beyond `passed` is for no question before that: the engine has left it unanswered.
    pub(crate) fn next(&self, channel: usize, waiting: usize, passed: u64) -> Option<u64> {
        let first = self.answered.get(channel).copied().unwrap_or(0) + waiting;
        self.sent.get(self.skipped(first, passed)).map(|(number, _)| *number)
    }

    /// Counts the questions that a channel has not answered.
    pub(crate) fn owed(&self, channel: usize) -> usize {
        self.sent.len().saturating_sub(self.answered.get(channel).copied().unwrap_or(0))
    }

    /// Takes a channel's next answer and returns the number of its question.
    pub(crate) fn take(&mut self, channel: usize, channels: usize, passed: u64) -> Option<u64> {
        if self.answered.len() <= channel.max(channels - 1) {
            self.answered.resize(channel.max(channels - 1) + 1, 0);
        }
        let position = self.skipped(self.answered[channel], passed);
        let number = self.sent.get(position).map(|(number, _)| *number)?;
        self.answered[channel] = position + 1;
        while self.answered.iter().all(|answered| *answered > 0) {
            self.forget_first();
        }
        Some(number)
    }

    fn skipped(&self, first: usize, passed: u64) -> usize {
        let later = self.sent.iter().skip(first + 1);
        first + later.zip(self.sent.iter().skip(first)).take_while(|(_, (_, at))| *at < passed).count()
    }

    fn forget_first(&mut self) {
        self.sent.pop_front();
        self.answered.iter_mut().for_each(|answered| *answered = answered.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(places: &[u64]) -> Replies {
        let mut replies = Replies::default();
        places.iter().zip(10..).for_each(|(at, number)| replies.sent(number, *at));
        replies
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        let mut replies = asked(&[100, 200, 300]);
        assert_eq!((replies.next(0, 0, 0), replies.next(0, 1, 0), replies.owed(0)), (Some(10), Some(11), 3));
        let numbers = [(); 4].map(|()| replies.take(0, 1, 0));
        assert_eq!((numbers, replies.owed(0)), ([Some(10), Some(11), Some(12), None], 0));
        replies.sent(13, 400);
        assert_eq!(replies.take(0, 1, 0), Some(13));
    }

    #[test]
    fn every_channel_answers_for_itself() {
        let mut replies = asked(&[100, 200]);
        assert_eq!((replies.take(1, 2, 0), replies.take(1, 2, 0)), (Some(10), Some(11)));
        assert_eq!((replies.take(0, 2, 0), replies.take(0, 2, 0)), (Some(10), Some(11)));
        assert_eq!((replies.take(1, 2, 0), replies.sent.len()), (None, 0));
    }

    #[test]
    fn what_an_engine_left_unanswered_takes_no_later_answer() {
        let mut replies = asked(&[100, 200, 300]);
        assert_eq!(replies.take(0, 1, 250), Some(12), "the answer ends beyond the first two");
        let mut last = asked(&[100]);
        assert_eq!(last.take(0, 1, 900), Some(10), "there is nothing else that it could answer");
    }

    #[test]
    fn an_engine_that_never_answers_costs_no_memory() {
        let mut replies = asked(&vec![100; 1_000]);
        assert_eq!((replies.sent.len(), replies.take(0, 1, 0)), (MOST, Some(10 + 744)));
    }
}
