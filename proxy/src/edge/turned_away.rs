//! Callers for whom there is no room: a short answer, a short wait for them to read it, and the door.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use process::Shutdown;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::seats::Refused;
use super::{Dialect, violation};

/// Callers who are answered at the same time; those beyond are hung up on without a word.
const ANSWERED_AT_ONCE: usize = 256;
/// Time that one of them may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers callers who found no seat.
#[derive(Debug)]
pub(super) struct TurnedAway {
    room: Arc<Semaphore>,
}

impl Default for TurnedAway {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)) }
    }
}

impl TurnedAway {
    /// Tells the caller to come back later, in a task of its own, and closes the connection.
    pub(super) fn answer<I>(&self, mut io: I, refused: Refused, shutdown: &Shutdown)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let answer = words(refused);
        shutdown.spawn("turned away", async move {
            let _permit = permit;
            let said = timeout(PATIENCE, async {
                io.write_all(answer.as_bytes()).await?;
                io.shutdown().await?;
                // What is left unread at a close destroys the answer on its way.
                while io.read(&mut [0; 1024]).await? > 0 {}
                Ok::<_, std::io::Error>(())
            });
            if said.await.is_err() {
                tracing::trace!("a caller without a seat did not hang up");
            }
        });
    }
}

/// Writes the whole answer. The time to wait is spread, so that callers do not come back together.
fn words(refused: Refused) -> String {
    let (status, message) = match refused {
        Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "too many connections are open: try again later"),
        Refused::TooFast => (StatusCode::TOO_MANY_REQUESTS, "too many new connections from this address: slow down"),
    };
    let id = violation::new_request_id();
    let body = Dialect::Deepgram.body(status, message, &id);
    let seconds = rand::random_range(1..=3);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: {seconds}\r\n\
         connection: close\r\ndg-error: {message}\r\ndg-request-id: {id}\r\n\r\n{body}",
        body.len()
    )
}
