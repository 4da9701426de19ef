//! The ways in: a plain socket and, where there is a certificate, one that speaks TLS. Both lead to the same seats.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::tls::Tls;

/// The listeners of one accept loop.
pub struct Ways {
    plain: TcpListener,
    secure: Option<(TcpListener, Tls)>,
    given_away: CancellationToken,
}

impl From<TcpListener> for Ways {
    fn from(plain: TcpListener) -> Self {
        Self { plain, secure: None, given_away: CancellationToken::new() }
    }
}

impl Ways {
    /// Opens a second way, over TLS.
    pub(crate) fn and_tls(self, listener: TcpListener, tls: Tls) -> Self {
        Self { secure: Some((listener, tls)), ..self }
    }

    /// Returns what is to be cancelled, before a drain begins, where another process takes callers on the same listeners.
    pub(crate) fn given_away(&self) -> CancellationToken {
        self.given_away.clone()
    }

    /// Tells whether another process takes callers on the same listeners.
    pub(super) fn are_given_away(&self) -> bool {
        self.given_away.is_cancelled()
    }

    /// Waits for the next caller on either.
    pub(super) async fn accept(&self) -> io::Result<Arrival> {
        let Some((secure, tls)) = &self.secure else {
            return plain(self.plain.accept().await);
        };
        tokio::select! {
            accepted = self.plain.accept() => plain(accepted),
            accepted = secure.accept() => {
                accepted.map(|(stream, peer)| Arrival { stream, peer, tls: Some(tls.clone()) })
            }
        }
    }
}

fn plain(accepted: io::Result<(TcpStream, SocketAddr)>) -> io::Result<Arrival> {
    accepted.map(|(stream, peer)| Arrival { stream, peer, tls: None })
}

/// A connection that was just accepted.
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// What it must shake hands with first, if it came that way.
    pub(super) tls: Option<Tls>,
}
