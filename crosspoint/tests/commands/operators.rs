//! `crosspoint drain`, `undrain` and `top`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::fake::{Outcome, crosspoint, serve};

/// A router whose node has fewer sessions each time it is asked.
async fn emptying(sessions: u32) -> anyhow::Result<String> {
    let left = Arc::new(AtomicU32::new(sessions));
    let nodes = move || {
        let left = left.fetch_sub(1, Ordering::Relaxed);
        async move { Json(json!({ "nodes": [{ "node": "gcp/1", "drained": true, "state": "draining", "leases": left }] })) }
    };
    let order = |state: &'static str| {
        post(move |Path(node): Path<String>, Json(_): Json<Value>| async move {
            if node == "gcp/1" {
                (StatusCode::OK, Json(json!({ "node": node, "changed": true, "state": state, "used_slots": 2 })))
            } else {
                let error = format!("no node is called {node}, did you mean gcp/1?");
                (StatusCode::NOT_FOUND, Json(json!({ "error": error })))
            }
        })
    };
    let routes = Router::new()
        .route("/v1/nodes", get(nodes))
        .route("/v1/nodes/{node}/drain", order("draining"))
        .route("/v1/nodes/{node}/undrain", order("failing"));
    serve(routes).await
}

fn answered(out: &str) -> Outcome {
    Outcome { code: Some(0), out: out.to_owned(), err: String::new() }
}

#[tokio::test]
async fn a_drain_says_what_goes_on_and_can_wait_for_its_end() -> anyhow::Result<()> {
    let url = emptying(2).await?;
    let told =
        "node gcp/1 takes no new sessions; 2 sessions there: `crosspoint drain gcp/1 --wait` waits for the end\n";
    assert_eq!(crosspoint(&["drain", "gcp/1", "--router", &url]).await?, answered(told));
    let waited = crosspoint(&["drain", "gcp/1", "--wait", "--router", &url]).await?;
    assert_eq!(waited, answered("node gcp/1 has no sessions\n"));
    let undrained = crosspoint(&["undrain", "gcp/1", "--router", &url]).await?;
    assert_eq!(undrained, answered("node gcp/1 is drained no longer; its agent says that it is failing\n"));
    Ok(())
}

#[tokio::test]
async fn a_node_that_nobody_knows_is_told_with_the_nearest() -> anyhow::Result<()> {
    let url = emptying(0).await?;
    let err = "error: no node is called gpc/1, did you mean gcp/1?\n".to_owned();
    let expected = Outcome { code: Some(1), out: String::new(), err };
    assert_eq!(crosspoint(&["drain", "gpc/1", "--router", &url]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn one_frame_is_printed_into_a_pipe() -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/v1/overview", get(|| async { Json(json!({ "soft_slots": 8, "used_slots": 2, "policy": "score" })) }))
        .route(
            "/v1/pools",
            get(|| async { Json(json!({ "pools": [{ "name": "aws", "soft_slots": 8, "used_slots": 2 }] })) }),
        )
        .route("/v1/nodes", get(|| async { Json(json!({ "nodes": [] })) }))
        .route("/v1/sessions", get(|| async { Json(json!({ "sessions": [{ "state": "ended" }] })) }));
    let url = serve(routes).await?;
    let outcome = crosspoint(&["top", "--once", "--width", "80", "--router", &url]).await?;
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
    for part in ["slots 2/8 25 %", "1 pool ", "▰▰▱▱▱▱▱▱ 2/8", "0 nodes", "0 streams"] {
        assert!(outcome.out.contains(part), "no {part:?} in\n{}", outcome.out);
    }
    let outcome = crosspoint(&["top", "--router", &url]).await?;
    assert_eq!(outcome.err, "error: standard output is no terminal: --once prints one frame\n");
    Ok(())
}
