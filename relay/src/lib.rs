//! The pipe: WebSocket frames (RFC 6455) between two sockets, verbatim where it can. It knows nobody, and begins where the
//! upgrade is done.
//!
//! A frame keeps its bytes as they came, header and mask included, so that a caller's frame is written to an engine
//! without being made anew, and an engine's to a caller. Only the header is parsed; messages in several frames are put
//! together and framed again, which speech clients hardly ever send.
//!
//! * `head`: the two to fourteen bytes before a payload. `mask`: the exclusive or over it.
//! * [`Frame`]: a whole message as bytes on the wire and as payload.
//! * [`Reader`]: bytes in, messages out; pure, so that it can be tested without a socket.
//! * `outbox`: what waits to be written, within a bound.
//! * [`Socket`]: one side of a connection: a reader, an outbox, pings answered, closes answered.
//! * [`Violation`] and [`Broken`]: what peers do wrong, each with its close code, and how connections end.
//!
//! An idle connection holds no buffer: reads go into the stack of whoever polls, and only what is not yet a whole frame
//! is kept.
//!
//! A relayed frame keeps the mask that the caller chose. Masks protect proxies of HTTP that do not know this protocol from
//! scripts in browsers; the way from here to an engine has none of those, since its upgrade was answered.

mod close;
mod fault;
mod frame;
mod head;
mod limits;
mod mask;
mod outbox;
mod reader;
mod socket;

pub use close::Close;
pub use fault::{Broken, Violation};
pub use frame::Frame;
pub use limits::{Limits, Role};
pub use reader::{Message, Reader};
pub use socket::Socket;
