//! A listener and the address it really has: ports are taken before any work starts, so that a clash is one clean line.

use std::net::SocketAddr;

use tokio::net::TcpListener;

/// Says that an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {cause}")]
pub struct BindError {
    purpose: &'static str,
    address: SocketAddr,
    cause: std::io::Error,
}

/// A bound listener; port 0 has become a free one.
#[derive(Debug)]
pub struct Bound {
    /// The listener.
    pub listener: TcpListener,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bound {
    /// Binds an address; `purpose` completes "listen for".
    ///
    /// # Errors
    /// Fails when the address is taken or not this machine's.
    pub async fn bind(purpose: &'static str, address: SocketAddr) -> Result<Self, BindError> {
        let failed = |cause| BindError { purpose, address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }
}
