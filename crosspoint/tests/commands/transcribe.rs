//! `crosspoint transcribe`.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::fake::{Files, Heard, Outcome, REQUEST, Stream, crosspoint, serve, with_environment};

fn word(word: &str, start: f64, end: f64) -> Value {
    json!({"word": word, "start": start, "end": end, "confidence": 0.9})
}

fn heard(said: &str, words: &[Value]) -> Value {
    json!({"transcript": said, "confidence": 0.9, "words": words})
}

fn response() -> Value {
    let words = [word("go", 0.1, 0.4), word("forward", 0.4, 1.0)];
    json!({"metadata": {"request_id": REQUEST, "duration": 1.0, "channels": 1},
        "results": {"channels": [{"alternatives": [heard("go forward", &words)]}],
                    "utterances": [{"start": 0.1, "end": 1.0, "channel": 0, "transcript": "go forward", "words": words}]}})
}

fn interim(said: &str) -> Value {
    json!({"type": "Results", "is_final": false, "channel": {"alternatives": [heard(said, &[])]}})
}

fn is_final(said: &str, words: &[Value]) -> Value {
    json!({"type": "Results", "is_final": true, "start": 0.0, "duration": 1.0,
        "channel": {"alternatives": [heard(said, words)]}})
}

fn metadata() -> Value {
    json!({"type": "Metadata", "request_id": REQUEST, "duration": 1.0, "channels": 1})
}

/// A proxy that refuses everything in one way.
async fn refusing(status: u16, code: &'static str, message: &'static str) -> anyhow::Result<String> {
    let status = StatusCode::from_u16(status)?;
    let refuse = move || async move {
        let body = json!({"err_code": code, "err_msg": message, "request_id": REQUEST});
        (status, [("dg-request-id", REQUEST), ("dg-error", message)], Json(body))
    };
    serve(Router::new().route("/v1/listen", post(refuse).get(refuse))).await
}

fn failed(err: &str) -> Outcome {
    Outcome { code: Some(1), out: String::new(), err: format!("error: {err}\n") }
}

#[tokio::test]
async fn a_file_is_sent_and_its_transcript_written() -> anyhow::Result<()> {
    type Request = (String, Option<String>, usize);
    let request = Arc::new(Mutex::new(Request::default()));
    let ears = request.clone();
    let listen = post(move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let key = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Ok(mut request) = ears.lock() {
            *request = (uri.to_string(), key, body.len());
        }
        ([("dg-request-id", REQUEST)], Json(response()))
    });
    let url = serve(Router::new().route("/base/v1/listen", listen)).await? + "/base/";
    let files = Files::with_sound(200_000)?;
    let wav = files.wav.to_string_lossy();
    let text = crosspoint(&["transcribe", &wav, "--url", &url, "--key", "K", "--language", "en"]).await?;
    assert_eq!(text, Outcome { code: Some(0), out: "go forward\n".to_owned(), err: String::new() });
    let path = "/base/v1/listen?model=nova-3&punctuate=true&language=en&utterances=true";
    let expected = (path.to_owned(), Some("Token K".to_owned()), 200_044);
    assert_eq!(request.lock().map(|request| request.clone()).ok(), Some(expected));

    let srt = crosspoint(&["transcribe", &wav, "--url", &url, "--format", "srt"]).await?;
    assert_eq!(srt.out, "1\n00:00:00,100 --> 00:00:01,000\ngo forward\n\n");
    let json = crosspoint(&["transcribe", &wav, "--url", &url, "--format", "json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&json.out)?, response());
    Ok(())
}

#[tokio::test]
async fn what_a_file_cost_is_explained_when_asked_for() -> anyhow::Result<()> {
    let session = json!({"session": REQUEST, "state": "ended", "node": "aws-1", "pool": "aws", "epoch": 1,
        "placements": [{"node": "aws-1", "pool": "aws", "terms": {"gpu": 0.05}, "total": 0.05}],
        "audio_seconds": 1.0, "slot_seconds": 1.1, "bytes_in": 32_000, "cost": {"gpu": 0.000015, "total": 0.000015}});
    let routes = Router::new()
        .route("/v1/listen", post(|| async { ([("dg-request-id", REQUEST)], Json(response())) }))
        .route("/v1/sessions/{id}", get(|| async { Json(session) }));
    let url = serve(routes).await?;
    let files = Files::with_sound(32_000)?;
    let wav = files.wav.to_string_lossy();
    let outcome = crosspoint(&["transcribe", &wav, "--url", &url, "--router", &url, "--explain"]).await?;
    let expected = "  served by   aws-1 in pool aws
  because     5.00 ¢/h (gpu 5.00)
  cost        $0.000015 for 1.0 s of audio: gpu $0.000015 for 1.1 s of a slot, egress $0 for 32.0 kB
";
    assert_eq!(outcome, Outcome { code: Some(0), out: "go forward\n".to_owned(), err: expected.to_owned() });

    let outcome =
        crosspoint(&["transcribe", &wav, "--url", &url, "--router", "http://127.0.0.1:1", "--explain"]).await?;
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.err.starts_with("cannot explain session 6e4d2a35-"), "{}", outcome.err);
    Ok(())
}

#[tokio::test]
async fn a_stream_writes_its_finals_and_says_goodbye() -> anyhow::Result<()> {
    let lines = || {
        vec![
            interim("go"),
            is_final("go forward", &[word("go", 0.1, 0.4), word("forward", 0.4, 1.0)]),
            is_final("", &[]),
            metadata(),
        ]
    };
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    let proxy = Stream::closing(lines(), 1000, "").await?;
    let arguments = ["transcribe", &wav, "--stream", "--pace", "0", "--url", &proxy.url];
    let text = with_environment(&[("CROSSPOINT_KEY", "K")], &arguments).await?;
    assert_eq!(text, Outcome { code: Some(0), out: "go forward\n".to_owned(), err: String::new() });
    let path = "/v1/listen?model=nova-3&punctuate=true&encoding=linear16&sample_rate=16000&channels=1&interim_results=true&ack=1";
    let expected = Heard {
        path: path.to_owned(),
        authorization: Some("Token K".to_owned()),
        frames: vec![3_200, 3_200, 1_600],
        texts: vec![r#"{"type":"CloseStream"}"#.to_owned()],
    };
    assert_eq!(proxy.heard()?, expected);

    let proxy = Stream::closing(lines(), 1000, "").await?;
    let vtt = ["transcribe", &wav, "--stream", "--pace", "0", "--url", &proxy.url, "--format", "vtt"];
    assert_eq!(crosspoint(&vtt).await?.out, "WEBVTT\n\n00:00:00.100 --> 00:00:01.000\ngo forward\n\n");
    Ok(())
}

#[tokio::test]
async fn a_stream_closed_for_a_reason_fails_with_it() -> anyhow::Result<()> {
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    let proxy = Stream::closing(vec![], 1011, "NET-0000: no result for 10 s").await?;
    let outcome = crosspoint(&["transcribe", &wav, "--stream", "--pace", "0", "--url", &proxy.url]).await?;
    let expected =
        format!("the proxy closed the stream with code 1011: NET-0000: no result for 10 s (request {REQUEST})");
    assert_eq!(outcome, failed(&expected));
    Ok(())
}

#[tokio::test]
async fn a_refused_key_says_what_to_do() -> anyhow::Result<()> {
    let url = refusing(401, "INVALID_AUTH", "Invalid credentials.").await?;
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    for mode in [&["--url"][..], &["--stream", "--url"]] {
        let arguments = [&["transcribe", &*wav][..], mode, &[&*url]].concat();
        let wanted = format!("the proxy wants a key: pass --key or set CROSSPOINT_KEY (request {REQUEST})");
        assert_eq!(crosspoint(&arguments).await?, failed(&wanted));
        let refused = format!("the proxy refused the key: pass --key or set CROSSPOINT_KEY (request {REQUEST})");
        assert_eq!(with_environment(&[("CROSSPOINT_KEY", "wrong")], &arguments).await?, failed(&refused));
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_told_in_the_proxys_words() -> anyhow::Result<()> {
    let url = refusing(503, "NO_CAPACITY", "every node is full").await?;
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    let expected = failed(&format!("the proxy refused (503): every node is full (request {REQUEST})"));
    assert_eq!(crosspoint(&["transcribe", &wav, "--url", &url]).await?, expected);
    assert_eq!(crosspoint(&["transcribe", &wav, "--stream", "--url", &url]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told_with_its_address() -> anyhow::Result<()> {
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    let expected =
        failed("cannot reach the proxy at http://127.0.0.1:1 (connection refused): is `crosspoint up` running?");
    assert_eq!(crosspoint(&["transcribe", &wav, "--url", "http://127.0.0.1:1"]).await?, expected);
    assert_eq!(crosspoint(&["transcribe", &wav, "--stream", "--url", "http://127.0.0.1:1"]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn only_wav_files_can_be_streamed() -> anyhow::Result<()> {
    let files = Files::with_sound(0)?;
    let text = files.directory.path().join("notes.txt");
    std::fs::write(&text, "this is not a recording of anything at all")?;
    let outcome = crosspoint(&["transcribe", &text.to_string_lossy(), "--stream"]).await?;
    let expected = format!(
        "cannot stream {}: not a WAV file: expected RIFF or RF64 and WAVE in the first 12 bytes; \
         leave --stream out to send the file as it is",
        text.display()
    );
    assert_eq!(outcome, failed(&expected));
    let outcome = crosspoint(&["transcribe", &files.wav.to_string_lossy(), "--stream"]).await?;
    assert_eq!(outcome, failed(&format!("{} is empty", files.wav.display())));
    Ok(())
}

#[tokio::test]
async fn a_file_that_fails_does_not_stop_the_others() -> anyhow::Result<()> {
    let url = serve(Router::new().route("/v1/listen", post(|| async { Json(response()) }))).await?;
    let files = Files::with_sound(8_000)?;
    let wav = files.wav.to_string_lossy();
    let outcome = crosspoint(&["transcribe", "nowhere.wav", &wav, "--url", &url]).await?;
    let expected = Outcome {
        code: Some(1),
        out: format!("==> nowhere.wav <==\n==> {wav} <==\ngo forward\n"),
        err: "failed: nowhere.wav: cannot read nowhere.wav: no such file or directory\nerror: 1 of 2 files failed\n"
            .to_owned(),
    };
    assert_eq!(outcome, expected);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_no_transcript_is_not_taken_for_one() -> anyhow::Result<()> {
    let url = serve(Router::new().route("/v1/listen", post(|| async { "hello" }))).await?;
    let files = Files::with_sound(8_000)?;
    let outcome = crosspoint(&["transcribe", &files.wav.to_string_lossy(), "--url", &url]).await?;
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.starts_with("error: the proxy's answer is no transcript: "), "{}", outcome.err);
    Ok(())
}
