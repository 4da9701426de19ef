//! The host's GPUs: NVIDIA's library, an invented card, or none. Only this module touches NVML.

mod nvml;
mod sampler;
mod simulated;
#[cfg(test)]
mod stub;

use std::time::Duration;

use scheduler::{Gpu, NodeId, Ratio};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{AgentError, Config, GpuSource};
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
                let sampler = Sampler::start(config.nvml_library.clone(), config.report_interval);
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
    pub(crate) fn read(&mut self, load: Ratio, now: Instant) -> Vec<Card> {
        match &mut self.0 {
            Source::Nvml(sampler) => sampler.read(now),
            Source::Simulated(simulated) => vec![Card { index: 0, gpu: simulated.read(load) }],
            Source::None => Vec::new(),
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
    pub(crate) async fn describe(self) -> String {
        match self {
            Self::Known(text) => text.to_owned(),
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
