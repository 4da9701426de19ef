//! A whole service under load: two routers on one Redis, a proxy, three nodes, streams that go on all the time and callers who
//! come all the time. A fault is put in, taken out, and what it cost is counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use audio::Format;
use audio::coded::{Checker, Script, Voice};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::child::Child;
use super::proxy::Proxy;
use super::redis::Redis;
use super::router::{Node, Router};
use super::speech::{ensure_clean, query, sound};
use super::stream::{Kind, Opened, Stream, knock, listen, text};
use super::until;
use super::up::KEY;

/// Streams that go on during the fault.
const STREAMS: u16 = 4;
/// Callers who open one short stream after the other.
const CALLERS: u16 = 2;
/// Pause between two streams of a caller.
const BREATH: Duration = Duration::from_millis(150);
/// What a stream sends at a time.
const FRAME: Duration = Duration::from_millis(100);
/// Leases that are not renewed are gone after this; so must be every trace of a fault.
const RIGHT_WITHIN: Duration = Duration::from_secs(15);

/// Reports follow a change within a second.
const SLACK: Duration = Duration::from_secs(1);

/// What a stream tells when it ends: words said, and whether each came once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unhurt,
    Hurt,
}

/// One try of a caller.
#[derive(Clone, Debug)]
struct Try {
    took: Duration,
    failed: Option<String>,
}

/// Everything, running.
pub(crate) struct Service {
    pub(crate) redis: Redis,
    pub(crate) routers: Vec<Router>,
    pub(crate) proxy: Arc<Proxy>,
    nodes: Vec<(Child, Node)>,
    streams: Vec<JoinHandle<anyhow::Result<Fate>>>,
    callers: Vec<JoinHandle<Vec<Try>>>,
    load: watch::Sender<Load>,
}

/// Who goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Everybody,
    StreamsOnly,
    Nobody,
}

/// What a fault cost.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) hurt: usize,
    pub(crate) tries: usize,
    pub(crate) failed: usize,
    pub(crate) slowest: Duration,
    pub(crate) recovered: Duration,
    pub(crate) leaked: u64,
    why: Vec<String>,
}

/// One line of the table in docs/reliability.md.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, hurt, tries, failed, slowest, recovered, leaked, .. } = self;
        let (slowest, recovered) = (slowest.as_millis(), recovered.as_secs_f64());
        write!(
            f,
            "| {fault} | {hurt} of {STREAMS} | {failed} of {tries} | {slowest} ms | {recovered:.1} s | {leaked} |"
        )
    }
}

impl Row {
    /// Prints the row, and checks what holds for every fault: no live stream is hurt, and no lease is left.
    #[expect(clippy::print_stdout, reason = "the rows are the table that docs/reliability.md shows")]
    pub(crate) fn ensure_harmless(self) -> anyhow::Result<Self> {
        println!("{self}");
        anyhow::ensure!(self.hurt == 0, "live streams hurt: {self}");
        anyhow::ensure!(self.leaked == 0, "leases leaked: {self}");
        anyhow::ensure!(self.tries >= 10, "hardly anybody came: {self}");
        Ok(self)
    }

    /// Checks that of every hundred new sessions, begun ones too, one at most was not served.
    pub(crate) fn ensure_admitted(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.failed <= self.tries.div_ceil(100), "new sessions failed: {self}, {:?}", self.why);
        Ok(self)
    }

    /// Checks that whoever was not let in was told to try again: no router was there, or one that no agent had found yet.
    pub(crate) fn ensure_refused_politely(self) -> anyhow::Result<()> {
        let told = ["no router answers, please try again", "no node is available, please try again"];
        let polite = |why: &String| told.iter().any(|text| *why == format!("refused with 503: {text}"));
        anyhow::ensure!(self.why.iter().all(polite), "{:?}", self.why);
        Ok(())
    }
}

impl Service {
    /// Starts everything and waits until both routers know the nodes; nothing where there is no Redis.
    pub(crate) async fn start() -> anyhow::Result<Option<Self>> {
        let Some(redis) = Redis::start().await? else { return Ok(None) };
        let store = store(&redis);
        let mut routers = Vec::new();
        for _ in 0..2 {
            routers.push(Router::configured(&store, "127.0.0.1:0").await?);
        }
        let mut urls: Vec<_> = routers.iter().map(Router::url).collect();
        let proxy = Arc::new(Proxy::start(&urls, "", "").await?);
        let mut nodes = Vec::new();
        for number in 0..3 {
            nodes.push(Router::wide_node(&format!("node-{number}"), &urls).await?);
            urls.rotate_left(1);
        }
        for (_, node) in &nodes {
            for router in &routers {
                router.serving(node).await?;
            }
        }
        let (load, _) = watch::channel(Load::Everybody);
        let mut service = Self { redis, routers, proxy, nodes, streams: Vec::new(), callers: Vec::new(), load };
        service.begin().await?;
        Ok(Some(service))
    }

    #[expect(clippy::disallowed_methods, reason = "a test's callers end with the test")]
    async fn begin(&mut self) -> anyhow::Result<()> {
        let live = format!("{}&interim_results=true", query(Format::SPEECH));
        for session in 0..STREAMS {
            let stream = enter(&self.proxy, &live).await?.stream()?;
            self.streams.push(tokio::spawn(speak(stream, session, self.load.subscribe())));
        }
        let sessions = Arc::new(AtomicU16::new(1000));
        for _ in 0..CALLERS {
            let (proxy, sessions, load) = (Arc::clone(&self.proxy), Arc::clone(&sessions), self.load.subscribe());
            self.callers.push(tokio::spawn(come(proxy, sessions, load)));
        }
        Ok(())
    }

    /// Waits until so many more new sessions were let in, or refused.
    pub(crate) async fn newcomers(&self, count: u64) -> anyhow::Result<()> {
        let began = self.ended().await?;
        until("new sessions", async || Ok((self.ended().await? >= began + count).then_some(()))).await
    }

    /// Waits until new sessions have come for so long.
    pub(crate) async fn during(&self, time: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        until("the end of a fault", async || Ok((began.elapsed() >= time).then_some(()))).await
    }

    /// Waits until so many more new sessions were served to their end.
    async fn served(&self, count: u64) -> anyhow::Result<()> {
        let began = self.count("reason=\"completed\"").await?;
        let served = async || Ok((self.count("reason=\"completed\"").await? >= began + count).then_some(()));
        until("new sessions that are served", served).await
    }

    async fn ended(&self) -> anyhow::Result<u64> {
        self.count("").await
    }

    async fn count(&self, label: &str) -> anyhow::Result<u64> {
        let page = self.proxy.metrics().await?;
        let counts =
            page.lines().filter(|line| line.starts_with("crosspoint_proxy_sessions_total{") && line.contains(label));
        counts.map(|line| Ok(line.rsplit(' ').next().context("a count")?.parse::<u64>()?)).sum()
    }

    /// Starts a router again where it was.
    pub(crate) async fn start_router(&mut self, number: usize) -> anyhow::Result<()> {
        let listen = self.routers[number].url().trim_start_matches("http://").to_owned();
        self.routers[number] = Router::configured(&store(&self.redis), &listen).await?;
        Ok(())
    }

    /// The fault is over: lets callers come a little longer, waits until leases are right, ends everything and counts.
    pub(crate) async fn settle(mut self, fault: &'static str) -> anyhow::Result<Row> {
        let over = Instant::now();
        self.served(10).await?;
        self.load.send_replace(Load::StreamsOnly);
        let mut tries = Vec::new();
        for caller in std::mem::take(&mut self.callers) {
            tries.extend(caller.await?);
        }
        self.right(u64::from(STREAMS)).await?;
        let recovered = over.elapsed();
        self.load.send_replace(Load::Nobody);
        let mut hurt = 0;
        for stream in std::mem::take(&mut self.streams) {
            hurt += usize::from(stream.await?? == Fate::Hurt);
        }
        let leaked = self.leaked().await?;
        let why: Vec<_> = tries.iter().filter_map(|one| one.failed.clone()).collect();
        let slowest = tries.iter().filter(|one| one.failed.is_none()).map(|one| one.took).max().unwrap_or_default();
        Ok(Row { fault, hurt, tries: tries.len(), failed: why.len(), slowest, recovered, leaked, why })
    }

    /// Waits until, by every router, each node has as many leases as it hears streams, and all have so many.
    async fn right(&self, streams: u64) -> anyhow::Result<()> {
        until("right leases", async || {
            let mut right = true;
            for router in &self.routers {
                let counts = counts(router).await?;
                right &= counts.values().all(|(leases, used)| leases == used);
                right &= counts.values().map(|(leases, _)| leases).sum::<u64>() == streams;
            }
            Ok(right.then_some(()))
        })
        .await
        .context(format!("{:?}", self.all_counts().await))
    }

    /// Counts the leases that are left when nobody speaks any more and those that expire have done so.
    async fn leaked(&self) -> anyhow::Result<u64> {
        let idle = timeout(RIGHT_WITHIN + SLACK, self.right(0)).await;
        match idle {
            Ok(idle) => idle.map(|()| 0),
            Err(_late) => Ok(counts(&self.routers[0]).await?.values().map(|(leases, _)| leases).sum()),
        }
    }

    async fn all_counts(&self) -> Vec<anyhow::Result<BTreeMap<String, (u64, u64)>>> {
        let mut all = Vec::new();
        for router in &self.routers {
            all.push(counts(router).await);
        }
        all
    }

    /// Returns where every process shows its metrics, by the job that scrapes it. A node's engine and agent share a page.
    pub(crate) fn targets(&self) -> Vec<(&'static str, Vec<String>)> {
        let nodes: Vec<_> = self.nodes.iter().map(|(_, node)| node.engine.clone()).collect();
        vec![
            ("crosspoint-router", self.routers.iter().map(|router| router.metrics().to_owned()).collect()),
            ("crosspoint-proxy", vec![self.proxy.metrics_address().to_owned()]),
            ("crosspoint-agent", nodes[..1].to_vec()),
            ("crosspoint-engine", nodes),
        ]
    }

    /// Returns the nodes' names.
    pub(crate) fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|(_, node)| node.name.as_str())
    }
}

/// As routers are configured by default.
fn store(redis: &Redis) -> String {
    format!("store: {{ redis: \"{}\" }}", redis.url())
}

/// Leases on each node, and the streams that it hears.
async fn counts(router: &Router) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
    let answer = router.ask("nodes").await?;
    let nodes = answer["nodes"].as_array().context("a list of nodes")?.iter();
    let count = |node: &serde_json::Value| {
        let field = |name: &str| node[name].as_u64().with_context(|| format!("no {name} in {node}"));
        Ok((node["node"].to_string(), (field("leases")?, field("used_slots")?)))
    };
    nodes.map(count).collect()
}

async fn enter(proxy: &Proxy, query: &str) -> anyhow::Result<Opened> {
    knock(proxy, query, &[("authorization", &format!("Token {KEY}"))]).await
}

/// Opens short streams, one after the other, each checked word by word.
async fn come(proxy: Arc<Proxy>, sessions: Arc<AtomicU16>, load: watch::Receiver<Load>) -> Vec<Try> {
    let mut breaths = interval(BREATH);
    breaths.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tries = Vec::new();
    while *load.borrow() == Load::Everybody {
        breaths.tick().await;
        let script = Script { session: sessions.fetch_add(1, Ordering::Relaxed), words: 2 };
        let began = Instant::now();
        let opened = enter(&proxy, &query(Format::SPEECH)).await;
        let took = began.elapsed();
        let heard = async {
            let ended = match opened? {
                Opened::Stream(stream) => stream.say(&sound(script, Format::SPEECH)).await?,
                Opened::Refused(answer) => {
                    anyhow::bail!("refused with {}: {}", answer.status, answer.refusal()?.message)
                }
            };
            anyhow::ensure!(ended.close() == (1000, ""), "closed with {:?}", ended.close());
            ensure_clean(script, &text(ended.results(Kind::Final)))
        };
        let failed = heard.await.err().map(|error| format!("{error:#}"));
        tries.push(Try { took, failed });
    }
    tries
}

/// Speaks in real time until nobody shall any more, then to the end of the word, and counts what came back.
async fn speak(stream: Stream, session: u16, mut load: watch::Receiver<Load>) -> anyhow::Result<Fate> {
    let (mut sink, source) = stream.socket.split();
    let endless = Script { session, words: u16::MAX };
    let said = async {
        let (mut voice, mut frame) = (Voice::new(endless, Format::SPEECH), Vec::new());
        let mut frames = interval(FRAME);
        let rate = Format::SPEECH.rate;
        while *load.borrow_and_update() != Load::Nobody {
            frames.tick().await;
            voice.speak(usize::try_from(rate.samples_in(FRAME))?, &mut frame);
            sink.send(Message::Binary(std::mem::take(&mut frame).into())).await?;
        }
        let last = endless.words().find(|word| word.end >= voice.position()).context("a word")?;
        let rest = last.end.saturating_sub(voice.position());
        voice.speak(usize::try_from(rate.samples_in(rest))?, &mut frame);
        frame.resize(frame.len() + usize::try_from(Format::SPEECH.bytes_in(Duration::from_millis(400)))?, 0);
        sink.send(Message::Binary(frame.into())).await?;
        sink.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
        anyhow::Ok(last.index + 1)
    };
    let (said, ended) = tokio::join!(said, listen(source));
    let (Ok(words), Ok(ended)) = (said, ended) else { return Ok(Fate::Hurt) };
    let mut checker = Checker::new(Script { session, words });
    checker.hear(&text(ended.results(Kind::Final)));
    let tally = checker.tally();
    let whole = tally.is_clean() && tally.spoken == usize::from(words) && ended.close() == (1000, "");
    Ok(if whole { Fate::Unhurt } else { Fate::Hurt })
}
