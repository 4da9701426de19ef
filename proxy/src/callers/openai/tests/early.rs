//! Short files, which go to a node while they still come in: as soon as it is known what must be asked of it.

use std::sync::Arc;

use audio::{Format, wav};
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use futures_util::{StreamExt, stream};

use super::bench::{Bench, part, request};

/// Gives a beginning, and its end once a leg was opened.
fn followed(bench: &Arc<Bench>, start: Vec<u8>, end: Vec<u8>) -> Body {
    let bench = Arc::clone(bench);
    let end = stream::once(async move {
        // One trace is the placement's.
        while bench.traces().len() < 2 {
            tokio::task::yield_now().await;
        }
        Bytes::from(end)
    });
    Body::from_stream(stream::iter([Bytes::from(start)]).chain(end).map(Ok::<_, axum::Error>))
}

fn second() -> (Vec<u8>, Vec<u8>) {
    let start = [&wav::header(Format::SPEECH, Some(32_000))[..], &[1; 100]].concat();
    (start, vec![2; 31_900])
}

fn file(start: &[u8]) -> Vec<u8> {
    let head = "--cut\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    [head.as_bytes(), start].concat()
}

#[tokio::test]
async fn a_node_hears_the_beginning_before_the_end_has_come() {
    let (start, end) = second();
    let bench = Arc::new(Bench::new().await);
    let body = followed(&bench, start.clone(), end.clone());
    let mut request = request("POST", "/v1/listen?model=whisper-1", body);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    assert_eq!(bench.send(request).await.status, 200);
    assert!(bench.heard()[0].bytes == [start, end].concat());
}

#[tokio::test]
async fn a_form_whose_model_came_first_is_heard_while_its_file_comes() {
    let (start, end) = second();
    let bench = Arc::new(Bench::new().await);
    let head = part("model", "whisper-1").into_bytes();
    let tail = format!("\r\n{}--cut--\r\n", part("response_format", "text"));
    let body = followed(&bench, [head, file(&start)].concat(), [end, tail.into_bytes()].concat());
    let answer = bench.post(body).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "Hello there. Bye!\n"));
    assert_eq!(bench.heard().len(), 1);
}

#[tokio::test]
async fn a_field_after_the_file_that_changes_what_is_asked_asks_again() {
    let (start, end) = second();
    let bench = Arc::new(Bench::new().await);
    let tail = format!("\r\n{}--cut--\r\n", part("language", "en"));
    let body = [part("model", "whisper-1").into_bytes(), file(&start), end, tail.into_bytes()].concat();
    assert_eq!(bench.post(body).await.status, 200);
    let queries: Vec<_> = bench.heard().into_iter().map(|heard| heard.query).collect();
    assert_eq!(queries.last().map(String::as_str), Some("punctuate=true&model=sphinx-en-us&language=en"));
    assert_eq!(bench.ended().len(), 1);
}
