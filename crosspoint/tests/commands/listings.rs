//! `crosspoint nodes`, `pools`, `sessions`, `costs` and `explain`, and every help text.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::fake::{Outcome, REQUEST, crosspoint, serve};

fn node() -> Value {
    json!({"node": "aws-1", "pool": "aws", "address": "127.0.0.1:4001", "state": "serving", "age_ms": 120,
        "models": ["m"], "soft_slots": 3, "hard_slots": 4, "used_slots": 1, "queue_depth": 0,
        "chunk_latency_p95_ms": 12.0, "realtime_factor": 0.2, "engine_pid": 1234, "error_share": 0.0, "leases": 1,
        "silent": true, "reason": "aws: this host is terminated", "notice": {"kind": "preemption", "left_ms": 98_000.0},
        "gpus": [{"name": "T4", "utilisation": 0.3, "memory_used_bytes": 1_073_741_824_u64,
            "memory_total_bytes": 16_106_127_360_u64, "temperature_celsius": 60, "power_milliwatts": 70_400}]})
}

fn session() -> Value {
    let terms = json!({"gpu": 0.0167, "egress": 0.0, "latency": 0.0, "risk": 0.0, "congestion": 0.0, "errors": 0.0});
    json!({"session": REQUEST, "tenant": "demo", "model": "m", "work": "file", "state": "live", "node": "aws-1",
        "pool": "aws", "epoch": 2, "age_ms": 1_200, "refusal": null, "rejected": [], "reason": null,
        "placements": [{"node": "aws-1", "pool": "aws", "address": "127.0.0.1:1", "terms": terms, "total": 0.0167}],
        "attempts": [{"node": "aws-1", "outcome": "opened", "cause": null}], "audio_seconds": 5.2,
        "slot_seconds": 5.4, "bytes_in": 1, "bytes_out": 1, "cost": {"gpu": 0.00001, "egress": 0.0, "total": 0.00001}})
}

fn plan() -> Value {
    json!({"leader": "10.0.0.7:7400", "age_ms": 4_100.0, "dry_run": true, "streams": 100.0, "batch": 0.0,
        "required_slots": 117.6, "wanted_slots": 144.0, "target": 0.85, "short": [{"group": 0, "slots": 3.0}], "pools": [
            {"pool": "aws", "ready": 2, "booting": 1, "draining": 1, "wanted": 6, "why": "cheapest",
                "text": "cheapest that may grow", "launch": 2, "undrain": ["aws-1"], "drain": [], "clear": [],
                "terminate": []},
            {"pool": "gcp", "ready": 1, "booting": 0, "draining": 0, "wanted": 0, "why": "not_needed",
                "text": "cheaper pools suffice", "launch": 0, "undrain": [], "drain": ["gcp-1"], "clear": [],
                "terminate": []},
            {"pool": "on-prem", "ready": 2, "booting": 0, "draining": 0, "wanted": 2, "why": "unmanaged",
                "text": "not scaled here", "launch": 0}]})
}

async fn admin() -> anyhow::Result<String> {
    let pool = json!({"name": "aws", "provider": "aws", "region": "us-west-2", "tier": "burst", "market": "spot",
        "price": {"node_hour": 0.2, "egress_gb": 0.09}, "residency": "us", "compliance": ["soc2"],
        "round_trip_ms": 18.0, "nodes": 2, "serving": 1, "soft_slots": 6, "used_slots": 1});
    let one = |Path(id): Path<String>| async move {
        if id == REQUEST {
            (StatusCode::OK, Json(session()))
        } else {
            (StatusCode::NOT_FOUND, Json(json!({ "error": format!("no session {id}") })))
        }
    };
    let routes = Router::new()
        .route("/v1/nodes", get(|| async { Json(json!({ "nodes": [node()] })) }))
        .route("/v1/pools", get(|| async move { Json(json!({ "pools": [pool] })) }))
        .route("/v1/plan", get(|| async { Json(plan()) }))
        .route("/v1/sessions", get(|| async { Json(json!({ "sessions": [session()] })) }))
        .route("/v1/sessions/{id}", get(one));
    serve(routes.route("/v1/costs", get(|RawQuery(query): RawQuery| async move { costs(query.as_deref()) }))).await
}

fn spent(name: Option<&str>, hours: f64) -> Value {
    json!({"name": name, "sessions": 3, "audio_seconds": hours * 3_600.0, "gpu_seconds": hours * 3_700.0,
        "bytes_in": 2_500_000, "bytes_out": 10_000,
        "cost": {"gpu": 0.0167, "egress": 0.000_09, "total": 0.016_79}})
}

fn costs(query: Option<&str>) -> (StatusCode, Json<Value>) {
    let answer = |costs: Value, total: Value| {
        Json(json!({"since": "2026-11-01", "until": "2026-11-20", "costs": costs, "total": total}))
    };
    match query {
        Some("by=pool") => {
            let mut total = spent(None, 1.5);
            total.as_object_mut().map(|total| total.remove("name"));
            (StatusCode::OK, answer(json!([spent(Some("aws"), 1.5)]), total))
        }
        Some("by=key&since=2026-11-01&key=a+b") => (StatusCode::OK, answer(json!([]), json!({}))),
        other => (StatusCode::BAD_REQUEST, Json(json!({ "error": format!("asked {other:?}") }))),
    }
}

async fn ask(arguments: &[&str]) -> anyhow::Result<Outcome> {
    let url = admin().await?;
    crosspoint(&[arguments, &["--router", &url]].concat()).await
}

fn answered(out: &str) -> Outcome {
    Outcome { code: Some(0), out: out.to_owned(), err: String::new() }
}

#[tokio::test]
async fn a_plan_is_told_with_its_reasons_and_steps() -> anyhow::Result<()> {
    let expected = "\
POOL     READY  BOOTING  DRAINING  WANTED  WHY                     STEPS
aws          2        1         1       6  cheapest that may grow  launch 2, take back aws-1
gcp          1        0         0       0  cheaper pools suffice   drain gcp-1
on-prem      2        0         0       2  not scaled here         -

100 slots in use or waited for, 0 for batch: 118 required at 85 % filled, 144 wanted.
3 slots are lacking: every pool that may serve those sessions is at a limit.
Planned 4.1 s ago by 10.0.0.7:7400. Dry run: nothing is launched or ended.
";
    assert_eq!(ask(&["plan"]).await?, answered(expected));
    let json = ask(&["plan", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&json.out)?["pools"][0]["wanted"], 6);
    Ok(())
}

#[tokio::test]
async fn nodes_are_listed_with_their_gpus() -> anyhow::Result<()> {
    let expected = "\
NODE   POOL  STATE               SLOTS  QUEUE    P95   RTF  ERRORS   SEEN   PID  ADDRESS
aws-1  aws   silent (serving)  1/3 (4)      0  12 ms  0.20       -  0.1 s  1234  127.0.0.1:4001

NODE   SAYS
aws-1  preemption in 1 min 38 s: aws: this host is terminated

NODE   GPU  BUSY        MEMORY   TEMP  POWER
aws-1  T4   30 %  1.0/15.0 GiB  60 °C   70 W
";
    assert_eq!(ask(&["nodes"]).await?, answered(expected));
    Ok(())
}

#[tokio::test]
async fn pools_are_listed() -> anyhow::Result<()> {
    let expected = "\
POOL  PROVIDER  REGION     TIER   MARKET  $/HOUR  $/GB    RTT  NODES  SLOTS  AUDIO IN
aws   aws       us-west-2  burst  spot      0.20  0.09  18 ms    1/2    1/6  us soc2
";
    assert_eq!(ask(&["pools"]).await?, answered(expected));
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed() -> anyhow::Result<()> {
    let expected = "\
SESSION                               TENANT  MODEL  WORK  STATE  NODE   POOL    AGE  AUDIO       COST
6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11  demo    m      file  live   aws-1  aws   1.2 s  5.2 s  $0.000010
";
    assert_eq!(ask(&["sessions"]).await?, answered(expected));
    Ok(())
}

#[tokio::test]
async fn costs_are_listed_with_their_total() -> anyhow::Result<()> {
    let expected = "\
POOL   SESSIONS  AUDIO h  GPU h  IN MB  OUT MB     GPU $  EGRESS $   TOTAL $
aws           3    1.500  1.542   2.50    0.01  0.016700  0.000090  0.016790
total         3    1.500  1.542   2.50    0.01  0.016700  0.000090  0.016790

from 2026-11-01 to 2026-11-20, days in UTC
";
    assert_eq!(ask(&["costs"]).await?, answered(expected));
    let outcome = ask(&["costs", "--by", "key", "--since", "2026-11-01", "--key", "a b"]).await?;
    assert_eq!(outcome, answered("nothing was used from 2026-11-01 to 2026-11-20\n"));
    Ok(())
}

#[tokio::test]
async fn json_is_the_routers_answer() -> anyhow::Result<()> {
    for (command, key, value) in [("nodes", "nodes", node()), ("sessions", "sessions", session())] {
        let answer: Value = serde_json::from_str(&ask(&[command, "--json"]).await?.out)?;
        assert_eq!(answer, json!({ key: [value] }));
    }
    assert_eq!(serde_json::from_str::<Value>(&ask(&["explain", "--json"]).await?.out)?, session());
    Ok(())
}

#[tokio::test]
async fn the_newest_session_is_explained_when_none_is_named() -> anyhow::Result<()> {
    let named = ask(&["explain", REQUEST]).await?;
    assert_eq!(ask(&["explain"]).await?, named);
    assert!(named.out.contains("served by   aws-1 in pool aws, leg 2 (moved 1 time)\n"), "{}", named.out);
    assert!(named.out.contains("because     1.67 ¢/h (gpu 1.67)\n"), "{}", named.out);
    Ok(())
}

#[tokio::test]
async fn a_session_nobody_knows_is_told_in_the_routers_words() -> anyhow::Result<()> {
    let outcome = ask(&["explain", "0b7e9f3a"]).await?;
    let expected = Outcome { code: Some(1), out: String::new(), err: "error: no session 0b7e9f3a\n".to_owned() };
    assert_eq!(outcome, expected);
    let outcome = ask(&["explain", "../nodes"]).await?;
    assert!(outcome.err.starts_with("error: expected a session id such as"), "{}", outcome.err);
    Ok(())
}

#[tokio::test]
async fn a_question_is_asked_as_it_was_put() -> anyhow::Result<()> {
    let asked = Arc::new(Mutex::new(Value::Null));
    let ears = asked.clone();
    let answer = post(move |Json(body): Json<Value>| async move {
        if let Ok(mut asked) = ears.lock() {
            *asked = body;
        }
        Json(json!({"placements": [], "refusal": "full", "rejected": []}))
    });
    let url = serve(Router::new().route("/v1/explain", answer)).await?;
    let mut arguments = vec!["explain", "--router", &url, "--model", "nova-3", "--file", "--residency", "eu"];
    arguments.extend(["--compliance", "soc2", "--compliance", "gdpr", "--max-cost", "0.02", "--rate", "8000"]);
    let outcome = crosspoint(&arguments).await?;
    assert_eq!(outcome, answered("  would be    refused: every node that may serve it is full\n"));
    let expected = json!({"model": "nova-3", "work": "file", "residency": "eu", "compliance": ["soc2", "gdpr"],
        "max_cost": 0.02, "audio_bytes_per_second": 8000});
    assert_eq!(asked.lock().map(|asked| asked.clone()).ok(), Some(expected));
    Ok(())
}

#[tokio::test]
async fn a_router_that_is_not_there_is_told_with_its_address() -> anyhow::Result<()> {
    let outcome = crosspoint(&["nodes", "--router", "http://127.0.0.1:1"]).await?;
    let expected =
        "error: cannot reach the router at http://127.0.0.1:1 (connection refused): is `crosspoint up` running?\n";
    assert_eq!(outcome, Outcome { code: Some(1), out: String::new(), err: expected.to_owned() });
    Ok(())
}

#[tokio::test]
async fn every_command_shows_examples_and_wrong_usage_ends_with_2() -> anyhow::Result<()> {
    for command in ["transcribe", "nodes", "pools", "plan", "sessions", "costs", "explain", "config", "keys"] {
        let outcome = crosspoint(&[command, "--help"]).await?;
        assert!(outcome.out.contains(&format!("\nExamples:\n  crosspoint {command}")), "{}", outcome.out);
        assert_eq!(crosspoint(&[command, "--no-such-flag"]).await?.code, Some(2));
    }
    Ok(())
}
