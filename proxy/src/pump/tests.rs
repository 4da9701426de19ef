//! Whole streams over in-memory pipes, in paused time: a caller on one side, scripted nodes on the other.

mod bench;
mod containers;
mod informed;
mod moves;

use std::time::Duration;

use bench::{Bench, Node, final_result, interim_result, speech, words_result};
use futures_util::{FutureExt, SinkExt, StreamExt};
use store::Standing;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const AUDIO: &[u8] = &[7; 640];
/// A second of it.
const SECOND: &[u8] = &[7; 32_000];

#[tokio::test(start_paused = true)]
async fn results_pass_as_they_are_and_a_close_ends_the_stream_with_1000() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(SECOND)).await.unwrap();
    assert_eq!(node.hear().await, Message::from(SECOND));
    node.say(&final_result("hello", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, final_result("hello", 0.0, 1.0));
    bench.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(node.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
    node.say(r#"{"type":"Metadata","duration":1.0}"#).await;
    node.close(1000, "").await;
    assert_eq!(bench.text().await, r#"{"type":"Metadata","duration":1.0}"#);
    assert_eq!(bench.closed().await, (1000, String::new()));
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_before_its_first_final_is_replaced_and_the_caller_never_knows() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    bench.caller.send(Message::from(SECOND)).await.unwrap();
    bench.say(r#"{"type":"Finalize"}"#).await;
    first.hear().await;
    first.hear().await;
    first.say(&interim_result("hel", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, interim_result("hel", 0.0, 1.0));
    drop(first);

    let mut second = bench.accept().await;
    assert_eq!((second.name.as_str(), second.epoch.as_str()), ("b", "2"));
    bench.caller.send(Message::binary(vec![8; 2])).await.unwrap();
    assert_eq!(second.hear_all(SECOND.len()).await, SECOND, "what the first node heard is heard again");
    assert_eq!(second.hear().await, Message::text(r#"{"type":"Finalize"}"#));
    assert_eq!(second.hear().await, Message::binary(vec![8; 2]), "then what comes now");
    second.say(&final_result("hello", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, final_result("hello", 0.0, 1.0));
    bench.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(second.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
    second.close(1000, "").await;
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_refuses_is_passed_over_before_the_caller_is_answered() {
    let mut bench = Bench::with_nodes(&["full", "b"]).await;
    let node = bench.accept().await;
    assert_eq!((node.name.as_str(), node.epoch.as_str()), ("b", "2"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_after_a_final_is_replaced_and_its_words_are_not_told_again() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    let sound = speech(Duration::from_secs(3));
    bench.send_all(&sound).await;
    first.hear_all(sound.len()).await;
    first.say(&words_result(&[("one", 0.1), ("two", 0.6)], 0.0, 1.2)).await;
    assert_eq!(bench.text().await, words_result(&[("one", 0.1), ("two", 0.6)], 0.0, 1.2), "verbatim");
    drop(first);

    let mut second = bench.accept().await;
    assert_eq!((second.name.as_str(), second.epoch.as_str()), ("b", "2"));
    assert_eq!(second.hear_all(sound.len()).await, sound, "what is not three seconds old is kept");
    second.say(&words_result(&[("one", 0.1), ("two", 0.6), ("three", 1.5)], 0.0, 2.0)).await;
    let told: serde_json::Value = serde_json::from_str(&bench.text().await).unwrap();
    assert_eq!(told["channel"]["alternatives"][0]["transcript"], "three");
    assert_eq!((told["start"].as_f64(), told["duration"].as_f64()), (Some(1.2), Some(0.8)));
    bench.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(second.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
    second.say(r#"{"type":"Metadata","duration":1.0}"#).await;
    second.close(1000, "").await;
    assert_eq!(bench.text().await, r#"{"duration":3.0,"type":"Metadata"}"#);
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_finds_no_other_node_waits_for_one_and_then_says_why() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.send_all(&speech(Duration::from_secs(1))).await;
    node.say(&words_result(&[("one", 0.1)], 0.0, 0.5)).await;
    bench.text().await;
    drop(node);
    bench.keep_alive_for(Duration::from_secs(29)).await;
    assert!(bench.caller.next().now_or_never().is_none(), "it waits");
    bench.keep_alive_for(Duration::from_secs(2)).await;
    assert_eq!(bench.closed().await.0, 1013);
    assert_eq!(bench.ended().await, ["router_away"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_is_noticed_by_its_pings_whether_it_gave_results_or_not() {
    for has_spoken in [false, true] {
        let mut bench = Bench::with_nodes(&["a", "b"]).await;
        let mut first = bench.accept().await;
        let sound = speech(Duration::from_secs(2));
        bench.send_all(&sound).await;
        first.hear_all(sound.len()).await;
        if has_spoken {
            first.say(&words_result(&[("one", 0.1)], 0.0, 0.5)).await;
            bench.text().await;
        }
        // It reads nothing any more, so that no ping is answered.
        bench.keep_alive_for(Duration::from_secs(4)).await;
        let mut second = bench.accept().await;
        assert_eq!(second.hear_all(sound.len()).await, sound);
        second.say(&words_result(&[("one", 0.1), ("two", 0.9)], 0.0, 1.5)).await;
        let told: serde_json::Value = serde_json::from_str(&bench.text().await).unwrap();
        let expected = if has_spoken { "two" } else { "one two" };
        assert_eq!(told["channel"]["alternatives"][0]["transcript"], expected);
        bench.say(r#"{"type":"CloseStream"}"#).await;
        second.close(1000, "").await;
        bench.hang_up();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_only_slow_to_answer_keeps_its_stream() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    let sound = speech(Duration::from_secs(2));
    bench.send_all(&sound).await;
    first.hear_all(sound.len()).await;
    bench.keep_alive_for(Duration::from_secs(4)).await;
    let mut rival = bench.accept().await;
    first.say(&words_result(&[("one", 0.1)], 0.0, 1.0)).await;
    assert_eq!(bench.text().await, words_result(&[("one", 0.1)], 0.0, 1.0));
    while !rival.is_left().await {}
    bench.say(r#"{"type":"CloseStream"}"#).await;
    while first.hear().await != Message::text(r#"{"type":"CloseStream"}"#) {}
    first.close(1000, "").await;
    assert_eq!(bench.closed().await.0, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_talks_nonsense_is_replaced_and_its_nonsense_goes_nowhere() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    bench.send_all(SECOND).await;
    for nonsense in ["}", r#"{"type":"Results","start":-1}"#, "12"] {
        first.say(nonsense).await;
    }
    let mut second = bench.accept().await;
    second.hear_all(SECOND.len()).await;
    second.say(&final_result("sense", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, final_result("sense", 0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn interims_reach_only_callers_who_asked_for_them() {
    let mut bench = Bench::without_interims(&["a"]).await;
    let mut node = bench.accept().await;
    assert!(node.query.contains("interim_results=true"), "a leg always has them: {}", node.query);
    bench.send_all(SECOND).await;
    node.hear_all(SECOND.len()).await;
    node.say(&interim_result("hel", 0.0, 0.5)).await;
    node.say(&final_result("hello", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, final_result("hello", 0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn a_caller_without_audio_is_let_go_after_ten_seconds_though_it_says_it_lives() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let _node = bench.accept().await;
    bench.keep_alive_for(Duration::from_secs(11)).await;
    let (code, text) = bench.closed().await;
    assert_eq!((code, text.split(':').next()), (1011, Some("NET-0001")));
    assert_eq!(bench.ended().await, ["caller_silent"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_it_lives_may_pause() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(SECOND)).await.unwrap();
    bench.keep_alive_for(Duration::from_secs(60)).await;
    node.say(&final_result("still here", 0.0, 1.0)).await;
    assert_eq!(bench.text().await, final_result("still here", 0.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn text_that_means_nothing_is_answered_and_the_stream_goes_on() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.say("hello?").await;
    assert!(bench.text().await.contains("SchemaError"));
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    assert_eq!(node.hear().await, Message::from(AUDIO), "the text itself goes nowhere");
}

#[tokio::test(start_paused = true)]
async fn more_than_ten_pings_a_second_end_the_stream_with_1008() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let _node = bench.accept().await;
    for _ in 0..11 {
        bench.caller.send(Message::Ping(Vec::new().into())).await.unwrap();
    }
    assert_eq!(bench.closed().await.0, 1008);
    assert_eq!(bench.ended().await, ["caller_flooding"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_frees_the_node_at_once() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    node.hear().await;
    bench.hang_up();
    assert!(node.is_left().await);
    assert_eq!(bench.ended().await, ["caller_gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_closes_is_answered() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.close(None).await.unwrap();
    assert!(matches!(bench.caller.next().await, Some(Ok(Message::Close(None)))));
    assert!(node.is_left().await);
    assert_eq!(bench.ended().await, ["caller_gone"]);
}

#[tokio::test(start_paused = true)]
async fn sound_in_several_frames_reaches_the_node_as_one_message() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    let part = |payload: &'static [u8], opcode, fin| Message::Frame(Frame::message(payload, opcode, fin));
    bench.caller.send(part(&[1; 300], OpCode::Data(Data::Binary), false)).await.unwrap();
    bench.caller.send(part(&[2; 300], OpCode::Data(Data::Continue), true)).await.unwrap();
    assert_eq!(node.hear().await, Message::from([[1; 300], [2; 300]].concat()));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_read_stops_the_caller_from_being_read() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    node.say(&final_result("committed: nothing is kept for a replay", 0.0, 1.0)).await;
    bench.text().await;
    let mut taken = 0;
    while bench.takes(Message::binary(vec![0; 10_000])).await {
        taken += 10_000;
        assert!(taken < 1_000_000, "the proxy must not swallow what nobody reads");
    }
    assert!(taken > 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_read_stops_the_node_from_being_read_and_is_let_go() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    let result = serde_json::json!({ "type": "Warning", "description": "word ".repeat(1_000) }).to_string();
    let mut said = 0;
    while node.takes(Message::text(result.clone())).await {
        said += result.len();
        assert!(said < 2_000_000, "the proxy must not swallow what nobody reads");
    }
    // The caller still sends: only its reading has stopped.
    for _ in 0..15 {
        tokio::time::advance(Duration::from_secs(1)).await;
        let _ = bench.caller.send(Message::from(AUDIO)).now_or_never();
    }
    assert_eq!(bench.ended().await, ["caller_slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_talks_nonsense_and_does_not_read_the_answers_is_not_read_and_is_let_go() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let _node = bench.accept().await;
    let mut taken = 0;
    while bench.takes(Message::text("nonsense")).await {
        taken += 1;
        assert!(taken < 50_000, "the proxy must not keep answers that nobody reads");
    }
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.ended().await, ["caller_slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_streams_with_1012_when_its_time_is_up() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let _node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    bench.shutdown.begin();
    assert_eq!(bench.closed().await.0, 1012);
    assert_eq!(bench.ended().await, ["draining"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_over_one_mebibyte_ends_the_stream_with_1009() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let _node = bench.accept().await;
    let _ = bench.caller.send(Message::binary(vec![0; (1 << 20) + 1])).now_or_never();
    assert_eq!(bench.closed().await.0, 1009);
    assert_eq!(bench.ended().await, ["frame_too_big"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_decode_the_audio_ends_the_stream_with_its_verdict() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut node: Node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    node.close(1008, "DATA-0000: not audio").await;
    assert_eq!(bench.closed().await, (1008, "DATA-0000: the audio cannot be decoded".to_owned()));
    assert_eq!(bench.ended().await, ["bad_audio"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_stops_sending_does_not_hold_up_its_results() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    let (mut mouth, mut ear) = bench.caller.split();
    let sending = async { while mouth.send(Message::from(AUDIO)).await.is_ok() {} };
    let hearing = async {
        for _ in 0..1_000 {
            node.hear().await;
        }
        node.say(&final_result("hello", 0.0, 1.0)).await;
        while !matches!(ear.next().await, Some(Ok(Message::Text(_)))) {}
    };
    tokio::select! {
        () = sending => panic!("the proxy hung up"),
        () = hearing => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_message_means_close_stream() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::binary(Vec::new())).await.unwrap();
    assert_eq!(node.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
    assert!(bench.caller.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_says_so() {
    let end = tokio::time::Instant::now() + Duration::from_secs(7);
    let mut bench = Bench::with_standing(Standing::until(end)).await;
    let _node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    bench.keep_alive_for(Duration::from_secs(6)).await;
    assert!(bench.caller.next().now_or_never().is_none(), "it goes on until then");
    tokio::time::advance(Duration::from_secs(1)).await;
    let text = "the key or token has expired, please open a new stream with a new one";
    assert_eq!(bench.closed().await, (1008, text.to_owned()));
    assert_eq!(bench.ended().await, ["key_expired"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_stops_sending_does_not_outlive_its_token() {
    let end = tokio::time::Instant::now() + Duration::from_secs(2);
    let mut bench = Bench::with_standing(Standing::until(end)).await;
    let mut node = bench.accept().await;
    let flood = async {
        while bench.caller.send(Message::from(AUDIO)).await.is_ok() && !node.is_left().await {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(15), flood).await;
    assert_eq!(bench.closed().await.0, 1008);
    assert_eq!(bench.ended().await, ["key_expired"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_ahead_of_its_node_is_read_on_so_that_its_pings_are_answered() {
    let mut bench = Bench::with_room(32 << 20, 0).await;
    let mut node = bench.accept().await;
    let pieces: Vec<Vec<u8>> = (0..120_u8).map(|number| vec![number; 32_000]).collect();
    for piece in &pieces {
        bench.caller.send(Message::binary(piece.clone())).await.unwrap();
    }
    bench.say(r#"{"type":"CloseStream"}"#).await;
    bench.caller.send(Message::Ping(b"still there?".to_vec().into())).await.unwrap();
    assert_eq!(bench.caller.next().await.unwrap().unwrap(), Message::Pong(b"still there?".to_vec().into()));
    let mut heard = 0;
    let all = pieces.concat();
    while heard < all.len() {
        let audio = node.hear().await.into_data();
        if audio.is_empty() {
            continue;
        }
        assert_eq!(audio, all[heard..heard + audio.len()], "in order, at {heard}");
        heard += audio.len();
        let end = f64::from(u32::try_from(heard).unwrap()) / 32_000.0;
        let told = f64::from(u32::try_from((heard - 1) / 320_000).unwrap()) * 10.0;
        node.say(&interim_result("word", told, end - told)).await;
        if heard % 320_000 == 0 {
            node.say(&final_result("word", end - 10.0, 10.0)).await;
        }
    }
    while node.hear().await != Message::text(r#"{"type":"CloseStream"}"#) {}
    node.close(1000, "").await;
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_disk_is_bounded() {
    let mut bench = Bench::with_room(1 << 20, 0).await;
    let _node = bench.accept().await;
    let mut taken = 0;
    while bench.takes(Message::from(AUDIO)).await {
        taken += AUDIO.len();
        assert!(taken < 8_000_000, "the proxy must not swallow what nobody reads");
    }
    assert!(taken > 3 << 19, "only {taken} bytes were taken");
}

#[tokio::test(start_paused = true)]
async fn of_guesses_that_a_slow_caller_has_not_read_the_last_is_told_and_every_final_result() {
    let mut bench = Bench::with_nodes(&["a"]).await;
    let mut node = bench.accept().await;
    bench.send_all(SECOND).await;
    node.hear_all(SECOND.len()).await;
    let text = "word ".repeat(2_000);
    let mut said = 0;
    // More than the pipes and the queue would hold: the node is read on all the while.
    for number in 0..300 {
        let guess = interim_result(&format!("{number} {text}"), 0.0, 0.5);
        said += guess.len();
        assert!(node.takes(Message::text(guess)).await, "the node is not read after {number} guesses");
    }
    node.say(&final_result("at last", 0.0, 0.5)).await;
    node.say(&interim_result("more", 0.5, 0.5)).await;
    tokio::time::advance(Duration::from_millis(10)).await;
    let (mut guesses, mut heard) = (Vec::new(), 0);
    loop {
        let message = bench.text().await;
        heard += message.len();
        let result: serde_json::Value = serde_json::from_str(&message).unwrap();
        let told = result["channel"]["alternatives"][0]["transcript"].as_str().unwrap().to_owned();
        match (result["is_final"].as_bool(), told.as_str()) {
            (Some(true), told) => assert_eq!(told, "at last"),
            (_, "more") => break,
            (_, guess) => guesses.push(guess.split(' ').next().unwrap().parse::<u32>().unwrap()),
        }
    }
    assert!(guesses.is_sorted() && guesses.len() < 299 && heard < said, "{} guesses were told", guesses.len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_half_as_much_while_the_memory_of_all_is_nearly_spent() {
    let mut taken = Vec::new();
    for rings in [0, 1_300_000] {
        let mut bench = Bench::with_room(0, rings).await;
        let mut node = bench.accept().await;
        let mut bytes = 0;
        // The node hears and never says anything final: what is kept grows to its bound.
        while bench.takes(Message::from(AUDIO)).await {
            bytes += AUDIO.len();
            let end = f64::from(u32::try_from(bytes).unwrap()) / 32_000.0;
            while let Some(_heard) = node.hear_now().await {}
            let _ = node.takes(Message::text(interim_result("word", 0.0, end))).await;
            assert!(bytes < 10_000_000);
        }
        taken.push(bytes);
    }
    assert!(taken[0] >= 1_920_000 && taken[1] < taken[0] - 500_000, "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn results_that_cannot_be_true_are_not_told_and_their_words_are_heard_elsewhere() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    let sound = speech(Duration::from_secs(3));
    bench.send_all(&sound).await;
    first.hear_all(sound.len()).await;
    first.say(&words_result(&[("one", 0.1)], 0.0, 1.0)).await;
    assert_eq!(bench.text().await, words_result(&[("one", 0.1)], 0.0, 1.0));
    first.say(&interim_result("wrong", 900.0, 1.0)).await;
    first.say(&words_result(&[("wrong", 77.0)], 1.0, 1.0)).await;
    let mut second = bench.accept().await;
    assert_eq!(second.hear_all(sound.len()).await, sound);
    second.say(&words_result(&[("one", 0.1), ("two", 1.2)], 0.0, 2.0)).await;
    let told: serde_json::Value = serde_json::from_str(&bench.text().await).unwrap();
    assert_eq!(told["channel"]["alternatives"][0]["transcript"], "two");
}
