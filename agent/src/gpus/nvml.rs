//! NVIDIA's management library, loaded at run time: which cards there are, what they read, and what goes wrong with them.
//! One reading that a card does not offer costs only that reading; a card that is lost or faulty costs only that card.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::event::EventData;
use nvml_wrapper::{Device, EventSet, Nvml};
use scheduler::{Gpu, Ratio};
use serde::Serialize;

use super::faults::Fault;
use super::{Card, Host, Out};

/// The library that NVIDIA's driver installs.
pub(crate) const DEFAULT_LIBRARY: &str = "libnvidia-ml.so.1";

/// Says why there is no library to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    /// The loader does not find it, or cannot load what it found.
    #[error("no NVIDIA library ({library})")]
    Library {
        /// What was tried.
        library: String,
        /// What the loader said.
        error: NvmlError,
    },
    /// It was loaded, and does not work.
    #[error("NVIDIA library {library} does not work: {error}")]
    Driver {
        /// What was tried.
        library: String,
        /// What it said.
        error: NvmlError,
    },
}

/// One of a card's readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reading {
    /// Product name.
    Name,
    /// Share of time in which a kernel ran.
    Utilisation,
    /// Memory in use and in all.
    Memory,
    /// Core temperature.
    Temperature,
    /// Power draw.
    Power,
}

/// Something an operator wants to know, once.
#[derive(Debug)]
pub(crate) enum News {
    /// A card no longer answers and is left out.
    Lost(u32, NvmlError),
    /// A lost card answers again.
    Back(u32),
    /// A card does not offer a reading; it is reported as zero.
    Unreadable(u32, Reading, NvmlError),
    /// A card, or a program on it, went wrong.
    Fault(u32, Fault),
    /// Faults cannot be watched for.
    Unwatched(String),
}

/// What the driver says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Driver {
    /// Its version.
    pub(crate) version: String,
    /// The newest CUDA that it runs.
    pub(crate) cuda: Option<String>,
}

/// The loaded library.
#[derive(Debug)]
pub(crate) struct Library {
    nvml: Nvml,
}

/// The cards of a library, and what was already said about them.
#[derive(Debug)]
pub(crate) struct Cards<'a> {
    nvml: &'a Nvml,
    ignored: &'a BTreeSet<u64>,
    events: Option<EventSet<'a>>,
    count: u32,
    told: Told,
}

#[derive(Debug, Default)]
struct Told {
    lost: BTreeSet<u32>,
    faults: BTreeMap<u32, Fault>,
    unreadable: BTreeSet<(u32, Reading)>,
    news: Vec<News>,
}

impl Library {
    /// Loads the library and starts it. Blocks for as long as the driver likes.
    ///
    /// # Errors
    /// Fails when there is no library, and when its driver does not work.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Missing> {
        let path = path.unwrap_or_else(|| Path::new(DEFAULT_LIBRARY));
        let library = || path.display().to_string();
        match Nvml::builder().lib_path(path.as_os_str()).init() {
            Ok(nvml) => Ok(Self { nvml }),
            Err(error @ NvmlError::LibloadingError(_)) => Err(Missing::Library { library: library(), error }),
            Err(error) => Err(Missing::Driver { library: library(), error }),
        }
    }

    /// Returns what the driver says of itself; nothing where it does not.
    pub(crate) fn driver(&self) -> Option<Driver> {
        let cuda = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
        let version = self.nvml.sys_driver_version().ok()?;
        Some(Driver { version, cuda: self.nvml.sys_cuda_driver_version().ok().map(cuda) })
    }

    /// Returns its cards; those XIDs in `ignored` leave them in service.
    pub(crate) fn cards<'a>(&'a self, ignored: &'a BTreeSet<u64>) -> Cards<'a> {
        Cards { nvml: &self.nvml, ignored, events: None, count: 0, told: Told::default() }
    }
}

impl Cards<'_> {
    /// Reads every card. Blocks for as long as the driver likes.
    ///
    /// # Errors
    /// Fails when the library itself no longer works; then it must be opened again.
    pub(crate) fn sample(&mut self) -> Result<Host, NvmlError> {
        let count = self.nvml.device_count()?;
        if count > self.count {
            self.count = count;
            self.watch();
        }
        let mut host = Host::default();
        for index in 0..self.count {
            let read = self.nvml.device_by_index(index).and_then(|device| self.told.gpu(index, &device));
            match (self.told.card(index, read), self.told.why_out(index)) {
                (card, Some(why)) => {
                    host.out.push(Out { index, why });
                    host.cards.extend(card);
                }
                (card, None) => host.cards.extend(card),
            }
        }
        Ok(host)
    }

    /// Waits for the next sample, and less when a card goes out of service meanwhile.
    pub(crate) fn wait(&mut self, interval: Duration) {
        let end = Instant::now() + interval;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Some(events) = self.events.as_ref().filter(|_| !left.is_zero()) else { return thread::sleep(left) };
            let milliseconds = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
            match events.wait(milliseconds) {
                Ok(event) => match self.note(&event) {
                    Service::Ends => return,
                    Service::GoesOn => {}
                },
                Err(NvmlError::Timeout) => return,
                // A card that was lost is seen by the next sample.
                Err(_) => return thread::sleep(end.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Takes what happened since it was last asked.
    pub(crate) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.told.news)
    }

    /// Asks for word of faults, of every card that tells of them.
    fn watch(&mut self) {
        let watched = self.nvml.create_event_set().and_then(|events| register(self.nvml, self.count, events));
        self.events = match watched {
            Ok(events) => Some(events),
            Err(error) => {
                self.told.news.push(News::Unwatched(error.to_string()));
                None
            }
        };
    }

    fn note(&mut self, event: &EventData<'_>) -> Service {
        let Ok(index) = event.device.index() else { return Service::GoesOn };
        let fault = match event.event_data {
            Some(XidError::Value(xid)) => Fault::Xid(Some(xid)),
            Some(XidError::Unknown) => Fault::Xid(None),
            None => Fault::Ecc,
        };
        self.told.news.push(News::Fault(index, fault));
        if fault.is_of_card(self.ignored) && !self.told.faults.contains_key(&index) {
            self.told.faults.insert(index, fault);
            return Service::Ends;
        }
        Service::GoesOn
    }
}

/// Whether a card is in service after an event.
enum Service {
    Ends,
    GoesOn,
}

/// Faults of cards and of programs, and memory errors that could not be corrected.
fn register<'a>(nvml: &'a Nvml, count: u32, mut events: EventSet<'a>) -> Result<EventSet<'a>, NvmlError> {
    let faults = EventTypes::CRITICAL_XID_ERROR | EventTypes::DOUBLE_BIT_ECC_ERROR;
    for index in 0..count {
        let Ok(device) = nvml.device_by_index(index) else { continue };
        let wanted = device.supported_event_types().map_or(faults, |offered| offered & faults);
        if !wanted.is_empty() {
            events = device.register_events(wanted, events).map_err(|error| error.error)?;
        }
    }
    Ok(events)
}

impl Told {
    fn card(&mut self, index: u32, read: Result<Gpu, NvmlError>) -> Option<Card> {
        match read {
            Ok(gpu) => {
                // Whoever was gone and is back was reset.
                if self.lost.remove(&index) {
                    self.faults.remove(&index);
                    self.news.push(News::Back(index));
                }
                Some(Card { index, gpu })
            }
            Err(error) => {
                if self.lost.insert(index) {
                    self.news.push(News::Lost(index, error));
                }
                None
            }
        }
    }

    /// Says why a card is out of service, if it is.
    fn why_out(&self, index: u32) -> Option<String> {
        let fault = self.faults.get(&index).map(|fault| format!("GPU {index}: {fault}"));
        fault.or_else(|| self.lost.contains(&index).then(|| format!("GPU {index} does not answer")))
    }

    fn gpu(&mut self, index: u32, device: &Device<'_>) -> Result<Gpu, NvmlError> {
        let utilisation = self.reading(index, Reading::Utilisation, device.utilization_rates())?;
        let memory = self.reading(index, Reading::Memory, device.memory_info())?;
        let temperature = self.reading(index, Reading::Temperature, device.temperature(TemperatureSensor::Gpu))?;
        let power = self.reading(index, Reading::Power, device.power_usage())?;
        let name = self.reading(index, Reading::Name, device.name())?;
        Ok(Gpu {
            name: name.unwrap_or_else(|| format!("GPU {index}")),
            utilisation: utilisation.map_or(Ratio::ZERO, |rates| percent(rates.gpu)),
            memory_used_bytes: memory.as_ref().map_or(0, |memory| memory.used),
            memory_total_bytes: memory.as_ref().map_or(0, |memory| memory.total),
            temperature_celsius: temperature.unwrap_or_default(),
            power_milliwatts: power.unwrap_or_default(),
        })
    }

    /// Lets a reading fail alone, unless it fails because the card is gone.
    fn reading<T>(
        &mut self,
        index: u32,
        reading: Reading,
        value: Result<T, NvmlError>,
    ) -> Result<Option<T>, NvmlError> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(NvmlError::GpuLost) => Err(NvmlError::GpuLost),
            Err(error) => {
                if self.unreadable.insert((index, reading)) {
                    self.news.push(News::Unreadable(index, reading, error));
                }
                Ok(None)
            }
        }
    }
}

fn percent(percent: u32) -> Ratio {
    Ratio::clamped(percent as f32 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::super::stub::Stub;
    use super::*;

    #[test]
    fn every_reading_of_every_card_is_reported() {
        let stub = Stub::build();
        let cards = Library::open(Some(stub.library())).unwrap().cards(&BTreeSet::new()).sample().unwrap().cards;
        assert_eq!(cards.len(), 2);
        let expected = Gpu {
            name: "Stub T4 0".to_owned(),
            utilisation: Ratio::clamped(0.4),
            memory_used_bytes: 1_000_000_000,
            memory_total_bytes: 16_000_000_000,
            temperature_celsius: 50,
            power_milliwatts: 30_000,
        };
        assert_eq!(cards[0], Card { index: 0, gpu: expected });
    }

    #[test]
    fn a_reading_that_a_card_does_not_offer_costs_only_that_reading() {
        let stub = Stub::build();
        let (library, ignored) = (Library::open(Some(stub.library())).unwrap(), BTreeSet::new());
        let mut library = library.cards(&ignored);
        let gpu = library.sample().unwrap().cards.remove(1).gpu;
        assert_eq!((gpu.power_milliwatts, gpu.temperature_celsius, gpu.utilisation), (0, 51, Ratio::clamped(0.41)));
        library.sample().unwrap();
        let news = library.news();
        assert!(matches!(news[..], [News::Unreadable(1, Reading::Power, NvmlError::NotSupported)]), "{news:?}");
    }

    #[test]
    fn a_lost_card_is_left_out_and_said_once() {
        let stub = Stub::build();
        let (library, ignored) = (Library::open(Some(stub.library())).unwrap(), BTreeSet::new());
        let mut library = library.cards(&ignored);
        library.sample().unwrap();
        library.news();
        stub.tell("lost 0");
        for _ in 0..3 {
            let host = library.sample().unwrap();
            assert_eq!(host.cards.iter().map(|card| card.index).collect::<Vec<_>>(), [1]);
            assert_eq!(host.out, [Out { index: 0, why: "GPU 0 does not answer".to_owned() }]);
        }
        assert!(matches!(library.news()[..], [News::Lost(0, NvmlError::GpuLost)]));
        stub.tell("well");
        assert_eq!(library.sample().unwrap(), Host { cards: library.sample().unwrap().cards, out: Vec::new() });
        assert_eq!(library.sample().unwrap().cards.len(), 2);
        assert!(matches!(library.news()[..], [News::Back(0)]));
    }

    #[test]
    fn a_card_with_a_fault_of_its_own_is_out_of_service_until_it_was_reset() {
        let stub = Stub::build();
        let (library, ignored) = (Library::open(Some(stub.library())).unwrap(), BTreeSet::from([63]));
        let mut cards = library.cards(&ignored);
        cards.sample().unwrap();
        cards.news();
        for (word, out) in
            [("xid 1 31", None), ("xid 1 63", None), ("xid 1 79", Some("GPU 1: XID 79 (GPU has fallen off the bus)"))]
        {
            stub.tell(word);
            cards.wait(Duration::from_secs(2));
            assert!(matches!(cards.news()[..], [News::Fault(1, Fault::Xid(_))]), "{word}");
            let host = cards.sample().unwrap();
            assert_eq!(host.out.first().map(|out| out.why.as_str()), out, "{word}");
            assert_eq!(host.cards.len(), 2, "it still reads");
        }
        stub.tell("lost 1");
        cards.sample().unwrap();
        stub.tell("well");
        assert_eq!(cards.sample().unwrap().out, []);
    }

    #[test]
    fn memory_that_cannot_be_corrected_is_a_fault_of_the_card() {
        let stub = Stub::build();
        let (library, ignored) = (Library::open(Some(stub.library())).unwrap(), BTreeSet::new());
        let mut cards = library.cards(&ignored);
        cards.sample().unwrap();
        stub.tell("ecc 0");
        cards.wait(Duration::from_secs(2));
        assert_eq!(cards.sample().unwrap().out[0].why, "GPU 0: an uncorrectable memory error");
    }

    #[test]
    fn the_driver_says_which_it_is() {
        let stub = Stub::build();
        let driver = Library::open(Some(stub.library())).unwrap().driver().unwrap();
        assert_eq!(driver, Driver { version: "570.00".to_owned(), cuda: Some("12.8".to_owned()) });
    }

    #[test]
    fn no_library_is_said_with_what_was_tried() {
        let missing = Library::open(Some(Path::new("/nonexistent/libnvidia-ml.so.1"))).unwrap_err();
        assert_eq!(missing.to_string(), "no NVIDIA library (/nonexistent/libnvidia-ml.so.1)");
    }

    #[test]
    fn a_library_without_its_driver_is_another_thing_than_no_library() {
        let stub = Stub::build();
        stub.tell("no driver");
        let missing = Library::open(Some(stub.library())).unwrap_err();
        assert!(missing.to_string().ends_with("does not work: NVIDIA driver is not loaded"), "{missing}");
    }
}
