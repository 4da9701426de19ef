//! The proxy's own accept loop: deadlines, bounds and strict HTTP before any route is asked. It stands apart from the
//! routes because it must hold against callers of whom nothing is known yet, and `axum::serve` bounds none of this.
//!
//! A connection passes through:
//!
//! * `ways`, with `tls` and `certificates`: did it come by TLS? Then hands are shaken first, in time.
//! * `guests`: is there a request on it, or may its first still come? A drain waits for it.
//! * `seats`: is there room for it? `lanes`: the thread that serves it.
//! * `gate`, with `follower`, `head` and `chunk`: are the bytes well-formed HTTP/1.1, and in time?
//! * `door`, with `upload`: is the parsed request within the limits? Then the routes answer it.
//!
//! Connections that find no room are answered at once (503, or 429 for an address in a hurry) instead of waiting in the
//! accept queue: a load balancer that gets an answer tries the next proxy, one that gets none waits.

mod certificates;
mod chunk;
mod dialect;
mod door;
mod follower;
mod gate;
mod guests;
mod head;
mod lanes;
mod limits;
mod seats;
mod tls;
mod turned_away;
mod upload;
mod violation;
mod ways;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use process::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

pub(crate) use certificates::Certificates;
pub(crate) use tls::Tls;

pub use certificates::CertificateError;
pub use dialect::Dialect;
pub use lanes::Lanes;
pub use limits::Limits;
pub use tls::TlsConfig;
pub use upload::UploadError;
pub use violation::Violation;
pub use ways::Ways;

use door::Door;
use gate::Gate;
use guests::Guests;
use lanes::Berth;
use seats::{Seat, Seats};
use turned_away::TurnedAway;
use ways::Arrival;

/// Pause after an accept failed for want of descriptors or memory: others must give some back first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections that the kernel has taken in already are fetched from it before the listener is closed, which resets
/// those that are left.
const SWEEP: Duration = Duration::from_millis(20);
/// Bytes of a body that are read at once, where they come fast enough; a head is bounded before it.
const READ_AT_ONCE: usize = 64 * 1024;

/// The other end of a request's connection, among the request's extensions. It is the caller only where no hop that
/// speaks for callers stands between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Accepts connections by every one of `ways` and serves them on `lanes` until the drain begins, and a little longer where no
/// other process takes them. Ends when whoever came has been answered; what was upgraded goes on in tasks of `shutdown`.
pub async fn serve(ways: impl Into<Ways>, lanes: impl Into<Lanes>, limits: Limits, shutdown: Shutdown) {
    let ways = ways.into();
    let farewell = limits.linger + SWEEP;
    let mut edge = Edge::new(lanes, limits, shutdown.clone());
    edge.take_in(&ways, shutdown.begun()).await;
    if !ways.are_given_away() {
        edge.take_in(&ways, sleep(farewell)).await;
    }
    drop(ways);
    edge.host.guests.gone().await;
}

/// What decides who comes in.
struct Edge {
    seats: Seats,
    turned_away: TurnedAway,
    lanes: Lanes,
    host: Host,
    complaint: Complaint,
}

/// What every connection shares once it is in.
#[derive(Clone)]
struct Host {
    limits: Arc<Limits>,
    http: http1::Builder,
    guests: Guests,
    shutdown: Shutdown,
}

impl Edge {
    fn new(lanes: impl Into<Lanes>, limits: Limits, shutdown: Shutdown) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.keep_alive)
            .max_headers(limits.header_count.get().max(3))
            .max_buf_size(limits.header_bytes.get().saturating_mul(2).max(READ_AT_ONCE));
        let seats = Seats::new(limits.seats(), limits.connections_per_second_and_address);
        let host = Host { limits: Arc::new(limits), http, guests: Guests::default(), shutdown };
        let (turned_away, complaint) = (TurnedAway::default(), Complaint::default());
        Self { seats, turned_away, lanes: lanes.into(), host, complaint }
    }

    /// Takes callers in until something has happened.
    async fn take_in(&mut self, ways: &Ways, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = end.as_mut() => return,
                accepted = ways.accept() => accepted,
            };
            match accepted {
                Ok(arrival) => self.welcome(arrival),
                Err(error) if concerns_one_connection(&error) => {
                    debug!(%error, "connection lost before it was accepted");
                }
                Err(error) => {
                    self.complaint.log(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn welcome(&mut self, Arrival { stream, peer, tls }: Arrival) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "cannot switch off the delay of small packets");
        }
        match (self.seats.take(peer.ip(), Instant::now()), tls) {
            (Ok(seat), tls) => {
                if let Err(error) = self.usher(stream, peer, (seat, tls)) {
                    debug!(%error, %peer, "connection lost on its way to a lane");
                }
            }
            (Err(refused), None) => self.turned_away.answer(stream, refused, &self.host.shutdown),
            // An answer would cost a handshake, which is what a flood wants: the connection is closed without a word.
            (Err(_refused), Some(_)) => {}
        }
    }

    /// Serves a connection on the next lane.
    fn usher(&self, stream: TcpStream, peer: SocketAddr, (seat, tls): (Seat, Option<Tls>)) -> io::Result<()> {
        let stream = stream.into_std()?;
        let (berth, _entered) = self.lanes.next().enter();
        let stream = TcpStream::from_std(stream)?;
        match tls {
            None => self.host.converse(stream, peer, (seat, berth)),
            Some(tls) => self.host.shake_hands(tls, stream, peer, (seat, berth)),
        }
        Ok(())
    }
}

impl Host {
    /// Serves one connection in its own task, once hands are shaken.
    fn shake_hands<I>(&self, tls: Tls, io: I, peer: SocketAddr, place: (Seat, Berth))
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let host = self.clone();
        self.shutdown.spawn("handshake", async move {
            match tls.shake_hands(io).await {
                Ok(io) => host.converse(io, peer, place),
                Err(error) => debug!(%error, %peer, "no TLS handshake"),
            }
        });
    }

    /// Serves one connection in its own task.
    fn converse<I>(&self, io: I, peer: SocketAddr, (seat, berth): (Seat, Berth))
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let app = berth.app.clone();
        let gate = TokioIo::new(Gate::new(io, Arc::clone(&self.limits), (seat, berth)));
        let door = Door { app, limits: Arc::clone(&self.limits), peer };
        let guest = self.guests.arrive();
        let draining = self.shutdown.token();
        let (speaking, last) = (guest.clone(), draining.clone());
        let service = service_fn(move |request| {
            let (door, visit, last) = (door.clone(), speaking.speak(), last.clone());
            async move {
                let mut answer = door.answer(request).await;
                if last.is_cancelled() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(visit);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = self.http.serve_connection(gate, service).with_upgrades();
        self.shutdown.spawn("connection", async move {
            let mut connection = pin!(connection);
            // Whoever has just come in is heard first, since nobody else will hear it; and hyper would decline an upgrade that
            // is on its way.
            let leaving = async {
                draining.cancelled().await;
                guest.is_idle().await;
            };
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, %peer, "connection ended early");
            }
        });
    }
}

/// Tells the errors of a connection that was gone before it was accepted from those of the listener.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says at most once a second that accepting fails.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaint {
    fn log(&mut self, error: &io::Error) {
        if self.last.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            self.unsaid += 1;
            return;
        }
        warn!(%error, since_last = self.unsaid, "cannot accept connections, trying again");
        (self.last, self.unsaid) = (Some(Instant::now()), 0);
    }
}
