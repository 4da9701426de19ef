//! The real voice: PocketSphinx 5prealpha with its stock en-US model, loaded at run time so that this crate builds on
//! machines that have neither.
//!
//! * `library`: the C functions, and the only `unsafe` of the workspace.
//! * `pool`: decoders made on demand and kept for the next stream.
//! * `recognizer`: one stream, utterance by utterance.

#[expect(unsafe_code, reason = "PocketSphinx is a C library, loaded at run time")]
mod library;
mod pool;
mod recognizer;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use pool::Pool;
pub(crate) use recognizer::Sphinx;

/// Where PocketSphinx and its model are found. The defaults are what Debian's packages install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SphinxConfig {
    /// The decoder's shared library: a path, or a name the system's linker finds.
    pub library: PathBuf,
    /// The shared library that the decoder builds upon.
    pub base_library: PathBuf,
    /// The folder with the acoustic model (`en-us/`), the language model and the dictionary.
    pub model: PathBuf,
}

impl Default for SphinxConfig {
    fn default() -> Self {
        Self {
            library: PathBuf::from("libpocketsphinx.so.3"),
            base_library: PathBuf::from("libsphinxbase.so.3"),
            model: PathBuf::from("/usr/share/pocketsphinx/model/en-us"),
        }
    }
}

impl SphinxConfig {
    fn acoustic_model(&self) -> PathBuf {
        self.model.join("en-us")
    }

    fn language_model(&self) -> PathBuf {
        self.model.join("en-us.lm.bin")
    }

    fn dictionary(&self) -> PathBuf {
        self.model.join("cmudict-en-us.dict")
    }

    /// Looks for every file the decoder reads: it would end the process over some that are missing.
    fn check_model(&self) -> Result<(), SphinxError> {
        const ACOUSTIC: [&str; 7] =
            ["feat.params", "mdef", "means", "noisedict", "sendump", "transition_matrices", "variances"];
        let acoustic = self.acoustic_model();
        let files = ACOUSTIC.iter().map(|name| acoustic.join(name));
        let missing = files.chain([self.language_model(), self.dictionary()]).find(|file| !readable(file));
        missing.map_or(Ok(()), |path| Err(SphinxError::Model { path }))
    }
}

fn readable(file: &Path) -> bool {
    std::fs::File::open(file).and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.is_file())
}

/// Says what keeps PocketSphinx from hearing.
#[derive(Debug, thiserror::Error)]
pub enum SphinxError {
    /// A shared library does not load.
    #[error("cannot load {} ({reason}): run `apt-get install libpocketsphinx3 pocketsphinx-en-us`", path.display())]
    Library {
        /// The library that was asked for.
        path: PathBuf,
        /// The linker's own words.
        reason: String,
    },
    /// A file of the model is missing or not readable.
    #[error("cannot read the speech model's file {}: run `apt-get install libpocketsphinx3 pocketsphinx-en-us`", path.display())]
    Model {
        /// The first file that is missing.
        path: PathBuf,
    },
    /// The library is not the version this was written for.
    #[error("the pocketsphinx library lacks the function {0}: version 5prealpha (libpocketsphinx.so.3) is needed")]
    Function(&'static str),
    /// A path cannot be handed to C.
    #[error("expected a path without zero bytes, got {0:?}")]
    Path(PathBuf),
    /// The library would not make a decoder.
    #[error("pocketsphinx refused its model: reinstall it with `apt-get install --reinstall pocketsphinx-en-us`")]
    Refused,
    /// A call on a decoder failed.
    #[error("pocketsphinx failed in {function} with {code}")]
    Call {
        /// The C function.
        function: &'static str,
        /// What it returned.
        code: i32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_with_the_command_that_installs_it() {
        let config = SphinxConfig { base_library: PathBuf::from("/nowhere/libsphinxbase.so.3"), ..Default::default() };
        let error = Pool::open(&config, 1).err().expect("no such library").to_string();
        assert!(error.contains("/nowhere/libsphinxbase.so.3"), "{error}");
        assert!(error.contains("apt-get install libpocketsphinx3 pocketsphinx-en-us"), "{error}");
    }

    #[test]
    fn a_missing_model_names_its_first_missing_file() {
        let config = SphinxConfig { model: PathBuf::from("/nowhere"), ..Default::default() };
        let error = config.check_model().expect_err("no such model").to_string();
        assert!(error.contains("/nowhere/en-us/feat.params"), "{error}");
    }
}
