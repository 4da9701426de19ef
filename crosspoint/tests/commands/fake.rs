//! Servers that say what they are told, and the command run against them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use audio::Format;
use futures_util::{SinkExt as _, StreamExt as _};
use process::Shutdown;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

/// The id that every fake gives its request.
pub(crate) const REQUEST: &str = "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11";

/// What the command did.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `crosspoint` with these arguments and none of the caller's settings.
pub(crate) async fn crosspoint<A: AsRef<OsStr>>(arguments: &[A]) -> anyhow::Result<Outcome> {
    with_environment(&[], arguments).await
}

/// Runs `crosspoint` in an environment of these variables alone.
pub(crate) async fn with_environment<A: AsRef<OsStr>>(
    variables: &[(&str, &str)],
    arguments: &[A],
) -> anyhow::Result<Outcome> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosspoint"));
    command.env_clear().envs(variables.iter().copied()).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let Output { status, stdout, stderr } = command.output().await?;
    Ok(Outcome { code: status.code(), out: String::from_utf8(stdout)?, err: String::from_utf8(stderr)? })
}

/// Serves routes on a free port for as long as the test runs, and returns the address.
pub(crate) async fn serve(routes: axum::Router) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    Shutdown::new().spawn("fake", async move {
        let _ = axum::serve(listener, routes).await;
    });
    Ok(url)
}

/// A directory with a WAV file of silence in it.
pub(crate) struct Files {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) wav: PathBuf,
}

impl Files {
    /// Writes a WAV file with so many bytes of sound.
    pub(crate) fn with_sound(bytes: u32) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let wav = directory.path().join("a.wav");
        let mut content = audio::wav::header(Format::SPEECH, Some(bytes)).to_vec();
        content.resize(content.len() + bytes as usize, 0);
        std::fs::write(&wav, content)?;
        Ok(Self { directory, wav })
    }
}

/// What a caller sent over a WebSocket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) frames: Vec<usize>,
    pub(crate) texts: Vec<String>,
}

/// A proxy that hears one stream to its `CloseStream`, says its lines and closes with a code.
pub(crate) struct Stream {
    pub(crate) url: String,
    pub(crate) heard: Arc<Mutex<Heard>>,
}

impl Stream {
    /// Starts the proxy.
    pub(crate) async fn closing(lines: Vec<Value>, code: u16, reason: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let ears = heard.clone();
        Shutdown::new().spawn("fake", async move {
            if let Ok((tcp, _)) = listener.accept().await {
                let _ = play(tcp, &ears, lines, CloseFrame { code: code.into(), reason: reason.into() }).await;
            }
        });
        Ok(Self { url, heard })
    }

    /// Returns what was heard.
    pub(crate) fn heard(&self) -> anyhow::Result<Heard> {
        self.heard.lock().map(|heard| heard.clone()).ok().context("the fake died")
    }
}

async fn play(tcp: TcpStream, ears: &Mutex<Heard>, lines: Vec<Value>, close: CloseFrame) -> anyhow::Result<()> {
    let mut heard = Heard::default();
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let greet = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        heard.path = request.uri().to_string();
        let authorization = request.headers().get("authorization");
        heard.authorization = authorization.and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Ok(id) = REQUEST.parse() {
            response.headers_mut().insert("dg-request-id", id);
        }
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(tcp, greet).await?;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(sound) => heard.frames.push(sound.len()),
            Message::Text(text) => {
                heard.texts.push(text.to_string());
                break;
            }
            _ => {}
        }
    }
    if let Ok(mut ears) = ears.lock() {
        *ears = heard;
    }
    for line in lines {
        socket.send(Message::Text(line.to_string().into())).await?;
    }
    socket.close(Some(close)).await?;
    while socket.next().await.is_some() {}
    Ok(())
}
