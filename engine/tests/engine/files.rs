//! Uploads: heard whole, answered in the API's shape, refused with words that help.

use anyhow::{Context, Result};
use audio::coded::Script;
use audio::{Channels, Encoding, Format, SampleRate};
use reqwest::Response;
use serde_json::Value;

use crate::caller::{Running, coded, query, start, synthetic, tally, wav};

const SCRIPT: Script = Script { session: 815, words: 60 };

async fn post(engine: &Running, query: &str, body: Vec<u8>) -> Result<Response> {
    let url = engine.url(&format!("/v1/listen?{query}"));
    Ok(reqwest::Client::new().post(url).header("content-type", "audio/wav").body(body).send().await?)
}

fn alternative(answer: &Value) -> &Value {
    &answer["results"]["channels"][0]["alternatives"][0]
}

#[tokio::test]
async fn no_word_of_a_file_is_lost_or_doubled() -> Result<()> {
    let engine = start(synthetic()).await?;
    for (encoding, rate, channels) in
        [(Encoding::Linear16, 16_000, 1), (Encoding::Mulaw, 8_000, 1), (Encoding::Linear16, 44_100, 2)]
    {
        let format = Format { encoding, rate: SampleRate::try_from(rate)?, channels: Channels::try_from(channels)? };
        let sound = coded(SCRIPT, format);
        for (query, body) in [(query(format), sound.clone()), ("model=x".to_owned(), wav(format, &sound))] {
            let answer: Value = post(&engine, &query, body).await?.error_for_status()?.json().await?;
            let text = alternative(&answer)["transcript"].as_str().context("a transcript")?;
            assert!(tally(SCRIPT, text).is_clean(), "{query}: {:?}", tally(SCRIPT, text));
            assert_eq!(answer["metadata"]["channels"], channels);
        }
    }
    Ok(())
}

/// Eight coded words in every container that is decoded from a file.
const PACKED: [(&str, &[u8], u32); 6] = [
    ("FLAC", include_bytes!("../../../audio/fixtures/mono-8k.flac"), 1),
    ("MP3", include_bytes!("../../../audio/fixtures/stereo-44k.mp3"), 2),
    ("Ogg", include_bytes!("../../../audio/fixtures/mono.opus"), 1),
    ("WebM", include_bytes!("../../../audio/fixtures/stereo.webm"), 2),
    ("MP4", include_bytes!("../../../audio/fixtures/moov-last.m4a"), 1),
    ("AAC", include_bytes!("../../../audio/fixtures/mono-16k.aac"), 1),
];

#[tokio::test]
async fn packed_files_are_heard_like_plain_ones() -> Result<()> {
    let engine = start(synthetic()).await?;
    let script = Script { words: 8, ..SCRIPT };
    for (name, file, channels) in PACKED {
        let answer: Value = post(&engine, "", file.to_vec()).await?.error_for_status()?.json().await?;
        let text = alternative(&answer)["transcript"].as_str().context("a transcript")?;
        assert!(tally(script, text).is_clean(), "{name}: {:?}", tally(script, text));
        assert_eq!(answer["metadata"]["channels"], channels, "{name}");
        let duration = answer["metadata"]["duration"].as_f64().context("a duration")?;
        assert!((6.97..7.05).contains(&duration), "{name}: {duration}");
    }
    engine.until_active(0).await
}

#[tokio::test]
async fn packed_files_that_are_damaged_are_refused_with_reasons() -> Result<()> {
    let engine = start(synthetic()).await?;
    for (name, file, _) in PACKED {
        let response = post(&engine, "", file[..12].to_vec()).await?;
        assert_eq!(response.status().as_u16(), 400, "{name}");
        let message = response.json::<Value>().await?["err_msg"].as_str().context("err_msg")?.to_owned();
        assert!(message.contains(name), "{message}");
    }
    engine.until_active(0).await
}

#[tokio::test]
async fn utterances_and_paragraphs_come_when_asked_for() -> Result<()> {
    let engine = start(synthetic()).await?;
    let body = wav(Format::SPEECH, &coded(SCRIPT, Format::SPEECH));
    let plain: Value = post(&engine, "", body.clone()).await?.json().await?;
    assert!(plain["results"].get("utterances").is_none() && alternative(&plain).get("paragraphs").is_none());
    let full: Value = post(&engine, "utterances=true&smart_format=true&utt_split=0.5", body).await?.json().await?;
    let utterances = full["results"]["utterances"].as_array().context("utterances")?;
    let count =
        |pieces: &[Value]| pieces.iter().filter_map(|piece| piece["words"].as_array()).map(Vec::len).sum::<usize>();
    assert!(utterances.len() > 1);
    assert_eq!(count(utterances), usize::from(SCRIPT.words));
    let words = alternative(&full)["paragraphs"]["paragraphs"].as_array().context("paragraphs")?;
    assert_eq!(
        words.iter().filter_map(|paragraph| paragraph["num_words"].as_u64()).sum::<u64>(),
        u64::from(SCRIPT.words)
    );
    assert_eq!(alternative(&full)["words"][0]["punctuated_word"], alternative(&full)["words"][0]["word"]);
    Ok(())
}

#[tokio::test]
async fn uploads_that_are_no_audio_are_refused_with_reasons() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut lying = wav(Format::SPEECH, &[0; 3_200]);
    lying[22] = 0; // no channels
    let bad: [(&str, Vec<u8>, &str); 5] = [
        ("", Vec::new(), "empty"),
        ("", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0".to_vec(), "picture"),
        ("", lying, "corrupt or unsupported"),
        ("", wav(Format::SPEECH, &[]), "corrupt or unsupported"),
        ("encoding=linear16&sample_rate=16000", Vec::new(), "empty"),
    ];
    for (query, body, reason) in bad {
        let response = post(&engine, query, body).await?;
        assert_eq!(response.status().as_u16(), 400, "{reason}");
        assert!(response.headers().contains_key("dg-request-id") && response.headers().contains_key("dg-error"));
        let body: Value = response.json().await?;
        let message = body["err_msg"].as_str().context("err_msg")?;
        assert!(message.contains(reason), "{message}");
        assert!(message.starts_with("Bad Request: failed to process audio: corrupt or unsupported data"), "{message}");
        assert_eq!(body["err_code"], "Bad Request");
    }
    assert_eq!(post(&engine, "encoding=linear16", vec![0; 100]).await?.status().as_u16(), 400);
    engine.until_active(0).await
}

#[tokio::test]
async fn a_url_is_not_fetched() -> Result<()> {
    let engine = start(synthetic()).await?;
    let body = serde_json::json!({"url": "http://127.0.0.1/x.wav"});
    let response = reqwest::Client::new().post(engine.url("/v1/listen")).json(&body).send().await?;
    assert_eq!(response.status().as_u16(), 400);
    assert!(response.text().await?.contains("does not download"));
    Ok(())
}

#[tokio::test]
async fn a_large_upload_that_is_refused_still_gets_its_answer() -> Result<()> {
    let engine = start(synthetic()).await?;
    let mut picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0".to_vec();
    picture.resize(4 << 20, 7);
    assert_eq!(post(&engine, "", picture).await?.status().as_u16(), 400);
    Ok(())
}
