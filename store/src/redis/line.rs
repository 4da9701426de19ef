//! The line to Redis: one connection that all calls of a process share, their requests on their way together. It is made when
//! it is first needed, and again after it broke; behind sentinels that asks them anew who the master is.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, TlsCertificates,
    TlsMode, Value,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::servers::{Sentinel, Topology};
use crate::{RedisServers, RedisUrl};

/// How long it may take to reach a server, names, sentinels and TLS included. A call waits for its own time only; the next
/// one goes on where it stopped waiting.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection that may be cloned: the clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(commands, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// How a server is found.
enum Way {
    One(Box<Client>),
    Sentinel { sentinel: Sentinel, certificates: Option<TlsCertificates> },
    Cluster(Box<ClusterClient>),
}

type Connecting = Pin<Box<dyn Future<Output = RedisResult<Connection>> + Send>>;

/// What there is of a connection, and how many there were before.
#[derive(Default)]
struct State {
    number: u64,
    connection: Option<Connection>,
    connecting: Option<Connecting>,
}

/// The line of one process.
pub(super) struct Line {
    way: Way,
    state: Mutex<State>,
}

impl Line {
    /// Prepares the way; nothing is sent yet.
    pub(super) fn new(
        servers: &RedisServers,
        certificates: Option<TlsCertificates>,
        patience: Duration,
    ) -> RedisResult<Self> {
        let way = match &servers.at {
            Topology::One(url) => Way::One(Box::new(client(url, certificates)?)),
            Topology::Sentinel(sentinel) => {
                sentinel_client(sentinel, certificates.as_ref())?;
                Way::Sentinel { sentinel: sentinel.clone(), certificates }
            }
            Topology::Cluster(seeds) => Way::Cluster(Box::new(cluster(seeds, certificates, patience)?)),
        };
        Ok(Self { way, state: Mutex::default() })
    }

    /// Returns the connection and its number, making it first where there is none. Whoever stops waiting leaves what was begun
    /// to the next one.
    pub(super) async fn get(&self) -> RedisResult<(u64, Connection)> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((state.number, connection.clone()));
        }
        let made = state.connecting.get_or_insert_with(|| self.connect()).await;
        state.connecting = None;
        let connection = made?;
        state.number += 1;
        state.connection = Some(connection.clone());
        Ok((state.number, connection))
    }

    /// Gives up a connection on which a call failed, unless it was replaced since. A cluster's mends itself.
    pub(super) async fn give_up(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.number == number && matches!(state.connection, Some(Connection::Server(_))) {
            state.connection = None;
        }
    }

    fn connect(&self) -> Connecting {
        // Each call has its own deadline, which may be longer than what the library waits.
        let bounds = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let connecting: Connecting = match &self.way {
            Way::One(client) => {
                let client = client.clone();
                Box::pin(async move {
                    client.get_multiplexed_async_connection_with_config(&bounds).await.map(Connection::Server)
                })
            }
            Way::Sentinel { sentinel, certificates } => {
                let sentinels = sentinel_client(sentinel, certificates.as_ref());
                Box::pin(
                    async move { sentinels?.get_async_connection_with_config(&bounds).await.map(Connection::Server) },
                )
            }
            Way::Cluster(client) => {
                let client = client.clone();
                Box::pin(async move { client.get_async_connection().await.map(Connection::Cluster) })
            }
        };
        Box::pin(async move {
            let late = |_| RedisError::from((ErrorKind::Io, "no server was reached in time"));
            timeout(CONNECT, connecting).await.map_err(late)?
        })
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

fn client(url: &RedisUrl, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    match certificates {
        Some(certificates) if url.is_secure() => Client::build_with_tls(url.expose(), certificates),
        Some(_) | None => Client::open(url.expose()),
    }
}

fn cluster(
    seeds: &[RedisUrl],
    certificates: Option<TlsCertificates>,
    patience: Duration,
) -> RedisResult<ClusterClient> {
    let builder = ClusterClient::builder(seeds.iter().map(RedisUrl::expose));
    // A slot whose node changes is asked for again within the time of one call.
    let builder = builder.connection_timeout(CONNECT).response_timeout(patience).max_retry_wait(20).min_retry_wait(5);
    match certificates {
        Some(certificates) => builder.certs(certificates).build(),
        None => builder.build(),
    }
}

/// Sentinels and the servers that they watch speak TLS both or neither, and trust the same authority.
fn sentinel_client(sentinel: &Sentinel, certificates: Option<&TlsCertificates>) -> RedisResult<SentinelClient> {
    let known = sentinel.sentinels.iter().map(|url| Client::open(url.expose()));
    let known = known.collect::<RedisResult<Vec<_>>>()?;
    let addresses = known.iter().map(|client| client.get_connection_info().addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, &sentinel.master, SentinelServerType::Master)?;
    if let Some(first) = known.first().map(|client| client.get_connection_info().redis_settings()) {
        builder = match first.username() {
            Some(user) => builder.set_client_to_sentinel_username(user),
            None => builder,
        };
        builder = match first.password() {
            Some(password) => builder.set_client_to_sentinel_password(password),
            None => builder,
        };
    }
    if let Some(user) = &sentinel.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = &sentinel.password {
        builder = builder.set_client_to_redis_password(password.expose());
    }
    builder = builder.set_client_to_redis_db(sentinel.database.into());
    if sentinel.sentinels.iter().all(RedisUrl::is_secure) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
    }
    builder.build()
}
