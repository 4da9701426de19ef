//! Streams whose callers asked to be told more, by the name that their tokens carry: where a caller that comes back finds its
//! stream, and how much may be kept of those that wait for one.
//!
//! * `config`: `proxy.resume`. `token`: what a caller shows to go on, here or at another proxy.

mod config;
mod token;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use scheduler::SessionId;
use session::{Blame, CloseReason};
use store::Standing;
use tokio::sync::mpsc;

use crate::metrics;
use crate::wire::CallerSocket;

pub use config::{ResumeConfig, ResumeSecretError};
pub(crate) use token::{Seal, Ticket};

/// Streams that are over and remembered, so that nobody goes on with them.
const OVER: usize = 4096;

/// A caller that is there again.
pub(crate) struct Return {
    pub(crate) socket: CallerSocket,
    /// The number of the last final result that it has.
    pub(crate) last_seq: u64,
    /// How long its key holds.
    pub(crate) standing: Standing,
}

/// Every stream of this proxy that can be resumed.
pub(crate) struct Parking {
    config: ResumeConfig,
    seal: Seal,
    lot: Arc<Mutex<Lot>>,
}

#[derive(Default)]
struct Lot {
    streams: HashMap<SessionId, Entry>,
    over: VecDeque<SessionId>,
    parked: usize,
    bytes: usize,
}

struct Entry {
    session: SessionId,
    door: mpsc::Sender<Return>,
    last_seq: Arc<AtomicU64>,
}

/// What a token leads to.
pub(crate) enum Found {
    /// A session of this proxy, and the way to it.
    Here(SessionId, mpsc::Sender<Return>),
    /// A stream that ended.
    Over,
    /// Nothing: another proxy had it.
    Elsewhere,
}

impl Parking {
    /// Keeps what the configuration lets it, and knows tokens by a seal.
    pub(crate) fn new(config: ResumeConfig, seal: Seal) -> Self {
        Self { config, seal, lot: Arc::default() }
    }

    /// Returns the configuration.
    pub(crate) fn config(&self) -> &ResumeConfig {
        &self.config
    }

    /// Writes a token.
    pub(crate) fn issue(&self, ticket: &Ticket) -> String {
        self.seal.issue(ticket)
    }

    /// Reads a token; nothing of one that no proxy with this secret wrote.
    pub(crate) fn read(&self, token: &str) -> Option<Ticket> {
        self.seal.read(token)
    }

    /// Lets the callers of a stream find its session.
    pub(crate) fn berth(&self, stream: SessionId, session: SessionId, last_seq: u64) -> Berth {
        // One caller at the door is enough: the next one waits for it to be let in.
        let (door, returns) = mpsc::channel(1);
        let last_seq = Arc::new(AtomicU64::new(last_seq));
        let entry = Entry { session, door, last_seq: Arc::clone(&last_seq) };
        locked(&self.lot).streams.insert(stream, entry);
        let lot = Arc::clone(&self.lot);
        let most = (self.config.streams, self.config.bytes);
        Berth { lot, stream, session, returns, last_seq, most, parked: None, ended: None }
    }

    /// Finds the session of a stream. One that has told less than its caller knows has been left for another one.
    pub(crate) fn find(&self, stream: SessionId, last_seq: u64) -> Found {
        let mut lot = locked(&self.lot);
        match lot.streams.get(&stream) {
            Some(entry) if entry.last_seq.load(Ordering::Relaxed) >= last_seq => {
                Found::Here(entry.session, entry.door.clone())
            }
            Some(_) => {
                lot.streams.remove(&stream);
                Found::Elsewhere
            }
            None if lot.over.contains(&stream) => Found::Over,
            None => Found::Elsewhere,
        }
    }
}

/// A session's place: through it callers come back. Dropping it is the only way to give it up.
pub(crate) struct Berth {
    lot: Arc<Mutex<Lot>>,
    stream: SessionId,
    session: SessionId,
    returns: mpsc::Receiver<Return>,
    last_seq: Arc<AtomicU64>,
    most: (usize, usize),
    /// What is kept of it while its caller is away, in bytes.
    parked: Option<usize>,
    ended: Option<CloseReason>,
}

impl Berth {
    /// Notes the number of the last final result.
    pub(crate) fn told(&self, seq: u64) {
        self.last_seq.store(seq, Ordering::Relaxed);
    }

    /// Waits for a caller to come back; nothing once nobody can any more.
    pub(crate) fn poll_return(&mut self, cx: &mut Context<'_>) -> Poll<Option<Return>> {
        self.returns.poll_recv(cx)
    }

    /// Waits for a caller to come back; nothing once nobody can any more.
    pub(crate) async fn returned(&mut self) -> Option<Return> {
        self.returns.recv().await
    }

    /// Takes room for so many bytes that are kept while the caller is away; nothing is taken where there is none.
    pub(crate) fn park(&mut self, bytes: usize) -> Result<(), Full> {
        self.unpark();
        let mut lot = locked(&self.lot);
        let (streams, most_bytes) = self.most;
        if lot.parked >= streams || lot.bytes.saturating_add(bytes) > most_bytes {
            return Err(Full);
        }
        lot.parked += 1;
        lot.bytes += bytes;
        metrics::parked(lot.parked);
        self.parked = Some(bytes);
        Ok(())
    }

    /// Gives the room back: the caller is there, or will not come.
    pub(crate) fn unpark(&mut self) {
        if let Some(bytes) = self.parked.take() {
            let mut lot = locked(&self.lot);
            lot.parked -= 1;
            lot.bytes -= bytes;
            metrics::parked(lot.parked);
        }
    }

    /// Notes why the session ended: whom a node or this service failed may go on with another session.
    pub(crate) fn ended(&mut self, reason: CloseReason) {
        self.ended = Some(reason);
    }
}

/// Says that no more streams can wait for their callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Drop for Berth {
    fn drop(&mut self) {
        self.unpark();
        let mut lot = locked(&self.lot);
        if lot.streams.get(&self.stream).is_some_and(|entry| entry.session == self.session) {
            lot.streams.remove(&self.stream);
        }
        if self.ended.is_some_and(|reason| reason.blame() == Blame::Caller) {
            lot.over.push_back(self.stream);
            if lot.over.len() > OVER {
                lot.over.pop_front();
            }
        }
    }
}

fn locked(lot: &Mutex<Lot>) -> MutexGuard<'_, Lot> {
    lot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> SessionId {
        SessionId::from_random(number)
    }

    fn parking() -> Parking {
        Parking::new(ResumeConfig { streams: 2, bytes: 100, ..ResumeConfig::default() }, Seal::random())
    }

    #[test]
    fn a_stream_is_found_while_it_goes_on_and_never_after_its_end() {
        let parking = parking();
        assert!(matches!(parking.find(id(1), 0), Found::Elsewhere));
        let mut berth = parking.berth(id(1), id(7), 3);
        assert!(matches!(parking.find(id(1), 3), Found::Here(session, _) if session == id(7)));
        berth.ended(CloseReason::Completed);
        drop(berth);
        assert!(matches!(parking.find(id(1), 0), Found::Over));
    }

    #[test]
    fn whom_a_node_failed_may_go_on() {
        let parking = parking();
        let mut berth = parking.berth(id(1), id(1), 0);
        berth.ended(CloseReason::NoCapacity);
        drop(berth);
        assert!(matches!(parking.find(id(1), 0), Found::Elsewhere));
    }

    #[test]
    fn a_session_that_told_less_than_its_caller_knows_was_left_for_another() {
        let parking = parking();
        let mut old = parking.berth(id(1), id(1), 0);
        old.told(5);
        assert!(matches!(parking.find(id(1), 6), Found::Elsewhere));
        let new = parking.berth(id(1), id(2), 6);
        old.ended(CloseReason::NodeLost);
        drop(old);
        assert!(matches!(parking.find(id(1), 6), Found::Here(session, _) if session == id(2)));
        drop(new);
    }

    #[test]
    fn room_is_bounded_in_streams_and_bytes_and_comes_back() {
        let parking = parking();
        let mut berths: Vec<_> = (0..3).map(|number| parking.berth(id(number), id(number), 0)).collect();
        assert_eq!(berths[0].park(60), Ok(()));
        assert_eq!(berths[1].park(41), Err(Full));
        assert_eq!(berths[1].park(40), Ok(()));
        assert_eq!(berths[2].park(0), Err(Full));
        drop(berths.remove(0));
        assert_eq!(berths[1].park(60), Ok(()));
        berths[0].unpark();
        assert_eq!(berths[0].park(40), Ok(()));
    }
}
