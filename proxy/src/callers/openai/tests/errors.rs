//! Every refusal, to the letter.

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;

use super::HELLO;
use super::bench::{Answer, Bench, form, request};
use crate::edge::{UploadError, Violation};

/// Checks status and error; `param` and `code` as the SDKs give them.
#[track_caller]
pub(super) fn refused(
    answer: &Answer,
    status: u16,
    (message, kind): (&str, &str),
    (param, code): (Option<&str>, &str),
) {
    assert_eq!(answer.status, status, "{}", answer.text);
    let error = json!({ "message": message, "type": kind, "param": param, "code": code });
    assert_eq!(answer.json(), json!({ "error": error }));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("openai-version"), Some("2020-10-01"));
    assert!(answer.header("x-request-id").is_some() && answer.header("openai-processing-ms").is_some());
    let may_retry = answer.header("retry-after").is_some();
    assert_eq!(answer.header("x-should-retry"), (!may_retry).then_some("false"));
}

/// Checks that callers come back after about this many milliseconds, and not all at once.
#[track_caller]
pub(super) fn comes_back(answer: &Answer, milliseconds: u64) {
    let told = |name| answer.header(name).unwrap().parse::<u64>().unwrap();
    let (seconds, exactly) = (told("retry-after"), told("retry-after-ms"));
    assert!(exactly >= milliseconds / 2 && exactly <= milliseconds * 8 / 5, "{exactly} ms");
    assert!(seconds * 1_000 >= exactly && seconds * 1_000 <= exactly + 1_000, "{seconds} s for {exactly} ms");
}

const BAD: &str = "invalid_request_error";

#[tokio::test]
async fn a_field_with_an_unusable_value_is_named() {
    let bench = Bench::new().await;
    let cases = [
        ("response_format", "diarized_json", "expected json, text, srt, verbose_json or vtt, got \"diarized_json\""),
        ("stream", "yes", "expected true or false, got \"yes\""),
        ("temperature", "hot", "expected a temperature from 0 to 1, got \"hot\""),
        ("temperature", "NaN", "expected a temperature from 0 to 1, got \"NaN\""),
        ("language", "a b", "expected a language such as en, got \"a b\""),
        ("timestamp_granularities[]", "hour", "expected word or segment, got \"hour\""),
        ("include[]", "logprobs", "include is not supported: send the request without it"),
        ("known_speaker_names[]", "Ann", "known_speaker_names is not supported: send the request without it"),
    ];
    for (name, value, message) in cases {
        let answer = bench.post(form(&[("model", "gpt-4o-transcribe"), (name, value), ("file", "RIFF")])).await;
        let param = name.trim_end_matches("[]");
        refused(&answer, 400, (message, BAD), (Some(param), "invalid_value"));
    }
    let both = [("model", "gpt-4o-transcribe"), ("stream", "true"), ("response_format", "srt"), ("file", "RIFF")];
    let message = "stream=true needs response_format json or text";
    refused(&bench.post(form(&both)).await, 400, (message, BAD), (Some("response_format"), "invalid_value"));
    let french = bench.post(form(&[("model", "whisper-1"), ("language", "fr"), ("file", "RIFF")])).await;
    let error = french.json()["error"].take();
    assert_eq!((french.status, &error["param"], &error["code"]), (400, &json!("language"), &json!("invalid_value")));
    assert!(bench.heard().is_empty());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let bench = Bench::new().await;
    let answer = bench.post(form(&[("file", "RIFF"), ("model", "")])).await;
    refused(&answer, 400, ("you must provide a model", BAD), (Some("model"), "missing_required_parameter"));
    let answer = bench.post(form(&[("model", "whisper-1")])).await;
    refused(&answer, 400, ("you must provide a file: the audio", BAD), (Some("file"), "missing_required_parameter"));

    let mut without = request("POST", "/v1/audio/transcriptions", "{}");
    without.headers_mut().insert("content-type", "multipart/form-data".parse().unwrap());
    let message = "the Content-Type header has no boundary: let the HTTP library write it";
    refused(&bench.send(without).await, 400, (message, BAD), (Some("boundary"), "missing_required_parameter"));
    let mut json = request("POST", "/v1/audio/transcriptions", "{}");
    json.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let message = "expected a body of type multipart/form-data, got \"application/json\"";
    refused(&bench.send(json).await, 400, (message, BAD), (Some("content-type"), "invalid_value"));
}

#[tokio::test]
async fn files_that_are_no_audio_are_refused() {
    let bench = Bench::with_nodes(&[(400, r#"{"err_msg":"Bad Request: failed to process audio: a picture"}"#)]).await;
    let answer = bench.post(form(&[("model", "whisper-1"), ("file", "")])).await;
    refused(&answer, 400, ("the audio file is empty", BAD), (Some("file"), "invalid_value"));
    let answer = bench.post(form(&[("model", "whisper-1"), ("file", "PNG")])).await;
    refused(&answer, 400, ("failed to process audio: a picture", BAD), (Some("file"), "invalid_value"));
    let answer = bench.post(form(&[("file", "a"), ("model", "whisper-1"), ("file", "b")])).await;
    let message = "expected one file, got more: send each as a request of its own";
    refused(&answer, 400, (message, BAD), (Some("file"), "invalid_value"));
    let reasons: Vec<_> = bench.ended().into_iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, ["bad_audio", "bad_audio", "bad_request"]);
}

#[tokio::test]
async fn an_unknown_model_is_404_and_names_the_known_ones() {
    let bench = Bench::new().await;
    let message = "no model is called \"nope\"; known models: sphinx-en-us, gpt-4o-transcribe, whisper-1";
    let answer = bench.post(form(&[("model", "nope"), ("file", "RIFF")])).await;
    refused(&answer, 404, (message, BAD), (Some("model"), "model_not_found"));
    refused(&bench.get("/v1/models/nope").await, 404, (message, BAD), (Some("model"), "model_not_found"));
}

#[tokio::test]
async fn without_the_right_key_there_is_nothing() {
    let bench = Bench::new().await;
    for (method, path) in [("POST", "/v1/audio/transcriptions"), ("GET", "/v1/models"), ("GET", "/v1/models/whisper-1")]
    {
        let mut keyless = request(method, path, "");
        keyless.headers_mut().remove("authorization");
        let message =
            "You didn't provide an API key: send it in an Authorization header (Authorization: Bearer YOUR_KEY).";
        refused(&bench.send(keyless).await, 401, (message, BAD), (None, "invalid_api_key"));
        let mut wrong = request(method, path, "");
        wrong.headers_mut().insert("authorization", "Bearer sk-secret".parse().unwrap());
        refused(&bench.send(wrong).await, 401, ("Incorrect API key provided.", BAD), (None, "invalid_api_key"));
    }
}

#[tokio::test]
async fn no_room_and_no_sense_may_be_tried_again() {
    let full = Bench::with_nodes(&[]).await;
    let asked = form(&[("model", "whisper-1"), ("file", "RIFF")]);
    let answer = full.post(asked.clone()).await;
    let message = "every node that may serve this request is full, please try again";
    refused(&answer, 503, (message, "server_error"), (None, "no_capacity"));
    comes_back(&answer, 2_000);

    let confused = Bench::with_nodes(&[(200, "{}")]).await;
    let answer = confused.post(asked).await;
    let message = "the node's answer makes no sense, please try again";
    refused(&answer, 502, (message, "server_error"), (None, "node_failed"));
    comes_back(&answer, 1_000);
    assert_eq!(confused.ended()[0].reason, "node_failed");
}

#[tokio::test]
async fn what_the_edge_refuses_keeps_its_status() {
    let bench = Bench::with_nodes(&[(200, HELLO)]).await;
    for (violation, status, code) in
        [(Violation::UploadTooLarge, 413, "upload_too_big"), (Violation::SlowBody, 408, "upload_too_slow")]
    {
        let broken = Err::<Bytes, _>(axum::Error::new(UploadError::Refused(violation)));
        let answer = bench.post(Body::from_stream(stream::iter([broken]))).await;
        refused(&answer, status, (violation.message(), BAD), (None, code));
        assert_eq!(bench.ended()[0].reason, code);
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_answered_in_the_words_of_its_api() {
    let bench = Bench::with_nodes(&[]).await;
    let message = "Invalid URL (GET /v1/audio/speech): there are /v1/audio/transcriptions and /v1/models";
    refused(&bench.get("/v1/audio/speech").await, 404, (message, BAD), (None, "unknown_url"));
    let message = "Not allowed to GET on /v1/audio/transcriptions: files are sent with POST, models are read with GET";
    refused(&bench.get("/v1/audio/transcriptions").await, 405, (message, BAD), (None, "method_not_supported"));
    for path in ["/", "/v1/modelsx", "/v1/speak"] {
        let answer = bench.get(path).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["err_code"], "NOT_FOUND");
    }
}
