//! The real voice hears real speech: spoken by flite's `slt`, the fixtures are in `tests/fixtures`.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use crosspoint_engine::{Config, SphinxError};
use serde_json::Value;

use crate::caller::{Running, start};

const NEW_YORK: &[u8] = include_bytes!("../fixtures/new-york.wav");
const WEATHER: &[u8] = include_bytes!("../fixtures/weather.wav");

/// Starts `PocketSphinx`, or says why it cannot be tried here.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
async fn sphinx() -> Result<Option<Running>> {
    let config = Config { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), ..Config::default() };
    match start(config).await {
        Ok(engine) => Ok(Some(engine)),
        Err(error)
            if matches!(
                error.downcast_ref(),
                Some(crosspoint_engine::BuildError::Voice(SphinxError::Library { .. }))
            ) =>
        {
            eprintln!("skipped: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[tokio::test]
async fn real_speech_is_heard_on_a_stream() -> Result<()> {
    let Some(engine) = sphinx().await? else { return Ok(()) };
    let caller = engine.call("interim_results=true&punctuate=true").await?;
    let said = caller.transcribe(NEW_YORK).await?;
    assert_eq!(said.text(), "my brother lives in new york city");
    assert_eq!(said.code, 1000);
    let words: Vec<_> = said
        .finals()
        .into_iter()
        .flat_map(|result| result["channel"]["alternatives"][0]["words"].as_array().cloned().unwrap_or_default())
        .collect();
    assert_eq!(words.len(), 7);
    assert!(
        words.iter().all(|word| word["confidence"].as_f64().is_some_and(|value| (0.0..=1.0).contains(&value))),
        "{words:?}"
    );
    assert_eq!(words[0]["punctuated_word"], "my");
    Ok(())
}

#[tokio::test]
async fn real_speech_is_heard_in_a_file() -> Result<()> {
    let Some(engine) = sphinx().await? else { return Ok(()) };
    let client = reqwest::Client::new();
    let mut confidence = Vec::new();
    // The later requests are heard by the first one's decoder, which must not remember whom it heard before.
    for (file, said) in [
        (WEATHER, "the weather is very nice today"),
        (NEW_YORK, "my brother lives in new york city"),
        (WEATHER, "the weather is very nice today"),
    ] {
        let response = client.post(engine.url("/v1/listen")).body(file).send().await?.error_for_status()?;
        let answer: Value = response.json().await?;
        let alternative = &answer["results"]["channels"][0]["alternatives"][0];
        assert_eq!(alternative["transcript"], said);
        confidence.push(alternative["confidence"].to_string());
    }
    assert_eq!(confidence[0], confidence[2]);
    Ok(())
}
