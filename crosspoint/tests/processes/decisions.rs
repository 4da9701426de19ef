//! The decision log: what a router that ran wrote down is what `crosspoint simulate --replay` decides again.

use audio::Format;
use audio::coded::Script;
use serde_json::Value;

use crate::support::child::Start;
use crate::support::speech::{query, sound};
use crate::support::stream::open;
use crate::support::until;
use crate::support::up::Up;

const FORMAT: Format = Format::SPEECH;

/// What the log of decisions is when it is made again by a policy.
async fn replayed(log: &str, policy: &str) -> anyhow::Result<Value> {
    let output = Start::of(&["simulate", "--replay", log, "--policy", policy, "--json"]).output().await?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[tokio::test]
async fn what_a_router_decided_is_decided_again_bit_for_bit() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("decisions.jsonl");
    let log = path.display().to_string();
    let yaml = format!("router: {{ decisions: {{ path: {log}, sample: 1.0 }} }}");
    let up = Up::configured(&yaml, &["--nodes", "1"]).await?;
    // Fleets are written once a second at most, and decisions on others are left out.
    until("three decisions in the log", async || {
        let script = Script { session: 31, words: 2 };
        open(&up, &query(FORMAT)).await?.say(&sound(script, FORMAT)).await?;
        let written = std::fs::read_to_string(&path)?.lines().filter(|line| line.starts_with("{\"decision\"")).count();
        Ok((written >= 3).then_some(()))
    })
    .await?;
    anyhow::ensure!(up.close().await?);
    let same = replayed(&log, "crosspoint").await?;
    assert!(same["decisions"].as_u64() >= Some(3) && same["skipped"] == 0 && same["changed"] == 0, "{same}");
    assert!(same["before"] == same["after"] && same["before"]["refused"] == 0, "{same}");
    let otherwise = replayed(&log, "round_robin").await?;
    assert_eq!(otherwise["decisions"], same["decisions"]);
    Ok(())
}
