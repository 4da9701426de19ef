//! Whole connections over pipes in memory, with another implementation at the far end.

use std::future::{Future, poll_fn};
use std::task::Poll;

use crate::{Broken, Close, Frame, Limits, Message, Role, Socket, Violation};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const PIPE: usize = 64 << 10;

fn pair(role: Role) -> (Socket<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(PIPE);
    (Socket::new(near, role, Limits::default(), &[]), far)
}

async fn heard(socket: &mut Socket<DuplexStream>) -> Message {
    socket.next().await.expect("a message").expect("an unbroken connection")
}

fn is_pending<F: Future + Unpin>(mut future: F) -> impl Future<Output = bool> {
    poll_fn(move |cx| Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_pending()))
}

#[tokio::test]
async fn what_one_side_says_the_other_hears_both_ways() {
    let (near, far) = duplex(PIPE);
    let mut client = Socket::new(near, Role::Client, Limits::default(), &[]);
    let mut server = Socket::new(far, Role::Server, Limits::default(), &[]);
    for (from, to) in [(&mut client, &mut server)] {
        from.send(&Frame::text("words")).await.unwrap();
        let Message::Text(text) = heard(to).await else { panic!("no text") };
        assert_eq!(text.as_text(), "words");
        to.send(&Frame::binary(&[7; 70_000][..60_000])).await.unwrap();
        let Message::Binary(sound) = heard(from).await else { panic!("no sound") };
        assert_eq!(sound.payload().len(), 60_000);
    }
}

#[tokio::test]
async fn a_masked_frame_goes_on_as_it_came() {
    let (mut server, mut caller) = pair(Role::Server);
    let (mut client, mut engine) = pair(Role::Client);
    let frame = [0x82, 0x83, 9, 8, 7, 6, b'a', b'b', b'c'];
    caller.write_all(&frame).await.unwrap();
    let Message::Binary(sound) = heard(&mut server).await else { panic!("no sound") };
    assert_eq!(sound.payload()[..], [b'a' ^ 9, b'b' ^ 8, b'c' ^ 7]);
    client.send(&sound).await.unwrap();
    let mut came = [0; 9];
    engine.read_exact(&mut came).await.unwrap();
    assert_eq!(came, frame);
}

#[tokio::test]
async fn bytes_that_came_with_the_upgrade_are_the_first_to_be_heard() {
    let (near, _far) = duplex(PIPE);
    let mut socket = Socket::new(near, Role::Client, Limits::default(), &[0x81, 2, b'h', b'i']);
    let Message::Text(text) = heard(&mut socket).await else { panic!("no text") };
    assert_eq!(text.as_text(), "hi");
}

#[tokio::test]
async fn pings_are_answered_with_what_they_held() {
    let (mut server, mut far) = pair(Role::Server);
    far.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'o', b'k']).await.unwrap();
    assert!(matches!(heard(&mut server).await, Message::Ping(_)));
    let mut pong = [0; 4];
    far.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong, [0x8a, 2, b'o', b'k']);
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_nothing_is_heard_after_it() {
    let (mut server, mut far) = pair(Role::Server);
    far.write_all(&[0x88, 0x84, 0, 0, 0, 0, 0x0b, 0xb8, b'm', b'e', 0x82, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(heard(&mut server).await, Message::Close(Some(Close::new(3000, "me"))));
    assert!(server.next().await.is_none());
    server.send(&Frame::text("too late")).await.unwrap();
    drop(server);
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [0x88, 2, 0x0b, 0xb8]);
}

#[tokio::test]
async fn a_connection_that_ends_without_a_close_says_so() {
    let (mut server, far) = pair(Role::Server);
    drop(far);
    assert!(matches!(server.next().await, Some(Err(Broken::Ended))));
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn leave_is_taken_even_of_a_peer_that_broke_the_rules() {
    let (mut server, mut far) = pair(Role::Server);
    far.write_all(&[0x82, 1, 0, 5, 5, 5]).await.unwrap();
    assert!(matches!(server.next().await, Some(Err(Broken::Violation(Violation::Unmasked)))));
    let leaving = async { server.leave(&Close::new(1002, "no mask")).await };
    let hearing = async {
        let mut close = [0; 11];
        far.read_exact(&mut close).await.unwrap();
        assert_eq!(close, *b"\x88\x09\x03\xeano mask");
        far.write_all(&[0; 1_000]).await.unwrap();
        assert_eq!(far.read(&mut close).await.unwrap(), 0, "a peer that waits for the end gets it");
        far.shutdown().await.unwrap();
    };
    tokio::join!(leaving, hearing);
}

#[tokio::test]
async fn leave_waits_for_the_answer() {
    let (mut server, mut far) = pair(Role::Server);
    let close = Close::new(1000, "");
    let mut leaving = Box::pin(server.leave(&close));
    assert!(is_pending(&mut leaving).await);
    far.write_all(&[0x82, 0x80, 0, 0, 0, 0]).await.unwrap();
    assert!(is_pending(&mut leaving).await, "what is still said goes nowhere");
    far.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    leaving.await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_leaves_no_room_after_256_kib() {
    let (mut server, mut far) = pair(Role::Server);
    let frame = Frame::binary(&[0; 1_000]);
    let mut sent = 0;
    while server.has_room() {
        server.push(&frame);
        poll_fn(|cx| Poll::Ready(server.poll_flush(cx).is_ready())).await;
        sent += frame.wire().len();
        assert!(sent < 512 << 10);
    }
    assert!(sent >= 256 << 10);
    let reading = async {
        let mut all = vec![0; sent];
        far.read_exact(&mut all).await.unwrap();
    };
    let (flushed, ()) = tokio::join!(server.flush(), reading);
    flushed.unwrap();
    assert!(server.has_room());
}

#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_take_no_memory() {
    let (near, mut far) = duplex(256);
    let mut server = Socket::new(near, Role::Server, Limits::default(), &[]);
    for number in 0..10_000_u16 {
        let [high, low] = number.to_be_bytes();
        far.write_all(&[0x89, 0x82, 0, 0, 0, 0, high, low]).await.unwrap();
        assert!(matches!(heard(&mut server).await, Message::Ping(_)));
    }
    let mut pongs = vec![0; 256];
    far.read_exact(&mut pongs).await.unwrap();
    server.flush().await.unwrap();
    drop(server);
    let mut last = Vec::new();
    far.read_to_end(&mut last).await.unwrap();
    assert_eq!(last[last.len() - 4..], [0x8a, 2, 0x27, 0x0f], "the last ping is answered");
    assert!(last.len() <= 256);
}
