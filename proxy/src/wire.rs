//! The bytes below the messages: how nodes are dialled, and the WebSocket settings that both sides share.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Largest message and frame from a caller, in bytes.
const CALLER_MESSAGE: usize = 1 << 20;
/// Largest message from an engine, in bytes.
const ENGINE_MESSAGE: usize = 1 << 20;
/// Bytes that may wait in a socket's own write buffer.
const WRITE_BUFFER: usize = 256 << 10;
/// Read buffer of a connection, in bytes; it grows while a larger message arrives.
const READ_BUFFER: usize = 4 << 10;

/// A connection that bytes go through.
pub(crate) trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<P: AsyncRead + AsyncWrite + Unpin + Send> Pipe for P {}

/// A leg's connection.
pub(crate) type LegSocket = WebSocketStream<Box<dyn Pipe>>;

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

/// Settings for a caller's connection.
pub(crate) fn caller_settings() -> WebSocketConfig {
    settings(CALLER_MESSAGE)
}

/// Settings for a leg.
pub(crate) fn leg_settings() -> WebSocketConfig {
    settings(ENGINE_MESSAGE)
}

fn settings(message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER + message)
        .max_message_size(Some(message))
        .max_frame_size(Some(message))
}
