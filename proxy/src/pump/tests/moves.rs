//! Streams that are told to leave their node.

use proto::v1::Migrate;
use proto::v1::session_update::Update;
use scheduler::SessionId;
use serde_json::Value;

use super::bench::{Bench, Node, speech, words_result};
use super::*;

/// Two seconds of speech and one of silence.
fn sound() -> Vec<u8> {
    [speech(Duration::from_secs(2)), vec![0; 32_000]].concat()
}

async fn ordered_to_leave(bench: &mut Bench, node: &mut Node) {
    bench.send_all(&sound()).await;
    node.hear_all(sound().len()).await;
    node.say(&words_result(&[("one", 0.1), ("two", 1.5)], 0.0, 2.8)).await;
    bench.text().await;
    let (session, node) = (SessionId::from_random(1).to_string(), node.name.clone());
    bench.reporter.migrate(&Migrate { session, node, deadline_milliseconds: 30_000 });
}

#[tokio::test(start_paused = true)]
async fn a_stream_leaves_a_node_that_goes_away_once_another_has_heard_as_much() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    ordered_to_leave(&mut bench, &mut first).await;
    let mut second = bench.accept().await;
    assert_eq!((second.name.as_str(), second.epoch.as_str()), ("b", "2"));
    let replayed = second.hear_all(54_400).await;
    assert_eq!(replayed, sound()[41_600..], "from before the last word on");
    bench.caller.send(Message::from(AUDIO)).await.unwrap();
    assert_eq!((first.hear_all(640).await.len(), second.hear_all(640).await.len()), (640, 640), "both hear it");
    second.say(&words_result(&[("two", 0.2)], 0.0, 1.6)).await;

    let told: Value = serde_json::from_str(&bench.text().await).unwrap();
    let alternative = &told["channel"]["alternatives"][0];
    assert_eq!((told["start"].as_f64(), alternative["transcript"].as_str()), (Some(2.8), Some("")), "nothing twice");
    let Message::Close(Some(close)) = first.hear().await else { panic!("the node is not told") };
    assert_eq!(u16::from(close.code), 1_000);
    bench.say(r#"{"type":"CloseStream"}"#).await;
    assert_eq!(second.hear().await, Message::text(r#"{"type":"CloseStream"}"#));
    second.close(1000, "").await;
    assert_eq!(bench.closed().await.0, 1000);
    let updates: Vec<_> = std::iter::from_fn(|| bench.reporter.next()).collect();
    let failed = updates.iter().any(|update| matches!(update, Update::Failed(_)));
    let moved = updates.iter().any(|update| matches!(update, Update::Moved(moved) if moved.node == "a"));
    assert!(moved && !failed, "{updates:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_before_the_move_is_replaced_like_any_other() {
    let mut bench = Bench::with_nodes(&["a", "b"]).await;
    let mut first = bench.accept().await;
    ordered_to_leave(&mut bench, &mut first).await;
    let mut second = bench.accept().await;
    drop(first);
    second.hear_all(54_400).await;
    second.say(&words_result(&[("two", 0.2), ("three", 1.4)], 0.0, 1.7)).await;
    let told: Value = serde_json::from_str(&bench.text().await).unwrap();
    assert_eq!(told["channel"]["alternatives"][0]["transcript"], "three");
}
