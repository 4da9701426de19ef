//! Files that lie, break off, are damaged or never end: each with its exact answer at both doors, whether it goes to a
//! node as it is or is cut.

use audio::coded::{Checker, Script};
use audio::{Format, wav};
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::http::{Door as _, Refusal, post, request, send, transcribe_backwards};
use crate::support::speech::{file, transcript};
use crate::support::up::{KEY, Up};
use crate::support::{until, within};

const BAD: &str = "Bad Request";
const SCRIPT: Script = Script { session: 21, words: 30 };

/// Every file is cut that can be.
const CUT: &str = "{ engine: { synthetic: { speed: 60000 } }, proxy: { files: { cut_from: 5s, chunk: 5s } } }";
/// None is.
const WHOLE: &str = "{ engine: { synthetic: { speed: 60000 } }, proxy: { files: { cut_from: 12h } } }";

/// A file, and the words of its refusal.
type Case = (&'static str, Vec<u8>, String);

/// Changes bytes of a WAV file's header.
fn wav_with(place: usize, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut file = file(SCRIPT, Format::SPEECH, None)?;
    file[place..place + bytes.len()].copy_from_slice(bytes);
    Ok(file)
}

fn lies() -> anyhow::Result<Vec<Case>> {
    let corrupt = |what: &str| format!("Bad Request: failed to process audio: corrupt or unsupported data: {what}");
    let channels = |got: u32| corrupt(&format!("unsupported WAV format: expected 1 to 8 channels, got {got}"));
    let rate = |got: u32| {
        corrupt(&format!("unsupported WAV format: expected a sample rate from 8000 to 192000 Hz, got {got}"))
    };
    let endless = [&b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\xff"[..], &vec![0; 300_000]].concat();
    Ok(vec![
        ("no channels", wav_with(22, &[0, 0])?, channels(0)),
        ("all channels", wav_with(22, &[0xff, 0xff])?, channels(65_535)),
        ("no rate", wav_with(24, &[0; 4])?, rate(0)),
        ("4 GHz", wav_with(24, &[0xff; 4])?, rate(u32::MAX)),
        ("a block of 9", wav_with(32, &[9, 0])?, corrupt("WAV block align is 9, but its channels and bits make 2")),
        ("an endless list", endless, corrupt("no sound in the first 65536 bytes of the WAV file")),
        ("no sound", wav::header(Format::SPEECH, None).to_vec(), corrupt("the audio is empty")),
        ("claims to last", wav::header(Format::SPEECH, Some(9 << 20)).to_vec(), corrupt("the audio is empty")),
    ])
}

/// A FLAC of silence: every frame of 65,535 samples takes 12 bytes.
fn silent_flac(frames: u32) -> Vec<u8> {
    let mut file = b"fLaC\x80\0\0\x22\xff\xff\xff\xff\0\0\0\0\0\0".to_vec();
    file.extend((16_000_u64 << 44 | 15 << 36).to_be_bytes());
    file.extend([0; 16]);
    for number in 0..frames {
        let mut frame = vec![0xff, 0xf8, 0x75, 0x08];
        frame.extend(char::from_u32(number).unwrap_or_default().to_string().bytes());
        frame.extend([0xff, 0xfe]);
        frame.push(crc(&frame, 0x07, 8).to_be_bytes()[1]);
        frame.extend([0, 0, 0]);
        frame.extend(crc(&frame, 0x8005, 16).to_be_bytes());
        file.extend(frame);
    }
    file
}

fn crc(bytes: &[u8], polynomial: u32, bits: u32) -> u16 {
    let top = 1 << (bits - 1);
    let sum = bytes.iter().fold(0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte) << (bits - 8), |sum, _| {
            (sum << 1 ^ if sum & top > 0 { polynomial } else { 0 }) & (2 * top - 1)
        })
    });
    u16::try_from(sum).unwrap_or_default()
}

#[tokio::test]
async fn files_that_lie_are_refused_in_the_same_words_whole_or_cut() -> anyhow::Result<()> {
    for config in [CUT, WHOLE] {
        // A promise and the report that shows it both count for a while: there must be room for all of them.
        let up = Up::configured(config, &["--nodes", "1", "--slots", "64"]).await?;
        for (name, file, said) in lies()? {
            let answer = post(&up, "model=nova-3", file.clone()).await?;
            assert_eq!(answer.refusal()?, Refusal::new(400, BAD, &said), "{name}");
            let message = said.strip_prefix("Bad Request: ").unwrap_or(&said);
            let error = json!({ "message": message, "type": "invalid_request_error", "param": "file", "code": "invalid_value" });
            let answer = transcribe_backwards(&up, &[("model", "whisper-1")], &file).await?;
            assert_eq!((answer.status, answer.json()?), (400, json!({ "error": error })), "{name}");
        }
        up.idle().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_bomb_is_defused_at_both_doors() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    let said = "the FLAC unpacks to more than 200 times its size, send it as WAV or in parts";
    let answer = post(&up, "model=nova-3", silent_flac(100)).await?;
    assert_eq!(answer.refusal()?, Refusal::new(413, "PAYLOAD_TOO_LARGE", said));
    let error = json!({ "message": said, "type": "invalid_request_error", "param": null, "code": "upload_too_big" });
    let answer = transcribe_backwards(&up, &[("model", "whisper-1")], &silent_flac(100)).await?;
    assert_eq!((answer.status, answer.json()?), (413, json!({ "error": error })));
    up.idle().await
}

#[tokio::test]
async fn garbage_in_the_middle_of_a_flac_costs_the_words_there_and_no_more() -> anyhow::Result<()> {
    let mut flac = include_bytes!("../../../audio/fixtures/mono-8k.flac").to_vec();
    let middle = flac.len() / 2;
    flac[middle..middle + 9_000].fill(0x5a);
    for config in [CUT, WHOLE] {
        let up = Up::configured(config, &["--nodes", "1"]).await?;
        let answer = post(&up, "model=nova-3", flac.clone()).await?;
        let body = answer.json()?;
        assert_eq!(answer.status, 200, "{body}");
        let mut checker = Checker::new(Script { session: 815, words: 8 });
        checker.hear(transcript(&body["results"]["channels"][0]));
        let tally = checker.tally();
        assert!((1..4).contains(&tally.lost) && tally.doubled + tally.wrong == 0, "{tally:?}: {body}");
        assert_eq!(transcribe_backwards(&up, &[("model", "whisper-1")], &flac).await?.status, 200);
        up.idle().await?;
    }
    Ok(())
}

#[tokio::test]
async fn raw_audio_of_over_twelve_hours_is_refused_before_it_is_heard() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    let silence = futures_util::stream::repeat_with(|| anyhow::Ok(vec![0xff_u8; 64 << 10]));
    let target = "/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000";
    let upload = request(&up, Method::POST, target)?.header("content-length", (12 * 3_600 + 1) * 8_000);
    let answer = send(upload.body(Body::wrap_stream(silence))).await?;
    let said = "the audio is longer than 43200 s, send it in parts";
    assert_eq!(answer.refusal()?, Refusal::new(413, "PAYLOAD_TOO_LARGE", said));
    up.idle().await
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_the_callers_doing() -> anyhow::Result<()> {
    let up = Up::configured(CUT, &["--nodes", "1"]).await?;
    for words in [4, 60] {
        let file = file(Script { words, ..SCRIPT }, Format::SPEECH, None)?;
        let head = format!(
            "POST /v1/listen?model=nova-3 HTTP/1.1\r\nhost: x\r\nauthorization: Token {KEY}\r\ncontent-length: {}\r\n\r\n",
            file.len()
        );
        let mut caller = TcpStream::connect(up.address()).await?;
        caller.write_all(&[head.as_bytes(), &file[..file.len() / 2]].concat()).await?;
        caller.shutdown().await?;
        let mut answer = Vec::new();
        within("the end of a connection", caller.read_to_end(&mut answer)).await??;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let gone = async || Ok(Some(up.ended("file", "caller_gone").await?).filter(|gone| *gone == 2));
    until("the end of both files", gone).await?;
    up.idle().await
}
