//! A thread of its own for NVML, because a driver may block for minutes, or for ever: reports take the last sample and
//! never wait. It is no task, since the runtime would wait for it at the end; the end of the process takes it along.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Card;
use super::nvml::{Library, Missing, News};

/// A driver that was not there may be installed later; it is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Samples older than this are reported with a warning. Longer where samples are rarer than one a second.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// What the driver last said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sampled {
    /// Nothing yet.
    Pending,
    /// There is no driver to ask, and why.
    Missing(String),
    /// The cards that answer.
    Cards(Vec<Card>),
}

impl Sampled {
    /// Says what there is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Pending => "not known yet: the NVIDIA driver has not answered".to_owned(),
            Self::Missing(why) => format!("none: {why}"),
            Self::Cards(cards) if cards.is_empty() => "none: the NVIDIA driver shows no card that answers".to_owned(),
            Self::Cards(cards) => {
                let names = cards.iter().map(|card| card.gpu.name.as_str()).collect::<Vec<_>>();
                format!("{}: {}", cards.len(), names.join(", "))
            }
        }
    }
}

/// The reading end of the thread.
#[derive(Debug)]
pub(crate) struct Sampler {
    samples: watch::Receiver<Sampled>,
    stale_after: Duration,
    fresh: Option<Instant>,
    age: Age,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Fresh,
    Stale,
}

impl Sampler {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails when the system gives no thread.
    pub(crate) fn start(library: Option<PathBuf>, interval: Duration) -> io::Result<Self> {
        let (samples, receiver) = watch::channel(Sampled::Pending);
        let sample = move || keep_sampling(library.as_deref(), interval, &samples);
        thread::Builder::new().name("gpu-sampler".to_owned()).spawn(sample)?;
        let stale_after = STALE_AFTER.max(interval * 3);
        Ok(Self { samples: receiver, stale_after, fresh: None, age: Age::Fresh })
    }

    /// Returns another reading end.
    pub(crate) fn samples(&self) -> watch::Receiver<Sampled> {
        self.samples.clone()
    }

    /// Returns the last sample. One that is old because the driver hangs is kept, and that is said once.
    pub(crate) fn read(&mut self, now: Instant) -> Vec<Card> {
        let changed = self.samples.has_changed().unwrap_or(false);
        let cards = match &*self.samples.borrow_and_update() {
            Sampled::Pending | Sampled::Missing(_) => {
                self.fresh = None;
                return Vec::new();
            }
            Sampled::Cards(cards) => cards.clone(),
        };
        let fresh = if changed { now } else { self.fresh.unwrap_or(now) };
        self.fresh = Some(fresh);
        self.grow_old(now.saturating_duration_since(fresh));
        cards
    }

    fn grow_old(&mut self, since: Duration) {
        match (self.age, since > self.stale_after) {
            (Age::Fresh, true) => {
                warn!(age_seconds = since.as_secs(), "NVIDIA driver hangs, reporting its last readings");
                self.age = Age::Stale;
            }
            (Age::Stale, false) => {
                info!("NVIDIA driver answers again");
                self.age = Age::Fresh;
            }
            (Age::Fresh, false) | (Age::Stale, true) => {}
        }
    }
}

/// Samples until nobody reads; looks for the driver again whenever it is not there.
fn keep_sampling(library: Option<&Path>, interval: Duration, samples: &watch::Sender<Sampled>) {
    let mut said = None;
    while !samples.is_closed() {
        let why = match Library::open(library) {
            Ok(library) => {
                said = None;
                let Err(error) = sample_until_closed(library, interval, samples) else { return };
                warn!(%error, "NVIDIA library stopped working: reporting no GPUs");
                format!("NVIDIA library stopped working: {error}")
            }
            Err(missing) => say_missing(&missing, &mut said),
        };
        samples.send_replace(Sampled::Missing(why));
        thread::sleep(LOOK_AGAIN);
    }
}

fn sample_until_closed(
    mut library: Library,
    interval: Duration,
    samples: &watch::Sender<Sampled>,
) -> Result<(), NvmlError> {
    while !samples.is_closed() {
        samples.send_replace(Sampled::Cards(library.sample()?));
        library.news().iter().for_each(say);
        thread::sleep(interval);
    }
    Ok(())
}

/// Says once why there are no cards, and again only when the reason changes.
fn say_missing(missing: &Missing, said: &mut Option<String>) -> String {
    let why = missing.to_string();
    if said.as_ref() != Some(&why) {
        match missing {
            Missing::Library { library, error } => {
                info!(tried = library, %error, "no NVIDIA library: reporting no GPUs");
            }
            Missing::Driver { library, error } => {
                warn!(library, %error, "NVIDIA library does not work: reporting no GPUs");
            }
        }
        *said = Some(why.clone());
    }
    why
}

fn say(news: &News) {
    match news {
        News::Lost(gpu, error) => warn!(gpu, %error, "GPU lost, leaving it out of reports"),
        News::Back(gpu) => info!(gpu, "GPU answers again"),
        News::Unreadable(gpu, reading, error) => {
            info!(gpu, ?reading, %error, "GPU does not offer a reading, reporting zero");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(2);

    /// Polls until `done` holds, or panics at the deadline.
    async fn until(mut done: impl FnMut() -> bool) {
        let mut polls = tokio::time::interval(SOON);
        let polling = async {
            while !done() {
                polls.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, polling).await.expect("did not happen within the deadline");
    }

    #[tokio::test]
    async fn a_driver_that_hangs_leaves_the_last_readings() {
        let stub = Stub::build();
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), SOON).unwrap();
        let mut now = Instant::now();
        until(|| sampler.read(now).len() == 2).await;
        stub.tell("hang");
        until(|| {
            now += STALE_AFTER * 2;
            let cards = sampler.read(now);
            assert_eq!(cards.len(), 2, "the last readings are kept");
            sampler.age == Age::Stale
        })
        .await;
        stub.tell("well");
        until(|| {
            sampler.read(now);
            sampler.age == Age::Fresh
        })
        .await;
    }

    #[tokio::test]
    async fn a_card_lost_while_running_is_left_out() {
        let stub = Stub::build();
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), SOON).unwrap();
        until(|| sampler.read(Instant::now()).len() == 2).await;
        stub.tell("lost 1");
        until(|| sampler.read(Instant::now()).len() == 1).await;
    }

    #[tokio::test]
    async fn a_missing_library_is_no_cards_and_a_reason() {
        let sampler = Sampler::start(Some("/nonexistent/libnvidia-ml.so.1".into()), SOON).unwrap();
        let look = super::super::FirstLook::Sampled(sampler.samples());
        assert_eq!(look.describe().await, "none: no NVIDIA library (/nonexistent/libnvidia-ml.so.1)");
    }

    #[tokio::test]
    async fn a_library_that_breaks_is_no_cards_and_a_reason() {
        let stub = Stub::build();
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), SOON).unwrap();
        until(|| sampler.read(Instant::now()).len() == 2).await;
        stub.tell("broken");
        until(|| sampler.read(Instant::now()).is_empty()).await;
        assert!(sampler.samples().borrow().describe().starts_with("none: NVIDIA library stopped working"));
    }

    #[test]
    fn a_reason_is_said_again_only_when_it_changes() {
        let missing =
            |library: &str| Missing::Library { library: library.to_owned(), error: NvmlError::LibraryNotFound };
        let mut said = None;
        let first = say_missing(&missing("a"), &mut said);
        assert_eq!(said.as_ref(), Some(&first));
        let second = say_missing(&missing("b"), &mut said);
        assert_eq!(said.as_ref(), Some(&second));
        assert_ne!(first, second);
    }
}
