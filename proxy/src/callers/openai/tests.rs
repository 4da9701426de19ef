//! The API as its SDKs meet it: whole requests, a node behind them.

mod bench;
mod errors;
mod forms;
mod keys;
mod pages;
mod quotas;
mod traces;

use axum::body::{Body, Bytes};
use serde_json::json;

use bench::{Bench, form, request};

/// A node's answer: two words, a pause, one word.
const HELLO: &str = r#"{"metadata":{"duration":5.3,"channels":1},"results":{"channels":[{"alternatives":[{
    "transcript":"Hello there. Bye!","confidence":0.9,"words":[
    {"word":"hello","start":0.1,"end":0.4,"confidence":1.0,"punctuated_word":"Hello"},
    {"word":"there","start":0.4,"end":1.91,"confidence":1.0,"punctuated_word":"there."},
    {"word":"bye","start":4.0,"end":4.5,"confidence":1.0,"punctuated_word":"Bye!"}]}]}]}}"#;

async fn transcribed(fields: &[(&str, &str)]) -> bench::Answer {
    let answer = Bench::new().await.post(form(&[fields, &[("file", "RIFF")]].concat())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

fn segment((id, seek): (u32, u32), (start, end): (f64, f64), text: &str) -> serde_json::Value {
    json!({
        "id": id, "seek": seek, "start": start, "end": end, "text": text, "tokens": [],
        "temperature": 0.0, "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0,
    })
}

#[tokio::test]
async fn json_has_the_text_and_what_it_cost() {
    let answer = transcribed(&[("model", "whisper-1")]).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("openai-version"), Some("2020-10-01"));
    assert!(answer.header("openai-processing-ms").unwrap().parse::<u32>().is_ok());
    assert!(answer.header("x-request-id").unwrap().parse::<uuid::Uuid>().is_ok());
    let usage = json!({ "type": "duration", "seconds": 6 });
    assert_eq!(answer.json(), json!({ "text": "Hello there. Bye!", "usage": usage }));
}

#[tokio::test]
async fn models_that_are_paid_by_token_tell_tokens() {
    let usage = transcribed(&[("model", "gpt-4o-transcribe")]).await.json()["usage"].take();
    let details = json!({ "text_tokens": 0, "audio_tokens": 53 });
    let tokens = json!({
        "type": "tokens", "input_tokens": 53, "input_token_details": details, "output_tokens": 3, "total_tokens": 56,
    });
    assert_eq!(usage, tokens);
}

#[tokio::test]
async fn text_and_subtitles_are_plain_text() {
    let srt = "1\n00:00:00,100 --> 00:00:01,910\nHello there.\n\n2\n00:00:04,000 --> 00:00:04,500\nBye!\n\n";
    let vtt = "WEBVTT\n\n00:00:00.100 --> 00:00:01.910\nHello there.\n\n00:00:04.000 --> 00:00:04.500\nBye!\n\n";
    for (format, expected) in [("text", "Hello there. Bye!\n"), ("srt", srt), ("vtt", vtt)] {
        let answer = transcribed(&[("response_format", format), ("model", "gpt-4o-transcribe")]).await;
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.text, expected);
    }
}

#[tokio::test]
async fn verbose_json_has_segments_unless_only_words_are_wanted() {
    let verbose = [("model", "whisper-1"), ("response_format", "verbose_json")];
    let answer = transcribed(&verbose).await.json();
    let segments = json!([segment((0, 10), (0.1, 1.91), " Hello there."), segment((1, 400), (4.0, 4.5), " Bye!")]);
    let expected = json!({
        "task": "transcribe", "language": "english", "duration": 5.3, "text": "Hello there. Bye!",
        "usage": { "type": "duration", "seconds": 6 }, "segments": segments,
    });
    assert_eq!(answer, expected);

    let words = transcribed(&[&verbose[..], &[("timestamp_granularities[]", "word")]].concat()).await.json();
    assert!(words.get("segments").is_none());
    let expected = json!([
        { "word": "Hello", "start": 0.1, "end": 0.4 },
        { "word": "there", "start": 0.4, "end": 1.91 },
        { "word": "Bye", "start": 4.0, "end": 4.5 },
    ]);
    assert_eq!(words["words"], expected);

    let both = [("timestamp_granularities", "segment"), ("timestamp_granularities", "word")];
    let both = transcribed(&[&verbose[..], &both].concat()).await.json();
    assert!(both.get("segments").is_some() && both.get("words").is_some());
}

#[tokio::test]
async fn the_deltas_of_a_stream_are_its_text() {
    let answer = transcribed(&[("model", "gpt-4o-transcribe"), ("stream", "true")]).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = answer.text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    let mut events = events.map(|event| serde_json::from_str(event).unwrap()).collect::<Vec<serde_json::Value>>();
    let done = events.pop().unwrap();
    assert_eq!(done["type"], "transcript.text.done");
    assert_eq!(done["text"], "Hello there. Bye!");
    assert_eq!(done["usage"]["total_tokens"], 56);
    assert!(events.iter().all(|event| event["type"] == "transcript.text.delta"));
    let deltas: Vec<_> = events.iter().map(|event| event["delta"].as_str().unwrap()).collect();
    assert_eq!(deltas, ["Hello", " there.", " Bye!"]);
}

#[tokio::test]
async fn whisper_1_does_not_stream() {
    let answer = transcribed(&[("model", "whisper-1"), ("stream", "true")]).await;
    assert_eq!(answer.json()["text"], "Hello there. Bye!");
}

#[tokio::test]
async fn the_node_is_asked_in_its_own_words_and_the_session_ends_once() {
    let bench = Bench::new().await;
    let sent = form(&[("file", "RIFF"), ("language", "en"), ("model", "whisper-1"), ("prompt", "a name")]);
    let answer = bench.post(sent).await;
    let heard = bench::Heard {
        query: "punctuate=true&model=sphinx-en-us&language=en".to_owned(),
        bytes: Bytes::from_static(b"RIFF"),
    };
    assert_eq!(bench.heard(), [heard]);
    let ended = bench.ended();
    let [ended] = ended.as_slice() else { panic!("{ended:?}") };
    assert_eq!(ended.reason, "completed");
    assert_eq!(answer.header("x-request-id"), Some(ended.session.as_str()));
    assert_eq!((ended.audio_milliseconds, ended.bytes_in), (5300, 4));
    assert_eq!(ended.bytes_out, answer.text.len() as u64);
}

#[tokio::test]
async fn a_node_that_fails_is_followed_by_another() {
    let bench = Bench::with_nodes(&[(503, r#"{"err_msg":"full"}"#), (200, HELLO)]).await;
    let answer = bench.post(form(&[("file", "RIFF"), ("model", "whisper-1")])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(bench.heard().iter().map(|heard| &heard.bytes[..]).collect::<Vec<_>>(), [b"RIFF", b"RIFF"]);
    assert_eq!(bench.ended().len(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_recorded_once() {
    let bench = Bench::new().await;
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, axum::Error>>());
    bench.hang_up(request("POST", "/v1/audio/transcriptions", endless));
    assert_eq!(bench.ended().iter().map(|ended| ended.reason.as_str()).collect::<Vec<_>>(), ["caller_gone"]);
}

#[tokio::test]
async fn the_models_are_listed_for_both_sdks() {
    let bench = Bench::with_nodes(&[]).await;
    let listed = bench.get("/v1/models").await.json();
    let model = |id: &str| json!({ "id": id, "object": "model", "created": 0, "owned_by": "crosspoint" });
    assert_eq!(listed["object"], "list");
    assert_eq!(listed["data"], json!([model("sphinx-en-us"), model("gpt-4o-transcribe"), model("whisper-1")]));
    assert_eq!(listed["tts"], json!([]));
    assert_eq!(listed["stt"].as_array().unwrap().len(), 1);
    let speech = &listed["stt"][0];
    assert_eq!((&speech["name"], &speech["languages"]), (&json!("sphinx-en-us"), &json!(["en-US"])));

    let whisper = bench.get("/v1/models/whisper-1").await.json();
    assert_eq!((&whisper["id"], &whisper["canonical_name"]), (&json!("whisper-1"), &json!("sphinx-en-us")));
    let by_id = bench.get(&format!("/v1/models/{}", speech["uuid"].as_str().unwrap())).await.json();
    assert_eq!(by_id["uuid"], speech["uuid"]);
}
