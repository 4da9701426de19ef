//! Faults on purpose.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Result;
use audio::Format;
use audio::coded::Script;
use crosspoint_engine::{Config, Faults, SyntheticConfig};

use crate::caller::{coded, query, start, synthetic};

const SCRIPT: Script = Script { session: 99, words: 40 };

fn faulty(faults: Faults) -> Config {
    let config = synthetic();
    Config { synthetic: SyntheticConfig { faults, ..config.synthetic.clone() }, ..config }
}

#[tokio::test]
async fn a_stream_told_to_die_breaks_without_a_close() -> Result<()> {
    let engine = start(faulty(Faults { die_after: Some(Duration::from_secs(2)), ..Faults::default() })).await?;
    let ended = engine.call(&query(Format::SPEECH)).await?.transcribe(&coded(SCRIPT, Format::SPEECH)).await;
    assert!(ended.is_err(), "{ended:?}");
    engine.until_active(0).await
}

#[tokio::test]
async fn a_stream_told_to_hang_says_nothing_more_and_keeps_its_slot() -> Result<()> {
    let engine = start(faulty(Faults { hang_after: Some(Duration::from_secs(2)), ..Faults::default() })).await?;
    let caller = engine.call(&query(Format::SPEECH)).await?;
    let audio = coded(SCRIPT, Format::SPEECH);
    assert!(tokio::time::timeout(Duration::from_millis(300), caller.transcribe(&audio)).await.is_err());
    assert_eq!(engine.health().await?["active"], 1);
    Ok(())
}

#[tokio::test]
async fn the_first_are_refused_when_told_so() -> Result<()> {
    let engine = start(faulty(Faults { refuse_first: 1, ..Faults::default() })).await?;
    assert!(engine.call(&query(Format::SPEECH)).await.is_err());
    assert!(engine.call(&query(Format::SPEECH)).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn garbled_messages_do_not_stop_the_stream() -> Result<()> {
    let engine = start(faulty(Faults { garble_one_in: NonZeroU32::new(2), ..Faults::default() })).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send(&coded(SCRIPT, Format::SPEECH), 3_200).await?;
    caller.tell(r#"{"type":"CloseStream"}"#).await?;
    // Some of what comes is no JSON at all: reading it as such fails, or the stream ends well.
    let _ = caller.rest().await;
    engine.until_active(0).await
}

#[tokio::test]
async fn the_link_delays_handshakes_by_a_round_trip_and_results_by_half() -> Result<()> {
    let round_trip = Duration::from_millis(60);
    let mut config = Config { link_round_trip: round_trip, ..synthetic() };
    config.synthetic.jitter = Duration::ZERO;
    let engine = start(config).await?;
    let begun = std::time::Instant::now();
    let caller = engine.call(&query(Format::SPEECH)).await?;
    assert!(begun.elapsed() >= round_trip);
    let said = caller.transcribe(&[]).await?;
    assert!(begun.elapsed() >= round_trip * 3 / 2 && said.code == 1000);
    Ok(())
}
