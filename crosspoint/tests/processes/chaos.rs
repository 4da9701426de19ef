//! `crosspoint chaos` itself: what it breaks is broken, and it can tell a kept promise from one that was not.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::support::child::Start;

/// A small service that is broken as often as it can be for a few seconds.
const SMALL: &str = "streams: 6\nlasts: 5s\nevery: 1s\nrouters: 1\nproxies: 1\nnodes: 3\n\
                     speech: { least: 3s, most: 6s }\n";

/// How long that may take: leases of what was killed live for 15 s.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a scenario and returns its report and whether the command was content.
async fn play(scenario: &str) -> anyhow::Result<(Value, bool)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.yaml");
    std::fs::write(&file, format!("{SMALL}{scenario}"))?;
    let path = file.to_str().context("a path that is text")?;
    let start = Start::of(&["chaos", "--seed", "7", "--json", "--scenario", path]);
    let output = start.output_within(PATIENCE).await?;
    let report = serde_json::from_slice(&output.stdout);
    let report = report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((report, output.status.success()))
}

fn row<'a>(report: &'a Value, fault: &str) -> anyhow::Result<&'a Value> {
    let mut rows = report["rows"].as_array().context("rows")?.iter();
    rows.find(|row| row["fault"] == fault).with_context(|| format!("a row for {fault} in {report}"))
}

#[tokio::test]
async fn agents_that_die_and_hang_are_not_noticed() -> anyhow::Result<()> {
    let (report, content) =
        play("faults: { kill_agent: { weight: 1, lasts: 500ms }, stop_agent: { weight: 1, lasts: 500ms } }").await?;
    assert!(content, "{report}");
    assert!(row(&report, "kill_agent")?["touched"].as_u64() > Some(0), "{report}");
    assert!(report["words"].as_u64() > Some(20) && report["leases_leaked"] == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn streams_that_their_proxy_leaves_alone_are_told() -> anyhow::Result<()> {
    let (report, _content) = play("faults: { kill_proxy: { weight: 1, lasts: 1s } }").await?;
    let row = row(&report, "kill_proxy")?;
    assert_eq!(row["promise"], "may_end");
    assert!(row["errors"].as_u64() > Some(0) && row["touched"].as_u64() > Some(0), "{report}");
    let examples = report["examples"].as_array().context("examples")?;
    assert!(examples.iter().any(|example| example["faults"][0][0] == "kill_proxy"), "{report}");
    assert_eq!((&report["leases_leaked"], &report["slots_leaked"]), (&Value::from(0), &Value::from(0)));
    Ok(())
}

#[tokio::test]
async fn proxies_that_are_replaced_refuse_nobody() -> anyhow::Result<()> {
    let (report, content) = play("faults: { roll_proxy: { weight: 1, lasts: 500ms } }").await?;
    assert!(content, "{report}");
    let row = row(&report, "roll_proxy")?;
    assert!(row["touched"].as_u64() > Some(0) && row["knocks"]["connects"].as_u64() > Some(50), "{report}");
    assert_eq!((&row["knocks"]["refused"], &row["errors"]), (&Value::from(0), &Value::from(0)));
    Ok(())
}
