//! WebSocket settings that both sides share, and the socket types the pump moves messages between.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
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

/// A caller's connection after the upgrade.
pub(crate) type CallerSocket = WebSocketStream<TokioIo<Upgraded>>;
/// A connection to an engine.
pub(crate) type LegSocket = WebSocketStream<TcpStream>;

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
