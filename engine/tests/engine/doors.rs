//! Who is let in, who is not, and how a stream is ended that breaks a rule.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Context, Result};
use audio::Format;
use audio::coded::Script;
use crosspoint_engine::Config;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::caller::{Caller, coded, query, start, synthetic};

const SESSION: &str = "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11";

/// What a refused handshake says: status, body, and the headers that repeat it.
fn refusal(result: Result<Caller, tungstenite::Error>) -> Result<(u16, Value)> {
    match result {
        Err(tungstenite::Error::Http(response)) => {
            let headers = response.headers().clone();
            let (status, body) = (response.status().as_u16(), response.into_body().context("a body")?);
            let body: Value = serde_json::from_slice(&body)?;
            assert_eq!(headers["dg-error"].to_str()?, body["err_msg"].as_str().context("err_msg")?);
            assert_eq!(headers["dg-request-id"].to_str()?, body["request_id"].as_str().context("request_id")?);
            assert_eq!(headers.contains_key("retry-after"), status == 503);
            Ok((status, body))
        }
        Err(error) => Err(error.into()),
        Ok(_) => anyhow::bail!("the handshake was not refused"),
    }
}

fn one_slot() -> Config {
    Config { slots: NonZeroU16::MIN, ..synthetic() }
}

#[tokio::test]
async fn a_full_engine_refuses_before_the_upgrade_and_takes_the_next_when_a_slot_is_free() -> Result<()> {
    let engine = start(one_slot()).await?;
    let caller = engine.call(&query(Format::SPEECH)).await?;
    let (status, body) = refusal(engine.call(&query(Format::SPEECH)).await)?;
    assert_eq!((status, &body["err_code"]), (503, &Value::from("NO_CAPACITY")));
    let file = reqwest::Client::new().post(engine.url("/v1/listen")).body("RIFF").send().await?;
    assert_eq!((file.status().as_u16(), &file.headers()["retry-after"]), (503, &"1".parse()?));
    caller.transcribe(&[]).await?;
    engine.until_active(0).await?;
    assert!(engine.call(&query(Format::SPEECH)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_caller_that_vanishes_frees_its_slot() -> Result<()> {
    let engine = start(one_slot()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send(&coded(Script { session: 1, words: 20 }, Format::SPEECH), 3_200).await?;
    engine.until_active(1).await?;
    drop(caller);
    engine.until_active(0).await
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused_before_the_upgrade() -> Result<()> {
    let engine = start(synthetic()).await?;
    let queries = [
        ("encoding=linear16", "sample_rate"),
        ("encoding=opus&sample_rate=48000", "linear16, mulaw, alaw"),
        ("encoding=linear16&sample_rate=1", "8000 to 192000"),
        ("encoding=linear16&sample_rate=16000&channels=0", "1 to 8 channels"),
        ("encoding=linear16&sample_rate=fast", "whole number"),
        ("interim_results=perhaps", "true or false"),
        ("endpointing=soon", "endpointing"),
        ("multichannel=true", "multichannel"),
    ];
    for (query, expected) in queries {
        let (status, body) = refusal(engine.call(query).await)?;
        assert_eq!(status, 400, "{query}");
        assert!(body["err_msg"].as_str().is_some_and(|message| message.contains(expected)), "{query}: {body}");
    }
    assert_eq!(engine.health().await?["active"], 0);
    Ok(())
}

#[tokio::test]
async fn a_plain_get_is_told_to_post() -> Result<()> {
    let engine = start(synthetic()).await?;
    let response = reqwest::get(engine.url("/v1/listen")).await?;
    assert_eq!(response.status().as_u16(), 400);
    assert!(response.text().await?.contains("POST a file instead"));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_so() -> Result<()> {
    let engine = start(synthetic()).await?;
    for frame in [Message::binary(vec![0; 2 << 20]), Message::text(" ".repeat(2 << 20))] {
        let mut caller = engine.call(&query(Format::SPEECH)).await?;
        caller.send_frame(frame).await?;
        assert_eq!(caller.rest().await?.code, 1009);
    }
    engine.until_active(0).await
}

#[tokio::test]
async fn a_picture_is_no_stream() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call("model=x").await?;
    caller.send(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 64).await?;
    let said = caller.rest().await?;
    assert!(said.code == 1008 && said.reason.starts_with("DATA-0000"), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn silence_on_the_line_ends_a_stream() -> Result<()> {
    let engine = start(Config { idle: Duration::from_millis(200), ..synthetic() }).await?;
    let caller = engine.call(&query(Format::SPEECH)).await?;
    let said = caller.rest().await?;
    assert!(said.code == 1011 && said.reason.starts_with("NET-0001"), "{said:?}");
    assert!(said.reason.len() <= 123);
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send(&[0; 3_200], 3_200).await?;
    assert_eq!(caller.rest().await?.code, 1011);
    Ok(())
}

#[tokio::test]
async fn keep_alive_does_not_stand_in_for_the_first_audio() -> Result<()> {
    let engine = start(Config { idle: Duration::from_millis(200), ..synthetic() }).await?;
    let said = engine.call(&query(Format::SPEECH)).await?.nag(r#"{"type":"KeepAlive"}"#).await?;
    assert_eq!(said.code, 1011);
    Ok(())
}

#[tokio::test]
async fn a_newer_leg_fences_the_older_one_and_takes_its_slot() -> Result<()> {
    let engine = start(one_slot()).await?;
    let leg = |epoch: &'static str| [("x-crosspoint-session", SESSION), ("x-crosspoint-epoch", epoch)];
    let older = engine.call_with(&query(Format::SPEECH), &leg("1")).await?;
    assert_eq!(older.request_id, SESSION);
    let newer = engine.call_with(&query(Format::SPEECH), &leg("2")).await?;
    let said = older.rest().await?;
    assert_eq!((said.code, said.reason.as_str()), (1008, "fenced by a newer leg"));
    for stale in ["1", "2"] {
        let (status, body) = refusal(engine.call_with(&query(Format::SPEECH), &leg(stale)).await)?;
        assert_eq!((status, &body["request_id"]), (409, &Value::from(SESSION)));
    }
    assert_eq!(newer.transcribe(&[]).await?.code, 1000);
    Ok(())
}

#[tokio::test]
async fn an_epoch_refused_for_want_of_a_slot_may_be_tried_again() -> Result<()> {
    let engine = start(one_slot()).await?;
    let leg = [("x-crosspoint-session", SESSION), ("x-crosspoint-epoch", "1")];
    let other = engine.call(&query(Format::SPEECH)).await?;
    assert_eq!(refusal(engine.call_with(&query(Format::SPEECH), &leg).await)?.0, 503);
    other.transcribe(&[]).await?;
    engine.until_active(0).await?;
    assert!(engine.call_with(&query(Format::SPEECH), &leg).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn headers_of_a_leg_that_cannot_be_read_are_refused() -> Result<()> {
    let engine = start(synthetic()).await?;
    for headers in [
        [("x-crosspoint-session", "me"), ("x-crosspoint-epoch", "1")],
        [("x-crosspoint-session", SESSION), ("x-crosspoint-epoch", "-1")],
    ] {
        assert_eq!(refusal(engine.call_with(&query(Format::SPEECH), &headers).await)?.0, 400);
    }
    Ok(())
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_opens_no_new_ones() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send(&[0; 3_200], 3_200).await?;
    engine.shutdown.begin();
    assert!(engine.call(&query(Format::SPEECH)).await.is_err());
    assert_eq!(caller.transcribe(&coded(Script { session: 2, words: 10 }, Format::SPEECH)).await?.code, 1000);
    assert_eq!(engine.shutdown.drain(Duration::from_secs(10)).await, 0);
    Ok(())
}

#[tokio::test]
async fn health_and_metrics_tell_what_the_engine_does() -> Result<()> {
    let engine = start(synthetic()).await?;
    let _caller = engine.call(&query(Format::SPEECH)).await?;
    let health = engine.health().await?;
    assert_eq!((&health["status"], &health["backend"]), (&Value::from("ok"), &Value::from("synthetic")));
    assert_eq!((&health["slots"], &health["active"]), (&Value::from(4), &Value::from(1)));
    let page = reqwest::get(engine.url("/metrics")).await?.text().await?;
    assert!(page.contains("crosspoint_engine_active_streams"), "{page}");
    assert_eq!(reqwest::get(engine.url("/readyz")).await?.status().as_u16(), 200);
    let models: Value = reqwest::get(engine.url("/v1/models")).await?.json().await?;
    assert_eq!((&models["stt"][0]["streaming"], &models["object"]), (&Value::from(true), &Value::from("list")));
    Ok(())
}

#[tokio::test]
async fn the_scheme_offered_as_a_subprotocol_is_echoed_and_the_key_is_not() -> Result<()> {
    let engine = start(synthetic()).await?;
    // A client that is not echoed what it offered refuses the connection itself.
    assert!(engine.call_with("model=x", &[("sec-websocket-protocol", "token, a-key")]).await.is_ok());
    Ok(())
}
