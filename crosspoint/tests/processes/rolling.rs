//! Rolling restarts of proxies: nobody who connects is refused or reset, and streams shorter than the drain are untouched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::child::{Child, signal};
use crate::support::http::Door as _;
use crate::support::proxy::Proxy;
use crate::support::router::Router;
use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Kind, Stream, ensure_tiled, is, listen, open, open_at, text};
use crate::support::{until, within};

const FORMAT: Format = Format::SPEECH;
/// What a caller in real time sends at a time, ten times a second.
const PIECE: usize = 3_200;
const EVERY: Duration = Duration::from_millis(100);
/// Restarts in a row.
const RESTARTS: usize = 5;
/// Callers who do nothing but connect, and those who open one short stream after the other.
const KNOCKERS: usize = 2;

/// A site of one router and one node, whose proxies come and go.
struct Site {
    router: Router,
    _node: Child,
    folder: TempDir,
}

impl Site {
    async fn start() -> anyhow::Result<Self> {
        let router = Router::configured("", "127.0.0.1:0").await?;
        let (node, about) = Router::wide_node("node-0", &[router.url()]).await?;
        router.serving(&about).await?;
        Ok(Self { router, _node: node, folder: tempfile::tempdir()? })
    }

    /// Starts a proxy where callers find it; one that is there already hands over.
    async fn proxy(&self, listen: &str, more: &str) -> anyhow::Result<Proxy> {
        let folder = self.folder.path().display();
        let yaml = format!("handover: {folder}/proxy.sock, {more}");
        let store = format!("store: {{ directory: {folder} }}");
        Proxy::at(listen, &[self.router.url()], (&yaml, &store)).await
    }
}

/// Connects again and again, each time with a question; counts, and stops at the first that is not answered.
async fn knock(address: String, counter: Arc<AtomicU64>, over: Arc<AtomicBool>) -> anyhow::Result<()> {
    while !over.load(Ordering::Relaxed) {
        let mut socket = TcpStream::connect(&address).await.context("refused")?;
        socket.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.context("reset")?;
        let mut answer = String::new();
        within("answer", socket.read_to_string(&mut answer)).await?.context("reset")?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "answered {answer:?}");
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Opens short streams, one after the other, each checked word by word.
async fn call(address: String, counter: Arc<AtomicU64>, over: Arc<AtomicBool>) -> anyhow::Result<()> {
    for session in 500.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let script = Script { session, words: 2 };
        let ended = open_at(&address, &query(FORMAT)).await?.say(&sound(script, FORMAT)).await?;
        anyhow::ensure!(ended.close() == (1000, ""), "closed with {:?}", ended.close());
        ensure_clean(script, &text(ended.results(Kind::Final)))?;
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Speaks in real time to the end and checks every word.
async fn speak(stream: Stream, script: Script) -> anyhow::Result<()> {
    use futures_util::SinkExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let (mut sink, source) = stream.socket.split();
    let speaking = async {
        let mut ticks = tokio::time::interval(EVERY);
        for piece in sound(script, FORMAT).chunks(PIECE) {
            ticks.tick().await;
            sink.send(Message::Binary(piece.to_vec().into())).await?;
        }
        sink.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
        anyhow::Ok(())
    };
    let (spoken, ended) = tokio::join!(speaking, listen(source));
    spoken?;
    let ended = ended?;
    anyhow::ensure!(ended.close() == (1000, ""), "{:?}", ended.close());
    ensure_tiled(ended.results(Kind::Final))?;
    ensure_clean(script, &text(ended.results(Kind::Final)))
}

#[expect(clippy::disallowed_methods, reason = "a test's callers end with the test")]
fn begin<F>(caller: F) -> JoinHandle<anyhow::Result<()>>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    tokio::spawn(caller)
}

#[tokio::test]
async fn nobody_who_connects_during_restarts_is_refused_or_reset_and_streams_go_on() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut serving = site.proxy("127.0.0.1:0", "").await?;
    let address = serving.address().to_owned();
    let (knocks, calls, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::default());
    let mut callers = Vec::new();
    for _knocker in 0..KNOCKERS {
        callers.push(begin(knock(address.clone(), Arc::clone(&knocks), Arc::clone(&over))));
    }
    callers.push(begin(call(address.clone(), Arc::clone(&calls), Arc::clone(&over))));
    let (mut replaced, mut speakers) = (Vec::new(), Vec::new());
    for number in 0..RESTARTS {
        let script = Script::lasting(u16::try_from(number)?, Duration::from_secs(12));
        speakers.push(begin(speak(open(&serving, &query(FORMAT)).await?, script)));
        let (knocked, called) = (knocks.load(Ordering::Relaxed), calls.load(Ordering::Relaxed));
        until("callers in between", async || {
            let enough = knocks.load(Ordering::Relaxed) > knocked + 20 && calls.load(Ordering::Relaxed) > called + 1;
            let gone = callers.iter().any(JoinHandle::is_finished);
            Ok((enough || gone).then_some(()))
        })
        .await?;
        let next = site.proxy(&address, "").await?;
        assert_eq!(next.address(), address);
        replaced.push(std::mem::replace(&mut serving, next));
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers.into_iter().chain(speakers) {
        caller.await??;
    }
    for mut old in replaced {
        until("end of a proxy without streams", async || Ok((!old.is_running()?).then_some(()))).await?;
        assert!(old.log().contains("another proxy serves in place of this one"), "{}", old.log());
    }
    assert!(serving.is_running()?);
    let (knocks, calls) = (knocks.load(Ordering::Relaxed), calls.load(Ordering::Relaxed));
    assert!(knocks > 100 && calls >= 5, "{knocks} connects and {calls} streams");
    Ok(())
}

#[tokio::test]
async fn a_stream_longer_than_the_drain_is_told_1012_and_keeps_what_was_final() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let old = site.proxy("127.0.0.1:0", "drain: 1s").await?;
    let script = Script { session: 31, words: 30 };
    let mut stream = open(&old, &query(FORMAT)).await?;
    stream.audio(&sound(script, FORMAT)).await?;
    let heard = stream.next(|message| is(message, Kind::Final)).await?;
    let next = site.proxy(old.address(), "drain: 1s").await?;
    let ended = stream.end().await?;
    assert_eq!(ended.close(), (1012, "this proxy is restarting, please reconnect"));
    let told = heard.iter().chain(&ended.messages).filter(|message| is(message, Kind::Final));
    assert!(ensure_tiled(told)? > 0.0);
    assert_eq!(open(&next, &query(FORMAT)).await?.say(&sound(script, FORMAT)).await?.close(), (1000, ""));
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_lingers_takes_streams_while_load_balancers_are_told_to_look_away() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let proxy = Proxy::start(&[site.router.url()], "edge: { linger: 1h }", "").await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let ready = async || anyhow::Ok(client.get(format!("http://{}/readyz", proxy.address())).send().await?.status());
    assert_eq!(ready().await?, StatusCode::OK);
    signal(proxy.pid(), "TERM").await?;
    until("503", async || Ok((ready().await? == StatusCode::SERVICE_UNAVAILABLE).then_some(()))).await?;
    let script = Script { session: 32, words: 4 };
    let ended = open(&proxy, &query(FORMAT)).await?.say(&sound(script, FORMAT)).await?;
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(script, &text(ended.results(Kind::Final)))
}

#[tokio::test]
async fn a_proxy_that_does_not_hand_over_is_named() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let old = site.proxy("127.0.0.1:0", "").await?;
    signal(old.pid(), "STOP").await?;
    let refused = site.proxy(old.address(), "").await.err().context("an error")?.to_string();
    let socket = site.folder.path().join("proxy.sock");
    let expected = format!("cannot take over from the proxy at {}: ", socket.display());
    assert!(refused.contains(&expected), "{refused}");
    Ok(())
}
