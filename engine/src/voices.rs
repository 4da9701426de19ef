//! Starts a voice for a stream or a file, on the kind of thread that suits it.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use tokio::runtime::Handle;

use crate::config::{Config, Voice};
use crate::pump::{Pace, Pump};
use crate::query::Options;
use crate::recognizer::RecognizerError;
use crate::segment::Segmentation;
use crate::sphinx::{Pool, Sphinx, SphinxError};
use crate::synthetic::{Synthetic, SyntheticConfig};
use crate::transcriber::Transcriber;

/// Where the voices of an engine come from.
#[derive(Clone)]
pub(crate) enum Voices {
    /// Decoders of PocketSphinx.
    Sphinx(Arc<Pool>),
    /// Readers of coded audio.
    Synthetic(Arc<SyntheticConfig>),
}

impl Voices {
    /// Prepares the configured voice.
    ///
    /// # Errors
    /// Fails when PocketSphinx or its model is missing.
    pub(crate) fn open(config: &Config) -> Result<Self, SphinxError> {
        Ok(match config.voice {
            Voice::Sphinx => Self::Sphinx(Pool::open(&config.sphinx, config.slots.get().into())?),
            Voice::Synthetic => Self::Synthetic(Arc::new(config.synthetic.clone())),
        })
    }

    /// Says how fast a stream may be heard.
    pub(crate) fn pace(&self) -> Pace {
        match self {
            Self::Sphinx(_) => Pace::Free,
            Self::Synthetic(config) => Pace::Limited(config.speed),
        }
    }

    /// Says how long a result takes beyond the hearing itself, and how far that strays.
    pub(crate) fn latency(&self) -> (Duration, Duration) {
        match self {
            Self::Sphinx(_) => (Duration::ZERO, Duration::ZERO),
            Self::Synthetic(config) => (config.latency, config.jitter),
        }
    }

    /// Starts hearing. The seed makes one leg of the synthetic voice differ from the next.
    pub(crate) fn start(&self, pump: Pump, options: Options, seed: u64, shutdown: &Shutdown) {
        match self {
            Self::Sphinx(pool) => {
                let (pool, runtime) = (Arc::clone(pool), Handle::current());
                // Decoding would block the executor for tens of milliseconds at a time: it has a thread of its own.
                let thread = move || runtime.block_on(pump.run(sphinx(&pool, &options)));
                shutdown.spawn("voice", async move {
                    if let Err(error) = tokio::task::spawn_blocking(thread).await {
                        tracing::error!(%error, "voice thread ended early");
                    }
                });
            }
            Self::Synthetic(config) => {
                let voice = Synthetic::new(config, seed);
                let transcriber = Transcriber::new(Box::new(voice), &options, &Synthetic::segmentation(seed));
                shutdown.spawn("voice", pump.run(Ok(transcriber)));
            }
        }
    }
}

fn sphinx(pool: &Arc<Pool>, options: &Options) -> Result<Transcriber, RecognizerError> {
    let voice = Sphinx::start(pool)?;
    Ok(Transcriber::new(Box::new(voice), options, &Segmentation::default()))
}
