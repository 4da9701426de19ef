//! A stand-in for NVIDIA's library, compiled by the tests that need it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Two invented cards behind NVML's own symbols, steered through a file.
pub(crate) struct Stub {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Stub {
    /// Compiles the stand-in into a folder of its own.
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("libnvidia-ml.so.1");
        let control = folder.path().join("control");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror"])
            .arg(format!("-DCONTROL=\"{}\"", control.display()))
            .arg("-o")
            .arg(&library)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nvml_stub.c"))
            .status()
            .expect("a C compiler called cc");
        assert!(compiled.success(), "the stand-in compiles");
        Self { folder, library }
    }

    /// Where the library is.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// Makes every later call obey: `lost N`, `hang`, `broken`, `no driver`, `xid N X`, `ecc N`, `well`.
    pub(crate) fn tell(&self, word: &str) {
        let next = self.folder.path().join("next");
        std::fs::write(&next, word).unwrap();
        std::fs::rename(next, self.folder.path().join("control")).unwrap();
    }
}

impl Drop for Stub {
    /// Frees a call that hangs, so that its thread can end.
    fn drop(&mut self) {
        self.tell("well");
    }
}
