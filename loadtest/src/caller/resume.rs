//! A caller that goes on with its stream after a lost connection, as `docs/streams.md` says: what it remembers, and how it
//! asks for another one.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::stream::Socket;
use super::{CallError, Caller, Ending, Speech};

/// Audio before what is final that another proxy must hear to know the last words again.
const BEFORE: Duration = Duration::from_secs(3);
/// How long another connection is tried for, how long one may take, and the pause between two rounds.
const AGAIN: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);
/// Codes of streams that may go on over another connection.
const PASSING: [u16; 6] = [1001, 1005, 1006, 1011, 1012, 1013];

/// What a caller does whose connection is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing: its stream is over.
    #[default]
    End,
    /// It goes on over another one.
    Resume,
}

/// What a caller knows of its stream. Positions are samples.
#[derive(Debug, Default)]
pub(super) struct Memory {
    token: Option<String>,
    received: u64,
    settled: u64,
    last_seq: u64,
    /// Final results, and where they end, in seconds.
    told: VecDeque<(f64, String)>,
}

/// Whether a message says something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It does.
    Fresh,
    /// It was told before the connection was lost.
    Known,
}

impl Memory {
    /// Notes what a proxy says.
    pub(super) fn note(&mut self, text: &str) -> News {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("SessionInfo") => self.token = message["resume_token"].as_str().map(str::to_owned),
            Some("AudioAck") => {
                self.received = message["received_samples"].as_u64().unwrap_or(self.received);
                self.settled = message["final_samples"].as_u64().unwrap_or(self.settled);
            }
            Some("Results") if message["is_final"] == true => return self.tell(&message, text),
            Some(_) | None => {}
        }
        News::Fresh
    }

    fn tell(&mut self, message: &Value, text: &str) -> News {
        let Some(seq) = message["seq"].as_u64() else { return News::Fresh };
        if seq <= self.last_seq {
            return News::Known;
        }
        self.last_seq = seq;
        let end = message["start"].as_f64().unwrap_or(0.0) + message["duration"].as_f64().unwrap_or(0.0);
        self.told.push_back((end, text.to_owned()));
        // One for every second before what is final, and some: it is long before that they are not needed.
        if self.told.len() > 64 {
            self.told.pop_front();
        }
        News::Fresh
    }

    /// Tells whether a stream that ended so may go on.
    pub(super) fn can_go_on(&self, ending: &Ending) -> bool {
        let passing = match ending {
            Ending::Lost(_) => true,
            Ending::Closed { code, .. } => PASSING.contains(code),
            Ending::Late => false,
        };
        passing && self.token.is_some()
    }

    /// Returns from which sample on it can go on: the first of a message.
    fn from(&self, speech: Speech) -> u64 {
        let before = speech.format.rate.samples_in(BEFORE);
        let message = speech.format.rate.samples_in(speech.frame).max(1);
        self.settled.saturating_sub(before) / message * message
    }
}

impl Caller {
    /// Goes on after a lost connection, where `loss` says so: at its own address, or at any of these.
    #[must_use]
    pub fn after(self, loss: Loss, others: &[String]) -> Self {
        Self { others: others.to_vec(), loss, ..self }
    }

    /// Opens another connection for a stream, at its own proxy or another one, and returns it with the number of the
    /// message that is said next.
    pub(super) async fn go_on(&self, memory: &Memory, speech: Speech) -> Option<(Socket, usize)> {
        let token = memory.token.as_deref()?;
        let from = memory.from(speech);
        let query = format!("resume={token}&last_seq={}&from={from}&received={}", memory.last_seq, memory.received);
        let end = Instant::now() + AGAIN;
        while Instant::now() < end {
            for address in std::iter::once(&self.address).chain(&self.others) {
                let resumed = timeout(ANSWER, self.resume((address, &query), (memory, from), speech)).await;
                if let Ok(Some((socket, received))) = resumed {
                    let message = speech.format.rate.samples_in(speech.frame).max(1);
                    return Some((socket, usize::try_from(received / message).unwrap_or(usize::MAX)));
                }
            }
            sleep(PAUSE).await;
        }
        None
    }

    async fn resume(
        &self,
        (address, query): (&str, &str),
        (memory, from): (&Memory, u64),
        speech: Speech,
    ) -> Option<(Socket, u64)> {
        let opened: Result<_, CallError> = self.open_at(address, query).await;
        let (mut socket, _session) = opened.ok()?;
        let Message::Text(first) = socket.next().await?.ok()? else { return None };
        let first: Value = serde_json::from_str(&first).ok()?;
        let received = first["received_samples"].as_u64().filter(|_| first["type"] == "Resumed")?;
        if received == from {
            let from = speech.format.rate.duration_of(from).as_secs_f64();
            for (_, text) in memory.told.iter().filter(|(end, _)| *end > from) {
                socket.send(Message::text(text)).await.ok()?;
            }
        }
        Some((socket, received))
    }
}

#[cfg(test)]
mod tests {
    use audio::coded::Script;

    use super::*;

    #[test]
    fn it_goes_on_from_the_message_three_seconds_before_what_is_final() {
        let speech = Speech::new(Script { session: 1, words: 1 });
        let mut memory = Memory::default();
        assert!(!memory.can_go_on(&Ending::Lost(String::new())), "without a token");
        memory.note(r#"{"type":"SessionInfo","resume_token":"t"}"#);
        memory.note(r#"{"type":"AudioAck","received_samples":90000,"final_samples":80100}"#);
        assert_eq!((memory.from(speech), memory.received), (32_000, 90_000));
        assert!(memory.can_go_on(&Ending::Lost(String::new())));
        assert!(!memory.can_go_on(&Ending::Closed { code: 1000, reason: String::new() }));
        assert!(memory.can_go_on(&Ending::Closed { code: 1012, reason: String::new() }));
    }

    #[test]
    fn a_result_is_news_once() {
        let mut memory = Memory::default();
        let result = r#"{"type":"Results","is_final":true,"seq":1,"start":0.0,"duration":1.0}"#;
        assert_eq!([memory.note(result), memory.note(result)], [News::Fresh, News::Known]);
    }
}
