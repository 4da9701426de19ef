//! Streams that go wrong, each with its exact close, and the one reason in its record.

use std::iter::once;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::bad_input::PNG;
use crate::support::speech::{ensure_clean, first_word, query, sound};
use crate::support::stream::{Ended, Kind, Stream, is, of_kind, open, text};
use crate::support::up::Up;
use crate::support::within;

const SCRIPT: Script = Script { session: 16, words: 8 };

async fn small() -> anyhow::Result<Up> {
    Up::start(&["--nodes", "1"]).await
}

async fn raw(up: &Up) -> anyhow::Result<Stream> {
    open(up, &query(Format::SPEECH)).await
}

/// Lets a stream go wrong and checks how it is closed, what the record says, and that nothing stays taken.
async fn ensure_closed(
    up: &Up,
    stream: Stream,
    (close, reason): ((u16, &str), &str),
    go_wrong: impl AsyncFnOnce(Stream) -> anyhow::Result<Ended>,
) -> anyhow::Result<()> {
    let session = stream.session()?;
    let ended = go_wrong(stream).await.with_context(|| format!("expected {close:?}"))?;
    anyhow::ensure!(ended.close() == close, "expected {close:?}, got {:?}", ended.close());
    let record = up.record(&session).await?;
    anyhow::ensure!(record["reason"] == reason, "expected {reason}: {record}");
    up.idle().await
}

#[tokio::test]
async fn a_text_that_is_no_message_is_answered_and_the_stream_goes_on() -> anyhow::Result<()> {
    let up = small().await?;
    let mut stream = raw(&up).await?;
    for nonsense in ["hello", "{\"type\":", r#"{"type":"Dance"}"#, "[]", ""] {
        stream.text(nonsense).await?;
        let expected = json!({"type": "Error", "variant": "SchemaError", "message": nonsense,
            "description": "Could not parse the text message"});
        assert_eq!(stream.next(|_any| true).await?, [expected]);
    }
    let ended = stream.say(&sound(SCRIPT, Format::SPEECH)).await?;
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(SCRIPT, &text(ended.results(Kind::Final)))
}

#[tokio::test]
async fn messages_and_frames_over_the_limit_end_with_1009() -> anyhow::Result<()> {
    let up = small().await?;
    let big = ((1009, "message over 1 MiB"), "frame_too_big");
    ensure_closed(&up, raw(&up).await?, big, async |stream| stream.send(once(Message::binary(vec![0; 2 << 20]))).await)
        .await?;
    ensure_closed(&up, raw(&up).await?, big, async |stream| {
        stream.send(once(Message::text("x".repeat(2 << 20)))).await
    })
    .await?;
    // 60 MB are announced: binary, masked, a length of 64 bits. They need not come for the answer to come.
    let announced = [&[0x82, 0xff][..], &60_000_000_u64.to_be_bytes(), &[1, 2, 3, 4], &[0; 1_000]].concat();
    ensure_closed(&up, raw(&up).await?, big, async |mut stream| {
        stream.socket.get_mut().write_all(&announced).await?;
        stream.end().await
    })
    .await
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_with_its_codes() -> anyhow::Result<()> {
    let up = small().await?;
    let unmasked = [0x82, 0x01, 0x00];
    ensure_closed(&up, raw(&up).await?, ((1002, "malformed frame"), "bad_frames"), async |mut stream| {
        stream.socket.get_mut().write_all(&unmasked).await?;
        stream.end().await
    })
    .await?;
    let no_text = [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28];
    ensure_closed(&up, raw(&up).await?, ((1007, "text that is not UTF-8"), "bad_text"), async |mut stream| {
        stream.socket.get_mut().write_all(&no_text).await?;
        stream.end().await
    })
    .await?;
    let flood = ((1008, "more than 10 pings a second"), "caller_flooding");
    ensure_closed(&up, raw(&up).await?, flood, async |stream| {
        stream.send((0..30).map(|number| Message::Ping(vec![number].into()))).await
    })
    .await
}

#[tokio::test]
async fn a_picture_is_no_audio() -> anyhow::Result<()> {
    let up = small().await?;
    let bad = ((1008, "DATA-0000: the audio cannot be decoded"), "bad_audio");
    let picture = [PNG, &[7; 4_000]].concat();
    ensure_closed(&up, open(&up, "model=nova-3").await?, bad, async |stream| stream.say(&picture).await).await
}

#[tokio::test]
async fn a_caller_who_says_nothing_is_told_why_it_is_closed() -> anyhow::Result<()> {
    let config = "proxy: { stream: { first_audio: 300ms } }";
    let up = Up::configured(config, &["--nodes", "1"]).await?;
    let began = Instant::now();
    let silent = ((1011, "NET-0001: no audio or text for 10 s. See https://dpgr.am/net0001"), "caller_silent");
    ensure_closed(&up, raw(&up).await?, silent, async |stream| stream.end().await).await?;
    // A sign of life is no audio.
    ensure_closed(&up, raw(&up).await?, silent, async |mut stream| {
        stream.text(r#"{"type":"KeepAlive"}"#).await?;
        stream.end().await
    })
    .await?;
    assert!(began.elapsed() < Duration::from_secs(8), "closed after {:?}, each", began.elapsed() / 2);
    Ok(())
}

#[tokio::test]
async fn a_caller_that_takes_no_leave_keeps_no_slot() -> anyhow::Result<()> {
    let up = small().await?;
    let mut stream = raw(&up).await?;
    let session = stream.session()?;
    let began = Instant::now();
    for _ping in 0..11 {
        stream.socket.send(Message::Ping(Bytes::new())).await?;
    }
    // It does not read, so it does not answer the close: that is waited for for 5 s.
    assert_eq!(up.record(&session).await?["reason"], "caller_flooding");
    up.idle().await?;
    assert!(began.elapsed() < Duration::from_secs(4), "after {:?}", began.elapsed());
    assert_eq!(stream.end().await?.close(), (1008, "more than 10 pings a second"));
    Ok(())
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_frees_its_slot() -> anyhow::Result<()> {
    let up = small().await?;
    let mut stream = open(&up, &format!("{}&interim_results=true", query(Format::SPEECH))).await?;
    let session = stream.session()?;
    stream.audio(&sound(SCRIPT, Format::SPEECH)[..first_word(SCRIPT, Format::SPEECH)?]).await?;
    stream.next(|message| is(message, Kind::Interim)).await?;
    let node = up.busy().await?;
    assert_eq!(up.serving(&session).await?.name, node.name);
    drop(stream);
    up.idle().await?;
    assert_eq!(up.record(&session).await?["reason"], "caller_gone");
    assert_eq!((up.ended("stream", "caller_gone").await?, up.ended("stream", "completed").await?), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_caller_that_is_reset_frees_its_slot() -> anyhow::Result<()> {
    let up = small().await?;
    let mut stream = raw(&up).await?;
    let session = stream.session()?;
    stream.audio(&sound(SCRIPT, Format::SPEECH)[..first_word(SCRIPT, Format::SPEECH)?]).await?;
    up.busy().await?;
    // Closed with nothing to linger for, a socket resets.
    stream.socket.get_ref().set_zero_linger()?;
    drop(stream);
    up.idle().await?;
    assert_eq!(up.record(&session).await?["reason"], "caller_gone");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_stops_in_the_middle_without_a_word_is_told_so_and_frees_its_slot() -> anyhow::Result<()> {
    let up = Up::configured("proxy: { stream: { silence: 500ms } }", &["--nodes", "1"]).await?;
    let silent = ((1011, "NET-0001: no audio or text for 10 s. See https://dpgr.am/net0001"), "caller_silent");
    ensure_closed(&up, raw(&up).await?, silent, async |mut stream| {
        stream.audio(&sound(SCRIPT, Format::SPEECH)[..first_word(SCRIPT, Format::SPEECH)?]).await?;
        stream.end().await
    })
    .await
}

#[tokio::test]
async fn a_caller_far_ahead_of_its_engine_has_its_pings_answered() -> anyhow::Result<()> {
    let up = Up::configured("proxy: { stream: { ring: 15s } }", &["--nodes", "1"]).await?;
    let script = Script::lasting(18, Duration::from_secs(90));
    let mut stream = raw(&up).await?;
    stream.audio(&sound(script, Format::SPEECH)).await?;
    stream.socket.send(Message::Ping(Bytes::from_static(b"still there?"))).await?;
    let mut before = Vec::new();
    loop {
        match within("pong", stream.socket.next()).await?.context("a message")?? {
            Message::Pong(_) => break,
            Message::Text(text) => before.push(serde_json::from_str(&text)?),
            other => anyhow::bail!("{other:?}"),
        }
    }
    let heard = of_kind(&before, Kind::Final).count();
    stream.text(r#"{"type":"CloseStream"}"#).await?;
    let ended = stream.end().await?;
    let after = ended.results(Kind::Final).count();
    assert!(heard < after, "{heard} of {} results came before the pong", heard + after);
    assert_eq!(ended.close(), (1000, ""));
    ensure_clean(script, &text(of_kind(&before, Kind::Final).chain(ended.results(Kind::Final))))
}
