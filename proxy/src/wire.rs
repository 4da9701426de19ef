//! The bytes below the messages: how nodes are dialled, and the sockets of both sides.

use std::io;

use async_trait::async_trait;
use relay::{Limits, Role, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection that bytes go through.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<P: AsyncRead + AsyncWrite + Unpin + Send> Pipe for P {}

/// A leg's connection.
pub(crate) type LegSocket = Socket<Box<dyn Pipe>>;

/// A caller's connection.
pub(crate) type CallerSocket = Socket<Box<dyn Pipe>>;

/// Begins a caller's side after its upgrade.
pub(crate) fn caller_socket<P: Pipe + 'static>(pipe: P) -> CallerSocket {
    Socket::new(Box::new(pipe), Role::Server, Limits::default(), &[])
}

/// Begins a leg after its upgrade; `already_read` came with the answer.
pub(crate) fn leg_socket(pipe: Box<dyn Pipe>, already_read: &[u8]) -> LegSocket {
    Socket::new(pipe, Role::Client, Limits::default(), already_read)
}

/// Opens connections to nodes.
#[async_trait]
pub(crate) trait Dial: Send + Sync {
    /// Opens a connection to `host:port`.
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Pipe>>;
}

/// Dials over TCP.
pub(crate) struct Tcp;

#[async_trait]
impl Dial for Tcp {
    async fn dial(&self, address: &str) -> io::Result<Box<dyn Pipe>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}
