//! Callers that lose their connection, or their proxy, and go on with the same stream: every word once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::support::child::{Child, Start, kill};
use crate::support::http::Door as _;
use crate::support::keys::{self, create};
use crate::support::proxy::Proxy;
use crate::support::redis::Redis;
use crate::support::router::{Node, Router};
use crate::support::speech::{ensure_clean, file, query, sound, transcript};
use crate::support::stream::{Kind, Opened, Socket, Stream, ensure_tiled, is, knock_at, open_at, text};
use crate::support::up::KEY;
use crate::support::{until, within};

const FORMAT: Format = Format::SPEECH;
/// 100 ms of speech, ten times a second.
const PIECE: usize = 3_200;
const EVERY: Duration = Duration::from_millis(100);
const FRAME: usize = 2;
/// Audio that another proxy is sent again, before what is final, in samples: three seconds.
const BEFORE: u64 = 48_000;

/// A router, two nodes, and two proxies that know each other's tokens.
struct Site {
    router: Router,
    proxies: [Proxy; 2],
    _nodes: [(Child, Node); 2],
    _secret: TempDir,
}

impl Site {
    async fn start() -> anyhow::Result<Self> {
        let secret = tempfile::tempdir()?;
        let path = secret.path().join("secret");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n")?;
        let router = Router::configured("", "127.0.0.1:0").await?;
        let nodes = [router.node_of("one", "4", &router).await?, router.node_of("two", "4", &router).await?];
        for (_, node) in &nodes {
            router.serving(node).await?;
        }
        let resume = format!("resume: {{ secret: \"{}\" }}", path.display());
        let urls = [router.url()];
        let proxies = [Proxy::start(&urls, &resume, "").await?, Proxy::start(&urls, &resume, "").await?];
        Ok(Self { router, proxies, _nodes: nodes, _secret: secret })
    }

    fn address(&self, proxy: usize) -> &str {
        self.proxies[proxy].address()
    }
}

/// A caller that keeps what it takes to go on.
struct Caller {
    script: Script,
    sound: Vec<u8>,
    sent: usize,
    token: String,
    received: u64,
    settled: u64,
    last_seq: u64,
    messages: Vec<Value>,
    times: Vec<Instant>,
}

impl Caller {
    fn new(script: Script) -> Self {
        Self {
            script,
            sound: sound(script, FORMAT),
            sent: 0,
            token: String::new(),
            received: 0,
            settled: 0,
            last_seq: 0,
            messages: Vec::new(),
            times: Vec::new(),
        }
    }

    async fn open(&self, address: &str) -> anyhow::Result<Stream> {
        open_at(address, &format!("{}&interim_results=true&events=1&ack=1", query(FORMAT))).await
    }

    /// Asks a proxy to go on, and hands back what it does not know.
    async fn resume(&mut self, address: &str) -> anyhow::Result<Stream> {
        let from = self.settled.saturating_sub(BEFORE);
        let Self { token, last_seq, received, .. } = self;
        let query = format!("resume={token}&last_seq={last_seq}&from={from}&received={received}");
        let mut stream = open_at(address, &query).await?;
        let resumed = stream.next(|_| true).await?.remove(0);
        anyhow::ensure!(resumed["type"] == "Resumed", "{resumed}");
        let received = resumed["received_samples"].as_u64().context("a position")?;
        if received == from {
            let from = from as f64 / 16_000.0;
            let known = self.finals().filter(|told| end(told) > from).map(Value::to_string).collect::<Vec<_>>();
            for told in known {
                stream.text(&told).await?;
            }
        }
        self.sent = usize::try_from(received)? * FRAME;
        Ok(stream)
    }

    fn finals(&self) -> impl Iterator<Item = &Value> {
        self.messages.iter().filter(|message| is(message, Kind::Final))
    }

    /// Speaks in real time, but what was sent before at once, until `enough`.
    async fn speak(&mut self, socket: &mut Socket, enough: impl Fn(&Self) -> bool) -> anyhow::Result<Option<u16>> {
        let mut ticks = interval(EVERY);
        while !enough(self) {
            tokio::select! {
                _ = ticks.tick(), if self.sent < self.sound.len() => {
                    let end = (self.sent + PIECE).min(self.sound.len());
                    socket.send(Message::Binary(self.sound[self.sent..end].to_vec().into())).await?;
                    self.sent = end;
                    if end == self.sound.len() {
                        socket.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
                    }
                }
                message = within("message", socket.next()) => match message?.context("the end of the connection")?? {
                    Message::Text(text) => self.note(serde_json::from_str(&text)?),
                    Message::Close(frame) => return Ok(frame.map(|frame| frame.code.into())),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                },
            }
        }
        Ok(None)
    }

    fn note(&mut self, message: Value) {
        match message["type"].as_str() {
            Some("SessionInfo") => self.token = message["resume_token"].as_str().unwrap_or_default().to_owned(),
            Some("AudioAck") => {
                self.received = message["received_samples"].as_u64().unwrap_or(0);
                self.settled = message["final_samples"].as_u64().unwrap_or(0);
            }
            Some(_) | None => {}
        }
        if let Some(seq) = message["seq"].as_u64() {
            self.last_seq = seq;
        }
        self.times.push(Instant::now());
        self.messages.push(message);
    }

    /// Returns how long after a moment the first result came that went beyond what was told before.
    fn gap(&self, since: Instant) -> Option<Duration> {
        let results = || self.messages.iter().zip(&self.times).filter(|(message, _)| message["type"] == "Results");
        let before = results().filter(|(_, at)| **at < since).map(|(message, _)| end(message)).fold(0.0, f64::max);
        let mut after = results().filter(|(_, at)| **at >= since);
        after.find(|(message, _)| end(message) > before).map(|(_, at)| at.duration_since(since))
    }

    /// Checks that every word came once, and that the results follow each other, by their times and numbers.
    fn ensure_whole(&self) -> anyhow::Result<()> {
        ensure_clean(self.script, &text(self.finals()))?;
        ensure_tiled(self.finals())?;
        for (told, seq) in self.finals().zip(1..) {
            anyhow::ensure!(told["seq"] == seq, "expected number {seq}: {told}");
        }
        Ok(())
    }
}

fn end(result: &Value) -> f64 {
    result["start"].as_f64().unwrap_or(0.0) + result["duration"].as_f64().unwrap_or(0.0)
}

fn finals(count: usize) -> impl Fn(&Caller) -> bool {
    move |caller| caller.finals().count() >= count
}

#[tokio::test]
async fn a_connection_that_is_reset_is_resumed_at_the_same_proxy_as_one_session() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut caller = Caller::new(Script::lasting(51, Duration::from_secs(20)));
    let mut stream = caller.open(site.address(0)).await?;
    let session = stream.session()?;
    for count in [2, 4] {
        anyhow::ensure!(caller.speak(&mut stream.socket, finals(count)).await?.is_none());
        stream.socket.get_ref().set_zero_linger()?;
        drop(stream);
        stream = caller.resume(site.address(0)).await?;
        assert_eq!(stream.session()?, session);
    }
    assert_eq!(caller.speak(&mut stream.socket, |_| false).await?, Some(1000));
    caller.ensure_whole()?;
    let record = site.router.record(&session).await?;
    assert_eq!((&record["reason"], &record["bytes_in"]), (&"completed".into(), &caller.sound.len().into()), "{record}");
    let page = site.proxies[0].metrics().await?;
    anyhow::ensure!(page.contains("crosspoint_proxy_resumes_total{outcome=\"returned\"} 2"), "{page}");
    anyhow::ensure!(page.contains("crosspoint_proxy_streams_parked 0"));
    Ok(())
}

/// Speaks to a proxy that is killed, goes on at the other one, and returns how long there were no new results.
async fn survive(session: u16) -> anyhow::Result<Duration> {
    let site = Site::start().await?;
    let mut caller = Caller::new(Script::lasting(session, Duration::from_secs(18)));
    let mut stream = caller.open(site.address(0)).await?;
    anyhow::ensure!(caller.speak(&mut stream.socket, finals(3)).await?.is_none());
    let killed = Instant::now();
    kill(site.proxies[0].pid()).await?;
    let mut stream = caller.resume(site.address(1)).await?;
    assert_eq!(caller.speak(&mut stream.socket, |_| false).await?, Some(1000));
    caller.ensure_whole()?;
    let record = site.router.record(&stream.session()?).await?;
    assert_eq!(record["reason"], "completed", "{record}");
    caller.gap(killed).context("a result after the proxy was killed")
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "what the loss of a proxy costs is worth seeing")]
async fn a_killed_proxys_stream_goes_on_at_another_one_with_every_word_once() -> anyhow::Result<()> {
    println!("kill -9 of a proxy: {:?} without a new result", survive(52).await?);
    Ok(())
}

/// Prints what the loss of a proxy costs; by hand, with `--run-ignored only --no-capture`.
#[tokio::test]
#[ignore = "a measurement of some minutes"]
#[expect(clippy::print_stdout, reason = "a measurement")]
async fn gaps_around_lost_proxies() -> anyhow::Result<()> {
    let mut gaps = Vec::new();
    for round in 0..10 {
        gaps.push(survive(200 + round).await?);
    }
    gaps.sort_unstable();
    println!(
        "kill -9 of a proxy: {} gaps, p50 {:?}, most {:?}",
        gaps.len(),
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1]
    );
    Ok(())
}

#[tokio::test]
async fn transcribe_goes_on_by_itself_when_its_proxy_is_killed() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let script = Script::lasting(53, Duration::from_secs(12));
    let folder = tempfile::tempdir()?;
    let wav = folder.path().join("speech.wav");
    std::fs::write(&wav, file(script, FORMAT, None)?)?;
    let urls = [0, 1].map(|proxy| format!("http://{}", site.address(proxy)));
    let start = Start::of(&["transcribe", "--stream", "--format", "json", "--key", KEY, "--url", &urls[0]]).with(&[
        "--url",
        &urls[1],
        &wav.display().to_string(),
    ]);
    let killing = async {
        until("stream with results", async || {
            let page = site.proxies[0].metrics().await?;
            Ok(page.contains("crosspoint_proxy_first_result_seconds_count 1").then_some(()))
        })
        .await?;
        tokio::time::timeout(Duration::from_secs(4), std::future::pending::<()>()).await.ok();
        kill(site.proxies[0].pid()).await
    };
    let (output, killed) = tokio::join!(start.output_within(Duration::from_secs(60)), killing);
    killed?;
    let output = output?;
    let words = String::from_utf8(output.stderr)?;
    anyhow::ensure!(output.status.success(), "{words}");
    anyhow::ensure!(words.contains(&format!("goes on at {}", urls[1])), "{words}");
    let body: Value = serde_json::from_slice(&output.stdout)?;
    ensure_clean(script, transcript(&body["results"]["channels"][0]))
}

#[tokio::test]
async fn a_second_connection_with_the_token_ends_the_first_with_4409() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let mut caller = Caller::new(Script::lasting(54, Duration::from_secs(8)));
    let mut first = caller.open(site.address(0)).await?;
    caller.speak(&mut first.socket, finals(1)).await?;
    let mut second = caller.resume(site.address(0)).await?;
    let ended = first.end().await?;
    assert_eq!(ended.close().0, 4409, "{:?}", ended.close());
    assert_eq!(caller.speak(&mut second.socket, |_| false).await?, Some(1000));
    caller.ensure_whole()?;
    let over = format!("resume={}&last_seq={}", caller.token, caller.last_seq);
    let header = format!("Token {KEY}");
    // Until the answer to the close is there, the caller may not have heard the end.
    while let Some(Ok(_)) = within("end of the connection", second.socket.next()).await? {}
    let refused = async || match knock_at(site.address(0), &over, &[("authorization", &header)]).await? {
        Opened::Refused(answer) => Ok(Some(answer)),
        Opened::Stream(_) => Ok(None),
    };
    assert_eq!(until("refusal", refused).await?.status, 404, "nobody goes on with what is over");
    Ok(())
}

#[tokio::test]
async fn nobody_goes_on_with_the_stream_of_another_key() -> anyhow::Result<()> {
    let Some(redis) = Redis::start().await? else { return Ok(()) };
    let router = Router::keeping(&redis.url(), "null").await?;
    let (_node, node) = router.node_of("only", "4", &router).await?;
    router.serving(&node).await?;
    let proxy = keys::Proxy::start(&redis.url(), &router).await?;
    let [mine, other] = [create(router.admin(), &[]).await?, create(router.admin(), &[]).await?];
    let knock =
        async |query: &str, key: &keys::Key| knock_at(proxy.address(), query, &[("authorization", &key.token())]).await;
    let mut stream = knock(&format!("{}&ack=1", query(FORMAT)), &mine).await?.stream()?;
    let info = stream.next(|message| message["type"] == "SessionInfo").await?.remove(0);
    let token = info["resume_token"].as_str().context("a token")?;
    let mut refusals = Vec::new();
    for (token, key) in [(token, &other), ("bm9uc2Vuc2U.bm9uc2Vuc2U", &mine), ("", &mine)] {
        let refused = knock(&format!("resume={token}&from=0"), key).await?.refused()?;
        assert_eq!(refused.status, 404);
        refusals.push(refused.headers["dg-error"].clone());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "all are told the same: {refusals:?}");
    let resumed = knock(&format!("resume={token}"), &mine).await?.stream()?.next(|_| true).await?;
    assert_eq!(resumed[0]["type"], "Resumed");
    anyhow::ensure!(!proxy.log().contains(token), "a token is in the log");
    Ok(())
}

#[tokio::test]
async fn a_plain_caller_sees_none_of_it() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let script = Script { session: 55, words: 12 };
    let stream = open_at(site.address(0), &format!("{}&interim_results=true", query(FORMAT))).await?;
    let ended = stream.say(&sound(script, FORMAT)).await?;
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    for message in &ended.messages {
        anyhow::ensure!(message["type"] == "Results" || message["type"] == "Metadata", "{message}");
        anyhow::ensure!(message.get("seq").is_none(), "{message}");
    }
    Ok(())
}
