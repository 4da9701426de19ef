//! Engines that talk nonsense: broken JSON, wrong types, impossible times, words never said. Callers see none of it.

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Kind, ensure_tiled, open, text};
use crate::support::up::Up;

const FORMAT: Format = Format::SPEECH;

/// Checks one stream's words, and every time that it is told.
async fn ensure_sane(up: &Up, script: Script) -> anyhow::Result<()> {
    let stream = open(up, &format!("{}&interim_results=true&vad_events=true", query(FORMAT))).await?;
    let ended = stream.say(&sound(script, FORMAT)).await?;
    anyhow::ensure!(ended.close() == (1000, ""), "closed with {:?}", ended.close());
    ensure_tiled(ended.results(Kind::Final))?;
    ensure_clean(script, &text(ended.results(Kind::Final)))?;
    let length = script.duration().as_secs_f64() + 0.5;
    for message in &ended.messages {
        anyhow::ensure!(!message.to_string().contains("never said"), "{message}");
        for time in times(message) {
            anyhow::ensure!((0.0..=length).contains(&time), "{time} s of {length} s in {message}");
        }
    }
    Ok(())
}

/// Lists every time of a message.
fn times(message: &Value) -> Vec<f64> {
    let words = message.pointer("/channel/alternatives/0/words").and_then(Value::as_array).into_iter().flatten();
    let named =
        |value: &Value, names: &[&str]| -> Vec<f64> { names.iter().filter_map(|name| value[*name].as_f64()).collect() };
    let of_words = words.flat_map(|word| named(word, &["start", "end"]));
    of_words.chain(named(message, &["start", "duration", "timestamp", "last_word_end"])).collect()
}

#[tokio::test]
async fn no_word_is_lost_and_nothing_wrong_is_told_though_every_engine_raves() -> anyhow::Result<()> {
    let up = Up::configured("engine: { synthetic: { faults: { garble_one_in: 15 } } }", &["--nodes", "2"]).await?;
    let scripts = (60..66).map(|session| Script { session, words: 40 });
    try_join_all(scripts.map(|script| ensure_sane(&up, script))).await?;
    let page = up.metrics_page().await?;
    let count =
        page.lines().find_map(|line| line.strip_prefix("crosspoint_proxy_nonsense_total ")).context("a count")?;
    assert!(count.parse::<u64>()? > 5, "{count} messages made no sense");
    up.idle().await
}
