//! A metadata server as Google's machines have it, which says what a fault wants it to say.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a question waits for a change.
const WAIT: Duration = Duration::from_secs(60);

/// What a cloud has in mind for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Word {
    /// It stays.
    Nothing,
    /// It is preempted.
    TakenAway,
}

/// The metadata server of one host. Dropping it ends it.
#[derive(Debug)]
pub(in crate::chaos) struct Metadata {
    address: SocketAddr,
    word: watch::Sender<Word>,
    _serving: JoinSet<io::Result<()>>,
}

impl Metadata {
    /// Opens on a free port, with nothing to say.
    ///
    /// # Errors
    /// When there is no port.
    pub(super) async fn open() -> io::Result<Self> {
        let word = watch::Sender::new(Word::Nothing);
        let pages = Router::new()
            .route("/computeMetadata/v1/instance/preempted", get(preempted))
            .route("/computeMetadata/v1/instance/maintenance-event", get(maintenance))
            .with_state(word.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(axum::serve(listener, pages).into_future());
        Ok(Self { address, word, _serving: serving })
    }

    /// Returns where agents ask.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Says something else from now on, to whoever waits as well.
    pub(in crate::chaos) fn say(&self, word: Word) {
        self.word.send_replace(word);
    }
}

impl Word {
    const fn tag(self) -> &'static str {
        match self {
            Self::Nothing => "a",
            Self::TakenAway => "b",
        }
    }

    const fn answer(self) -> &'static str {
        match self {
            Self::Nothing => "FALSE",
            Self::TakenAway => "TRUE",
        }
    }
}

async fn preempted(State(word): State<watch::Sender<Word>>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let mut word = word.subscribe();
    let query = query.unwrap_or_default();
    let knows = |word: &Word| query.split('&').any(|part| part.strip_prefix("last_etag=") == Some(word.tag()));
    let _ = timeout(WAIT, word.wait_for(|word| !knows(word))).await;
    let word = *word.borrow();
    ([("etag", word.tag())], word.answer())
}

async fn maintenance(RawQuery(query): RawQuery) -> impl IntoResponse {
    if query.is_some_and(|query| query.contains("last_etag=a")) {
        tokio::time::sleep(WAIT).await;
    }
    ([("etag", "a")], "NONE")
}
