//! What a caller keeps of its stream to go on with it after a lost connection: the audio that is not final yet, with some
//! before it, and the final results of that audio. How much is bounded by what the proxy takes without results.

use std::collections::VecDeque;
use std::time::Duration;

use audio::Format;
use serde_json::Value;

/// Audio before what is final that another proxy must hear to know the last words again.
const BEFORE: Duration = Duration::from_secs(3);
/// Audio kept beyond what the proxy takes without results: it may be on the way.
const ON_THE_WAY: Duration = Duration::from_secs(15);

/// What a stream can go on from. Positions are bytes of the audio.
#[derive(Debug)]
pub(super) struct Memory {
    format: Format,
    token: Option<String>,
    most: Option<u64>,
    audio: VecDeque<u8>,
    /// Where the audio begins that is kept.
    begin: u64,
    sent: u64,
    received: u64,
    settled: u64,
    last_seq: u64,
    told: VecDeque<Told>,
}

/// A final result, and where it ends.
#[derive(Debug)]
struct Told {
    end: u64,
    text: String,
}

impl Memory {
    /// Remembers a stream of this format.
    pub(super) fn of(format: Format) -> Self {
        let (audio, told) = (VecDeque::new(), VecDeque::new());
        let (token, most) = (None, None);
        Self { format, token, most, audio, begin: 0, sent: 0, received: 0, settled: 0, last_seq: 0, told }
    }

    /// Keeps audio that is to be sent.
    pub(super) fn keep(&mut self, audio: &[u8]) {
        self.audio.extend(audio);
    }

    /// Tells whether more may be kept. Where the stream cannot be resumed, nothing is.
    pub(super) fn has_room(&self) -> bool {
        let unsettled = self.most.unwrap_or(0) + self.bytes(ON_THE_WAY);
        self.token.is_none() || (self.audio.len() as u64) < unsettled
    }

    /// Returns the next audio to send, at most so many bytes, and where it ends.
    pub(super) fn unsent(&self, most: usize) -> Option<(Vec<u8>, u64)> {
        let first = usize::try_from(self.sent.saturating_sub(self.begin)).unwrap_or(usize::MAX).min(self.audio.len());
        let piece: Vec<u8> = self.audio.range(first..(first + most).min(self.audio.len())).copied().collect();
        let end = self.sent + piece.len() as u64;
        (!piece.is_empty()).then_some((piece, end))
    }

    /// Notes that audio was sent up to a position.
    pub(super) fn sent(&mut self, end: u64) {
        self.sent = end;
        if self.token.is_none() {
            self.forget_before(end.saturating_sub(self.bytes(ON_THE_WAY)));
        }
    }

    /// Returns up to where audio was sent.
    pub(super) fn position(&self) -> Duration {
        self.format.duration_of(self.sent)
    }

    /// Notes what the proxy says. A final result that was heard before is none.
    pub(super) fn note(&mut self, message: &Value, text: &str) -> News {
        match message["type"].as_str() {
            Some("SessionInfo") => {
                self.token = message["resume_token"].as_str().map(str::to_owned);
                self.most = message["max_unacked_samples"].as_u64().map(|samples| self.at(samples));
            }
            Some("AudioAck") => self.acknowledged(message),
            Some("Results") if message["is_final"] == true => return self.told(message, text),
            Some(_) | None => {}
        }
        News::Fresh
    }

    fn told(&mut self, message: &Value, text: &str) -> News {
        let Some(seq) = message["seq"].as_u64() else { return News::Fresh };
        if seq <= self.last_seq {
            return News::Known;
        }
        self.last_seq = seq;
        let end = message["start"].as_f64().unwrap_or(0.0) + message["duration"].as_f64().unwrap_or(0.0);
        let end = self.bytes(Duration::try_from_secs_f64(end).unwrap_or_default());
        self.told.push_back(Told { end, text: text.to_owned() });
        News::Fresh
    }

    fn acknowledged(&mut self, message: &Value) {
        let position = |name: &str| message[name].as_u64().map(|samples| self.at(samples));
        let (received, settled) = (position("received_samples"), position("final_samples"));
        self.received = received.unwrap_or(self.received);
        self.settled = settled.unwrap_or(self.settled).max(self.settled);
        self.forget_before(self.settled.saturating_sub(self.bytes(BEFORE)));
    }

    fn forget_before(&mut self, position: u64) {
        let old = usize::try_from(position.saturating_sub(self.begin)).unwrap_or(usize::MAX).min(self.audio.len());
        self.audio.drain(..old);
        self.begin += old as u64;
        // The last result says where the next one begins.
        while self.told.len() > 1 && self.told.front().is_some_and(|told| told.end <= self.begin) {
            self.told.pop_front();
        }
    }

    /// Returns what is asked for to go on; nothing where that cannot be.
    pub(super) fn resume(&self) -> Option<Vec<(&'static str, String)>> {
        let token = self.token.clone()?;
        let number = |name, number: u64| (name, number.to_string());
        let (from, received) = (self.samples(self.begin), self.samples(self.received));
        Some(vec![
            ("resume", token),
            number("last_seq", self.last_seq),
            number("from", from),
            number("received", received),
        ])
    }

    /// Goes on from what the proxy has received, and returns what it must be told first. Nothing where that is not kept.
    pub(super) fn go_on(&mut self, received_samples: u64) -> Option<Vec<String>> {
        let received = self.at(received_samples);
        if received < self.begin || received > self.begin + self.audio.len() as u64 {
            return None;
        }
        // A proxy that knows nothing has received just what was not offered to it.
        let knows_nothing = received == self.begin;
        (self.sent, self.received) = (received, received);
        let told = self.told.iter().filter(|_| knows_nothing).map(|told| told.text.clone());
        Some(told.collect())
    }

    fn frame(&self) -> u64 {
        self.format.bytes_per_frame().max(1) as u64
    }

    fn at(&self, samples: u64) -> u64 {
        samples.saturating_mul(self.frame())
    }

    fn samples(&self, position: u64) -> u64 {
        position / self.frame()
    }

    fn bytes(&self, time: Duration) -> u64 {
        self.format.bytes_in(time)
    }
}

/// Whether a message says something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It does.
    Fresh,
    /// It was told before the connection was lost.
    Known,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(memory: &mut Memory, message: &Value) -> News {
        memory.note(message, &message.to_string())
    }

    fn result(seq: u64, start: f64, duration: f64) -> Value {
        json!({"type": "Results", "is_final": true, "seq": seq, "start": start, "duration": duration})
    }

    /// Ten seconds that were sent, of which eight were received and six are final, in results of two seconds.
    fn memory() -> Memory {
        let mut memory = Memory::of(Format::SPEECH);
        said(&mut memory, &json!({"type":"SessionInfo","resume_token":"t","max_unacked_samples":960_000}));
        memory.keep(&vec![7; 320_000]);
        memory.sent(320_000);
        (1..4).for_each(|seq| {
            said(&mut memory, &result(seq, 2.0 * (seq - 1) as f64, 2.0));
        });
        said(&mut memory, &json!({"type":"AudioAck","received_samples":128_000,"final_samples":96_000}));
        memory
    }

    #[test]
    fn a_proxy_that_knows_the_stream_is_sent_what_it_has_not_received() {
        let mut memory = memory();
        let pairs = memory.resume().unwrap();
        let expected = [("resume", "t"), ("last_seq", "3"), ("from", "48000"), ("received", "128000")];
        assert_eq!(pairs, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(memory.go_on(130_000), Some(vec![]));
        assert_eq!(memory.unsent(1_000).map(|(audio, end)| (audio.len(), end)), Some((1_000, 261_000)));
        assert_eq!(said(&mut memory, &result(3, 4.0, 2.0)), News::Known);
    }

    #[test]
    fn one_that_does_not_is_told_what_is_known_of_the_audio_that_it_gets() {
        let mut memory = memory();
        let told = memory.go_on(48_000).unwrap();
        assert_eq!(told, [result(2, 2.0, 2.0).to_string(), result(3, 4.0, 2.0).to_string()]);
        assert_eq!(memory.unsent(usize::MAX >> 1).map(|(audio, end)| (audio.len(), end)), Some((224_000, 320_000)));
    }

    #[test]
    fn nobody_goes_on_from_what_was_forgotten_or_never_sent() {
        assert_eq!(memory().go_on(47_999), None);
        assert_eq!(memory().go_on(160_001), None);
        assert_eq!(Memory::of(Format::SPEECH).resume(), None);
    }

    #[test]
    fn what_is_kept_is_bounded_with_a_token_and_without() {
        let mut memory = Memory::of(Format::SPEECH);
        for position in 1..100 {
            memory.keep(&[0; 32_000]);
            memory.sent(position * 32_000);
        }
        assert_eq!((memory.audio.len(), memory.has_room()), (480_000, true));
        said(&mut memory, &json!({"type":"SessionInfo","resume_token":"t","max_unacked_samples":16_000}));
        memory.keep(&vec![0; 32_000]);
        assert!(!memory.has_room());
    }
}
