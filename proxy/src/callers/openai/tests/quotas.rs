//! Limits as callers of both APIs meet them: told before they are reached, refused in their own words, and nobody else's cost.

use std::sync::Arc;

use proto::v1::RefusalKind;
use serde_json::json;
use store::{Embedded, Grants, KeyIndex, KeyOrder, Limits, UnixTime};

use super::bench::{Answer, Bench, form, request};
use super::errors::{comes_back, refused};

async fn limited(limits: Limits) -> Bench {
    Bench::with_limits(Arc::new(Embedded::new()), limits).await
}

fn upload() -> String {
    form(&[("model", "whisper-1"), ("file", "RIFF")])
}

fn rates(answer: &Answer) -> [Option<String>; 3] {
    let names = ["limit", "remaining", "reset"].map(|name| format!("x-ratelimit-{name}-requests"));
    names.map(|name| answer.header(&name).map(str::to_owned))
}

#[tokio::test]
async fn a_rate_is_told_with_every_answer_and_refused_in_openais_words() {
    let bench = limited(Limits { sessions_per_minute: Some(2), ..Limits::default() }).await;
    let told = |words: [&str; 3]| words.map(|word| Some(word.to_owned()));
    assert_eq!(rates(&bench.post(upload()).await), told(["2", "1", "30s"]));
    assert_eq!(rates(&bench.post(form(&[("file", "RIFF")])).await)[1].as_deref(), Some("0"), "with errors too");
    let answer = bench.post(upload()).await;
    let message = "Rate limit reached for requests (limit: 2 new sessions per minute). Please try again later.";
    refused(&answer, 429, (message, "requests"), (None, "rate_limit_exceeded"));
    assert_eq!(rates(&answer)[..2], told(["2", "0", ""])[..2]);
    // The wait is half a minute, less what the machine took; callers come back after one to three times that.
    comes_back(&answer, 58_000);
    assert_eq!((bench.heard().len(), bench.ended().len()), (1, 2), "no node and no router is asked");
    assert_eq!(rates(&bench.get("/v1/models").await), [None, None, None], "what costs no session is not counted");
}

#[tokio::test]
async fn a_rate_is_refused_in_deepgrams_words_before_the_upgrade() {
    let bench = limited(Limits { sessions_per_minute: Some(1), ..Limits::default() }).await;
    assert_eq!(bench.send(request("POST", "/v1/listen", "RIFF")).await.status, 200);
    let mut upgrade = request("GET", "/v1/listen?encoding=linear16&sample_rate=16000", "");
    let said = [
        ("authorization", "Token k"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    said.into_iter().for_each(|(name, value)| drop(upgrade.headers_mut().insert(name, value.parse().unwrap())));
    let asked = bench.traces().len();
    for late in [request("POST", "/v1/listen", "RIFF"), upgrade] {
        let answer = bench.send(late).await;
        let message = "Too many requests. Please try again later (limit: 1 new sessions per minute)";
        assert_eq!((answer.status, answer.header("dg-error")), (429, Some(message)));
        let id = answer.header("dg-request-id").unwrap();
        let body = json!({ "err_code": "TOO_MANY_REQUESTS", "err_msg": message, "request_id": id });
        assert_eq!(answer.json(), body);
        assert!((50..=180).contains(&answer.header("retry-after").unwrap().parse::<u32>().unwrap()));
    }
    assert_eq!(bench.traces().len(), asked, "no place is asked for and no leg opened");
}

#[tokio::test]
async fn as_many_sessions_as_may_be_at_one_time_are_429_and_no_503() {
    let bench = Bench::refusing(RefusalKind::OverLimit).await;
    let answer = bench.post(upload()).await;
    let message = "Rate limit reached for requests (limit: sessions at one time). Please try again later.";
    refused(&answer, 429, (message, "requests"), (None, "rate_limit_exceeded"));
    comes_back(&answer, 2_000);
    let answer = bench.send(request("POST", "/v1/listen", "RIFF")).await;
    assert_eq!((answer.status, &answer.json()["err_code"]), (429, &json!("TOO_MANY_REQUESTS")));
    assert!(answer.header("retry-after").is_some());
    let reasons: Vec<_> = bench.ended().into_iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, ["concurrency_limited", "concurrency_limited"]);
}

#[tokio::test]
async fn spent_audio_is_a_quota_that_no_retry_helps() {
    let bench = limited(Limits { audio_minutes_per_day: Some(0), ..Limits::default() }).await;
    let answer = bench.post(upload()).await;
    let error = answer.json()["error"].take();
    assert_eq!((answer.status, &error["type"]), (429, &json!("insufficient_quota")));
    assert_eq!(error["code"], "insufficient_quota");
    assert_eq!(error["message"], "You exceeded your current quota (limit: 0 minutes of audio per day).");
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn an_upload_is_paid_for_by_its_length() {
    let bench = limited(Limits { upload_bytes_per_minute: Some(1_000), ..Limits::default() }).await;
    let sized = |bytes: &str| {
        let mut request = request("POST", "/v1/audio/transcriptions", upload());
        request.headers_mut().insert("content-length", bytes.parse().unwrap());
        request
    };
    assert_eq!(bench.send(sized("600")).await.status, 200);
    let answer = bench.send(sized("900")).await;
    assert_eq!(answer.status, 429);
    assert!(answer.text.contains("limit: 1000 bytes of uploads per minute"), "{}", answer.text);
    assert_eq!(bench.send(sized("400")).await.status, 200);
}

#[tokio::test]
async fn who_asks_ten_times_too_often_costs_the_others_nothing() {
    let order = KeyOrder {
        environment: "test".parse().unwrap(),
        tenant: "quiet".parse().unwrap(),
        label: "quiet".to_owned(),
        grants: Grants::everything(),
        expires: None,
    };
    let (record, quiet_key) = order.fill(UnixTime::now()).unwrap();
    let index = Arc::new(Embedded::new());
    index.write(&[record]).await.unwrap();
    let limits = Limits { sessions_per_minute: Some(12), ..Limits::default() };
    let bench = Bench::with_limits(index, limits).await;
    let with_key = |key: &str| {
        let mut request = request("POST", "/v1/audio/transcriptions", upload());
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };
    let (mut loud, mut quiet) = (0, 0);
    for _ in 0..12 {
        for _ in 0..10 {
            loud += usize::from(bench.send(with_key("k")).await.status == 200);
        }
        quiet += usize::from(bench.send(with_key(quiet_key.expose())).await.status == 200);
    }
    assert_eq!(quiet, 12, "who keeps to the limit is never refused");
    // More may have earned their way in where the machine is slow.
    assert!((12..=16).contains(&loud), "{loud}");
    assert_eq!(bench.traces().len(), 2 * (loud + quiet), "what is refused asks no router and no node");
}
