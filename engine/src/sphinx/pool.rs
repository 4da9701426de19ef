//! Decoders are dear (95 MB, 0.3 s), so they are made when first needed and kept for the next stream.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::{Decoder, Library};
use super::{SphinxConfig, SphinxError};

/// The library, and the decoders that wait for a stream.
pub(crate) struct Pool {
    library: Arc<Library>,
    arguments: Vec<CString>,
    idle: Mutex<Vec<Decoder>>,
    kept: usize,
}

impl Pool {
    /// Loads the library and checks that the model is there. At most `kept` decoders are kept when nobody uses them.
    ///
    /// # Errors
    /// Fails when the library or a file of the model is missing.
    pub(crate) fn open(config: &SphinxConfig, kept: usize) -> Result<Arc<Self>, SphinxError> {
        let library = Library::load(config)?;
        config.check_model()?;
        Ok(Arc::new(Self { library, arguments: arguments(config)?, idle: Mutex::default(), kept }))
    }

    /// Takes a waiting decoder, or makes one: slow, to be called on a blocking thread.
    ///
    /// # Errors
    /// Fails when the library refuses its model.
    pub(super) fn take(&self) -> Result<Decoder, SphinxError> {
        let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        waiting.map_or_else(|| Decoder::make(&self.library, &self.arguments), Ok)
    }

    /// Keeps a decoder for the next stream.
    pub(super) fn give_back(&self, decoder: Decoder) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.kept {
            idle.push(decoder);
        }
    }
}

/// Silence is kept in the sound (`-remove_silence no`), so that frames count time exactly; pauses are cut out before.
fn arguments(config: &SphinxConfig) -> Result<Vec<CString>, SphinxError> {
    let mut arguments = Vec::new();
    for text in ["-remove_silence", "no"] {
        arguments.push(argument(Path::new(text))?);
    }
    let files = [("-hmm", config.acoustic_model()), ("-lm", config.language_model()), ("-dict", config.dictionary())];
    for (name, file) in files {
        arguments.push(argument(Path::new(name))?);
        arguments.push(argument(&file)?);
    }
    Ok(arguments)
}

fn argument(path: &Path) -> Result<CString, SphinxError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| SphinxError::Path(path.to_owned()))
}
