//! Forms as HTTP libraries write them, and as they must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};

use super::bench::{Bench, form, part};

/// Sends a body in pieces of `size` bytes that are all there at once.
fn in_pieces(body: &str, size: usize) -> Body {
    let pieces: Vec<_> = body.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    Body::from_stream(stream::iter(pieces).map(Ok::<_, axum::Error>))
}

#[tokio::test]
async fn the_file_may_come_anywhere_and_in_any_pieces() {
    let bench = Bench::new().await;
    let (file, model, format) = (("file", "RI\r\n--cu\r\n"), ("model", "whisper-1"), ("response_format", "text"));
    for parts in [[file, model, format], [model, file, format], [format, model, file]] {
        for size in [1, 7, 10_000] {
            let answer = bench.post(in_pieces(&form(&parts), size)).await;
            assert_eq!((answer.status, answer.text.as_str()), (200, "Hello there. Bye!\n"), "{parts:?} by {size}");
        }
    }
    assert!(bench.heard().iter().all(|heard| heard.bytes == "RI\r\n--cu\r\n"));
}

#[tokio::test]
async fn a_large_file_arrives_as_it_was_sent() {
    let bench = Bench::new().await;
    let audio = "0123456789abcdef".repeat(1 << 18);
    let answer = bench.post(in_pieces(&form(&[("model", "whisper-1"), ("file", &audio)]), 60_000)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(bench.heard()[0].bytes == audio.as_bytes());
}

#[tokio::test]
async fn endless_headers_of_a_part_are_not_read_to_their_end() {
    let bench = Bench::new().await;
    for start in ["", "--cut\r\nContent-Disposition: form-data; name=\"file\r\nx-y: "] {
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        let endless = stream::repeat(Bytes::from_static(&[b'a'; 10_000])).inspect(move |data| {
            count.fetch_add(data.len(), Ordering::Relaxed);
        });
        let body = stream::iter([Bytes::from(start.to_owned())]).chain(endless);
        let answer = bench.post(Body::from_stream(body.map(Ok::<_, axum::Error>))).await;
        assert_eq!(answer.status, 400);
        let expected = "the form cannot be read: the headers of a part are over 262144 bytes";
        assert_eq!(answer.json()["error"]["message"], expected);
        assert!(read.load(Ordering::Relaxed) < 300_000);
    }
}

#[tokio::test]
async fn fields_are_bounded_in_size_and_number() {
    let bench = Bench::new().await;
    let largest = "p".repeat(64 << 10);
    let answer = bench.post(form(&[("prompt", &largest), ("model", "whisper-1"), ("file", "RIFF")])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = bench.post(form(&[("prompt", &(largest + "p")), ("model", "whisper-1"), ("file", "RIFF")])).await;
    assert_eq!(answer.json()["error"]["message"], "the field \"prompt\" is over 65536 bytes");

    let answer =
        bench.post(form(&[[("x", "y"); 62].as_slice(), &[("model", "whisper-1"), ("file", "RIFF")]].concat())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = bench.post(form(&[("x", "y"); 65])).await;
    assert_eq!(answer.json()["error"]["message"], "the form has over 64 fields");
}

#[tokio::test]
async fn a_form_that_breaks_off_is_the_callers_fault() {
    let bench = Bench::new().await;
    for body in [String::new(), part("model", "whisper-1"), "--cut\r\nnonsense".to_owned(), "no form".to_owned()] {
        let answer = bench.post(body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        let message = answer.json()["error"]["message"].take();
        assert!(message.as_str().unwrap().starts_with("the form cannot be read: "), "{message}");
    }
    assert!(bench.ended().iter().all(|ended| ended.reason == "bad_request"));
}
