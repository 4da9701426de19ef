//! The way of one stream's sound through a voice: a queue bounded in audio time, then the transcriber, piece by piece.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use audio::SampleRate;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::gauges::Gauges;
use crate::recognizer::{RATE, RecognizerError};
use crate::segment::Heard;
use crate::slots::Slot;
use crate::transcriber::Transcriber;

/// The voice hears 100 ms at a time: so often it notices that nobody listens any more.
const PIECE: usize = RATE as usize / 10;

/// Orders that may wait, however short their audio is.
const ORDERS: usize = 1024;

/// Things to say that may wait for a slow reader; then the voice waits.
const HEARD: usize = 64;

/// Something for the voice to do.
enum Order {
    Hear(Chunk),
    Finalize,
}

/// Audio that waits to be heard, and the room it takes.
struct Chunk {
    samples: Vec<i16>,
    arrived: Instant,
    gauges: Gauges,
    _room: OwnedSemaphorePermit,
}

impl Chunk {
    fn audio(&self) -> Duration {
        SampleRate::HZ_16000.duration_of(self.samples.len() as u64)
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.gauges.unqueued(self.audio());
    }
}

/// What a voice says; the last one is `Finished` or `Failed`.
#[derive(Debug)]
pub(crate) enum Said {
    /// Something was heard.
    Heard(Heard),
    /// Everything was.
    Finished,
    /// The voice cannot go on.
    Failed(RecognizerError),
}

/// The end where sound goes in. Dropping it lets the voice finish.
#[derive(Debug)]
pub(crate) struct Input {
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    capacity: u32,
    gauges: Gauges,
}

/// Room for the next chunk: taken before the chunk is read.
pub(crate) struct Room(mpsc::OwnedPermit<Order>);

/// The voice is gone; its last words say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Input {
    /// Waits until more audio may be read.
    pub(crate) async fn room(&self) -> Result<Room, Gone> {
        let order = self.orders.clone().reserve_owned().await.map_err(|_| Gone)?;
        // A chunk may overdraw the buffer by its own size; the next one waits until the debt is heard.
        let free = self.room.acquire().await.map_err(|_| Gone)?;
        drop(free);
        Ok(Room(order))
    }

    /// Queues audio.
    pub(crate) async fn hear(&self, room: Room, samples: Vec<i16>) -> Result<(), Gone> {
        if samples.is_empty() {
            return Ok(());
        }
        let taken = u32::try_from(samples.len()).unwrap_or(u32::MAX).min(self.capacity);
        let permit = Arc::clone(&self.room).acquire_many_owned(taken).await.map_err(|_| Gone)?;
        let chunk = Chunk { samples, arrived: Instant::now(), gauges: self.gauges.clone(), _room: permit };
        self.gauges.queued(chunk.audio());
        room.0.send(Order::Hear(chunk));
        Ok(())
    }

    /// Asks for a result of what was heard so far.
    pub(crate) fn finalize(&self, room: Room) {
        room.0.send(Order::Finalize);
    }
}

/// How fast a voice may hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as it can.
    Free,
    /// At most so many times faster than real time.
    Limited(NonZeroU32),
}

/// One stream's way through its voice.
pub(crate) struct Pump {
    orders: mpsc::Receiver<Order>,
    said: mpsc::Sender<Said>,
    gauges: Gauges,
    pace: Pace,
    /// When the next piece may be heard.
    next: tokio::time::Instant,
    _slot: Slot,
}

/// Both ends of a stream, and the pump between them.
pub(crate) struct Line {
    /// Where sound goes in.
    pub(crate) input: Input,
    /// Where words come out.
    pub(crate) said: mpsc::Receiver<Said>,
    /// What must run in between.
    pub(crate) pump: Pump,
}

/// Why a pump stops before its end.
enum Stop {
    /// Nobody listens.
    Unheard,
    /// The voice failed.
    Failed(RecognizerError),
}

impl Line {
    /// Lays a line that holds `slot` until the voice is done.
    pub(crate) fn new(slot: Slot, buffer: Duration, pace: Pace, gauges: Gauges) -> Self {
        let capacity = SampleRate::HZ_16000.samples_in(buffer).clamp(PIECE as u64, 1 << 28);
        let capacity = u32::try_from(capacity).unwrap_or(1 << 28);
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (say, said) = mpsc::channel(HEARD);
        let room = Arc::new(Semaphore::new(capacity as usize));
        let next = tokio::time::Instant::now();
        Self {
            input: Input { orders, room, capacity, gauges: gauges.clone() },
            said,
            pump: Pump { orders: ordered, said: say, gauges, pace, next, _slot: slot },
        }
    }
}

impl Pump {
    /// Runs until the input ends, nobody listens, or the voice fails.
    pub(crate) async fn run(mut self, voice: Result<Transcriber, RecognizerError>) {
        let ended = match voice {
            Ok(mut transcriber) => self.hear_all(&mut transcriber).await,
            Err(error) => Err(Stop::Failed(error)),
        };
        let last = match ended {
            Ok(()) => Said::Finished,
            Err(Stop::Failed(error)) => Said::Failed(error),
            Err(Stop::Unheard) => return,
        };
        let Self { said, _slot: slot, .. } = self;
        let hangs = matches!(last, Said::Failed(RecognizerError::ToldToHang));
        // The slot is free before the caller can know that the stream is over; only what hangs keeps it.
        let kept = hangs.then_some(slot);
        let _ = said.send(last).await;
        if kept.is_some() {
            said.closed().await;
        }
    }

    async fn hear_all(&mut self, transcriber: &mut Transcriber) -> Result<(), Stop> {
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Hear(chunk) => self.hear(transcriber, &chunk).await?,
                Order::Finalize => self.work(Duration::ZERO, |heard| transcriber.finalize(heard)).await?,
            }
        }
        self.work(Duration::ZERO, |heard| transcriber.finish(heard)).await
    }

    async fn hear(&mut self, transcriber: &mut Transcriber, chunk: &Chunk) -> Result<(), Stop> {
        for piece in chunk.samples.chunks(PIECE) {
            let audio = SampleRate::HZ_16000.duration_of(piece.len() as u64);
            self.wait_for(audio).await;
            self.work(audio, |heard| transcriber.hear(piece, heard)).await?;
        }
        self.gauges.chunk_heard(chunk.arrived.elapsed());
        Ok(())
    }

    /// Does a piece of work on some audio, measures it and says what came of it.
    async fn work(
        &self,
        audio: Duration,
        work: impl FnOnce(&mut Vec<Heard>) -> Result<(), RecognizerError>,
    ) -> Result<(), Stop> {
        let (mut heard, begun) = (Vec::new(), Instant::now());
        work(&mut heard).map_err(Stop::Failed)?;
        self.gauges.piece_heard(audio, begun.elapsed());
        self.say(heard).await
    }

    async fn wait_for(&mut self, audio: Duration) {
        match self.pace {
            Pace::Free => {}
            Pace::Limited(speed) => {
                tokio::time::sleep_until(self.next).await;
                self.next = self.next.max(tokio::time::Instant::now()) + audio / speed.get();
            }
        }
    }

    async fn say(&self, heard: Vec<Heard>) -> Result<(), Stop> {
        if self.said.is_closed() {
            return Err(Stop::Unheard);
        }
        for heard in heard {
            self.said.send(Said::Heard(heard)).await.map_err(|_| Stop::Unheard)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Options;
    use crate::recognizer::{Recognizer, Sound, Word};
    use crate::segment::Segmentation;
    use crate::slots::Slots;

    struct Deaf;

    impl Recognizer for Deaf {
        fn hear(&mut self, _: &[i16], _: Sound) -> Result<(), RecognizerError> {
            Ok(())
        }

        fn guess(&mut self) -> Vec<Word> {
            Vec::new()
        }

        fn conclude(&mut self) -> Result<Vec<Word>, RecognizerError> {
            Ok(Vec::new())
        }
    }

    fn line(pace: Pace) -> (Line, Transcriber) {
        let gauges = Gauges::default();
        let slot = Slots::new(1, gauges.clone()).take().expect("one is free");
        let options = Options::read(&[]).expect("an empty query is good");
        let transcriber = Transcriber::new(Box::new(Deaf), &options, &Segmentation::default());
        (Line::new(slot, Duration::from_secs(1), pace, gauges), transcriber)
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_has_no_room_until_the_voice_has_heard() {
        let (line, transcriber) = line(Pace::Free);
        let Line { input, said: _said, pump } = line;
        let room = input.room().await.expect("the voice lives");
        input.hear(room, vec![0; 16_000]).await.expect("the voice lives");
        assert!(tokio::time::timeout(Duration::from_secs(60), input.room()).await.is_err());
        let heard = async {
            input.room().await.expect("the voice lives");
            drop(input);
        };
        tokio::join!(pump.run(Ok(transcriber)), heard);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_voice_hears_no_faster_than_it_is_told() {
        let (line, transcriber) = line(Pace::Limited(NonZeroU32::MIN.saturating_add(7)));
        let Line { input, mut said, pump } = line;
        let begun = tokio::time::Instant::now();
        let speak = async move {
            for _ in 0..16 {
                let room = input.room().await.expect("the voice lives");
                input.hear(room, vec![0; 8_000]).await.expect("the voice lives");
            }
        };
        let listen = async { while said.recv().await.is_some() {} };
        tokio::join!(pump.run(Ok(transcriber)), speak, listen);
        let taken = begun.elapsed();
        assert!(taken > Duration::from_millis(950) && taken < Duration::from_millis(1_050), "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_voice_nobody_listens_to_stops() {
        let (line, transcriber) = line(Pace::Free);
        let Line { input, said, pump } = line;
        drop(said);
        let room = input.room().await.expect("the voice lives");
        input.hear(room, vec![0; 16_000]).await.expect("the voice lives");
        pump.run(Ok(transcriber)).await;
        assert!(input.room().await.is_err());
    }
}
