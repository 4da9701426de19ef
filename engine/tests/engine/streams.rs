//! Streams of coded audio: every word arrives once, results tile the sound, control messages do what they say.

use anyhow::Result;
use audio::coded::Script;
use audio::{Channels, Encoding, Format, SampleRate};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::caller::{coded, query, start, synthetic, tally, transcript, wav};

const SCRIPT: Script = Script { session: 4_711, words: 60 };

#[tokio::test]
async fn no_word_is_lost_or_doubled_in_any_encoding() -> Result<()> {
    let engine = start(synthetic()).await?;
    for encoding in Encoding::ALL {
        for rate in [8_000, 16_000, 44_100] {
            let format = Format { encoding, rate: SampleRate::try_from(rate)?, channels: Channels::MONO };
            let caller = engine.call(&format!("{}&interim_results=true", query(format))).await?;
            let said = caller.transcribe(&coded(SCRIPT, format)).await?;
            assert!(tally(SCRIPT, &said.text()).is_clean(), "{format}: {:?}", tally(SCRIPT, &said.text()));
            assert_eq!((said.code, said.reason.as_str()), (1000, ""));
        }
    }
    Ok(())
}

#[tokio::test]
async fn finals_tile_the_sound_and_metadata_sums_it_up() -> Result<()> {
    let engine = start(synthetic()).await?;
    let audio = coded(SCRIPT, Format::SPEECH);
    let caller = engine.call(&format!("{}&interim_results=True", query(Format::SPEECH))).await?;
    let request_id = caller.request_id.clone();
    let said = caller.transcribe(&audio).await?;
    let mut end = 0.0;
    for result in said.finals() {
        let start = result["start"].as_f64().unwrap_or(f64::NAN);
        assert!((start - end).abs() < 1e-9, "{start} follows {end}");
        end = start + result["duration"].as_f64().unwrap_or(f64::NAN);
        words_lie_within(result, end);
    }
    let metadata = &said.messages[said.messages.len() - 1];
    assert_eq!(metadata["type"], "Metadata");
    assert_eq!(metadata["request_id"], request_id.as_str());
    assert_eq!(metadata["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(metadata["channels"], 1);
    assert!((metadata["duration"].as_f64().unwrap_or_default() - end).abs() < 1e-3, "{metadata} {end}");
    Ok(())
}

fn words_lie_within(result: &Value, end: f64) {
    let mut earliest = result["start"].as_f64().unwrap_or(f64::NAN);
    for word in result["channel"]["alternatives"][0]["words"].as_array().unwrap_or(&Vec::new()) {
        let (from, to) = (word["start"].as_f64().unwrap_or(f64::NAN), word["end"].as_f64().unwrap_or(f64::NAN));
        assert!(earliest <= from && from <= to && to <= end + 1e-9, "{word} in {result}");
        earliest = to;
    }
}

#[tokio::test]
async fn progress_is_shown_every_second_even_over_silence() -> Result<()> {
    let engine = start(synthetic()).await?;
    let caller = engine.call(&format!("{}&interim_results=true", query(Format::SPEECH))).await?;
    let silence = vec![0; 32_000 * 10];
    let said = caller.transcribe(&[coded(SCRIPT, Format::SPEECH), silence].concat()).await?;
    let mut before = 0.0;
    for result in said.messages.iter().filter(|message| message["type"] == "Results") {
        let end = result["start"].as_f64().unwrap_or_default() + result["duration"].as_f64().unwrap_or_default();
        assert!(end - before <= 1.0, "from {before} to {end}");
        before = end;
    }
    Ok(())
}

#[tokio::test]
async fn a_wav_file_needs_no_description() -> Result<()> {
    let engine = start(synthetic()).await?;
    let format = Format { rate: SampleRate::HZ_48000, channels: Channels::STEREO, ..Format::SPEECH };
    let said = engine.call("model=x").await?.transcribe(&wav(format, &coded(SCRIPT, format))).await?;
    assert!(tally(SCRIPT, &said.text()).is_clean(), "{}", said.text());
    Ok(())
}

#[tokio::test]
async fn finalize_answers_at_once_and_loses_nothing() -> Result<()> {
    let engine = start(synthetic()).await?;
    let audio = coded(SCRIPT, Format::SPEECH);
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    let mut texts = Vec::new();
    // Cut where it hurts: every piece ends somewhere inside a word or just after one.
    for piece in audio.chunks(32_000 * 7 / 2) {
        caller.send(piece, 3_200).await?;
        caller.tell(r#"{"type": "Finalize"}"#).await?;
        loop {
            let result = caller.until("Results").await?;
            texts.push(transcript(&result).unwrap_or_default().to_owned());
            if result["from_finalize"] == true {
                break;
            }
        }
    }
    caller.tell(r#"{"type":"CloseStream"}"#).await?;
    texts.push(caller.rest().await?.text());
    let tally = tally(SCRIPT, &texts.join(" "));
    assert!(tally.is_clean(), "{tally:?}");
    Ok(())
}

#[tokio::test]
async fn finalize_answers_even_before_any_audio() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.tell(r#"{"type":"Finalize"}"#).await?;
    let result = caller.until("Results").await?;
    assert_eq!((&result["from_finalize"], &result["duration"]), (&Value::Bool(true), &Value::from(0.0)));
    Ok(())
}

#[tokio::test]
async fn an_empty_frame_closes_the_stream_too() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send(&coded(SCRIPT, Format::SPEECH)[..64_000], 64_000).await?;
    caller.send_frame(Message::binary(Vec::new())).await?;
    caller.tell(r#"{"type":"CloseStream"}"#).await?;
    let said = caller.rest().await?;
    assert_eq!(said.code, 1000);
    assert_eq!(said.messages[said.messages.len() - 1]["duration"], 2.0);
    Ok(())
}

#[tokio::test]
async fn a_stream_without_audio_ends_with_empty_metadata() -> Result<()> {
    let engine = start(synthetic()).await?;
    let said = engine.call("model=x").await?.transcribe(&[]).await?;
    assert_eq!(said.code, 1000);
    let metadata = &said.messages[0];
    assert_eq!((&metadata["duration"], &metadata["channels"]), (&Value::from(0.0), &Value::from(0)));
    assert!(metadata.get("models").is_none(), "{metadata}");
    Ok(())
}

#[tokio::test]
async fn speech_and_the_end_of_utterances_are_announced_on_request() -> Result<()> {
    let engine = start(synthetic()).await?;
    let query = format!("{}&vad_events=true&utterance_end_ms=1000&interim_results=true", query(Format::SPEECH));
    let audio = [coded(SCRIPT, Format::SPEECH), vec![0; 96_000]].concat();
    let said = engine.call(&query).await?.transcribe(&audio).await?;
    let count = |kind: &str| said.messages.iter().filter(|message| message["type"] == kind).count();
    assert!(count("SpeechStarted") >= 1 && count("UtteranceEnd") >= 1, "{:?}", said.messages);
    assert!(said.messages.iter().any(|message| message["speech_final"] == true));
    Ok(())
}

#[tokio::test]
async fn text_that_means_nothing_is_told_and_the_stream_goes_on() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    for nonsense in ["hello", r#"{"type":"Zorb"}"#] {
        caller.tell(nonsense).await?;
        let error = caller.until("Error").await?;
        assert_eq!((&error["variant"], &error["message"]), (&Value::from("SchemaError"), &Value::from(nonsense)));
    }
    caller.tell(r#"{"type":"Configure","keyterms":["Zorblat"]}"#).await?;
    assert_eq!(caller.until("ConfigureFailure").await?["code"], "CONFIGURE_KEYTERMS_NOT_SUPPORTED");
    caller.tell(r#"{"type":"KeepAlive"}"#).await?;
    let said = caller.transcribe(&coded(SCRIPT, Format::SPEECH)).await?;
    assert!(tally(SCRIPT, &said.text()).is_clean());
    Ok(())
}

#[tokio::test]
async fn pings_are_answered() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut caller = engine.call(&query(Format::SPEECH)).await?;
    caller.send_frame(Message::Ping(b"there?".as_slice().into())).await?;
    assert_eq!(caller.pong().await?.as_ref(), b"there?");
    Ok(())
}

#[tokio::test]
async fn legs_of_one_session_cut_the_same_sound_differently() -> Result<()> {
    let engine = start(synthetic()).await?;
    let audio = coded(SCRIPT, Format::SPEECH);
    let mut cuts = Vec::new();
    for epoch in ["1", "2"] {
        let headers = [("x-crosspoint-session", "0b7e9f3a-5d36-4e0e-a1b1-7e5f7c1d2f10"), ("x-crosspoint-epoch", epoch)];
        let said = engine.call_with(&query(Format::SPEECH), &headers).await?.transcribe(&audio).await?;
        cuts.push(said.finals().iter().map(|result| result["start"].to_string()).collect::<Vec<_>>());
    }
    assert_ne!(cuts[0], cuts[1]);
    Ok(())
}
