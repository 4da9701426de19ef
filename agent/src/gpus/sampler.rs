//! A thread of its own for NVML, because a driver may block for minutes, or for ever: reports take the last sample and
//! never wait. It is no task, since the runtime would wait for it at the end; the end of the process takes it along.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nvml_wrapper::error::NvmlError;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Host;
use super::nvml::{Driver, Library, Missing, News};
use crate::gauges;

/// A driver that is not there, or stopped working, is looked for after so many intervals: it may be installed later.
const LOOK_AGAIN: u32 = 5;
/// Samples older than this are reported with a warning. Longer where samples are rarer than one a second.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// What the driver last said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sampled {
    /// Nothing yet.
    Pending,
    /// There is no driver to ask, and why.
    Missing(String),
    /// Its own version, and the cards.
    Cards(Option<Driver>, Host),
}

impl Sampled {
    /// Says what there is, for people.
    ///
    /// # Errors
    /// Fails with what is missing.
    pub(crate) fn describe(&self) -> Result<String, String> {
        match self {
            Self::Pending => Err("not known yet: the NVIDIA driver has not answered".to_owned()),
            Self::Missing(why) => Err(format!("none: {why}")),
            Self::Cards(_, host) if host.cards.is_empty() => {
                Err("none: the NVIDIA driver shows no card that answers".to_owned())
            }
            Self::Cards(driver, host) => {
                let names = host.cards.iter().map(|card| card.gpu.name.as_str()).collect::<Vec<_>>();
                let driver = driver.as_ref().map_or_else(String::new, |Driver { version, cuda }| {
                    let cuda = cuda.as_ref().map_or_else(String::new, |cuda| format!(", CUDA {cuda}"));
                    format!("; driver {version}{cuda}")
                });
                let found = format!("{}: {}{driver}", host.cards.len(), names.join(", "));
                host.why_out().map_or_else(|| Ok(found.clone()), |why| Err(format!("{found}; out of service: {why}")))
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
    pub(crate) fn start(library: Option<PathBuf>, ignored: BTreeSet<u64>, interval: Duration) -> io::Result<Self> {
        let (samples, receiver) = watch::channel(Sampled::Pending);
        let sampling = Sampling { ignored, interval, samples };
        let sample = move || sampling.keep_sampling(library.as_deref());
        thread::Builder::new().name("gpu-sampler".to_owned()).spawn(sample)?;
        let stale_after = STALE_AFTER.max(interval * 3);
        Ok(Self { samples: receiver, stale_after, fresh: None, age: Age::Fresh })
    }

    /// Returns another reading end.
    pub(crate) fn samples(&self) -> watch::Receiver<Sampled> {
        self.samples.clone()
    }

    /// Returns the last sample. One that is old because the driver hangs is kept, and that is said once.
    pub(crate) fn read(&mut self, now: Instant) -> Host {
        let changed = self.samples.has_changed().unwrap_or(false);
        let cards = match &*self.samples.borrow_and_update() {
            Sampled::Pending | Sampled::Missing(_) => {
                self.fresh = None;
                return Host::default();
            }
            Sampled::Cards(_, host) => host.clone(),
        };
        let fresh = if changed { now } else { self.fresh.unwrap_or(now) };
        self.fresh = Some(fresh);
        self.grow_old(now.saturating_duration_since(fresh));
        cards
    }

    /// Returns the last sample as it is.
    pub(crate) fn last(&self) -> Host {
        match &*self.samples.borrow() {
            Sampled::Pending | Sampled::Missing(_) => Host::default(),
            Sampled::Cards(_, host) => host.clone(),
        }
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

/// The thread.
struct Sampling {
    ignored: BTreeSet<u64>,
    interval: Duration,
    samples: watch::Sender<Sampled>,
}

impl Sampling {
    /// Samples until nobody reads; looks for the driver again whenever it is not there.
    fn keep_sampling(&self, library: Option<&Path>) {
        let mut said = None;
        while !self.samples.is_closed() {
            let why = match Library::open(library) {
                Ok(library) => match self.sample_until_closed(&library, &mut said) {
                    Ok(()) => return,
                    Err(error) => say_stopped(&error, &mut said),
                },
                Err(missing) => say_missing(&missing, &mut said),
            };
            gauges::driver_failed();
            self.samples.send_replace(Sampled::Missing(why));
            thread::sleep(self.interval * LOOK_AGAIN);
        }
    }

    fn sample_until_closed(&self, library: &Library, said: &mut Option<String>) -> Result<(), NvmlError> {
        let (driver, mut cards) = (library.driver(), library.cards(&self.ignored));
        while !self.samples.is_closed() {
            let host = cards.sample()?;
            if said.take().is_some() {
                info!(cards = host.cards.len(), "NVIDIA library works again");
            }
            self.samples.send_replace(Sampled::Cards(driver.clone(), host));
            cards.news().iter().for_each(say);
            cards.wait(self.interval);
        }
        Ok(())
    }
}

/// Says once that the library stopped working.
fn say_stopped(error: &NvmlError, said: &mut Option<String>) -> String {
    let why = format!("NVIDIA library stopped working: {error}");
    if said.as_ref() != Some(&why) {
        warn!(%error, "NVIDIA library stopped working: reporting no GPUs");
        *said = Some(why.clone());
    }
    why
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
        News::Fault(gpu, fault) => {
            gauges::gpu_fault(*fault);
            warn!(gpu, %fault, "GPU fault");
        }
        News::Unwatched(error) => warn!(error, "GPU faults cannot be watched for"),
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
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), BTreeSet::new(), SOON).unwrap();
        let mut now = Instant::now();
        until(|| sampler.read(now).cards.len() == 2).await;
        stub.tell("hang");
        until(|| {
            now += STALE_AFTER * 2;
            let host = sampler.read(now);
            assert_eq!(host.cards.len(), 2, "the last readings are kept");
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
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), BTreeSet::new(), SOON).unwrap();
        until(|| sampler.read(Instant::now()).cards.len() == 2).await;
        stub.tell("lost 1");
        until(|| sampler.read(Instant::now()).cards.len() == 1).await;
    }

    #[tokio::test]
    async fn a_missing_library_is_no_cards_and_a_reason() {
        let sampler = Sampler::start(Some("/nonexistent/libnvidia-ml.so.1".into()), BTreeSet::new(), SOON).unwrap();
        let look = super::super::FirstLook::Sampled(sampler.samples());
        assert_eq!(look.describe().await.unwrap_err(), "none: no NVIDIA library (/nonexistent/libnvidia-ml.so.1)");
    }

    #[tokio::test]
    async fn a_library_that_breaks_is_no_cards_and_a_reason_until_it_works_again() {
        let stub = Stub::build();
        let mut sampler = Sampler::start(Some(stub.library().to_owned()), BTreeSet::new(), SOON).unwrap();
        until(|| sampler.read(Instant::now()).cards.len() == 2).await;
        stub.tell("broken");
        until(|| sampler.read(Instant::now()).cards.is_empty()).await;
        let why = sampler.samples().borrow().describe().unwrap_err();
        assert!(why.starts_with("none: NVIDIA library stopped working"), "{why}");
        stub.tell("well");
        until(|| sampler.read(Instant::now()).cards.len() == 2).await;
    }

    #[tokio::test]
    async fn a_card_with_a_fault_is_reported_out_of_service_at_once() {
        let stub = Stub::build();
        let mut sampler =
            Sampler::start(Some(stub.library().to_owned()), BTreeSet::new(), Duration::from_secs(600)).unwrap();
        until(|| sampler.read(Instant::now()).cards.len() == 2).await;
        stub.tell("xid 1 79");
        until(|| !sampler.read(Instant::now()).out.is_empty()).await;
        assert_eq!(sampler.last().slots_in_service(10), 5);
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
