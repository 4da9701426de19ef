//! The main job: streams and files of every format become text, all of it, once.

use anyhow::Context as _;
use audio::coded::Script;
use audio::{Channels, Encoding, Format, SampleRate};
use futures_util::future::try_join_all;
use reqwest::{Body, Method};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::support::http::{Answer, post, request, send};
use crate::support::speech::{ensure_clean, file, mono, query, sound, transcript};
use crate::support::stream::{Ended, Kind, ensure_tiled, of_kind, open, text};
use crate::support::up::Up;

/// The engines hear as fast as the machine does.
const FAST: &str = "engine: { synthetic: { speed: 1000 } }";

fn formats() -> anyhow::Result<Vec<Format>> {
    Ok(vec![
        Format::SPEECH,
        Format::TELEPHONE,
        mono(Encoding::Alaw, 8_000)?,
        Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::STEREO },
        mono(Encoding::Linear16, 22_050)?,
    ])
}

/// Gives every format a script of its own.
fn scripts(formats: Vec<Format>, words: u16) -> impl Iterator<Item = (Script, Format)> {
    (100..).zip(formats).map(move |(session, format)| (Script { session, words }, format))
}

#[tokio::test]
async fn streams_of_every_format_lose_and_double_no_word() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    try_join_all(scripts(formats()?, 60).map(|(script, format)| listened(&up, script, format))).await?;
    up.idle().await?;
    assert_eq!(up.ended("stream", "completed").await?, 5);
    assert!(up.close().await?);
    Ok(())
}

async fn listened(up: &Up, script: Script, format: Format) -> anyhow::Result<()> {
    let stream = open(up, &format!("{}&interim_results=true", query(format))).await?;
    let session = stream.session()?;
    let sound = sound(script, format);
    let ended = stream.say(&sound).await?;
    ensure_complete(&ended, &session)?;
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    anyhow::ensure!(ended.results(Kind::Interim).count() > 10, "hardly a guess");
    let record = up.record(&session).await?;
    anyhow::ensure!(record["reason"] == "completed", "{record}");
    anyhow::ensure!(record["bytes_in"] == sound.len(), "{record}");
    let seconds = record["audio_seconds"].as_f64().context("a length")?;
    anyhow::ensure!((seconds - script.duration().as_secs_f64()).abs() < 0.01, "{record}");
    Ok(())
}

/// Checks what every whole stream ends with: results that tile it, its summary, and close 1000.
fn ensure_complete(ended: &Ended, session: &str) -> anyhow::Result<()> {
    anyhow::ensure!(ended.close() == (1000, ""), "closed with {:?}", ended.close());
    let summary = ended.messages.last().context("a message")?;
    anyhow::ensure!(summary["type"] == "Metadata", "ended with {summary}");
    anyhow::ensure!(summary["request_id"] == session, "{summary} in session {session}");
    anyhow::ensure!(summary["sha256"].as_str().is_some_and(|hash| hash.len() == 64), "{summary}");
    let of_session = |result: &Value| result["metadata"]["request_id"] == session;
    anyhow::ensure!(ended.results(Kind::Final).all(of_session), "a result of another session");
    let end = ensure_tiled(ended.results(Kind::Final))?;
    let duration = summary["duration"].as_f64().context("a duration")?;
    // Engines hear 16,000 samples a second, whatever the stream has.
    anyhow::ensure!((duration - end).abs() < 1.0 / 16_000.0, "results end at {end} s, the stream at {duration} s");
    Ok(())
}

#[tokio::test]
async fn guesses_come_only_to_those_who_ask() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    let script = Script { session: 7, words: 20 };
    let sound = sound(script, Format::SPEECH);
    for (asked, comes) in [("", false), ("&interim_results=false", false), ("&interim_results=True", true)] {
        let ended = open(&up, &format!("{}{asked}", query(Format::SPEECH))).await?.say(&sound).await?;
        assert_eq!(ended.results(Kind::Interim).count() > 0, comes, "{asked}");
        ensure_clean(script, &text(ended.results(Kind::Final)))?;
    }
    Ok(())
}

#[tokio::test]
async fn finalize_and_an_empty_message_do_what_sdks_expect() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    let script = Script { session: 12, words: 5 };
    let mut stream = open(&up, &query(Format::SPEECH)).await?;
    stream.text(r#"{"type": "KeepAlive"}"#).await?;
    stream.audio(&sound(script, Format::SPEECH)).await?;
    stream.text(r#"{"type":"Finalize"}"#).await?;
    let mut messages = stream.next(|message| message["from_finalize"] == true).await?;
    let ended = stream.send([Message::binary(Vec::new())].into_iter()).await?;
    assert_eq!(ended.close(), (1000, ""));
    messages.extend(ended.messages);
    ensure_clean(script, &text(of_kind(&messages, Kind::Final)))?;
    assert_eq!(messages.last().map(|last| &last["type"]), Some(&Value::from("Metadata")));
    Ok(())
}

#[tokio::test]
async fn files_of_every_format_lose_and_double_no_word() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    try_join_all(scripts(formats()?, 60).map(|(script, format)| posted(&up, script, format))).await?;
    up.idle().await?;
    assert_eq!(up.ended("file", "completed").await?, 5);
    Ok(())
}

async fn posted(up: &Up, script: Script, format: Format) -> anyhow::Result<()> {
    let file = file(script, format, None)?;
    let length = file.len();
    let answer = post(up, "model=nova-3", file).await?;
    ensure_transcribed(&answer, script)?;
    let record = up.record(&answer.request_id()?).await?;
    anyhow::ensure!(record["reason"] == "completed" && record["bytes_in"] == length, "{record}");
    anyhow::ensure!(record["attempts"].as_array().is_some_and(|attempts| attempts.len() == 1), "{record}");
    Ok(())
}

/// Checks the answer to a file.
fn ensure_transcribed(answer: &Answer, script: Script) -> anyhow::Result<()> {
    let body = answer.json()?;
    anyhow::ensure!(answer.status == 200, "{body}");
    anyhow::ensure!(body["metadata"]["request_id"] == answer.request_id()?, "{body}");
    let duration = body["metadata"]["duration"].as_f64().context("a duration")?;
    anyhow::ensure!((duration - script.duration().as_secs_f64()).abs() < 0.01, "{duration} s");
    ensure_clean(script, transcript(&body["results"]["channels"][0]))
}

#[tokio::test]
async fn a_file_without_a_length_is_heard_as_it_comes() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    let script = Script { session: 31, words: 30 };
    let pieces = file(script, Format::SPEECH, Some(u32::MAX))?;
    let pieces: Vec<_> = pieces.chunks(5_000).map(|piece| anyhow::Ok(piece.to_vec())).collect();
    let body = Body::wrap_stream(futures_util::stream::iter(pieces));
    let request = request(&up, Method::POST, "/v1/listen?model=whisper-1")?;
    ensure_transcribed(&send(request.body(body)).await?, script)
}

#[tokio::test]
async fn a_dense_stream_without_a_pause_goes_on() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    let dense = Format { encoding: Encoding::Linear16, rate: SampleRate::HZ_48000, channels: Channels::STEREO };
    // Twenty seconds of a loud rectangle: speech to the engine, without a word or a gap.
    let sound: Vec<u8> = (0..20 * 48_000)
        .flat_map(|frame| if frame / 100 % 2 == 0 { [0, 48, 0, 48] } else { [0, 208, 0, 208] })
        .collect();
    let ended = open(&up, &query(dense)).await?.say(&sound).await?;
    assert_eq!(ended.close(), (1000, ""));
    assert!((ensure_tiled(ended.results(Kind::Final))? - 20.0).abs() < 0.01);
    Ok(())
}
