//! The certificate that TLS handshakes show, and its key: read from two files, and read again when these change. A pair
//! that makes no sense, be it half written or half replaced, is never shown: the last good one stays.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::TlsConfig;
use crate::metrics;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// Says why a certificate and its key cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}, the TLS {what}: {cause}", path.display())]
    Unreadable {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is not, or not only, whole PEM of the right kind.
    #[error("expected {what} in whole PEM sections in {}", path.display())]
    NoPem {
        /// What the file should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The certificate is none, the key is none, or they do not belong together.
    #[error("cannot use {} with the key {}: {cause}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        cause: rustls::Error,
    },
    /// The cryptography at hand lacks a version of TLS.
    #[error("cannot speak TLS")]
    NoTls(#[from] rustls::Error),
}

/// What both files held, without holding it.
type Fingerprint = [u8; 32];

/// The two files, and what was last good of them.
pub(crate) struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    seen: Fingerprint,
    shown: watch::Sender<Arc<CertifiedKey>>,
    complaint: Option<String>,
}

impl Certificates {
    /// Reads both files.
    ///
    /// # Errors
    /// Fails on a file that cannot be read, and on a pair that makes no sense, naming the file.
    pub(crate) async fn read(config: &TlsConfig) -> Result<Self, CertificateError> {
        let (certificate, key) = (config.certificate.clone(), config.key.clone());
        let pair = Pair::read(&certificate, &key).await?;
        let shown = watch::Sender::new(Arc::new(pair.certified(&certificate, &key)?));
        Ok(Self { certificate, key, seen: pair.fingerprint(), shown, complaint: None })
    }

    /// Returns what handshakes ask for the certificate.
    pub(super) fn shown(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Shown(self.shown.subscribe()))
    }

    /// Looks at the files every two seconds until the drain begins.
    pub(crate) async fn follow(mut self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = sleep(LOOK) => self.look().await,
            }
        }
    }

    /// Shows what the files hold now if it is new and good, and says once what is wrong with it if not.
    pub(super) async fn look(&mut self) {
        match self.read_again().await {
            Ok(None) => self.complaint = None,
            Ok(Some(certified)) => {
                self.complaint = None;
                self.shown.send_replace(Arc::new(certified));
                metrics::certificate_replaced();
                info!(certificate = %self.certificate.display(), "certificate replaced");
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    async fn read_again(&mut self) -> Result<Option<CertifiedKey>, CertificateError> {
        let pair = Pair::read(&self.certificate, &self.key).await?;
        let fingerprint = pair.fingerprint();
        if fingerprint == self.seen {
            return Ok(None);
        }
        let certified = pair.certified(&self.certificate, &self.key)?;
        self.seen = fingerprint;
        Ok(Some(certified))
    }

    fn complain(&mut self, error: String) {
        if self.complaint.as_ref() != Some(&error) {
            metrics::certificate_rejected();
            warn!(%error, "certificate not replaced, the last good one stays");
            self.complaint = Some(error);
        }
    }
}

/// Both files' bytes.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    async fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        Ok(Self { certificate: bytes("certificate", certificate).await?, key: bytes("key", key).await? })
    }

    fn fingerprint(&self) -> Fingerprint {
        let halves = [&self.certificate, &self.key].map(Sha256::digest);
        Sha256::digest(halves.concat()).into()
    }

    fn certified(&self, certificate: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
        let bad = |what, path: &Path| CertificateError::NoPem { what, path: path.to_owned() };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| bad("certificates", certificate))?;
        let private = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| bad("a private key", key))?;
        let unusable =
            |cause| CertificateError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), cause };
        CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(unusable)
    }
}

async fn bytes(what: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |cause| CertificateError::Unreadable { what, path: path.to_owned(), cause };
    tokio::fs::read(path).await.map_err(unreadable)
}

/// Answers handshakes with the last good certificate.
#[derive(Debug)]
struct Shown(watch::Receiver<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }
}
