//! Streams in containers: every leg gets a valid stream of its own.

use std::time::Duration;

use audio::coded::{Ear, Recorder, Script, record};
use audio::{AudioStream, Format, SampleRate, wav};
use tokio_tungstenite::tungstenite::Message;

use super::bench::{Bench, Node, words_result};
use super::*;

const SCRIPT: Script = Script { session: 5, words: 20 };
/// What a caller sends at a time.
const PIECE: usize = 700;

/// Hears everything that a node is sent until it has heard a word, and returns the numbers of all it has heard.
async fn hear_words(node: &mut Node, last: u16) -> Vec<u16> {
    let rate = SampleRate::HZ_16000;
    let (mut stream, mut ear, mut words) = (AudioStream::sniff(rate), Ear::new(rate), Vec::new());
    while words.last().is_none_or(|word: &audio::coded::HeardWord| word.word_index < last) {
        if let Message::Binary(piece) = node.hear().await {
            let mut mono = Vec::new();
            stream.push(&piece, &mut mono).unwrap();
            ear.push(&mono, &mut words);
        }
    }
    words.iter().map(|word| word.word_index).collect()
}

fn wav_file() -> Vec<u8> {
    let (mut sound, mut voice) = (Vec::new(), audio::coded::Voice::new(SCRIPT, Format::SPEECH));
    while voice.speak(16_000, &mut sound) > 0 {}
    [&wav::header(Format::SPEECH, None)[..], &sound].concat()
}

async fn send(bench: &mut Bench, file: &[u8]) {
    for piece in file.chunks(PIECE) {
        bench.caller.send(Message::binary(piece.to_vec())).await.unwrap();
    }
}

async fn goes_on_at_another_node(file: &[u8]) {
    let mut bench = Bench::with_container(&["a", "b"]).await;
    let mut first = bench.accept().await;
    send(&mut bench, file).await;
    let last = SCRIPT.words - 2;
    let heard = hear_words(&mut first, last).await;
    assert_eq!(heard, (0..=last).collect::<Vec<_>>(), "the first node gets everything");
    first.say(&words_result(&[("early", 1.0), ("late", 6.0)], 0.0, 6.5)).await;
    bench.text().await;
    drop(first);
    let mut second = bench.accept().await;
    assert_eq!(second.epoch, "2");
    let heard = hear_words(&mut second, last).await;
    let begins = SCRIPT.words().find(|word| word.start > Duration::from_millis(5_800)).unwrap().index;
    assert!(heard.contains(&begins) && !heard.contains(&(begins - 6)), "{heard:?} from {begins} on");
    assert!(heard.windows(2).all(|pair| pair[1] == pair[0] + 1), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn pages_of_ogg_go_on_at_another_node_where_words_paused() {
    goes_on_at_another_node(&record(SCRIPT, Recorder::Ogg).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn blocks_of_webm_go_on_at_another_node_where_words_paused() {
    goes_on_at_another_node(&record(SCRIPT, Recorder::Webm).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn a_wav_stream_goes_on_at_another_node_with_a_header_of_its_own() {
    goes_on_at_another_node(&wav_file()).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_cut_goes_to_the_node_as_it_came_and_is_replayed_whole() {
    let file = include_bytes!("../../../../audio/fixtures/mono-16k.mp3");
    let mut bench = Bench::with_container(&["a", "b"]).await;
    let mut first = bench.accept().await;
    send(&mut bench, file).await;
    assert!(first.hear_all(file.len()).await == file);
    drop(first);
    let mut second = bench.accept().await;
    assert!(second.hear_all(file.len()).await == file);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_before_its_sound_begins_is_judged_by_its_node() {
    let mut bench = Bench::with_container(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::binary(b"OggS, or not".to_vec())).await.unwrap();
    bench.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(node.hear().await, Message::binary(b"OggS, or not".to_vec()));
    assert_eq!(node.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
}

#[tokio::test(start_paused = true)]
async fn damage_in_the_middle_costs_the_failover_and_not_the_stream() {
    let mut file = record(SCRIPT, Recorder::Ogg).unwrap();
    let middle = file.len() / 2;
    file[middle] ^= 1;
    let mut bench = Bench::with_container(&["a", "b"]).await;
    let mut node = bench.accept().await;
    send(&mut bench, &file).await;
    let mut heard = Vec::new();
    while !heard.ends_with(&file[file.len() - PIECE..]) {
        if let Message::Binary(piece) = node.hear().await {
            heard.extend(piece);
        }
    }
    assert!(heard.starts_with(&file[..middle - 2 * PIECE]), "what was whole came as it was");
    drop(node);
    assert_eq!(bench.closed().await.0, 1011);
    assert_eq!(bench.ended().await, ["node_lost"]);
}
