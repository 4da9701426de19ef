//! A key's limits at the real door.

use audio::Format;
use audio::coded::Script;

use crate::support::http::{Refusal, post};
use crate::support::speech::{file, query, sound};
use crate::support::stream::{knock, open};
use crate::support::until;
use crate::support::up::{KEY, Up};

const SCRIPT: Script = Script { session: 17, words: 8 };

#[tokio::test]
async fn a_second_stream_is_429_before_the_upgrade_until_the_first_has_ended() -> anyhow::Result<()> {
    let up = Up::configured("proxy: { limits: { concurrent: 1 } }", &["--nodes", "1"]).await?;
    let first = open(&up, &query(Format::SPEECH)).await?;
    let key = format!("Token {KEY}");
    let again = async || knock(&up, &query(Format::SPEECH), &[("authorization", &key)]).await;
    let message = "Too many requests. Please try again later (limit: sessions at one time)";
    let refusal = again().await?.refused()?.refusal()?;
    assert_eq!(refusal, Refusal::new(429, "TOO_MANY_REQUESTS", message).retry());
    assert_eq!(up.ended("stream", "concurrency_limited").await?, 1);
    assert_eq!(first.say(&sound(SCRIPT, Format::SPEECH)).await?.close(), (1000, ""), "who was there is not hurt");
    until("room for the next", async || Ok(again().await?.stream().ok())).await?;
    Ok(())
}

#[tokio::test]
async fn files_beyond_the_rate_are_429() -> anyhow::Result<()> {
    let up = Up::configured("proxy: { limits: { sessions_per_minute: 2 } }", &["--nodes", "1"]).await?;
    let wav = file(SCRIPT, Format::SPEECH, None)?;
    for _ in 0..2 {
        assert_eq!(post(&up, "", wav.clone()).await?.status, 200);
    }
    let late = post(&up, "", wav).await?;
    assert_eq!((late.status, late.refusal()?.code.as_str()), (429, "TOO_MANY_REQUESTS"));
    assert_eq!(up.ended("file", "rate_limited").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_proxy_whose_streams_keep_what_it_may_takes_no_new_ones_until_they_have_gone() -> anyhow::Result<()> {
    // The engines give nothing, so that all that is said is kept.
    let config = "proxy: { rings_bytes: 1000000 }\nengine: { synthetic: { faults: { hang_after: 100ms } } }";
    let up = Up::configured(config, &["--nodes", "1"]).await?;
    let mut stream = open(&up, &query(Format::SPEECH)).await?;
    stream.audio(&sound(Script::lasting(19, std::time::Duration::from_secs(40)), Format::SPEECH)).await?;
    let key = format!("Token {KEY}");
    let next = async || knock(&up, &query(Format::SPEECH), &[("authorization", &key)]).await;
    let refused = until("refusal", async || Ok(next().await?.refused().ok())).await?;
    let expected = Refusal::new(503, "SERVICE_UNAVAILABLE", "this proxy is overloaded, please try again").retry();
    assert_eq!(refused.refusal()?, expected);
    drop(stream);
    until("room for the next", async || Ok(next().await?.stream().ok())).await?;
    Ok(())
}
