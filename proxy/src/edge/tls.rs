//! TLS before the gate: its configuration, and the handshake with its deadline. What comes out is a connection like any
//! other.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::{CertificateError, Certificates};

/// Time from the accept to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Where callers come in over TLS, and with what the proxy proves itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// HTTPS and WSS for callers.
    #[serde(default = "usual_address")]
    pub listen: SocketAddr,
    /// A PEM file: this proxy's certificate first, then those between it and a root.
    pub certificate: PathBuf,
    /// A PEM file: the certificate's private key.
    pub key: PathBuf,
}

fn usual_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 8443))
}

/// Turns accepted sockets into TLS connections.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    /// Prepares TLS 1.2 and 1.3 for HTTP/1.1. Every handshake shows what `certificates` hold then.
    ///
    /// # Errors
    /// Fails where the cryptography at hand lacks a version of TLS.
    pub(crate) fn new(certificates: &Certificates) -> Result<Self, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates.shown());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands on `io`.
    ///
    /// # Errors
    /// Fails when the caller breaks off, speaks something else, or takes longer than five seconds.
    pub(super) async fn shake_hands<I>(&self, io: I) -> io::Result<TlsStream<I>>
    where
        I: AsyncRead + AsyncWrite + Unpin,
    {
        timeout(HANDSHAKE, self.0.accept(io)).await?
    }
}
