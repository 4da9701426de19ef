//! The caller's side of a stream: audio and text in, until it closes the stream, breaks a rule or goes away.

use std::time::Duration;

use audio::{AudioStream, SampleRate};
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite;

use super::LARGEST_MESSAGE;
use super::control::Control;
use crate::answer::{Answers, Received};
use crate::ending::Ending;
use crate::pump::{Gone, Input, Room};
use crate::query::Options;

/// What a frame does to the stream.
enum Next {
    /// It goes on.
    Continues,
    /// The caller has sent everything.
    Closes,
}

/// One stream's ears.
pub(super) struct Listening<'a> {
    source: &'a mut SplitStream<WebSocket>,
    input: Input,
    answers: &'a Answers,
    note: mpsc::Sender<String>,
    idle: Duration,
    /// Since when the caller is silent; the time in which we did not read does not count.
    quiet_since: Instant,
    sound: Sound,
}

/// Audio as it came.
struct Sound {
    stream: AudioStream,
    digest: Sha256,
    /// Whether any audio came.
    begun: Option<Instant>,
}

impl Sound {
    fn new(options: &Options) -> Self {
        let rate = SampleRate::HZ_16000;
        let stream = options.format.map_or_else(|| AudioStream::sniff(rate), |format| AudioStream::raw(format, rate));
        // A stream may last as long as its caller speaks; only files have a limit.
        Self { stream: stream.with_limit(Duration::MAX), digest: Sha256::new(), begun: None }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Ending> {
        self.begun.get_or_insert_with(Instant::now);
        self.digest.update(bytes);
        let mut samples = Vec::new();
        self.stream.push(bytes, &mut samples).map_err(|error| Ending::BadAudio(error.to_string()))?;
        Ok(samples)
    }

    fn finish(&mut self) -> Result<Vec<i16>, Ending> {
        let mut samples = Vec::new();
        if self.begun.is_some() {
            self.stream.finish(&mut samples).map_err(|error| Ending::BadAudio(error.to_string()))?;
        }
        Ok(samples)
    }

    fn received(self) -> Received {
        let channels = self.stream.input_format().map_or(0, |format| format.channels.count());
        Received {
            sha256: format!("{:x}", self.digest.finalize()),
            duration: self.stream.heard().as_secs_f64(),
            channels: if self.begun.is_some() { channels } else { 0 },
        }
    }
}

impl<'a> Listening<'a> {
    /// Listens to a stream that was just opened.
    pub(super) fn new(
        source: &'a mut SplitStream<WebSocket>,
        input: Input,
        answers: &'a Answers,
        note: mpsc::Sender<String>,
        idle: Duration,
    ) -> Self {
        let sound = Sound::new(&answers.options);
        Self { source, input, answers, note, idle, quiet_since: Instant::now(), sound }
    }

    /// Listens until the stream ends. What was received is told as soon as the caller closed the stream; reading goes
    /// on, so that pings are answered and a caller that leaves is noticed.
    pub(super) async fn run(mut self, tell: oneshot::Sender<Received>) -> Ending {
        if let Err(ending) = self.hear_all().await {
            return ending;
        }
        let Self { source, input, sound, .. } = self;
        drop(input);
        let _ = tell.send(sound.received());
        while let Some(Ok(_)) = source.next().await {}
        Ending::Gone
    }

    async fn hear_all(&mut self) -> Result<(), Ending> {
        loop {
            // Room first: what cannot be queued is not read, and the caller feels it.
            let room = self.room().await;
            if let Next::Closes = self.read(room).await? {
                break;
            }
        }
        let rest = self.sound.finish()?;
        let room = self.room().await;
        or_wait(self.input.hear(room, rest).await).await;
        Ok(())
    }

    async fn room(&mut self) -> Room {
        let begun = Instant::now();
        let room = or_wait(self.input.room().await).await;
        self.quiet_since += begun.elapsed();
        room
    }

    /// Reads one frame of audio or text, and whatever pings come before it.
    async fn read(&mut self, room: Room) -> Result<Next, Ending> {
        loop {
            match self.message().await? {
                Message::Binary(bytes) => return self.audio(room, bytes).await,
                Message::Text(text) => return self.text(room, text.as_str()).await,
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return Err(Ending::Gone),
            }
        }
    }

    async fn message(&mut self) -> Result<Message, Ending> {
        match timeout_at(self.deadline(), self.source.next()).await {
            Err(_) => Err(Ending::Idle),
            Ok(None) => Err(Ending::Gone),
            Ok(Some(Ok(message))) => Ok(message),
            Ok(Some(Err(error))) => Err(ending_of(error)),
        }
    }

    /// Text alone does not keep a stream open that has no audio yet: then nothing moves the deadline.
    fn deadline(&self) -> Instant {
        self.quiet_since + self.idle
    }

    async fn audio(&mut self, room: Room, bytes: Bytes) -> Result<Next, Ending> {
        self.quiet_since = Instant::now();
        if bytes.is_empty() {
            return Ok(Next::Closes);
        }
        if bytes.len() > LARGEST_MESSAGE {
            return Err(Ending::TooLarge);
        }
        let samples = self.sound.push(&bytes)?;
        or_wait(self.input.hear(room, samples).await).await;
        Ok(Next::Continues)
    }

    async fn text(&mut self, room: Room, text: &str) -> Result<Next, Ending> {
        if self.sound.begun.is_some() {
            self.quiet_since = Instant::now();
        }
        if text.len() > LARGEST_MESSAGE {
            return Err(Ending::TooLarge);
        }
        match Control::read(text) {
            Some(Control::KeepAlive) => {}
            Some(Control::Finalize) => self.input.finalize(room),
            Some(Control::CloseStream) => return Ok(Next::Closes),
            Some(Control::Configure) => self.remark(self.answers.configure_failure()).await,
            None => self.remark(Answers::not_understood(text)).await,
        }
        Ok(Next::Continues)
    }

    /// Says something that the voice has nothing to do with. Nobody hears it once speaking has ended.
    async fn remark(&self, message: String) {
        let _ = self.note.send(message).await;
    }
}

/// A voice that is gone has said why, and speaking ends the stream: listening has only to wait for that.
async fn or_wait<T>(result: Result<T, Gone>) -> T {
    match result {
        Ok(value) => value,
        Err(Gone) => std::future::pending().await,
    }
}

fn ending_of(error: axum::Error) -> Ending {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Ending::TooLarge,
        _ => Ending::Gone,
    }
}
