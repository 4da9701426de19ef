//! Benchmarks, shortly: whether they measure at all. What they measure is for quiet machines.

use anyhow::Context as _;
use serde_json::Value;

use crate::support::child::Start;

async fn measured(arguments: &[&str]) -> anyhow::Result<Value> {
    let output = Start::of(&[&["bench"], arguments, &["--json"]].concat()).output().await?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).context("figures as JSON")
}

#[tokio::test]
async fn a_router_is_asked_for_places_beside_an_echo() -> anyhow::Result<()> {
    let small = ["place", "--agents", "16", "--callers", "2", "--seconds", "2", "--rounds", "1"];
    let figures = measured(&small).await?;
    assert!(figures["telemetry"]["reports_per_second"].as_f64() > Some(0.0), "{figures}");
    for server in ["router", "echo"] {
        let of = &figures["servers"][server];
        assert!(of["per_second"]["median"].as_f64() > Some(0.0) && of["refused"] == 0, "{figures}");
    }
    assert_eq!(figures["servers"]["echo"]["cpu_of_echo"]["median"], 1.0);
    Ok(())
}
