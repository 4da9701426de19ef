//! Long files: cut into chunks, heard side by side, and answered as if nothing of that had happened.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use audio::coded::{Script, Voice};
use audio::{Channels, Encoding, Format, SampleRate, wav};
use futures_util::stream::unfold;
use reqwest::{Body, Method};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::http::{Answer, post, request, send, transcribe_backwards};
use crate::support::speech::{ensure_clean, file, transcript};
use crate::support::until;
use crate::support::up::Up;

const DENSE: Format = Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::STEREO };

/// The engines hear as fast as the machine does, and every file is cut that can be.
const CUT: &str = "{ engine: { synthetic: { speed: 60000 } }, proxy: { files: { cut_from: 5s, chunk: 5s } } }";
/// The same, and no file is cut.
const WHOLE: &str = "{ engine: { synthetic: { speed: 60000 } }, proxy: { files: { cut_from: 12h } } }";

/// A file of two gigabytes is on its way for longer than anything else here.
const PATIENCE: Duration = Duration::from_secs(600);

fn lasting(session: u16, seconds: u64) -> Script {
    Script::lasting(session, Duration::from_secs(seconds))
}

fn nodes_of(record: &Value) -> BTreeSet<&str> {
    let attempts = record["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    attempts.iter().filter_map(|attempt| attempt["node"].as_str()).collect()
}

#[tokio::test]
async fn a_long_file_is_heard_by_many_nodes_and_no_word_is_lost_or_doubled() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { speed: 200 } }", &["--nodes", "2", "--slots", "1"]).await?;
    let script = lasting(201, 300);
    let file = file(script, Format::TELEPHONE, None)?;
    let length = file.len();
    let answer = post(&up, "model=nova-3", file).await?;
    let body = answer.json()?;
    assert_eq!(answer.status, 200, "{body}");
    ensure_clean(script, transcript(&body["results"]["channels"][0]))?;
    let metadata = &body["metadata"];
    assert_eq!((&metadata["request_id"], &metadata["channels"]), (&answer.request_id()?.into(), &1.into()));
    let duration = metadata["duration"].as_f64().context("a duration")?;
    assert!((duration - script.duration().as_secs_f64()).abs() < 0.01, "{metadata}");

    let record = up.record(&answer.request_id()?).await?;
    assert_eq!((&record["reason"], &record["bytes_in"]), (&"completed".into(), &length.into()));
    assert!(nodes_of(&record).len() > 1, "{record}");
    let heard = record["audio_seconds"].as_f64().context("a length")?;
    assert!((heard - duration).abs() < 0.01, "{record}");
    up.idle().await?;
    assert_eq!(
        (up.ended("file", "completed").await?, up.ask("sessions").await?["sessions"].as_array().map(Vec::len)),
        (1, Some(1))
    );
    assert!(up.close().await?);
    Ok(())
}

#[tokio::test]
async fn a_node_that_dies_with_chunks_of_a_file_costs_the_caller_nothing() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { speed: 60 } }", &["--nodes", "2", "--slots", "2"]).await?;
    let script = lasting(202, 600);
    let (answer, killed) = tokio::join!(post(&up, "model=nova-3", file(script, Format::SPEECH, None)?), async {
        let node = up.busy().await?;
        up.kill(node).await?;
        anyhow::Ok(node)
    });
    let (answer, killed) = (answer?, killed?);
    assert_eq!(answer.status, 200, "{answer:?}");
    ensure_clean(script, transcript(&answer.json()?["results"]["channels"][0]))?;
    let record = up.record(&answer.request_id()?).await?;
    let attempts = record["attempts"].as_array().context("attempts")?;
    assert!(
        attempts.iter().any(|attempt| attempt["node"] == killed.name && attempt["outcome"] == "failed"),
        "{record}"
    );
    up.idle().await
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_no_chunk_behind() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { speed: 1 } }", &["--nodes", "1"]).await?;
    let post = post(&up, "model=nova-3", file(lasting(203, 120), Format::SPEECH, None)?);
    tokio::select! {
        answer = post => anyhow::bail!("answered: {answer:?}"),
        busy = up.busy() => { busy?; }
    }
    up.idle().await?;
    assert_eq!(
        until(
            "the end of a file",
            async || Ok(Some(up.ended("file", "caller_gone").await?).filter(|ended| *ended > 0))
        )
        .await?,
        1
    );
    Ok(())
}

/// Names every place in a document: what is there, not what it says.
fn shape(value: &Value, place: &str, places: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| shape(value, &format!("{place}.{name}"), places))
        }
        Value::Array(items) => items.iter().for_each(|value| shape(value, &format!("{place}[]"), places)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            places.insert(place.to_owned());
        }
    }
}

#[tokio::test]
async fn the_answer_to_a_file_that_was_cut_has_the_shape_of_one_that_was_not() -> anyhow::Result<()> {
    let (cut, whole) = (Up::configured(CUT, &["--nodes", "1"]).await?, Up::configured(WHOLE, &["--nodes", "1"]).await?);
    let script = lasting(204, 40);
    let query = "model=nova-3&punctuate=true&utterances=true&paragraphs=true";
    let mut shapes = Vec::new();
    let mut metadata = Vec::new();
    for up in [&cut, &whole] {
        let body = post(up, query, file(script, DENSE, None)?).await?.json()?;
        let best = &body["results"]["channels"][0];
        ensure_clean(script, transcript(best))?;
        let said: Vec<_> = ["utterances"].iter().flat_map(|list| body["results"][list].as_array()).flatten().collect();
        ensure_clean(
            script,
            &said.iter().filter_map(|said| said["transcript"].as_str()).collect::<Vec<_>>().join(" "),
        )?;
        let paragraphs = best["alternatives"][0]["paragraphs"]["transcript"].as_str().context("paragraphs")?;
        ensure_clean(script, paragraphs)?;
        let mut places = BTreeSet::new();
        shape(&body, "", &mut places);
        // The model's id names its place.
        places.retain(|place| !place.contains("model_info"));
        shapes.push(places);
        metadata.push(["sha256", "duration", "channels", "transaction_key"].map(|name| body["metadata"][name].clone()));
    }
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(metadata[0], metadata[1]);
    assert!(nodes_of(&cut.record(&recent(&cut).await?).await?).len() > 1, "it was not cut");
    Ok(())
}

/// Returns the newest session.
async fn recent(up: &Up) -> anyhow::Result<String> {
    let sessions = up.ask("sessions").await?;
    Ok(sessions["sessions"][0]["session"].as_str().context("a session")?.to_owned())
}

async fn transcribed(up: &Up, file: &[u8], fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
    let answer = transcribe_backwards(up, fields, file).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

fn text_of(answer: &Answer) -> anyhow::Result<String> {
    Ok(String::from_utf8(answer.body.clone())?)
}

#[tokio::test]
async fn every_form_of_an_openai_answer_comes_of_chunks() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    let script = lasting(205, 30);
    let file = file(script, Format::SPEECH, None)?;
    let json = transcribed(&up, &file, &[("model", "whisper-1")]).await?.json()?;
    ensure_clean(script, json["text"].as_str().context("a text")?)?;
    let text = text_of(&transcribed(&up, &file, &[("model", "whisper-1"), ("response_format", "text")]).await?)?;
    ensure_clean(script, &text)?;
    for format in ["srt", "vtt"] {
        let captions =
            text_of(&transcribed(&up, &file, &[("model", "whisper-1"), ("response_format", format)]).await?)?;
        let spoken =
            captions.lines().filter(|line| !line.contains("-->") && !line.starts_with(|c: char| c.is_ascii_digit()));
        ensure_clean(script, &spoken.filter(|line| *line != "WEBVTT").collect::<Vec<_>>().join(" "))?;
    }
    let words = ("timestamp_granularities[]", "word");
    let verbose =
        transcribed(&up, &file, &[("model", "whisper-1"), ("response_format", "verbose_json"), words]).await?.json()?;
    let said = verbose["words"].as_array().context("words")?;
    for (word, said) in script.words().zip(said) {
        let start = said["start"].as_f64().context("a start")?;
        assert!((start - word.start.as_secs_f64()).abs() < 0.15, "{word:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn words_of_a_long_file_come_as_they_are_heard() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    let script = lasting(206, 60);
    let file = file(script, Format::SPEECH, None)?;
    let answer = transcribed(&up, &file, &[("stream", "true"), ("model", "gpt-4o-transcribe")]).await?;
    let events = text_of(&answer)?;
    let events = events.split_terminator("\n\n").filter_map(|event| event.strip_prefix("data: "));
    let mut events = events.map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let done = events.pop().context("an end")?;
    assert_eq!(done["type"], "transcript.text.done");
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(Some(deltas.as_str()), done["text"].as_str());
    ensure_clean(script, &deltas)?;
    assert_eq!(up.record(&recent(&up).await?).await?["reason"], "completed");
    up.idle().await
}

#[tokio::test]
async fn who_asks_is_told_how_far_a_long_file_is() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    let script = lasting(207, 60);
    for (seconds, accepted) in [(60, "text/event-stream"), (60, "*/*"), (2, "text/event-stream")] {
        let script = Script { words: if seconds == 60 { script.words } else { 2 }, ..script };
        let asked = request(&up, Method::POST, "/v1/listen?model=nova-3")?.header("accept", accepted);
        let answer = send(asked.body(file(script, Format::SPEECH, None)?)).await?;
        anyhow::ensure!(answer.status == 200, "{seconds} s, {accepted}: {answer:?}");
        let told = seconds == 60 && accepted != "*/*";
        assert_eq!(answer.headers["content-type"], if told { "text/event-stream" } else { "application/json" });
        let body = if told { ensure_told(&answer, script.duration())? } else { answer.json()? };
        assert_eq!(body["metadata"]["request_id"], answer.request_id()?, "{body}");
        ensure_clean(script, transcript(&body["results"]["channels"][0]))?;
        up.idle().await?;
    }
    Ok(())
}

/// Checks that the progress of a file goes from its start to its end, and returns the last event.
fn ensure_told(answer: &Answer, duration: Duration) -> anyhow::Result<Value> {
    let text = text_of(answer)?;
    let events = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap_or(event));
    let mut events = events.map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let last = events.pop().context("an end")?;
    let mut heard = 0.0;
    for event in &events {
        let next = event["heard"].as_f64().context("a progress")?;
        anyhow::ensure!(event["type"] == "Progress" && next > heard, "{event} after {heard}");
        heard = next;
    }
    anyhow::ensure!(events.len() > 5 && (heard - duration.as_secs_f64()).abs() < 0.01, "{heard} s of {duration:?}");
    Ok(last)
}

/// Speaks a script into a WAV file of as many bytes as an upload may have, while it is read.
fn spoken(script: Script, format: Format, bytes: u64) -> Body {
    let (pieces, coming) = mpsc::channel::<std::io::Result<Vec<u8>>>(4);
    std::thread::spawn(move || {
        let mut voice = Voice::new(script, format);
        let mut piece = wav::header(format, None).to_vec();
        let mut left = bytes;
        loop {
            let silence = voice.speak(48_000, &mut piece) == 0;
            if silence {
                piece.resize(usize::try_from(left.min(192_000)).unwrap_or_default(), 0);
            }
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            let over = piece.is_empty();
            if over || pieces.blocking_send(Ok(std::mem::take(&mut piece))).is_err() {
                return;
            }
        }
    });
    Body::wrap_stream(unfold(coming, async |mut coming| Some((coming.recv().await?, coming))))
}

#[tokio::test]
async fn two_gigabytes_are_heard_in_little_memory() -> anyhow::Result<()> {
    const LARGEST: u64 = 2 << 30;
    const MEMORY: u64 = 256 << 20;
    let up = Up::configured("engine: { synthetic: { speed: 60000 } }", &["--nodes", "1", "--slots", "8"]).await?;
    let script = lasting(208, 600);
    let asked = request(&up, Method::POST, "/v1/listen?model=nova-3")?.body(spoken(script, DENSE, LARGEST));
    let response = timeout(PATIENCE, asked.send()).await??;
    let status = response.status().as_u16();
    let body: Value = response.json().await?;
    assert_eq!(status, 200, "{body}");
    ensure_clean(script, transcript(&body["results"]["channels"][0]))?;
    let seconds = (LARGEST - 44) as f64 / 192_000.0;
    let duration = body["metadata"]["duration"].as_f64().context("a duration")?;
    assert!((duration - seconds).abs() < 0.01, "{duration} s of {seconds} s");
    let (proxy, engines) = up.peaks()?;
    assert!(proxy < MEMORY && engines.iter().all(|engine| *engine < MEMORY), "{proxy} bytes, engines {engines:?}");
    up.idle().await
}
