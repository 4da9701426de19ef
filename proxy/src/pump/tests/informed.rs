//! Callers who asked to be told more, and come back after a lost connection.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::AUDIO;
use super::bench::{Bench, final_result, speech, words_result};

const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

#[tokio::test(start_paused = true)]
async fn the_caller_is_told_how_to_come_back_and_every_second_how_far_it_is() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    assert!(!node.query.contains("ack") && !node.query.contains("events"), "{}", node.query);
    let info = bench.told("SessionInfo").await;
    assert_eq!((&info["failover"], &info["max_unacked_samples"]), (&json!("full"), &json!(960_000)));
    assert!(info["resume_token"].as_str().is_some_and(|token| token.len() > 60), "{info}");
    let sound = speech(Duration::from_secs(2));
    bench.send_all(&sound).await;
    node.hear_all(sound.len()).await;
    node.say(&words_result(&[("one", 0.1), ("two", 1.0)], 0.0, 1.6)).await;
    let told = bench.told("Results").await;
    assert_eq!((&told["seq"], &told["start"]), (&json!(1), &json!(0.0)));
    let ack = bench.told("AudioAck").await;
    assert_eq!(ack, json!({"type":"AudioAck","received_samples":32_000,"final_samples":20_800}));
    bench.say(CLOSE_STREAM).await;
    node.finish().await;
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_move_is_told_and_how_its_results_go_on() {
    let mut bench = Bench::informed(&["a", "b"]).await;
    let mut first = bench.accept().await;
    let sound = speech(Duration::from_secs(3));
    bench.send_all(&sound).await;
    first.hear_all(sound.len()).await;
    first.say(&words_result(&[("one", 0.1), ("two", 0.6)], 0.0, 1.2)).await;
    bench.told("Results").await;
    drop(first);
    let failover = bench.told("Failover").await;
    let expected = json!({"type":"Failover","epoch":1,"from_sample":14_400,"reason":"lost","planned":false});
    assert_eq!(failover, expected);
    let mut second = bench.accept().await;
    second.hear_all(sound.len()).await;
    second.say(&words_result(&[("one", 0.1), ("two", 0.6), ("three", 1.5)], 0.0, 2.0)).await;
    let recovered = bench.told("Recovered").await;
    assert_eq!((&recovered["epoch"], &recovered["merged"]), (&json!(2), &json!("aligned")));
    assert_eq!(recovered["replayed_ms"], 3_000);
    assert_eq!(bench.told("Results").await["seq"], 2);
    bench.say(CLOSE_STREAM).await;
    second.finish().await;
    assert_eq!(bench.closed().await.0, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_parked_and_what_was_missed_is_told_again() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.told("SessionInfo").await;
    bench.send_all(&speech(Duration::from_secs(2))).await;
    node.say(&final_result("one", 0.0, 0.5)).await;
    assert_eq!(bench.told("Results").await["seq"], 1);
    bench.hang_up();
    node.say(&final_result("two", 0.5, 0.5)).await;
    node.say(&final_result("three", 1.0, 0.5)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.come_back(1).await;
    let resumed = bench.told("Resumed").await;
    assert_eq!((&resumed["received_samples"], &resumed["last_seq"]), (&json!(32_000), &json!(3)));
    for (seq, text) in [(2, "two"), (3, "three")] {
        let told = bench.told("Results").await;
        assert_eq!(told["seq"], seq);
        assert_eq!(told["channel"]["alternatives"][0]["transcript"], text);
    }
    node.hear_all(64_000).await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    assert_eq!(node.hear_all(AUDIO.len()).await, AUDIO, "the same leg hears on");
    bench.say(CLOSE_STREAM).await;
    node.finish().await;
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_come_back_ends_once() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    node.hear().await;
    bench.hang_up();
    while !node.is_left().await {}
    assert!(bench.can_be_found(), "the slot is given back, the stream is kept");
    assert_eq!(bench.ended().await, ["caller_gone"]);
    assert!(!bench.can_be_found());
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_ends_the_first_with_4409() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    node.hear().await;
    let mut first = bench.come_back(0).await;
    let code = loop {
        if let Message::Close(Some(frame)) = first.next().await.unwrap().unwrap() {
            break u16::from(frame.code);
        }
    };
    assert_eq!(code, 4409);
    assert_eq!(bench.told("Resumed").await["received_samples"], 320);
    bench.say(CLOSE_STREAM).await;
    node.finish().await;
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn who_misses_the_end_is_told_it_after_all() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    bench.say(CLOSE_STREAM).await;
    node.hear().await;
    node.hear().await;
    bench.hang_up();
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.say(&final_result("one", 0.0, 0.02)).await;
    node.say(r#"{"type":"Metadata","duration":0.02}"#).await;
    node.close(1000, "").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    bench.come_back(0).await;
    assert_eq!(bench.told("Results").await["seq"], 1);
    assert_eq!(bench.told("Metadata").await["duration"], 0.02);
    assert_eq!(bench.closed().await.0, 1000);
    assert_eq!(bench.ended().await, ["completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_callers_that_are_away() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    node.hear().await;
    bench.hang_up();
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.shutdown.begin();
    assert_eq!(bench.ended().await, ["draining"]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_given_up_is_told_why_and_how_to_go_on() {
    let mut bench = Bench::informed(&["a"]).await;
    let mut node = bench.accept().await;
    bench.send_all(&speech(Duration::from_secs(1))).await;
    node.say(&words_result(&[("one", 0.1)], 0.0, 0.5)).await;
    drop(node);
    bench.keep_alive_for(Duration::from_secs(31)).await;
    let given_up = bench.told("GaveUp").await;
    assert_eq!((&given_up["code"], &given_up["reason"]), (&json!(1013), &json!("router_away")));
    assert!(given_up["resume_token"].is_string());
    assert_eq!(bench.closed().await.0, 1013);
    assert_eq!(bench.ended().await, ["router_away"]);
}

#[tokio::test(start_paused = true)]
async fn who_did_not_ask_is_told_nothing_more() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    first.hear().await;
    drop(first);
    let mut second = bench.accept().await;
    second.hear().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    second.say(&final_result("one", 0.0, 0.02)).await;
    assert_eq!(bench.text().await, final_result("one", 0.0, 0.02), "the first word it gets, without a number");
    bench.hang_up();
    assert_eq!(bench.ended().await, ["caller_gone"]);
    assert!(!bench.can_be_found());
}
