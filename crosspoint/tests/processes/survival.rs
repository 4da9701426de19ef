//! Streams whose nodes are killed and stopped while they speak: every word once, and the caller sees nothing.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use crate::support::child::Start;
use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Ended, Kind, Stream, ensure_tiled, is, listen, open, text};
use crate::support::up::{Node, Up};
use crate::support::within;

const FORMAT: Format = Format::SPEECH;
/// What a caller sends at a time: 100 ms of speech, ten times a second.
const EVERY: Duration = Duration::from_millis(100);

/// What tells a final result from all else.
const FINAL: &str = r#""is_final":true"#;

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    Kill,
    Freeze,
}

async fn harm(up: &Up, node: &Node, harm: Harm) -> anyhow::Result<()> {
    match harm {
        Harm::Kill => up.kill(node).await,
        Harm::Freeze => up.freeze(node).await,
    }
}

/// Speaks in real time while it listens to the end, and counts the final results that come.
pub(crate) async fn speak(
    stream: Stream,
    (sound, piece): (&[u8], usize),
    finals: watch::Sender<usize>,
    harming: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Told> {
    let (mut sink, source) = stream.socket.split();
    let speaking = async {
        let mut ticks = tokio::time::interval(EVERY);
        for piece in sound.chunks(piece) {
            ticks.tick().await;
            sink.send(Message::Binary(piece.to_vec().into())).await?;
        }
        sink.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
        anyhow::Ok(())
    };
    let mut times = Vec::new();
    let timed = source.inspect(|message| {
        times.push(Instant::now());
        let is_final = message.as_ref().is_ok_and(|message| message.to_text().is_ok_and(|text| text.contains(FINAL)));
        finals.send_modify(|count| *count += usize::from(is_final));
    });
    let (_spoken, ended, harmed) = tokio::join!(speaking, listen(Box::pin(timed)), harming);
    harmed?;
    Ok(Told { ended: ended?, times })
}

/// Everything that a caller was told, and when.
pub(crate) struct Told {
    ended: Ended,
    times: Vec<Instant>,
}

impl Told {
    /// Returns how long after a moment the first result came that reached beyond what was told by then.
    fn gap(&self, since: Instant) -> Option<Duration> {
        let results = self.ended.messages.iter().zip(&self.times).filter(|(message, _)| message["type"] == "Results");
        let end =
            |message: &Value| message["start"].as_f64().unwrap_or(0.0) + message["duration"].as_f64().unwrap_or(0.0);
        let before =
            results.clone().filter(|(_, at)| **at < since).map(|(message, _)| end(message)).fold(0.0, f64::max);
        let mut after = results.filter(|(_, at)| **at >= since);
        after.find(|(message, _)| end(message) > before).map(|(_, at)| at.duration_since(since))
    }

    /// Checks that every word came once, in order, and that the stream closed as if nothing had been.
    pub(crate) fn ensure_whole(&self, script: Script, session: &str) -> anyhow::Result<()> {
        anyhow::ensure!(self.ended.close() == (1000, ""), "{:?}", self.ended.close());
        ensure_clean(script, &text(self.ended.results(Kind::Final)))?;
        let end = ensure_tiled(self.ended.results(Kind::Final))?;
        let spoken = script.duration().as_secs_f64();
        anyhow::ensure!((end - spoken).abs() < 0.5, "finals end at {end} s of {spoken} s");
        let ids = self.ended.messages.iter().filter_map(|message| {
            message.pointer("/metadata/request_id").or_else(|| message.get("request_id")).and_then(Value::as_str)
        });
        for id in ids {
            anyhow::ensure!(id == session, "a message of {session} says {id}");
        }
        ensure_ordered(self.ended.results(Kind::Final))
    }
}

fn ensure_ordered<'a>(finals: impl Iterator<Item = &'a Value>) -> anyhow::Result<()> {
    let mut last = 0.0;
    for word in finals.flat_map(|result| result["channel"]["alternatives"][0]["words"].as_array().into_iter().flatten())
    {
        let (start, end) = (word["start"].as_f64().context("a start")?, word["end"].as_f64().context("an end")?);
        anyhow::ensure!(start >= last - 1e-6 && end >= start, "{word} begins before {last} s");
        last = end;
    }
    Ok(())
}

/// Harms the node that serves a stream, each time after two more final results, and returns when. A node that was stopped
/// goes on once its stream has a result from elsewhere.
async fn harm_often(
    up: &Up,
    session: &str,
    harms: &[Harm],
    mut finals: watch::Receiver<usize>,
) -> anyhow::Result<Vec<(Instant, Harm)>> {
    let mut harmed = Vec::new();
    for kind in harms {
        let enough = *finals.borrow() + 2;
        within("two results", finals.wait_for(|count| *count >= enough)).await??;
        let node = up.serving(session).await?;
        harm(up, node, *kind).await?;
        harmed.push((Instant::now(), *kind));
        let heard = *finals.borrow();
        within("a result from elsewhere", finals.wait_for(|count| *count > heard)).await??;
        if *kind == Harm::Freeze {
            up.thaw(node).await?;
        }
    }
    Ok(harmed)
}

async fn survive(session: u16, harms: &[Harm], seconds: u64) -> anyhow::Result<Vec<(Harm, Duration)>> {
    let script = Script::lasting(session, Duration::from_secs(seconds));
    survive_sending(script, (&sound(script, FORMAT), &query(FORMAT)), harms).await
}

/// Sends a recording of a script in real time, harms its nodes, and checks what the caller was told and what is billed.
pub(crate) async fn survive_sending(
    script: Script,
    (sound, query): (&[u8], &str),
    harms: &[Harm],
) -> anyhow::Result<Vec<(Harm, Duration)>> {
    let up = Up::start(&["--nodes", "2", "--slots", "16"]).await?;
    let stream = open(&up, &format!("{query}&interim_results=true&vad_events=true&utterance_end_ms=1000")).await?;
    let id = stream.session()?;
    let pieces = script.duration().as_millis() / EVERY.as_millis();
    let piece = sound.len().div_ceil(usize::try_from(pieces)?);
    let (mut harmed, (finals, heard)) = (Vec::new(), watch::channel(0));
    let told = {
        let harming = async {
            harmed = harm_often(&up, &id, harms, heard).await?;
            Ok(())
        };
        speak(stream, (sound, piece), finals, harming).await?
    };
    told.ensure_whole(script, &id)?;
    let record = up.record(&id).await?;
    anyhow::ensure!(record["reason"] == "completed", "{record}");
    anyhow::ensure!(record["epoch"].as_u64() > Some(harms.len() as u64), "{record}");
    anyhow::ensure!(record["bytes_in"] == sound.len(), "a replay is not paid for: {record}");
    anyhow::ensure!(record["failover"] == "full", "{record}");
    let billed = record["audio_seconds"].as_f64().context("the audio that is billed")?;
    let spoken = script.duration().as_secs_f64();
    anyhow::ensure!((billed - spoken).abs() < 0.1, "{billed} s of {spoken} s are billed");
    let gaps: Vec<_> = harmed.iter().filter_map(|(at, kind)| Some((*kind, told.gap(*at)?))).collect();
    anyhow::ensure!(gaps.len() == harms.len(), "{gaps:?}");
    up.idle().await?;
    Ok(gaps)
}

#[tokio::test]
async fn a_stream_survives_the_death_of_its_node_three_times() -> anyhow::Result<()> {
    survive(41, &[Harm::Kill; 3], 30).await.map(drop)
}

#[tokio::test]
async fn a_stream_survives_nodes_that_hang_and_come_back() -> anyhow::Result<()> {
    survive(42, &[Harm::Freeze, Harm::Freeze], 22).await.map(drop)
}

#[tokio::test]
async fn a_caller_that_sends_faster_than_it_speaks_loses_nothing_either() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    let script = Script { session: 9, words: 90 };
    let mut stream = open(&up, &query(FORMAT)).await?;
    let session = stream.session()?;
    stream.audio(&sound(script, FORMAT)).await?;
    let mut before = stream.next(|message| is(message, Kind::Final)).await?;
    let node = up.serving(&session).await?;
    up.kill(node).await?;
    stream.text(r#"{"type":"CloseStream"}"#).await?;
    let ended = stream.end().await?;
    anyhow::ensure!(ended.close() == (1000, ""), "{:?}", ended.close());
    before.extend(ended.messages);
    let finals = || before.iter().filter(|message| is(message, Kind::Final));
    ensure_clean(script, &text(finals()))?;
    ensure_tiled(finals())?;
    let record = up.record(&session).await?;
    assert_eq!((&record["reason"], &record["epoch"]), (&Value::from("completed"), &Value::from(2)));
    up.idle().await
}

/// Drains the node of a stream in the middle of it, and returns once the node has no sessions.
async fn drain(up: &Up, session: &str, mut finals: watch::Receiver<usize>) -> anyhow::Result<String> {
    within("two results", finals.wait_for(|count| *count >= 2)).await??;
    let node = up.serving(session).await?.name.clone();
    let router = format!("http://{}", up.admin());
    let drained = Start::of(&["drain", &node, "--wait", "--router", &router]).output().await?;
    anyhow::ensure!(drained.status.success(), "{}", String::from_utf8_lossy(&drained.stderr));
    let heard = *finals.borrow();
    within("a result from elsewhere", finals.wait_for(|count| *count > heard)).await??;
    anyhow::ensure!(up.serving(session).await?.name != node, "it is still there");
    Ok(node)
}

#[tokio::test]
async fn a_stream_leaves_a_drained_node_and_its_caller_notices_nothing() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "2", "--slots", "16"]).await?;
    let script = Script::lasting(43, Duration::from_secs(24));
    let stream = open(&up, &format!("{}&interim_results=true", query(FORMAT))).await?;
    let (id, (finals, heard)) = (stream.session()?, watch::channel(0));
    let mut left = String::new();
    let leaving = async {
        left = drain(&up, &id, heard).await?;
        Ok(())
    };
    let told = speak(stream, &sound(script, FORMAT), finals, leaving).await?;
    told.ensure_whole(script, &id)?;
    let record = up.record(&id).await?;
    let outcomes: Vec<_> =
        record["attempts"].as_array().context("attempts")?.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["opened", "moved", "opened"], "{record}");
    assert_eq!((&record["reason"], &record["attempts"][1]["node"]), (&Value::from("completed"), &Value::from(left)));
    anyhow::ensure!(record["bytes_in"] == sound(script, FORMAT).len(), "a replay is not paid for: {record}");
    let page = up.metrics_page().await?;
    let moved = |outcome| page.contains(&format!("crosspoint_proxy_moves_total{{outcome=\"{outcome}\"}} 1"));
    anyhow::ensure!(moved("in_pause") || moved("in_speech"), "{page}");
    anyhow::ensure!(page.contains(r#"crosspoint_proxy_legs_total{outcome="lost"} 0"#), "no leg was lost: {page}");
    up.idle().await
}

/// Prints what the loss of a node costs; by hand, with `--run-ignored only --no-capture`.
#[tokio::test]
#[ignore = "a measurement of some minutes"]
async fn gaps_around_lost_nodes() -> anyhow::Result<()> {
    for harm in [Harm::Kill, Harm::Freeze] {
        let mut gaps = Vec::new();
        for round in 0..7 {
            let found = survive(100 + round, &[harm; 3], 30).await?;
            gaps.extend(found.into_iter().map(|(_, gap)| gap));
        }
        gaps.sort_unstable();
        let at = |share: usize| gaps[(gaps.len() - 1) * share / 100];
        let line = format!("{harm:?}: {} gaps, p50 {:?}, p95 {:?}, most {:?}\n", gaps.len(), at(50), at(95), at(100));
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes())?;
    }
    Ok(())
}
