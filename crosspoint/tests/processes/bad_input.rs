//! Requests that make no sense, each with its exact answer: nothing is upgraded, every refusal has what SDKs read.

use audio::Format;
use audio::coded::Script;
use reqwest::Method;

use crate::support::http::{Answer, Refusal, post, request, send, stranger};
use crate::support::speech::{ensure_clean, file, query, transcript};
use crate::support::stream::{Opened, Stream, knock, open};
use crate::support::until;
use crate::support::up::{KEY, Up};

const BAD: &str = "Bad Request";
/// The signature of a picture, and the beginning of its first chunk.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x02\0\0\0\xd3\x10\x3f\x31";
const SCRIPT: Script = Script { session: 21, words: 6 };

async fn small() -> anyhow::Result<Up> {
    Up::configured("engine: { synthetic: { speed: 1000 } }", &["--nodes", "1"]).await
}

/// Tries to open a stream with the key.
async fn try_stream(up: &Up, query: &str) -> anyhow::Result<Answer> {
    knock(up, query, &[("authorization", &format!("Token {KEY}"))]).await?.refused()
}

#[tokio::test]
async fn without_the_right_key_nothing_opens() -> anyhow::Result<()> {
    let up = small().await?;
    let wrong = Refusal::new(401, "INVALID_AUTH", "Invalid credentials.");
    let none = Refusal::new(401, "INVALID_AUTH", "Invalid credentials. Send `Authorization: Token KEY`.");
    let query = query(Format::SPEECH);
    for (headers, expected) in [
        (vec![], &none),
        (vec![("authorization", "Token ")], &none),
        (vec![("authorization", KEY)], &none),
        (vec![("authorization", "Token wrong")], &wrong),
        (vec![("authorization", "Bearer wrong")], &wrong),
        (vec![("sec-websocket-protocol", "token, wrong")], &wrong),
    ] {
        assert_eq!(knock(&up, &query, &headers).await?.refused()?.refusal()?, *expected, "{headers:?}");
    }
    // A refused upload is answered even while it is still on its way.
    for body in [file(SCRIPT, Format::SPEECH, None)?, vec![0; 8 << 20]] {
        let upload = stranger(&up, Method::POST, "/v1/listen?model=nova-3")?.body(body);
        assert_eq!(send(upload.try_clone().unwrap_or(upload)).await?.refusal()?, none);
    }
    let upload = stranger(&up, Method::POST, "/v1/listen")?.header("authorization", "token wrong").body("x");
    assert_eq!(send(upload).await?.refusal()?, wrong);
    Ok(())
}

#[tokio::test]
async fn what_is_not_served_is_named() -> anyhow::Result<()> {
    let up = small().await?;
    let served = "/v1/listen, /v1/audio/transcriptions, /v1/models and /v1/usage";
    let unknown =
        |path: &str| Refusal::new(404, "NOT_FOUND", &format!("there is no {path}; this proxy serves {served}"));
    for path in ["/", "/v1", "/v1/listen/", "/v1/speak", "/admin"] {
        assert_eq!(send(request(&up, Method::GET, path)?).await?.refusal()?, unknown(path));
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let said = format!("{method} is not taken here: open a WebSocket with GET, or send a file with POST");
        let answer = send(request(&up, method, "/v1/listen")?).await?;
        assert_eq!(answer.refusal()?, Refusal::new(405, "METHOD_NOT_ALLOWED", &said));
    }
    let said = "GET /v1/listen opens a WebSocket: ask for an upgrade, or send a file with POST";
    let answer = send(request(&up, Method::GET, "/v1/listen?model=nova-3")?).await?;
    assert_eq!(answer.refusal()?, Refusal::new(400, BAD, said));
    Ok(())
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_for_streams_and_files_alike() -> anyhow::Result<()> {
    let up = small().await?;
    for (query, said) in [
        (
            "model=nova-9",
            "Bad Request: No such model/language/tier combination found. (no model is called \"nova-9\"; known models: \
             sphinx-en-us, gpt-4o-transcribe, nova-2, nova-3, whisper-1)",
        ),
        ("model=nova-3&encoding=linear16", "encoding needs sample_rate too, such as sample_rate=16000"),
        (
            "model=nova-3&encoding=opus&sample_rate=48000",
            "bad encoding: unknown encoding \"opus\", expected one of linear16, mulaw, alaw",
        ),
        ("model=nova-3&encoding=linear16&sample_rate=fast", "expected a number for sample_rate, got \"fast\""),
        ("model=nova-3&callback=http://127.0.0.1/", "callback is not supported: results come on this connection"),
        ("model=nova-3&extra=max-cost:cheap", "expected dollars per hour for max-cost, such as 0.02, got \"cheap\""),
    ] {
        let code = if query.contains("nova-9") { BAD } else { "INVALID_QUERY_PARAMETER" };
        let expected = Refusal::new(400, code, said);
        assert_eq!(try_stream(&up, query).await?.refusal()?, expected);
        assert_eq!(post(&up, query, file(SCRIPT, Format::SPEECH, None)?).await?.refusal()?, expected);
    }
    up.idle().await
}

#[tokio::test]
async fn a_body_that_is_no_audio_is_called_that() -> anyhow::Result<()> {
    let up = small().await?;
    let bad = "Bad Request: failed to process audio: corrupt or unsupported data";
    let empty = Refusal::new(400, BAD, &format!("{bad} (the body is empty)"));
    assert_eq!(post(&up, "model=nova-3", Vec::new()).await?.refusal()?, empty);
    let picture = post(&up, "model=nova-3", PNG.to_vec()).await?;
    let refusal = picture.refusal()?;
    assert!(refusal.status == 400 && refusal.code == BAD && refusal.message.starts_with(bad), "{refusal:?}");
    assert_eq!(up.record(&picture.request_id()?).await?["reason"], "bad_audio");

    let json = |body: &'static str| anyhow::Ok(request(&up, Method::POST, "/v1/listen")?.body(body));
    let url = "fetching from a url is not supported: send the audio itself as the body";
    let garbled = "Content-type was application/json, but we could not process the JSON payload.";
    for (body, said) in [(r#"{"url":"http://169.254.169.254/"}"#, url), ("{\"url\":", garbled), ("", garbled)] {
        let answer = send(json(body)?.header("content-type", "application/json; charset=utf-8")).await?;
        assert_eq!(answer.refusal()?, Refusal::new(400, BAD, said), "{body}");
    }
    up.idle().await
}

#[tokio::test]
async fn a_wav_file_that_lies_about_its_length_is_heard_to_its_end() -> anyhow::Result<()> {
    let up = small().await?;
    let whole = u32::try_from(file(SCRIPT, Format::SPEECH, None)?.len())?;
    for claimed in [0, whole * 10, u32::MAX - 1, u32::MAX] {
        let answer = post(&up, "model=nova-3", file(SCRIPT, Format::SPEECH, Some(claimed))?).await?;
        assert_eq!(answer.status, 200, "{claimed}: {answer:?}");
        ensure_clean(SCRIPT, transcript(&answer.json()?["results"]["channels"][0]))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_full_fleet_refuses_before_the_upgrade() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1", "--slots", "1"]).await?;
    let query = query(Format::SPEECH);
    let mut streams = Vec::new();
    for _node in up.nodes() {
        streams.push(open(&up, &query).await?);
    }
    let said = "every node that may serve this request is full, please try again";
    let full = Refusal::new(503, "SERVICE_UNAVAILABLE", said).retry();
    assert_eq!(try_stream(&up, &query).await?.refusal()?, full);
    assert_eq!(post(&up, "", file(SCRIPT, Format::SPEECH, None)?).await?.refusal()?, full);

    assert_eq!((up.ended("stream", "no_capacity").await?, up.ended("file", "no_capacity").await?), (1, 1));

    let sessions = streams.iter().map(Stream::session).collect::<Result<Vec<_>, _>>()?;
    drop(streams);
    up.idle().await?;
    for session in sessions {
        assert_eq!(up.record(&session).await?["reason"], "caller_gone");
    }
    let authorization = format!("Token {KEY}");
    let stream = until("free slot", async || match knock(&up, &query, &[("authorization", &authorization)]).await? {
        Opened::Stream(stream) => Ok(Some(stream)),
        Opened::Refused(_full) => Ok(None),
    })
    .await?;
    assert_eq!(stream.say(&[]).await?.close(), (1000, ""));
    Ok(())
}

#[tokio::test]
async fn a_subprotocol_is_echoed_but_never_a_key() -> anyhow::Result<()> {
    let up = small().await?;
    let authorization = format!("Token {KEY}");
    for (offered, with_header, echo) in [
        (format!("token, {KEY}"), false, "token"),
        (format!("chat, bearer, {KEY}, x-deepgram-session-id, 6e4d2a35"), false, "bearer"),
        ("chat".to_owned(), true, "chat"),
    ] {
        let mut headers = vec![("sec-websocket-protocol", offered.as_str())];
        headers.extend(with_header.then_some(("authorization", authorization.as_str())));
        let stream = knock(&up, &query(Format::SPEECH), &headers).await?.stream()?;
        assert_eq!(stream.accepted.status, 101);
        assert_eq!(stream.accepted.headers["sec-websocket-protocol"], echo);
        assert!(stream.session().is_ok());
    }
    Ok(())
}
