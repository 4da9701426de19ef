//! A simulated node's side of a leg: it hears exactly, and says it in its own way. Every leg cuts, times and guesses
//! differently.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::script::Spoken;
use crate::events::{Answers, Control, Heard, LegClose, Said, Word};
use crate::stream::Outgoing;
use crate::units::{Unit, UnitKind};

/// Sound is judged in blocks of so many milliseconds.
const BLOCK: u64 = 20;
/// What a sample says that was silenced.
const SILENCE: u64 = u32::MAX as u64;
/// A word is known from so many milliseconds of it on.
const KNOWN: u64 = 60;

/// What goes wrong with a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The connection breaks.
    Dies,
    /// Nothing happens any more, as under SIGSTOP; perhaps it goes on later.
    Hangs,
    /// It answers pings and says nothing.
    Mute,
    /// It hears everything, and nothing of it arrives for some time.
    OneWay,
    /// Some of its messages cannot be read, or cannot be true.
    Raves,
}

/// How a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// As it was said.
    Whole,
    /// Nobody can read it.
    Garbled,
}

/// A message on its way to the session.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) due: u64,
    pub(super) said: Said,
    /// The numbers of the words, for the check.
    pub(super) numbers: Vec<usize>,
}

/// One leg, as its node sees it.
pub(super) struct Node {
    pub(super) fault: Fault,
    pub(super) fault_at: u64,
    pub(super) recovers_at: u64,
    dice: StdRng,
    script: Vec<Spoken>,
    queue: VecDeque<Outgoing>,
    pub(super) outbox: VecDeque<Message>,
    base: Option<u64>,
    /// What it hears wrong at the beginning of a leg in the middle of a stream.
    preroll: u64,
    /// Received, and heard of that.
    received: u64,
    heard: u64,
    start: u64,
    shown: u64,
    concluded: usize,
    offset: i64,
    pause: u64,
    long: u64,
    every: u64,
    latency: u64,
    budget: u64,
    is_over: bool,
    /// Samples that were silenced.
    silent: BTreeSet<u64>,
    /// The sample that ends every node that hears it.
    poison: Option<u64>,
}

impl Node {
    pub(super) fn new(seed: u64, script: &[Spoken], (preroll, poison): (u64, Option<u64>)) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        Self {
            fault: Fault::None,
            fault_at: u64::MAX,
            recovers_at: u64::MAX,
            script: script.to_vec(),
            queue: VecDeque::new(),
            outbox: VecDeque::new(),
            base: None,
            preroll,
            received: 0,
            heard: 0,
            start: 0,
            shown: 0,
            concluded: 0,
            offset: dice.random_range(-50..=50),
            pause: dice.random_range(200..1_000),
            long: dice.random_range(3_000..12_000),
            every: dice.random_range(250..700),
            latency: dice.random_range(1..60),
            budget: 0,
            is_over: false,
            silent: BTreeSet::new(),
            poison,
            dice,
        }
    }

    /// Says where in the stream its audio begins.
    pub(super) fn begins_at(&mut self, sample: u64) {
        self.received = sample;
    }

    fn is(&self, fault: Fault, now: u64) -> bool {
        self.fault == fault && (self.fault_at..self.recovers_at).contains(&now)
    }

    pub(super) fn is_dead(&self, now: u64) -> bool {
        self.is(Fault::Dies, now)
    }

    /// Tells whether a ping is answered.
    pub(super) fn answers(&self, now: u64) -> bool {
        !self.is(Fault::Hangs, now) && !self.is(Fault::OneWay, now)
    }

    /// Takes a message, which must go on exactly where the last one ended.
    pub(super) fn take(&mut self, message: Outgoing) {
        match message {
            Outgoing::Audio(audio) => self.take_audio(audio),
            Outgoing::Units(units) => units.into_iter().for_each(|(unit, bytes)| self.take_unit(unit, bytes)),
            Outgoing::Control(..) => self.queue.push_back(message),
        }
    }

    fn take_audio(&mut self, audio: Bytes) {
        for frame in audio.chunks(4) {
            let sample = u64::from(u32::from_le_bytes(frame.try_into().unwrap()));
            let is_silent = sample == SILENCE;
            let sample = if is_silent { self.received } else { sample };
            if is_silent {
                self.silent.insert(sample);
            }
            self.take_at(sample);
            self.received = sample + 1;
        }
        self.queue.push_back(Outgoing::Audio(audio));
    }

    fn take_unit(&mut self, unit: Unit, bytes: Bytes) {
        assert!(self.base.is_some() || unit.kind != UnitKind::Rest, "no stream begins with {unit:?}");
        self.take_at(unit.start);
        if unit.samples > 0 {
            assert_eq!(bytes.len(), unit.samples as usize * 4, "a unit comes whole");
            self.take_audio(bytes);
        }
    }

    /// Goes on, or begins, at a sample.
    fn take_at(&mut self, sample: u64) {
        if self.base.is_some() {
            return assert_eq!(sample, self.received, "audio goes on where it ended");
        }
        self.base = Some(sample);
        (self.received, self.heard, self.start, self.shown) = (sample, sample, sample, sample);
        let clear = if sample > 0 { sample + self.preroll } else { 0 };
        self.concluded = self.script.iter().take_while(|word| !self.is_whole_enough(word, clear)).count();
    }

    fn is_whole_enough(&self, word: &Spoken, base: u64) -> bool {
        word.end > base && (word.start >= base || word.end - base > (word.end - word.start) / 2)
    }

    /// Hears for `time` milliseconds, eight times faster than people speak.
    pub(super) fn work(&mut self, now: u64, time: u64) {
        if self.is(Fault::Hangs, now) || self.is_dead(now) {
            return;
        }
        self.budget = (self.budget + 8 * time).min(400);
        while !self.is_over && !self.queue.is_empty() {
            match self.queue.front() {
                Some(Outgoing::Audio(_)) if self.budget < BLOCK => return,
                _ => {}
            }
            match self.queue.pop_front() {
                Some(Outgoing::Audio(audio)) => self.hear(&audio, now),
                Some(Outgoing::Control(Control::Finalize, _)) => self.cut(Answers::Finalize, now),
                Some(Outgoing::Control(Control::Configure, _)) => self.say(Said::Configured, Vec::new(), now),
                Some(Outgoing::Control(Control::CloseStream, _)) => self.close(now),
                Some(Outgoing::Units(_)) | None => {}
            }
        }
    }

    fn hear(&mut self, audio: &Bytes, now: u64) {
        let piece = audio.len().min(usize::try_from(self.budget.max(1)).unwrap() * 4);
        let rest = audio.slice(piece..);
        if !rest.is_empty() {
            self.queue.push_front(Outgoing::Audio(rest));
        }
        let samples = piece as u64 / 4;
        self.budget = self.budget.saturating_sub(samples);
        for _ in 0..samples {
            if self.poison == Some(self.heard) && !self.silent.contains(&self.heard) {
                (self.fault, self.fault_at, self.recovers_at) = (Fault::Dies, now, u64::MAX);
                return;
            }
            self.heard += 1;
            if self.heard.is_multiple_of(BLOCK) {
                self.show_what_is_due(now);
            }
        }
    }

    fn show_what_is_due(&mut self, now: u64) {
        let said = self.heard_of(self.known());
        let last = said.last().map_or(0, |word| word.end);
        let length = self.heard - self.start;
        let is_paused = !said.is_empty() && self.heard >= last + self.pause;
        if is_paused || length >= self.long {
            self.cut(Answers::Nothing, now);
        } else if self.heard - self.shown >= self.every {
            let mut guess = said;
            if self.dice.random_ratio(1, 4) {
                guess.pop();
            }
            let heard = self.result(&guess, Answers::Nothing);
            self.shown = self.heard;
            self.say(Said::Interim(heard), guess.iter().map(|word| word.number).collect(), now);
        }
    }

    /// Lists the words that are known and not final yet.
    fn known(&self) -> Vec<Spoken> {
        let base = self.base.unwrap_or(0);
        let rest = self.script[self.concluded..].iter().copied();
        rest.take_while(|word| self.heard >= word.start.max(base) + KNOWN).collect()
    }

    /// Leaves out the words that were silenced, in part at least.
    fn heard_of(&self, words: Vec<Spoken>) -> Vec<Spoken> {
        words.into_iter().filter(|word| self.silent.range(word.start..word.end).next().is_none()).collect()
    }

    fn cut(&mut self, answers: Answers, now: u64) {
        let known = self.known();
        self.concluded += known.len();
        let words = self.heard_of(known);
        let heard = self.result(&words, answers);
        (self.start, self.shown) = (self.heard, self.heard);
        self.say(Said::Final(heard), words.iter().map(|word| word.number).collect(), now);
    }

    fn close(&mut self, now: u64) {
        if self.heard > self.start {
            self.cut(Answers::Nothing, now);
        }
        self.say(Said::Summary, Vec::new(), now);
        self.say(Said::Closed(LegClose::Normal), Vec::new(), now);
        self.is_over = true;
    }

    fn result(&mut self, words: &[Spoken], answers: Answers) -> Heard {
        let base = self.base.unwrap_or(0);
        let (start, end) = (self.start - base, self.heard - base);
        let mut earliest = start;
        let mut stray = |at: u64| {
            let strayed = at.saturating_sub(base).saturating_add_signed(self.offset + self.dice.random_range(-20..=20));
            earliest = strayed.clamp(earliest, end.max(earliest));
            Duration::from_millis(earliest)
        };
        let word =
            |word: &Spoken| Word { text: format!("W{},", word.text), start: stray(word.start), end: stray(word.end) };
        let words = words.iter().map(word).collect();
        let (start, end) = (Duration::from_millis(start), Duration::from_millis(end));
        Heard { channel: 0, channels: 1, start, end, words, answers }
    }

    fn say(&mut self, said: Said, numbers: Vec<usize>, now: u64) {
        if self.is(Fault::Mute, now) {
            return;
        }
        let late =
            if self.dice.random_ratio(1, 50) { self.dice.random_range(0..900) } else { self.dice.random_range(0..30) };
        let due = (now + self.latency + late).max(self.outbox.back().map_or(0, |last| last.due));
        self.outbox.push_back(Message { due, said, numbers });
    }

    /// Returns the next message that arrives.
    pub(super) fn arrival(&mut self, now: u64) -> Option<(Message, Arrival)> {
        let is_cut_off = self.is(Fault::OneWay, now) || self.is(Fault::Hangs, now) || self.is_dead(now);
        let is_due = self.outbox.front().is_some_and(|message| message.due <= now);
        let message = (is_due && !is_cut_off).then(|| self.outbox.pop_front()).flatten()?;
        Some(if self.is(Fault::Raves, now) { self.rave(message) } else { (message, Arrival::Whole) })
    }

    fn rave(&mut self, mut message: Message) -> (Message, Arrival) {
        let kind = self.dice.random_range(0..40);
        if kind < 3 && !matches!(message.said, Said::Closed(_)) {
            return (message, Arrival::Garbled);
        }
        if let Said::Final(heard) | Said::Interim(heard) = &mut message.said {
            match (kind, heard.words.first_mut()) {
                (3, Some(word)) => word.start += Duration::from_secs(1_000),
                (4, Some(word)) => word.end += Duration::from_secs(1_000),
                (5, _) => heard.end += Duration::from_secs(1_000),
                (6, _) if heard.start > Duration::from_secs(2) => heard.start = Duration::ZERO,
                _ => {}
            }
        }
        (message, Arrival::Whole)
    }
}
