//! A caller before a small server that speaks Deepgram's protocol and, by fault, breaks it.

use std::time::Duration;

use audio::coded::{Ear, HeardWord, Script};
use audio::{Format, PcmDecoder};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;

const SCRIPT: Script = Script { session: 12, words: 20 };

/// What the server does to the words it heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DoublesAWord,
    LosesAWord,
    DiesWithoutAClose,
    ClosesWith(u16),
    SaysNothing,
}

/// Serves one stream: hears everything, then says it.
async fn serve(listener: TcpListener, format: Format, fault: Fault) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut socket = accept_async(stream).await.unwrap();
    let (words, heard) = listen(&mut socket, format).await;
    let mut words: Vec<_> = words.into_iter().map(|word| word.text()).collect();
    match fault {
        Fault::None => {}
        Fault::DoublesAWord => words.insert(7, words[6]),
        Fault::LosesAWord => drop(words.remove(4)),
        Fault::DiesWithoutAClose => return,
        Fault::ClosesWith(code) => return close(&mut socket, code).await,
        Fault::SaysNothing => {
            // Nothing is on its way any more: from here on, time may fly.
            tokio::time::pause();
            std::future::pending().await
        }
    }
    say(&mut socket, &results(&words.join(" "), heard)).await;
    say(&mut socket, &json!({"type": "Metadata", "channels": 1})).await;
    close(&mut socket, 1000).await;
}

fn results(transcript: &str, heard: Duration) -> serde_json::Value {
    json!({
        "type": "Results", "start": 0.0, "duration": heard.as_secs_f64(), "is_final": true,
        "channel": {"alternatives": [{"transcript": transcript}]},
    })
}

async fn listen(socket: &mut WebSocketStream<TcpStream>, format: Format) -> (Vec<HeardWord>, Duration) {
    let (mut ear, mut words) = (Ear::new(format.rate), Vec::new());
    let (mut decoder, mut samples) = (PcmDecoder::new(format), Vec::new());
    let mut bytes = 0;
    while let Some(Ok(Message::Binary(sound))) = socket.next().await {
        bytes += sound.len() as u64;
        samples.clear();
        decoder.push(&sound, &mut samples);
        ear.push(&samples, &mut words);
    }
    ear.finish(&mut words);
    (words, format.duration_of(bytes))
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: &serde_json::Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn close(socket: &mut WebSocketStream<TcpStream>, code: u16) {
    let frame = CloseFrame { code: code.into(), reason: "because".into() };
    socket.send(Message::Close(Some(frame))).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
}

async fn listener() -> (TcpListener, Caller) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = Caller::new(listener.local_addr().unwrap().to_string()).with_key("secret");
    (listener, caller)
}

async fn call(format: Format, fault: Fault) -> StreamOutcome {
    let (listener, caller) = listener().await;
    let speech = Speech::new(SCRIPT).in_format(format).at(Pace::Unpaced);
    let mut observed = 0;
    let calling = caller.stream(speech, |_sent| observed += 1);
    let outcome = tokio::select! {
        outcome = calling => outcome.unwrap(),
        () = async { serve(listener, format, fault).await; std::future::pending().await } => unreachable!(),
    };
    assert_eq!(observed, outcome.messages);
    outcome
}

#[tokio::test]
async fn a_caller_gets_every_word_once_and_times_the_results() {
    for format in [Format::SPEECH, Format::TELEPHONE] {
        let outcome = call(format, Fault::None).await;
        assert!(outcome.tally.is_clean() && outcome.completed(), "{outcome:?}");
        assert_eq!(outcome.tally.spoken, 20);
        assert_eq!(outcome.text().split(' ').count(), 20);
        assert_eq!(u128::from(outcome.messages), SCRIPT.duration().as_millis().div_ceil(20));
        assert_eq!(outcome.latencies.len(), 1);
        assert_eq!(outcome.finals[0].end, SCRIPT.duration());
    }
}

#[tokio::test]
async fn lost_and_doubled_words_are_counted() {
    let doubled = call(Format::SPEECH, Fault::DoublesAWord).await;
    assert_eq!((doubled.tally.lost, doubled.tally.doubled, doubled.tally.wrong), (0, 1, 0));
    let lost = call(Format::SPEECH, Fault::LosesAWord).await;
    assert_eq!((lost.tally.lost, lost.tally.doubled, lost.tally.wrong), (1, 0, 0));
}

#[tokio::test]
async fn how_a_stream_ended_is_told() {
    let ending = call(Format::SPEECH, Fault::ClosesWith(1011)).await.ending;
    assert_eq!(ending, Ending::Closed { code: 1011, reason: "because".to_owned() });
    let lost = call(Format::SPEECH, Fault::DiesWithoutAClose).await;
    assert!(matches!(lost.ending, Ending::Lost(_)) && lost.tally.lost == 20 && !lost.completed(), "{lost:?}");
}

#[tokio::test]
async fn a_caller_who_hears_nothing_gives_up() {
    assert_eq!(call(Format::SPEECH, Fault::SaysNothing).await.ending, Ending::Late);
}

/// Answers one HTTP request with a status and a body, and returns the request's head.
async fn answer(listener: TcpListener, status: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = vec![0; 16 << 10];
    let length = stream.read(&mut head).await.unwrap();
    let answer = format!(
        "HTTP/1.1 {status}
Content-Length: {}
Connection: close

{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    while stream.read(&mut vec![0; 64 << 10]).await.is_ok_and(|more| more > 0) {}
    String::from_utf8_lossy(&head[..length]).to_lowercase()
}

#[tokio::test]
async fn a_refused_stream_tells_status_and_body() {
    let (listener, caller) = listener().await;
    let server = answer(listener, "503 Service Unavailable", "full");
    let (outcome, head) = tokio::join!(caller.stream(Speech::new(SCRIPT), |_| {}), server);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, CallError::Refused { status: 503, body, .. } if body == "full"), "{error}");
    assert!(head.contains("authorization: token secret"), "{head}");
}

#[tokio::test]
async fn a_file_is_checked_word_by_word() {
    let (listener, caller) = listener().await;
    let text: Vec<_> = SCRIPT.words().map(|word| word.text).collect();
    let alternatives = json!([{"transcript": text.join(" ")}]);
    let body = json!({"results": {"channels": [{"alternatives": alternatives}]}});
    let body = body.to_string();
    let (outcome, head) = tokio::join!(caller.post(Speech::new(SCRIPT)), answer(listener, "200 OK", &body));
    let outcome = outcome.unwrap();
    assert!(outcome.tally.is_clean() && outcome.tally.spoken == 20);
    assert!(head.contains("content-type: audio/wav"), "{head}");
}

#[test]
fn a_pace_of_nothing_is_as_fast_as_possible() {
    assert_eq!(Pace::factor(0.0), Pace::Unpaced);
    assert_eq!(Pace::factor(f64::NAN), Pace::Unpaced);
    assert_eq!(Pace::factor(1.0), Pace::REAL_TIME);
    assert_eq!(Pace::factor(4.0).due(Duration::from_secs(8)), Some(Duration::from_secs(2)));
}
