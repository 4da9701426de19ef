//! Web pages as callers: what browsers ask before a request, what pages may read, and which may open streams.

use axum::body::Body;
use axum::http::Request;

use super::bench::{Answer, Bench, form, request};

const APP: &str = "https://app.example";
const EVIL: &str = "https://evil.example";

/// Adds headers to a request.
fn with(mut request: Request<Body>, headers: &[(&'static str, &str)]) -> Request<Body> {
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

/// Asks as a browser does before it sends a key.
async fn preflight(bench: &Bench, path: &str, origin: &str) -> Answer {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-crosspoint-residency"),
    ];
    let mut request = with(request("OPTIONS", path, Body::empty()), &asked);
    request.headers_mut().remove("authorization");
    bench.send(request).await
}

/// Opens a stream with the key among the subprotocols, as browsers must.
async fn stream(bench: &Bench, headers: &[(&'static str, &str)]) -> Answer {
    let handshake = [
        ("host", "stt.example"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "token, k"),
    ];
    let path = "/v1/listen?encoding=linear16&sample_rate=16000";
    let mut request = with(with(request("GET", path, Body::empty()), &handshake), headers);
    request.headers_mut().remove("authorization");
    bench.send(request).await
}

#[tokio::test]
async fn a_preflight_is_answered_to_pages_on_the_list() {
    let bench = Bench::for_pages_of(&[APP]).await;
    for path in ["/v1/listen", "/v1/audio/transcriptions", "/v1/models", "/v1/models/sphinx-en-us"] {
        let answer = preflight(&bench, path, APP).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(APP)), "{path}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET,POST"));
        let headers = "authorization,content-type,x-crosspoint-residency";
        assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
        assert!(answer.header("vary").unwrap().contains("origin"));
        assert_eq!(preflight(&bench, path, EVIL).await.header("access-control-allow-origin"), None, "{path}");
    }
}

#[tokio::test]
async fn answers_and_errors_can_be_read_by_pages_on_the_list() {
    let bench = Bench::for_pages_of(&[APP]).await;
    let body = form(&[("model", "whisper-1"), ("file", "RIFF")]);
    for (request, status) in [
        (request("POST", "/v1/audio/transcriptions", body), 200),
        (request("GET", "/v1/models", Body::empty()), 200),
        (request("POST", "/v1/listen?model=none", Body::empty()), 400),
        (request("GET", "/v1/nowhere", Body::empty()), 404),
    ] {
        let answer = bench.send(with(request, &[("origin", APP)])).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, Some(APP)));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert_eq!(exposed, "dg-request-id,dg-error,x-request-id,x-should-retry,retry-after");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let evil = bench.send(with(request("GET", "/v1/models", Body::empty()), &[("origin", EVIL)])).await;
    assert_eq!(evil.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn without_a_list_pages_are_told_nothing() {
    let bench = Bench::new().await;
    let answer = preflight(&bench, "/v1/listen", APP).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
    let answer = bench.send(with(request("GET", "/v1/models", Body::empty()), &[("origin", APP)])).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_page_on_the_list_opens_a_stream_with_its_key_as_a_subprotocol() {
    for (list, origin) in
        [(&[APP][..], APP), (&["*"], EVIL), (&[APP], "https://stt.example"), (&[], "http://stt.example")]
    {
        let answer = stream(&Bench::for_pages_of(list).await, &[("origin", origin)]).await;
        let spoken = answer.header("sec-websocket-protocol");
        assert_eq!((answer.status, spoken), (101, Some("token")), "{origin}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_page_that_is_not_on_the_list_opens_no_stream() {
    for list in [&[APP][..], &[]] {
        let bench = Bench::for_pages_of(list).await;
        for origin in [EVIL, "null", "https://app.example.evil"] {
            let answer = stream(&bench, &[("origin", origin)]).await;
            assert_eq!((answer.status, &answer.json()["err_code"]), (403, &"ORIGIN_NOT_ALLOWED".into()), "{origin}");
            assert!(answer.header("dg-error").unwrap().contains("proxy.origins"));
        }
        assert_eq!(bench.traces(), Vec::<String>::new(), "nobody was asked");
    }
}

#[tokio::test]
async fn what_is_no_browser_opens_streams_whatever_the_list() {
    for list in [&[APP][..], &[]] {
        assert_eq!(stream(&Bench::for_pages_of(list).await, &[]).await.status, 101);
    }
}

#[tokio::test]
async fn a_page_on_the_list_with_a_wrong_key_is_still_refused() {
    let bench = Bench::for_pages_of(&[APP]).await;
    let answer = stream(&bench, &[("origin", APP), ("sec-websocket-protocol", "token, wrong")]).await;
    assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (401, None));
}
