//! Streams in containers whose nodes are killed while they speak: the next node gets a valid stream from the middle on.

use std::time::Duration;

use audio::Format;
use audio::coded::{Recorder, Script, record};

use crate::support::speech::{ensure_clean, file};
use crate::support::stream::{Kind, open, text};
use crate::support::up::Up;
use crate::survival::{Harm, survive_sending};

/// No encoding: the first bytes tell.
const QUERY: &str = "model=nova-3";

#[tokio::test]
async fn ogg_opus_survives_the_death_of_its_node_twice() -> anyhow::Result<()> {
    let script = Script::lasting(51, Duration::from_secs(22));
    survive_sending(script, (&record(script, Recorder::Ogg)?, QUERY), &[Harm::Kill; 2]).await.map(drop)
}

#[tokio::test]
async fn webm_opus_survives_the_death_of_its_node_and_one_that_hangs() -> anyhow::Result<()> {
    let script = Script::lasting(52, Duration::from_secs(22));
    survive_sending(script, (&record(script, Recorder::Webm)?, QUERY), &[Harm::Kill, Harm::Freeze]).await.map(drop)
}

#[tokio::test]
async fn a_wav_stream_survives_the_death_of_its_node_twice() -> anyhow::Result<()> {
    let script = Script::lasting(53, Duration::from_secs(22));
    survive_sending(script, (&file(script, Format::SPEECH, Some(0))?, QUERY), &[Harm::Kill; 2]).await.map(drop)
}

#[tokio::test]
async fn opus_as_fast_as_it_is_read_loses_no_word() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    for (session, recorder) in (60..).zip(Recorder::ALL) {
        let script = Script { session, words: 60 };
        let mut stream = open(&up, QUERY).await?;
        stream.audio(&record(script, recorder)?).await?;
        stream.text(r#"{"type":"CloseStream"}"#).await?;
        let ended = stream.end().await?;
        anyhow::ensure!(ended.close() == (1000, ""), "{:?}", ended.close());
        ensure_clean(script, &text(ended.results(Kind::Final)))?;
    }
    up.idle().await
}

#[tokio::test]
async fn what_cannot_be_cut_says_so_in_the_log_and_in_its_record() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1", "--log", "info"]).await?;
    let mut stream = open(&up, QUERY).await?;
    let session = stream.session()?;
    stream.audio(include_bytes!("../../../audio/fixtures/mono-16k.mp3")).await?;
    let ended = stream.end().await?;
    anyhow::ensure!(ended.close().0 == 1008, "{:?}", ended.close());
    let log = up.log();
    anyhow::ensure!(log.contains("stream cannot be cut") && log.contains("MP3 cannot be begun in the middle"), "{log}");
    let record = up.record(&session).await?;
    anyhow::ensure!(record["failover"] == "limited", "{record}");
    up.idle().await
}
