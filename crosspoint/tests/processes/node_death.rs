//! Nodes killed at every moment of a session: what the caller sees, and what the record says.

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use serde_json::Value;

use crate::support::http::{Refusal, post};
use crate::support::speech::{ensure_clean, file, first_word, query, sound, transcript};
use crate::support::stream::{Kind, Stream, ensure_tiled, is, knock, of_kind, open, text};
use crate::support::until;
use crate::support::up::{KEY, Node, Up};

const FORMAT: Format = Format::SPEECH;

/// The pool that everybody goes to first.
const CHEAPEST: &str = "on-prem";

async fn with_interims(up: &Up) -> anyhow::Result<Stream> {
    open(up, &format!("{}&interim_results=true", query(FORMAT))).await
}

fn attempts(record: &Value) -> anyhow::Result<Vec<(&str, &str)>> {
    let attempts = record["attempts"].as_array().context("attempts")?.iter();
    Ok(attempts
        .map(|attempt| {
            let text = |name: &str| attempt[name].as_str().unwrap_or_default();
            (text("node"), text("outcome"))
        })
        .collect())
}

async fn kill_all(up: &Up, nodes: impl IntoIterator<Item = &Node>) -> anyhow::Result<()> {
    for node in nodes {
        up.kill(node).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_dies_before_its_first_result_costs_the_caller_nothing() -> anyhow::Result<()> {
    let up = Up::start(&[]).await?;
    let script = Script { session: 10, words: 20 };
    let sound = sound(script, FORMAT);
    let (before, after) = sound.split_at(first_word(script, FORMAT)?);
    let mut stream = with_interims(&up).await?;
    let session = stream.session()?;
    stream.audio(before).await?;
    let heard = stream.next(|message| is(message, Kind::Interim)).await?;
    assert_eq!(of_kind(&heard, Kind::Final).count(), 0);
    let first = up.serving(&session).await?;
    up.kill(first).await?;

    let ended = stream.say(after).await?;
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    let end = ensure_tiled(ended.results(Kind::Final))?;
    assert!((end - script.duration().as_secs_f64()).abs() < 0.01, "{end}");

    let record = up.record(&session).await?;
    let second = record["node"].as_str().context("a node")?;
    assert_eq!(attempts(&record)?, [(&*first.name, "opened"), (&*first.name, "failed"), (second, "opened")]);
    assert_eq!((&record["reason"], &record["epoch"]), (&Value::from("completed"), &Value::from(2)));
    assert_eq!(record["bytes_in"], sound.len(), "a replay is not paid for");
    up.idle().await
}

#[tokio::test]
async fn a_node_that_dies_while_it_owes_the_last_result_costs_the_caller_nothing() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { speed: 1 } }", &["--nodes", "1"]).await?;
    let script = Script { session: 35, words: 1 };
    let sound = sound(script, FORMAT);
    let mut stream = open(&up, &query(FORMAT)).await?;
    let session = stream.session()?;
    // In real time the node needs 1.7 s to hear the word.
    stream.audio(&sound[..first_word(script, FORMAT)?]).await?;
    stream.text(r#"{"type":"CloseStream"}"#).await?;
    let first = up.serving(&session).await?;
    up.kill(first).await?;

    let ended = stream.end().await?;
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    assert_eq!(ended.messages.last().map(|last| &last["type"]), Some(&Value::from("Metadata")));
    let record = up.record(&session).await?;
    assert_eq!((&record["reason"], &record["epoch"]), (&Value::from("completed"), &Value::from(2)));
    up.idle().await
}

#[tokio::test]
async fn a_node_that_dies_under_several_streams_loses_none() -> anyhow::Result<()> {
    // Twice as many slots as are needed, and then some: a promise and the report that shows it both count for a while.
    let up = Up::start(&["--nodes", "1", "--slots", "16"]).await?;
    let mut streams = Vec::new();
    for session in [2, 7, 10, 17] {
        let script = Script { session, words: 12 };
        let mut stream = with_interims(&up).await?;
        let sound = sound(script, FORMAT);
        stream.audio(&sound[..first_word(script, FORMAT)?]).await?;
        stream.next(|message| is(message, Kind::Interim)).await?;
        streams.push((stream, script, sound));
    }
    kill_all(&up, up.pool(CHEAPEST)).await?;
    let rest = streams.into_iter().map(async |(stream, script, sound)| {
        let session = stream.session()?;
        let ended = stream.say(&sound[first_word(script, FORMAT)?..]).await?;
        anyhow::ensure!(ended.close() == (1000, ""), "{:?}", ended.close());
        ensure_clean(script, &text(ended.results(Kind::Final)))?;
        let record = up.record(&session).await?;
        anyhow::ensure!(record["epoch"] == 2 && record["pool"] != CHEAPEST, "{record}");
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(rest).await?;
    up.idle().await?;
    assert_eq!(up.ended("stream", "completed").await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_dead_pool_is_passed_over_and_the_explanation_says_why() -> anyhow::Result<()> {
    let up = Up::start(&[]).await?;
    let dead = up.pool(CHEAPEST);
    kill_all(&up, dead.clone()).await?;

    // At once: the router has not missed their reports yet, the proxy finds nobody there.
    let script = Script { session: 4, words: 8 };
    let stream = open(&up, &query(FORMAT)).await?;
    let session = stream.session()?;
    let ended = stream.say(&sound(script, FORMAT)).await?;
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    let record = up.record(&session).await?;
    assert_ne!(record["pool"], CHEAPEST);
    let tried = record["attempts"].as_array().context("attempts")?;
    let refused: Vec<_> = tried.iter().filter(|attempt| attempt["cause"] == "connection refused").collect();
    assert_eq!(refused.len(), 2, "{record}");
    assert!(dead.iter().all(|node| refused.iter().any(|attempt| attempt["node"] == node.name)), "{record}");
    assert_eq!(tried.last().map(|last| &last["outcome"]), Some(&Value::from("opened")));

    // Three seconds later: they are silent, and nobody is sent there.
    let record = until("decision without the dead pool", async || {
        let answer = post(&up, "model=nova-3", file(script, FORMAT, None)?).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        let record = up.record(&answer.request_id()?).await?;
        let mut rejected = record["rejected"].as_array().context("rejections")?.iter();
        let silent = rejected
            .any(|group| group["pool"] == CHEAPEST && group["reason"] == "silent" && group["nodes"] == dead.len());
        Ok(silent.then_some(record))
    })
    .await?;
    assert_eq!(attempts(&record)?.len(), 1, "{record}");
    up.idle().await
}

#[tokio::test]
async fn a_node_that_dies_with_a_file_costs_the_caller_nothing() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { speed: 2 } }", &["--nodes", "1"]).await?;
    let script = Script { session: 13, words: 8 };
    let (answer, killed) = tokio::join!(post(&up, "model=nova-3", file(script, FORMAT, None)?), async {
        let node = up.busy().await?;
        up.kill(node).await?;
        anyhow::Ok(node)
    });
    let (answer, killed) = (answer?, killed?);
    assert_eq!(answer.status, 200, "{answer:?}");
    ensure_clean(script, transcript(&answer.json()?["results"]["channels"][0]))?;
    let record = up.record(&answer.request_id()?).await?;
    let second = record["node"].as_str().context("a node")?;
    assert_eq!(attempts(&record)?, [(&*killed.name, "failed"), (second, "opened")]);
    assert_eq!(record["reason"], "completed");
    up.idle().await
}

#[tokio::test]
async fn without_a_node_alive_callers_are_refused_before_the_upgrade() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    kill_all(&up, up.nodes()).await?;
    let answer = knock(&up, &query(FORMAT), &[("authorization", &format!("Token {KEY}"))]).await?.refused()?;
    let message = "no node is available, please try again";
    let expected = Refusal::new(503, "SERVICE_UNAVAILABLE", message).retry();
    assert_eq!(answer.refusal()?, expected);
    let record = up.record(&answer.request_id()?).await?;
    let tried: Vec<_> = attempts(&record)?.into_iter().map(|(_node, outcome)| outcome).collect();
    assert_eq!((tried, &record["reason"]), (vec!["failed"; 4], &Value::from("no_live_node")));
    let answer = post(&up, "", file(Script { session: 1, words: 1 }, FORMAT, None)?).await?;
    assert_eq!(answer.refusal()?, expected);
    up.idle().await
}

#[tokio::test]
async fn no_node_outlives_the_process_that_started_it() -> anyhow::Result<()> {
    let up = Up::start(&[]).await?;
    let stream = with_interims(&up).await?;
    up.crash().await?;
    drop(stream);
    assert!(Up::start(&[]).await?.close().await?);
    Ok(())
}
