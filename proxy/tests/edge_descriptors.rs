//! The accept loop when the process has no file descriptor left. Alone in its file, because it takes them all.

use std::fs::File;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use crosspoint_proxy::edge::{Limits, serve};
use process::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// More files than are worth opening for a test.
const MANY: usize = 100_000;

/// Opens files until there is no descriptor left; `None` where the process may have very many.
fn exhaust() -> Option<Vec<File>> {
    let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).take(MANY).collect();
    (files.len() < MANY).then_some(files)
}

#[tokio::test]
async fn a_process_without_descriptors_accepts_again_once_it_has_some() {
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    caller.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let app = Router::new().route("/", get(|| async { "ok" }));
    let limits = Limits::default();
    let Some(files) = exhaust() else { return };
    shutdown.spawn("edge", serve(listener, app, limits, shutdown.clone()));
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(200), caller.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "answered {answer:?} without a descriptor");
    drop(files);
    timeout(Duration::from_secs(10), caller.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    assert_eq!(shutdown.drain(Duration::from_secs(5)).await, 0);
}
