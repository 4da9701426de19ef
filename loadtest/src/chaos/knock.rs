//! Knocking: connects to a proxy again and again while it is replaced, and counts who was not let in.

use std::io;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::ChaosError;

/// What is asked on every connection.
const QUESTION: &[u8] = b"GET /livez HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n";
/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two connects, so that callers have the processor too.
const BREATH: Duration = Duration::from_millis(1);

/// Connects, and how many of them were refused, reset or not answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Knocks {
    /// All of them.
    pub connects: usize,
    /// Those who were not let in.
    pub refused: usize,
}

/// Somebody who knocks until it is told to stop. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Knocker {
    task: JoinSet<Knocks>,
    enough: CancellationToken,
}

impl Knocker {
    /// Begins to knock.
    pub(super) fn at(address: &str) -> Self {
        let (mut task, enough) = (JoinSet::new(), CancellationToken::new());
        task.spawn(knock(address.to_owned(), enough.clone()));
        Self { task, enough }
    }

    /// Stops, and tells what was counted.
    pub(super) async fn stop(mut self) -> Result<Knocks, ChaosError> {
        self.enough.cancel();
        self.task.join_next().await.and_then(Result::ok).ok_or(ChaosError::Interrupted)
    }
}

async fn knock(address: String, enough: CancellationToken) -> Knocks {
    let mut knocks = Knocks::default();
    while !enough.is_cancelled() {
        let answered = timeout(PATIENCE, ask(&address)).await.is_ok_and(|asked| asked.is_ok());
        knocks.connects += 1;
        knocks.refused += usize::from(!answered);
        tokio::time::sleep(BREATH).await;
    }
    knocks
}

async fn ask(address: &str) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(QUESTION).await?;
    let mut answer = Vec::new();
    socket.take(4 << 10).read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_reset_and_who_is_refused_is_counted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let knocker = Knocker::at(&address);
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        drop(first);
        drop(listener.accept().await.unwrap());
        drop(listener.accept().await.unwrap());
        drop(listener);
        let knocks = knocker.stop().await.unwrap();
        assert!(knocks.refused >= 2 && knocks.refused < knocks.connects, "{knocks:?}");
    }
}
