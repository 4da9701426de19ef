//! The engine's side of a stream: what the voice heard, in the caller's words, after the configured delay.

use std::collections::VecDeque;

use axum::extract::ws::{Message, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::PATIENCE;
use crate::answer::{Answers, Received};
use crate::link::Link;
use crate::pump::Said;
use crate::recognizer::RecognizerError;
use crate::segment::Heard;
use crate::synthetic::Garbler;

/// Messages that may be on their way at once; then the voice waits.
const UNDER_WAY: usize = 64;

/// How speaking ended.
pub(super) enum Spoken {
    /// Everything that was heard has been said.
    Everything,
    /// The caller does not read, or is gone.
    Unheard,
    /// The voice failed, and perhaps said why.
    Failed(Option<RecognizerError>),
}

/// One stream's mouth.
pub(super) struct Speaking<'a> {
    sink: &'a mut SplitSink<WebSocket, Message>,
    answers: &'a Answers,
    link: Link,
    garbler: Garbler,
    under_way: VecDeque<(Instant, String)>,
}

impl<'a> Speaking<'a> {
    /// Speaks on a stream that was just opened.
    pub(super) const fn new(
        sink: &'a mut SplitSink<WebSocket, Message>,
        answers: &'a Answers,
        link: Link,
        garbler: Garbler,
    ) -> Self {
        Self { sink, answers, link, garbler, under_way: VecDeque::new() }
    }

    /// Speaks until the voice has said its last.
    pub(super) async fn run(
        mut self,
        said: &mut mpsc::Receiver<Said>,
        mut notes: mpsc::Receiver<String>,
        received: oneshot::Receiver<Received>,
    ) -> Spoken {
        loop {
            let room = self.under_way.len() < UNDER_WAY;
            tokio::select! {
                biased;
                () = arrival(&self.under_way) => if self.send_first().await.is_err() { return Spoken::Unheard },
                Some(note) = notes.recv(), if room => self.push(note),
                said = said.recv(), if room => match said {
                    Some(Said::Heard(heard)) => self.push_heard(&heard),
                    Some(Said::Finished) => break,
                    Some(Said::Failed(error)) => return Spoken::Failed(Some(error)),
                    None => return Spoken::Failed(None),
                },
            }
        }
        match received.await {
            Ok(received) => self.end(received).await,
            Err(_) => Spoken::Unheard,
        }
    }

    /// Says what is still under way, and the summary.
    async fn end(&mut self, received: Received) -> Spoken {
        self.push(self.answers.stream_end(received));
        while !self.under_way.is_empty() {
            arrival(&self.under_way).await;
            if self.send_first().await.is_err() {
                return Spoken::Unheard;
            }
        }
        Spoken::Everything
    }

    fn push_heard(&mut self, heard: &Heard) {
        let message = match heard {
            Heard::Piece(piece) => self.answers.results(piece),
            Heard::SpeechStarted(at) => Answers::speech_started(*at),
            Heard::UtteranceEnd(last_word_end) => Answers::utterance_end(*last_word_end),
        };
        let message = self.garbler.pass(message);
        self.push(message);
    }

    fn push(&mut self, message: String) {
        let due = self.link.arrival(Instant::now());
        self.under_way.push_back((due, message));
    }

    async fn send_first(&mut self) -> Result<(), axum::Error> {
        let Some((_, message)) = self.under_way.pop_front() else { return Ok(()) };
        let sent = timeout(PATIENCE, self.sink.send(Message::Text(message.into()))).await;
        sent.unwrap_or_else(|late| Err(axum::Error::new(late)))
    }
}

/// Resolves when the first message is due; never without one.
async fn arrival(under_way: &VecDeque<(Instant, String)>) {
    match under_way.front() {
        // A timer rounds up to its next millisecond: what is due already must not meet one.
        Some((due, _)) if *due <= Instant::now() => {}
        Some((due, _)) => sleep_until(*due).await,
        None => std::future::pending().await,
    }
}
