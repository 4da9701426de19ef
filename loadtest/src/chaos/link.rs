//! A bad link: what stands between a proxy and an engine, and does to their bytes what networks do. It also sees which
//! sessions go over it, so that nobody has to be asked whom a fault has touched.

mod weather;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub(super) use weather::Cut;
use weather::Way;
pub use weather::Weather;

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks on their way in one direction.
const ON_THE_WAY: usize = 64;
/// How much of a connection is searched for the session's name.
const HEAD: usize = 8 << 10;
/// What a connection may still carry that is not to be torn.
const UNTORN: i64 = i64::MAX;
/// The header in which proxies name the session.
const SESSION: &str = "x-crosspoint-session: ";

/// A listener that passes on to one engine. Dropping it closes every connection.
#[derive(Debug)]
pub(super) struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    weather: watch::Sender<Weather>,
    target: Mutex<Option<SocketAddr>>,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    /// How many legs each session has had here.
    legs: Mutex<HashMap<String, u32>>,
    /// When the last leg of each session here ended.
    left: Mutex<HashMap<String, Instant>>,
    seeds: AtomicU64,
}

/// One connection that passes.
#[derive(Debug)]
struct Connection {
    session: Mutex<Option<String>>,
    reset: Notify,
    /// Bytes until it is reset.
    left: AtomicI64,
}

impl Link {
    /// Opens on a free port; nobody is behind it yet.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) async fn open(weather: Weather, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            weather: watch::Sender::new(weather),
            target: Mutex::default(),
            connections: Mutex::default(),
            legs: Mutex::default(),
            left: Mutex::default(),
            seeds: AtomicU64::new(seed),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _accepting: accepting })
    }

    /// Returns where proxies reach the engine.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an engine behind it.
    pub(super) fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = Some(target);
    }

    /// Changes what it is like, at once, for open connections too.
    pub(super) fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.shared.weather.send_modify(change);
    }

    /// Lists the sessions whose legs go over it now.
    pub(super) fn sessions(&self) -> Vec<String> {
        let connections = lock(&self.shared.connections);
        connections.values().filter_map(|connection| lock(&connection.session).clone()).collect()
    }

    /// Returns how many legs each session has had over it.
    pub(super) fn legs(&self) -> HashMap<String, u32> {
        lock(&self.shared.legs).clone()
    }

    /// Returns when the last leg of each session over it ended, of those that ended since `from`.
    pub(super) fn left_since(&self, from: Instant) -> HashMap<String, Instant> {
        let left = lock(&self.shared.left);
        left.iter().filter(|(_, at)| **at >= from).map(|(session, at)| (session.clone(), *at)).collect()
    }

    /// Resets every connection.
    pub(super) fn reset(&self) {
        lock(&self.shared.connections).values().for_each(|connection| connection.reset.notify_one());
    }

    /// Resets every connection after some bytes more, at most so many.
    pub(super) fn tear(&self, dice: &mut impl Rng, most: i64) {
        for connection in lock(&self.shared.connections).values() {
            connection.left.store(dice.random_range(0..=most), Ordering::Relaxed);
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _from)) = accepted {
                connections.spawn(carry(socket, Arc::clone(&shared)));
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// Carries one connection to its end, clean or not.
async fn carry(mut socket: TcpStream, shared: Arc<Shared>) {
    let target = *lock(&shared.target);
    let connected = match target {
        Some(target) => TcpStream::connect(target).await.ok(),
        None => None,
    };
    let Some(mut engine) = connected else {
        let _ = socket.set_zero_linger();
        return;
    };
    let _ = (socket.set_nodelay(true), engine.set_nodelay(true));
    let seed = shared.seeds.fetch_add(1, Ordering::Relaxed);
    let connection =
        Arc::new(Connection { session: Mutex::default(), reset: Notify::new(), left: AtomicI64::new(UNTORN) });
    lock(&shared.connections).insert(seed, Arc::clone(&connection));
    if pass(&mut socket, &mut engine, (&shared, &connection, seed)).await.is_err() {
        // Neither side shall take this for an end.
        let _ = (socket.set_zero_linger(), engine.set_zero_linger());
    }
    lock(&shared.connections).remove(&seed);
    if let Some(session) = lock(&connection.session).take() {
        lock(&shared.left).insert(session, Instant::now());
    }
}

async fn pass(
    socket: &mut TcpStream,
    engine: &mut TcpStream,
    (shared, connection, seed): (&Shared, &Connection, u64),
) -> io::Result<()> {
    let (caller_reads, caller_writes) = socket.split();
    let (engine_reads, engine_writes) = engine.split();
    let pipe = |way, salt| Pipe { shared, connection, way, dice: SmallRng::seed_from_u64(seed ^ salt) };
    let both = async {
        tokio::try_join!(
            pipe(Way::Up, 0).run(caller_reads, engine_writes),
            pipe(Way::Down, 1 << 63).run(engine_reads, caller_writes),
        )
    };
    tokio::select! {
        passed = both => passed.map(drop),
        () = connection.reset.notified() => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// One direction of a connection.
struct Pipe<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    way: Way,
    dice: SmallRng,
}

/// Bytes, and when they arrive.
type Chunk = (Instant, Vec<u8>);

impl Pipe<'_> {
    async fn run(mut self, reads: ReadHalf<'_>, writes: WriteHalf<'_>) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        let (weather, way) = (self.shared.weather.subscribe(), self.way);
        tokio::try_join!(self.take(reads, sender), deliver(writes, receiver, weather, way)).map(drop)
    }

    async fn take(&mut self, mut reads: ReadHalf<'_>, sender: mpsc::Sender<Chunk>) -> io::Result<()> {
        let (mut last, mut head) = (Instant::now(), Vec::new());
        loop {
            let mut chunk = vec![0; CHUNK];
            let len = reads.read(&mut chunk).await?;
            chunk.truncate(len);
            if len == 0 {
                return Ok(());
            }
            self.look(&chunk, &mut head);
            self.tear(len)?;
            last = self.arrival(last);
            if sender.send((last, chunk)).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    /// Reads the session's name in the first bytes towards the engine.
    fn look(&self, chunk: &[u8], head: &mut Vec<u8>) {
        if self.way == Way::Down || head.len() >= HEAD || lock(&self.connection.session).is_some() {
            return;
        }
        head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
        if let Some(session) = session(head) {
            *lock(&self.shared.legs).entry(session.clone()).or_default() += 1;
            *lock(&self.connection.session) = Some(session);
        }
    }

    /// Ends the connection where it is to be torn.
    fn tear(&self, len: usize) -> io::Result<()> {
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let left = &self.connection.left;
        if left.load(Ordering::Relaxed) == UNTORN || left.fetch_sub(len, Ordering::Relaxed) >= len {
            return Ok(());
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Works out when a chunk arrives: never before the one ahead of it.
    fn arrival(&mut self, last: Instant) -> Instant {
        let Weather { delay, jitter, held, held_for, .. } = *self.shared.weather.borrow();
        let mut due = Instant::now() + delay + jitter.mul_f64(self.dice.random());
        if held > 0.0 && self.dice.random_bool(held.min(1.0)) {
            due += held_for;
        }
        due.max(last)
    }
}

async fn deliver(
    mut writes: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    mut weather: watch::Receiver<Weather>,
    way: Way,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    while let Some((due, chunk)) = chunks.recv().await {
        sleep_until(due).await;
        let rate = weather.wait_for(|weather| !weather.cut.closes(way)).await.map_err(gone)?.rate;
        if let Some(rate) = rate {
            sleep(Duration::from_secs_f64(chunk.len() as f64 / f64::from(rate.get()))).await;
        }
        writes.write_all(&chunk).await?;
    }
    weather.wait_for(|weather| !weather.cut.closes(way)).await.map_err(gone)?;
    writes.shutdown().await
}

fn session(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_before, rest) = text.split_once(SESSION)?;
    let (session, _after) = rest.split_once("\r\n")?;
    Some(session.trim().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
