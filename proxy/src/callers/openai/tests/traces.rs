//! A caller's trace on its way through: to the router that places, and to every node that is tried.

use axum::body::Body;
use axum::http::Request;

use super::bench::{Bench, form, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn traced(mut request: Request<Body>) -> Request<Body> {
    let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
    request.headers_mut().insert("traceparent", header.parse().unwrap());
    request
}

fn upload() -> Request<Body> {
    request("POST", "/v1/audio/transcriptions", form(&[("model", "whisper-1"), ("file", "RIFF")]))
}

#[tokio::test]
async fn a_trace_goes_to_the_router_and_to_every_node() {
    let bench = Bench::with_nodes(&[(503, "full"), (200, super::HELLO)]).await;
    assert_eq!(bench.send(traced(upload())).await.status, 200);
    let traces = bench.traces();
    assert_eq!(traces.len(), 3, "{traces:?}");
    assert!(traces[0].starts_with(&format!("00-{TRACE}-")) && traces[0].ends_with("-01"), "{traces:?}");
    assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
}

#[tokio::test]
async fn files_and_streams_of_the_other_api_carry_it_as_well() {
    let file = request("POST", "/v1/listen", "RIFF");
    let mut stream = request("GET", "/v1/listen?encoding=linear16&sample_rate=16000", Body::empty());
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        stream.headers_mut().insert(name, value.parse().unwrap());
    }
    for (request, status) in [(file, 200), (stream, 101)] {
        let bench = Bench::new().await;
        assert_eq!(bench.send(traced(request)).await.status, status);
        let traces = bench.traces();
        assert_eq!(traces.len(), 2, "{traces:?}");
        assert!(traces.iter().all(|trace| trace.contains(TRACE)), "{traces:?}");
    }
}

#[tokio::test]
async fn a_caller_without_a_trace_begins_one() {
    let bench = Bench::new().await;
    for _upload in 0..2 {
        assert_eq!(bench.send(upload()).await.status, 200);
    }
    let traces = bench.traces();
    assert!(traces.iter().all(|trace| trace.ends_with("-00")), "{traces:?}");
    assert_eq!((&traces[0], &traces[2]), (&traces[1], &traces[3]));
    assert_ne!(traces[0], traces[2]);
}
