//! The host's GPUs: NVIDIA's library, an invented card, or none. Only this module touches NVML.

mod faults;
mod nvml;
mod sampler;
mod simulated;
#[cfg(test)]
mod stub;

use std::time::Duration;

use scheduler::{Gpu, NodeId, Ratio};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{Config, GpuSource};
use crate::error::AgentError;
pub(crate) use faults::Fault;
use sampler::{Sampled, Sampler};
use simulated::Simulated;

/// How long the first look at the cards may take before it is called missing.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// One GPU and its place on this host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Card {
    /// NVML's index, which stays the same when another card is lost.
    pub(crate) index: u32,
    /// Its readings.
    pub(crate) gpu: Gpu,
}

/// A card that is out of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Out {
    /// NVML's index.
    pub(crate) index: u32,
    /// Why, for people.
    pub(crate) why: String,
}

/// Every card of this host.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Host {
    /// Those that answer.
    pub(crate) cards: Vec<Card>,
    /// Those that are out of service, whether they answer or not.
    pub(crate) out: Vec<Out>,
}

impl Host {
    /// Returns how many of an engine's slots are in service: those of its cards that are, each having the same share.
    pub(crate) fn slots_in_service(&self, slots: u32) -> u32 {
        let is_out = |card: &&Card| self.out.iter().any(|out| out.index == card.index);
        let out = self.out.len();
        let well = self.cards.len() - self.cards.iter().filter(is_out).count();
        if out == 0 {
            return slots;
        }
        let share = u64::from(slots) * well as u64 / (well + out) as u64;
        share.try_into().unwrap_or(slots)
    }

    /// Tells whether no card is left.
    pub(crate) fn is_out(&self) -> bool {
        !self.out.is_empty() && self.slots_in_service(u32::MAX) == 0
    }

    /// Says what is out of service, and why.
    pub(crate) fn why_out(&self) -> Option<String> {
        let why = self.out.iter().map(|out| out.why.as_str()).collect::<Vec<_>>().join(", ");
        (!why.is_empty()).then_some(why)
    }
}

/// Where readings come from.
#[derive(Debug)]
pub(crate) struct Gpus(Source);

#[derive(Debug)]
enum Source {
    Nvml(Sampler),
    Simulated(Simulated),
    None,
}

impl Gpus {
    /// Opens the configured source.
    pub(crate) fn open(config: &Config, node: &NodeId) -> Result<Self, AgentError> {
        Ok(Self(match config.gpus {
            GpuSource::Nvml => {
                let sampler =
                    Sampler::start(config.nvml_library.clone(), config.ignore_xids.clone(), config.report_interval);
                Source::Nvml(sampler.map_err(AgentError::Thread)?)
            }
            GpuSource::Simulated => Source::Simulated(Simulated::new(node)),
            GpuSource::None => Source::None,
        }))
    }

    /// No GPUs.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Source::None)
    }

    /// Returns the last readings, without ever waiting for a driver. A simulated card follows `load`.
    pub(crate) fn read(&mut self, load: Ratio, now: Instant) -> Host {
        match &mut self.0 {
            Source::Nvml(sampler) => sampler.read(now),
            Source::Simulated(simulated) => {
                Host { cards: vec![Card { index: 0, gpu: simulated.read(load) }], out: Vec::new() }
            }
            Source::None => Host::default(),
        }
    }

    /// Returns the last readings as they are, for whoever asks whether a report is due.
    pub(crate) fn last(&self) -> Host {
        match &self.0 {
            Source::Nvml(sampler) => sampler.last(),
            Source::Simulated(_) | Source::None => Host::default(),
        }
    }

    /// Returns a way to learn, once, what there is: for the line at start.
    pub(crate) fn first_look(&self) -> FirstLook {
        match &self.0 {
            Source::Nvml(sampler) => FirstLook::Sampled(sampler.samples()),
            Source::Simulated(_) => FirstLook::Known("1: simulated"),
            Source::None => FirstLook::Known("none: switched off"),
        }
    }
}

/// What there is, once it is known.
#[derive(Debug)]
pub(crate) enum FirstLook {
    /// It depends on what the driver says.
    Sampled(watch::Receiver<Sampled>),
    /// It is known from the configuration.
    Known(&'static str),
}

impl FirstLook {
    /// Says what there is, for people; waits for the driver for 2 s at most.
    ///
    /// # Errors
    /// Fails with what is missing, where there should be cards.
    pub(crate) async fn describe(self) -> Result<String, String> {
        match self {
            Self::Known(text) => Ok(text.to_owned()),
            Self::Sampled(mut samples) => {
                let known = samples.wait_for(|sampled| !matches!(sampled, Sampled::Pending));
                match tokio::time::timeout(FIRST_LOOK, known).await {
                    Ok(Ok(sampled)) => sampled.describe(),
                    Ok(Err(_)) | Err(_) => Sampled::Pending.describe(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(well: u32, out: u32) -> Host {
        let gpu = Simulated::new(&"a".parse().unwrap()).read(Ratio::ZERO);
        let card = |index| Card { index, gpu: gpu.clone() };
        let fault = |index| Out { index, why: format!("GPU {index}: XID 79") };
        Host { cards: (0..well + out).map(card).collect(), out: (well..well + out).map(fault).collect() }
    }

    #[test]
    fn each_card_has_the_same_share_of_the_slots() {
        for (well, out, slots) in [(0, 0, 24), (2, 0, 24), (1, 1, 12), (3, 1, 18), (0, 2, 0)] {
            assert_eq!(host(well, out).slots_in_service(24), slots, "{well} of {}", well + out);
        }
        assert!(host(0, 1).is_out() && !host(1, 1).is_out() && !host(0, 0).is_out());
        assert_eq!(host(1, 1).why_out().unwrap(), "GPU 1: XID 79");
    }
}
