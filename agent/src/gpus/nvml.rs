//! NVIDIA's management library, loaded at run time: which cards there are and what they read. One reading that a card
//! does not offer costs only that reading; a card that is lost costs only that card.

use std::collections::BTreeSet;
use std::path::Path;

use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use scheduler::{Gpu, Ratio};

use super::Card;

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
}

/// The loaded library, and what was already said about its cards.
#[derive(Debug)]
pub(crate) struct Library {
    nvml: Nvml,
    cards: u32,
    told: Told,
}

#[derive(Debug, Default)]
struct Told {
    lost: BTreeSet<u32>,
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
            Ok(nvml) => Ok(Self { nvml, cards: 0, told: Told::default() }),
            Err(error @ NvmlError::LibloadingError(_)) => Err(Missing::Library { library: library(), error }),
            Err(error) => Err(Missing::Driver { library: library(), error }),
        }
    }

    /// Reads every card. Blocks for as long as the driver likes.
    ///
    /// # Errors
    /// Fails when the library itself no longer works; then it must be opened again.
    pub(crate) fn sample(&mut self) -> Result<Vec<Card>, NvmlError> {
        self.cards = self.cards.max(self.nvml.device_count()?);
        let read = |index| {
            let read = self.nvml.device_by_index(index).and_then(|device| self.told.gpu(index, &device));
            self.told.card(index, read)
        };
        Ok((0..self.cards).filter_map(read).collect())
    }

    /// Takes what happened since it was last asked.
    pub(crate) fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.told.news)
    }
}

impl Told {
    fn card(&mut self, index: u32, read: Result<Gpu, NvmlError>) -> Option<Card> {
        match read {
            Ok(gpu) => {
                if self.lost.remove(&index) {
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
        let cards = Library::open(Some(stub.library())).unwrap().sample().unwrap();
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
        let mut library = Library::open(Some(stub.library())).unwrap();
        let gpu = library.sample().unwrap().remove(1).gpu;
        assert_eq!((gpu.power_milliwatts, gpu.temperature_celsius, gpu.utilisation), (0, 51, Ratio::clamped(0.41)));
        library.sample().unwrap();
        let news = library.news();
        assert!(matches!(news[..], [News::Unreadable(1, Reading::Power, NvmlError::NotSupported)]), "{news:?}");
    }

    #[test]
    fn a_lost_card_is_left_out_and_said_once() {
        let stub = Stub::build();
        let mut library = Library::open(Some(stub.library())).unwrap();
        library.sample().unwrap();
        library.news();
        stub.tell("lost 0");
        for _ in 0..3 {
            let left = library.sample().unwrap().iter().map(|card| card.index).collect::<Vec<_>>();
            assert_eq!(left, [1]);
        }
        assert!(matches!(library.news()[..], [News::Lost(0, NvmlError::GpuLost)]));
        stub.tell("well");
        assert_eq!(library.sample().unwrap().len(), 2);
        assert!(matches!(library.news()[..], [News::Back(0)]));
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
