//! What is billed: everything that was used, once, whatever dies meanwhile.

mod site;

use std::time::Duration;

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::{Refusal, post, request, send, stranger};
use crate::support::speech::{file, query, sound};
use crate::support::stream::{Stream, open, open_at};
use crate::support::until;
use crate::support::up::Up;
use site::{Disk, Site};

const FORMAT: Format = Format::SPEECH;

/// Bytes of a second of speech.
const SECOND: usize = 32_000;

/// A stream, and how much it has sent.
struct Speaker {
    stream: Stream,
    session: String,
    sound: Vec<u8>,
    sent: usize,
}

impl Speaker {
    async fn open(address: &str, session: u16) -> anyhow::Result<Self> {
        let stream = open_at(address, &query(FORMAT)).await?;
        let sound = sound(Script { session, words: 60 }, FORMAT);
        Ok(Self { session: stream.session()?, stream, sound, sent: 0 })
    }

    async fn speak(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.stream.audio(&self.sound[self.sent..self.sent + bytes]).await?;
        self.sent += bytes;
        Ok(())
    }
}

/// Lets everybody speak, each for another time, so that figures tell them apart.
async fn speak(speakers: &mut [Speaker]) -> anyhow::Result<usize> {
    for (number, speaker) in speakers.iter_mut().enumerate() {
        speaker.speak(SECOND + 3_200 * number).await?;
    }
    Ok(speakers.iter().map(|speaker| speaker.sent).sum())
}

#[tokio::test]
async fn whatever_dies_a_stream_loses_at_most_what_was_not_journalled_and_nothing_is_doubled() -> anyhow::Result<()> {
    let Some(mut site) = Site::start().await? else { return Ok(()) };
    let mut speakers = Vec::new();
    for session in [3, 5, 8] {
        speakers.push(Speaker::open(&site.callers(), session).await?);
    }
    let first = speak(&mut speakers).await?;
    site.charged(first).await?;

    // Without Redis the router's own journal keeps what it acknowledges.
    site.redis.kill().await?;
    speak(&mut speakers).await?;
    for speaker in &speakers {
        site.heard(&speaker.session, speaker.sent).await?;
    }
    site.held().await?;
    // Without a router the proxy's does.
    site.kill_router().await?;
    let safe = speak(&mut speakers).await?;
    for speaker in &speakers {
        site.journalled(speaker.sent).await?;
    }
    let sent = speak(&mut speakers).await?;
    site.kill_proxy().await?;

    site.redis.start_again().await?;
    site.start_router().await?;
    site.start_proxy().await?;
    for speaker in &speakers {
        site.ended(&speaker.session, "proxy_lost").await?;
    }
    site.settled().await?;
    let total = site.total().await?;
    let bytes = usize::try_from(total["bytes_in"].as_u64().context("bytes")?)?;
    anyhow::ensure!((safe..=sent).contains(&bytes), "{bytes} of {safe} to {sent}");
    assert_eq!(total["sessions"], 3);
    ensure_seconds(&total, bytes)?;

    // Whoever starts again has nothing left to say.
    site.kill_proxy().await?;
    site.kill_router().await?;
    site.start_router().await?;
    site.start_proxy().await?;
    site.settled().await?;
    assert_eq!(site.total().await?, total);
    let costs = |by| site.costs(by);
    assert_eq!([costs("key").await?["total"].clone(), costs("day").await?["total"].clone()], [total.clone(), total]);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_ends_no_stream_and_is_told_in_the_log_and_in_metrics() -> anyhow::Result<()> {
    let Some(disk) = Disk::small()? else { return Ok(()) };
    let Some(mut site) = Site::start().await? else { return Ok(()) };
    site.kill_proxy().await?;
    site.start_proxy_on(&disk).await?;
    let mut speaker = Speaker::open(&site.callers(), 4).await?;
    speaker.speak(SECOND).await?;
    site.charged(speaker.sent).await?;
    disk.fill()?;
    let mut others = 0;
    until("word of a full disk", async || {
        // The last page of the journal has room for a few records still.
        let other = Speaker::open(&site.callers(), 6).await?;
        others += SECOND;
        assert_eq!(other.stream.say(&other.sound[..SECOND]).await?.close(), (1000, ""));
        let told = site.proxy_log().contains("usage is not journalled") && site.records("disk_full").await? > 0;
        Ok(told.then_some(()))
    })
    .await?;
    speaker.speak(SECOND).await?;
    site.charged(speaker.sent + others).await?;
    let rest = speaker.sound.split_off(speaker.sent);
    let ended = speaker.stream.say(&rest).await?;
    assert_eq!(ended.close(), (1000, ""));
    site.charged(speaker.sent + rest.len() + others).await?;
    site.settled().await
}

#[tokio::test]
async fn a_caller_reads_what_its_own_key_used() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    let sound = sound(Script { session: 12, words: 6 }, FORMAT);
    let ended = open(&up, &query(FORMAT)).await?.say(&sound).await?;
    assert_eq!(ended.close(), (1000, ""));
    let usage = until("usage of the key", async || {
        let answer = send(request(&up, Method::GET, "/v1/usage")?).await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        let usage = answer.json()?;
        // Audio is taken in faster than it is heard: what is told of it comes later.
        let is_all = usage["total"]["bytes_in"] == sound.len() && usage["total"]["bytes_out"].as_u64() > Some(0);
        Ok(is_all.then_some(usage))
    })
    .await?;
    let total = &usage["total"];
    assert_eq!((&usage["key"], &total["sessions"]), (&json!("dev"), &json!(1)));
    ensure_seconds(total, sound.len())?;
    assert!(total["gpu_seconds"].as_f64() > Some(0.0), "{total}");
    assert_eq!((&usage["usage"][0]["pool"], &usage["usage"][0]["bytes_in"]), (&json!("on-prem"), &total["bytes_in"]));
    let costs = up.ask("costs?by=key").await?;
    assert_eq!((&costs["costs"][0]["name"], &costs["total"]), (&json!("dev"), total));
    Ok(())
}

#[tokio::test]
async fn a_file_that_many_nodes_hear_is_one_session_and_pays_for_its_audio_once() -> anyhow::Result<()> {
    let up = Up::configured("proxy: { files: { cut_from: 5s, chunk: 5s } }", &["--nodes", "2"]).await?;
    let script = Script::lasting(13, Duration::from_secs(60));
    let answer = post(&up, "model=nova-3", file(script, Format::TELEPHONE, None)?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seconds = answer.json()?["metadata"]["duration"].as_f64().context("a duration")?;
    let total = until("usage of a file", async || {
        let total = total(&up.ask("costs?by=key").await?);
        let heard = total["audio_seconds"].as_f64().context("seconds")?;
        Ok((heard > seconds - 0.001).then_some(total))
    })
    .await?;
    assert_eq!(total["sessions"], 1);
    // It is sent as 16 kHz, whatever it was.
    ensure_seconds(&total, usize::try_from(total["bytes_in"].as_u64().context("bytes")?)?)?;
    assert!((total["audio_seconds"].as_f64().context("seconds")? - seconds).abs() < 0.001, "{total}");
    Ok(())
}

#[tokio::test]
async fn a_question_about_usage_that_makes_no_sense_is_refused_with_a_reason() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    let usage = "/v1/usage";
    let unauthorised = |message| Refusal::new(401, "INVALID_AUTH", message);
    let answer = send(stranger(&up, Method::GET, usage)?).await?;
    assert_eq!(answer.refusal()?, unauthorised("Invalid credentials. Send `Authorization: Token KEY`."));
    let answer = send(stranger(&up, Method::GET, usage)?.header("authorization", "Token wrong")).await?;
    assert_eq!(answer.refusal()?, unauthorised("Invalid credentials."));
    let questions = [
        ("since=soon", "bad since: expected a day such as 2026-11-20, got \"soon\""),
        ("since=2026-02-30", "bad since: expected a day such as 2026-11-20, got \"2026-02-30\""),
        ("key=other", "unknown parameter \"key\", expected since=2026-11-01"),
    ];
    for (question, message) in questions {
        let answer = send(request(&up, Method::GET, &format!("{usage}?{question}"))?).await?;
        assert_eq!(answer.refusal()?, Refusal::new(400, "INVALID_QUERY_PARAMETER", message));
    }
    let message = "POST is not taken here: read the usage of your key with GET";
    let answer = send(request(&up, Method::POST, usage)?).await?;
    assert_eq!(answer.refusal()?, Refusal::new(405, "METHOD_NOT_ALLOWED", message));
    Ok(())
}

/// Checks that so many bytes were so many seconds, to the microsecond.
fn ensure_seconds(total: &Value, bytes: usize) -> anyhow::Result<()> {
    let seconds = total["audio_seconds"].as_f64().context("seconds")?;
    anyhow::ensure!((seconds - bytes as f64 / SECOND as f64).abs() < 2e-6, "{seconds} s of {bytes} bytes");
    Ok(())
}

/// Returns a figure of a page of metrics.
fn figure(page: &str, name: &str) -> anyhow::Result<f64> {
    let line = page.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name}"))?;
    Ok(line.rsplit(' ').next().context("a figure")?.parse()?)
}

/// Returns the total of an answer about costs.
fn total(answer: &Value) -> Value {
    answer["total"].clone()
}
