//! Long files, in chunks: what their nodes are asked, and what happens when a slot is taken back.

use audio::{Format, wav};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use serde_json::json;

use super::bench::{Answer, Bench, part, request};

/// A form with so many seconds of silence.
pub(super) fn silence(seconds: u32) -> Vec<u8> {
    silence_after(&[("model", "whisper-1")], seconds)
}

/// The same with these fields.
pub(super) fn silence_after(fields: &[(&str, &str)], seconds: u32) -> Vec<u8> {
    let fields: String = fields.iter().map(|(name, value)| part(name, value)).collect();
    let head = "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    let sound = vec![0; seconds as usize * 32_000];
    let header = wav::header(Format::SPEECH, Some(seconds * 32_000));
    [fields.as_bytes(), head.as_bytes(), &header, &sound, b"\r\n--cut--\r\n"].concat()
}

/// Waits until nodes have heard so many requests.
async fn heard(bench: &Bench, requests: usize) {
    while bench.heard().len() < requests {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn chunks_are_sent_as_raw_sound_and_their_words_come_at_their_times() {
    let bench = Bench::new().await;
    let answer = bench.post(silence(40)).await;
    assert_eq!(answer.json()["text"], "Hello there. Bye! Hello there. Bye!");
    let query = "punctuate=true&model=sphinx-en-us&encoding=linear16&sample_rate=16000&channels=1";
    let mut sizes = Vec::new();
    for heard in bench.heard() {
        assert_eq!(heard.query, query);
        sizes.push(heard.bytes.len());
    }
    sizes.sort_unstable();
    // Silence is cut half a second before a chunk would be full.
    assert_eq!(sizes, [21 * 16_000, 59 * 16_000]);
    let ended = bench.ended();
    let [ended] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!((ended.reason.as_str(), ended.audio_milliseconds, ended.bytes_in), ("completed", 40_000, 1_280_044));
}

#[tokio::test]
async fn a_chunk_whose_slot_is_taken_back_is_heard_later() {
    let bench = Bench::new().await;
    bench.deafen(2);
    let revoking = async {
        heard(&bench, 2).await;
        bench.revoke_all();
    };
    let (answer, ()) = tokio::join!(bench.post(silence(40)), revoking);
    assert_eq!(answer.json()["text"], "Hello there. Bye! Hello there. Bye!");
    assert_eq!(bench.heard().len(), 4);
    assert_eq!(bench.ended().len(), 1);
}

#[tokio::test]
async fn a_file_pays_for_its_sound_once_however_often_its_chunks_are_placed() {
    let bench = Bench::new().await;
    bench.deafen(2);
    let revoking = async {
        heard(&bench, 2).await;
        bench.revoke_all();
    };
    let (answer, ()) = tokio::join!(bench.post(silence(40)), revoking);
    assert_eq!(answer.status, 200);
    let paid = bench.paid().await;
    let audio: Vec<_> = paid.iter().map(|part| part.audio_microseconds / 1000).filter(|audio| *audio > 0).collect();
    assert_eq!((paid.len(), audio.len(), audio.iter().sum::<u64>()), (4, 2, 40_000), "{paid:?}");
    assert_eq!(paid.iter().map(|part| part.bytes_in).sum::<u64>(), 40 * 32_000);
    let ended = bench.ended();
    assert!(paid.iter().all(|part| part.session == ended[0].session && part.ended.is_none()), "{paid:?}");
}

#[tokio::test]
async fn a_node_that_calls_a_chunk_bad_ends_the_file() {
    let bench = Bench::with_nodes(&[(400, r#"{"err_msg":"nonsense"}"#)]).await;
    let answer = bench.post(silence(40)).await;
    let error =
        json!({ "message": "nonsense", "type": "invalid_request_error", "param": "file", "code": "invalid_value" });
    assert_eq!((answer.status, answer.json()), (400, json!({ "error": error })));
    let ended = bench.ended();
    assert_eq!((ended.len(), ended[0].bytes_in), (1, 1_280_044), "what came is used, heard or not");
}

async fn listened(bench: &Bench, query: &str) -> Answer {
    let file = [&wav::header(Format::SPEECH, None)[..], &vec![0; 10 * 32_000]].concat();
    let mut request = request("POST", &format!("/v1/listen?{query}"), Body::from(file));
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    bench.send(request).await
}

#[tokio::test]
async fn what_needs_the_whole_file_is_not_cut() {
    for (query, bytes) in [("diarize=true", 320_044), ("diarize=false", 320_000)] {
        let bench = Bench::new().await;
        assert_eq!(listened(&bench, query).await.status, 200);
        assert_eq!(bench.heard()[0].bytes.len(), bytes, "{query}");
    }
}
