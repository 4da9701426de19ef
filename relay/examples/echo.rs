//! A peer that says everything back, for conformance suites: as a server, one connection after the other, or as a client
//! of a suite that serves its cases. Limits are raised as far as the suites go.
//!
//! `echo serve 127.0.0.1:9001` or `echo call 127.0.0.1:9002`

use std::error::Error;
use std::io;
use std::num::NonZeroUsize;

use crosspoint_relay::{Broken, Close, Limits, Message, Role, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LIMIT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(32 << 20);
const LIMITS: Limits = Limits { message: LIMIT, fragments: LIMIT };
/// Bytes of a handshake that are read.
const HEAD: usize = 16 << 10;
/// A nonce; it is no secret.
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(TcpListener::bind(address).await?).await,
        ["call", address] => call(address).await,
        _ => Err("expected `serve HOST:PORT` or `call HOST:PORT`".into()),
    }
}

async fn serve(listener: TcpListener) -> Result<(), Box<dyn Error>> {
    loop {
        let (stream, _peer) = listener.accept().await?;
        // A peer that hangs up in the middle is part of the suite.
        let _ = answer(stream).await;
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (head, rest) = head(&mut stream).await?;
    let key = header(&head, "sec-websocket-key").unwrap_or_default();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    echo(Socket::new(stream, Role::Server, LIMITS, &rest)).await;
    Ok(())
}

/// Asks a suite how many cases it has, then plays each, then lets it write its report.
async fn call(address: &str) -> Result<(), Box<dyn Error>> {
    let mut counting = open(address, "/getCaseCount").await?;
    let Some(Ok(Message::Text(count))) = counting.next().await else { return Err("no count of cases".into()) };
    for case in 1..=count.as_text().parse::<u32>()? {
        echo(open(address, &format!("/runCase?case={case}&agent=relay")).await?).await;
    }
    echo(open(address, "/updateReports?agent=relay").await?).await;
    Ok(())
}

async fn open(address: &str, path: &str) -> io::Result<Socket<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {NONCE}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (head, rest) = head(&mut stream).await?;
    if header(&head, "sec-websocket-accept") != Some(&derive_accept_key(NONCE.as_bytes())) {
        return Err(io::Error::other(format!("no upgrade: {head}")));
    }
    Ok(Socket::new(stream, Role::Client, LIMITS, &rest))
}

/// Reads the head of a request or an answer, and what came behind it.
async fn head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    while bytes.len() < HEAD {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

/// Says everything back until the other side has closed or broken the rules.
async fn echo(mut socket: Socket<TcpStream>) {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(frame) | Message::Binary(frame)) => {
                if socket.send(&frame).await.is_err() {
                    return;
                }
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
            Err(Broken::Violation(violation)) => {
                return socket.leave(&Close::new(violation.close_code(), &violation.to_string())).await;
            }
            Err(Broken::Lost(_) | Broken::Ended) => return,
        }
    }
}
