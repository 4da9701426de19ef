//! Upgrades, sizes, seats and the drain.

use std::num::{NonZeroU64, NonZeroUsize};

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::edge::{Peer, serve};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const UPGRADE_HEAD: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn what_follows_an_upgrade_is_passed_untouched() {
    for room in [1, 64, ROOM] {
        let mut edge = edge(Limits::default());
        let mut caller = connect(&mut edge, room);
        let head_and_more = [UPGRADE_HEAD, b"\n\0early"].concat();
        let (mut reader, mut writer) = tokio::io::split(&mut caller);
        let (written, head) = tokio::join!(writer.write_all(&head_and_more), async {
            let mut text = Vec::new();
            while !text.ends_with(b"\0early") {
                text.push(reader.read_u8().await?);
            }
            Ok::<_, io::Error>(String::from_utf8_lossy(&text).into_owned())
        });
        written.unwrap();
        let head = head.unwrap();
        assert!(head.starts_with("HTTP/1.1 101") && head.ends_with("\r\n\r\n\n\0early"), "{head:?}");
        sleep(Duration::from_secs(3600)).await;
        caller.write_all(b"_: \n!").await.unwrap();
        assert_eq!(read_until(&mut caller, "!").await.unwrap(), "_: \n!");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_keeps_its_seat_until_it_closes() {
    let mut edge = edge(Limits { connections: NonZeroUsize::MIN, ..Limits::default() });
    let mut caller = connect(&mut edge, ROOM);
    caller.write_all(UPGRADE_HEAD).await.unwrap();
    read_until(&mut caller, "\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(edge.seats.take(PEER.ip(), Instant::now()).is_err());
    caller.shutdown().await.unwrap();
    assert!(caller.read_u8().await.is_err());
    sleep(Duration::from_secs(1)).await;
    assert!(edge.seats.take(PEER.ip(), Instant::now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_as_a_request_after_a_declined_upgrade() {
    let mut edge = edge(Limits::default());
    let request = [b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x, websocket\r\n\r\n", GET].concat();
    let answer = exchange(connect(&mut edge, ROOM), &request).await;
    assert_eq!(statuses(&answer), [200]);
    assert!(answer.contains("\r\nconnection: close\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_counted_while_it_streams() {
    let mut edge = edge(Limits { upload_bytes: NonZeroU64::MIN.saturating_add(7), ..Limits::default() });
    let chunks =
        |text: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{text}0\r\n\r\n");
    let fits = chunks("4\r\nabcd\r\n4\r\nefgh\r\n");
    assert_eq!(statuses(&exchange(connect(&mut edge, ROOM), fits.as_bytes()).await), [200]);
    let too_much = chunks("4\r\nabcd\r\n4\r\nefgh\r\n1\r\ni\r\n");
    assert_eq!(statuses(&exchange(connect(&mut edge, ROOM), too_much.as_bytes()).await), [413]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_refused_at_once_does_not_lose_its_answer() {
    let mut edge = edge(Limits::default());
    let mut request = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000000\r\n\r\n".to_vec();
    request.resize(4 * 1024 * 1024, b'x');
    assert_eq!(statuses(&exchange(connect(&mut edge, ROOM), &request).await), [413]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_in_the_words_of_the_api_that_was_called() {
    let mut edge = edge(Limits::default());
    let request = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000000\r\n\r\n";
    let answer = exchange(connect(&mut edge, ROOM), request).await;
    assert!(answer.contains("\r\nx-request-id: ") && answer.contains("\r\nx-should-retry: false\r\n"), "{answer:?}");
    let error = r#"{"error":{"code":"payload_too_large","message":"the body is too large: send the recording in parts","param":null,"type":"invalid_request_error"}}"#;
    assert!(answer.ends_with(error), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_requests_finish_hears_who_has_just_come_and_closes_the_rest() {
    let mut edge = edge(Limits::default());
    let (mut idle, mut fresh, busy) = (connect(&mut edge, ROOM), connect(&mut edge, ROOM), connect(&mut edge, ROOM));
    idle.write_all(GET).await.unwrap();
    read_until(&mut idle, "ok").await.unwrap();
    let request = b"POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let drain = async {
        sleep(Duration::from_secs(1)).await;
        edge.host.shutdown.begin();
        let since = Instant::now();
        let ended = idle.read_u8().await.is_err();
        let took = since.elapsed();
        fresh.write_all(GET).await.unwrap();
        let late = exchange(fresh, b"").await;
        (ended, took, late)
    };
    let (answer, (ended, took, late)) = tokio::join!(exchange(busy, request), drain);
    assert_eq!((ended, took), (true, Duration::ZERO));
    assert!(late.starts_with("HTTP/1.1 200") && late.contains("\r\nconnection: close\r\n"), "{late:?}");
    assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("abc"), "{answer:?}");
    assert_eq!(edge.host.shutdown.drain(Duration::from_secs(5)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_asked_for_during_a_drain_is_upgraded() {
    let mut edge = edge(Limits::default());
    let mut caller = connect(&mut edge, ROOM);
    edge.host.shutdown.begin();
    sleep(Duration::from_secs(1)).await;
    caller.write_all(UPGRADE_HEAD).await.unwrap();
    let head = read_until(&mut caller, "\r\n\r\n").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("connection: upgrade"), "{head:?}");
    caller.write_all(b"echo").await.unwrap();
    assert_eq!(read_until(&mut caller, "echo").await.unwrap(), "echo");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_come_in_and_says_nothing_does_not_hold_up_a_drain() {
    let mut edge = edge(Limits::default());
    let mut silent = connect(&mut edge, ROOM);
    let since = Instant::now();
    edge.host.shutdown.begin();
    edge.host.guests.gone().await;
    assert!(silent.read_u8().await.is_err());
    assert_eq!(since.elapsed().as_secs(), Limits::default().header_read.as_secs());
}

#[tokio::test]
async fn callers_still_come_in_while_the_process_lingers() {
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { linger: Duration::from_secs(3600), ..Limits::default() };
    shutdown.begin();
    shutdown.spawn("edge", serve(listener, routes(), limits, shutdown.clone()));
    let mut caller = TcpStream::connect(address).await.unwrap();
    caller.write_all(GET).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer:?}");
    assert_eq!(shutdown.cut().await, 1);
}

/// Starts a real listener with one seat whose only route says who is calling.
async fn listen(shutdown: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(|peer: axum::Extension<Peer>| async move { peer.0.0.to_string() }));
    let limits = Limits { connections: NonZeroUsize::MIN, ..Limits::default() };
    shutdown.spawn("edge", serve(listener, app, limits, shutdown.clone()));
    address
}

#[tokio::test]
async fn a_caller_for_whom_there_is_no_seat_is_told_to_come_back() {
    let shutdown = Shutdown::new();
    let address = listen(&shutdown).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    let own_address = first.local_addr().unwrap().to_string();
    first.write_all(GET).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with(&own_address) {
        answer.push(char::from(first.read_u8().await.unwrap()));
    }

    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(GET).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer:?}");
    assert!(answer.contains("\r\nretry-after: ") && answer.contains(r#""err_code":"Service Unavailable""#));
    drop(second);

    assert_eq!(shutdown.drain(Duration::from_secs(5)).await, 0);
    assert_eq!(first.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
