//! A long file in chunks: as many are on their way as the limits allow, their answers are put together in order. Dropping
//! this ends every chunk that is on its way.

use std::sync::Arc;
use std::time::Duration;

use audio::{AudioError, Format, MAX_DURATION};
use session::{CloseReason, Usage};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::chunk::{Lane, Outcome};
use super::gathered::Gathered;
use super::merge::Whole;
use super::sound::{Cut, Sound};
use super::{Answer, Failure, Parcel};
use crate::app::Shared;
use crate::metrics;
use crate::record::Record;

/// Chunks that were heard and wait for an earlier one, at most: an hour and more.
const WAITING: usize = 256;

/// How a file is to be cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cutting {
    /// The layout of raw audio.
    pub(crate) format: Option<Format>,
    /// How long the file says it is.
    pub(crate) expected: Option<Duration>,
    /// Who wants to know meanwhile.
    pub(crate) news: Option<mpsc::Sender<News>>,
}

/// What the next chunk of a file has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// How much of the file was heard: from its start, without a gap.
    pub(crate) heard: Duration,
    /// How long the file says it is.
    pub(crate) expected: Option<Duration>,
    /// What was said in the chunk.
    pub(crate) text: String,
}

/// A chunk that was sent on its way.
struct Sent {
    start: Duration,
    length: Duration,
    answer: oneshot::Receiver<Result<Outcome, Failure>>,
}

/// Cuts a file, gets its chunks heard, and notes in `record` how that goes.
pub(crate) async fn deliver_cut(
    shared: &Arc<Shared>,
    record: &mut Record,
    parcel: Parcel,
    cutting: Cutting,
) -> Result<Answer, Failure> {
    // How long raw audio is, its bytes tell before they come; what a header says may be a lie.
    if cutting.format.is_some() && cutting.expected.is_some_and(|length| length > MAX_DURATION) {
        return Err(Failure::of_audio(&AudioError::TooLong { limit: MAX_DURATION }));
    }
    let over = CancellationToken::new();
    // Whatever ends this ends the chunks.
    let _over = over.clone().drop_guard();
    let (queue, sent) = mpsc::channel(WAITING);
    let lane = Arc::new(Lane::new(Arc::clone(shared), &parcel, record));
    let feeder = Feeder { shared, lane, queue, over };
    let sound = Sound::open(parcel.spool.clone(), cutting.format, shared.config.files.chunk.get()).await?;
    // Every chunk is metered on its own.
    record.left();
    let gathering = Gathering { record, cutting, gathered: Gathered::new(&parcel.query), slot: Duration::ZERO };
    let (sound, gathering) = tokio::try_join!(feeder.run(sound), gathering.run(sent))?;
    gathering.finish(&sound, parcel).await
}

/// Cuts the file and sends chunks on their way, as there is room.
struct Feeder<'a> {
    shared: &'a Arc<Shared>,
    lane: Arc<Lane>,
    queue: mpsc::Sender<Sent>,
    over: CancellationToken,
}

impl Feeder<'_> {
    /// Returns the file's sound once the last chunk is on its way.
    async fn run(self, mut sound: Sound) -> Result<Sound, Failure> {
        let own = Arc::new(Semaphore::new(self.shared.config.files.in_flight.get().into()));
        loop {
            let seat = Arc::clone(&own).acquire_owned().await.map_err(|_closed| draining())?;
            let (rest, cut) = sound.next().await?;
            sound = rest;
            let Some(cut) = cut else { return Ok(sound) };
            let room = Arc::clone(&self.shared.chunks).acquire_owned().await.map_err(|_closed| draining())?;
            let sent = self.send(cut, (seat, room));
            self.queue.send(sent).await.map_err(|_closed| draining())?;
        }
    }

    /// Starts a chunk; it keeps its permits until it was heard.
    fn send(&self, cut: Cut, permits: impl Send + 'static) -> Sent {
        let (tell, answer) = oneshot::channel();
        let (start, length) = (cut.start, cut.length);
        let (lane, over) = (Arc::clone(&self.lane), self.over.clone());
        let in_flight = metrics::ChunkInFlight::new();
        self.shared.shutdown.spawn("chunk", async move {
            let _held = (permits, in_flight);
            tokio::select! {
                () = over.cancelled() => {}
                heard = lane.hear(cut) => {
                    let _nobody_waits = tell.send(heard);
                }
            }
        });
        Sent { start, length, answer }
    }
}

/// Puts the answers together.
struct Gathering<'a> {
    record: &'a mut Record,
    cutting: Cutting,
    gathered: Gathered,
    slot: Duration,
}

impl Gathering<'_> {
    async fn run(mut self, mut sent: mpsc::Receiver<Sent>) -> Result<Self, Failure> {
        while let Some(Sent { start, length, answer }) = sent.recv().await {
            let Outcome { piece, slot } = answer.await.map_err(|_cut| draining())??;
            self.slot += slot;
            let heard = start + length;
            self.record.used(Usage { audio: heard, slot: self.slot, ..Usage::default() });
            if let Some(news) = &self.cutting.news {
                let next = News { heard, expected: self.cutting.expected, text: piece.text().to_owned() };
                let _nobody_asks = news.send(next).await;
            }
            self.gathered = self.gathered.with(piece, start)?;
        }
        Ok(self)
    }

    async fn finish(self, sound: &Sound, Parcel { wanted, spool, .. }: Parcel) -> Result<Answer, Failure> {
        let whole = Whole {
            request_id: wanted.session.to_string(),
            sha256: spool.sha256().await,
            duration: sound.heard(),
            channels: sound.channels(),
        };
        Ok(Answer { heard: self.gathered.finish(whole)?, upload: spool, slot: self.slot })
    }
}

/// The process ends before the file does.
fn draining() -> Failure {
    Failure::no_node(CloseReason::Draining)
}
