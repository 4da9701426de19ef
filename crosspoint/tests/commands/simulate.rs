//! `crosspoint simulate`.

use serde_json::Value;

use crate::fake::crosspoint;

/// Two hours on one pool, small enough for a test.
const SCENARIO: &str = "\
name: small
duration: 2h
streams: { stationary: { load: 20, holding: lognormal, mean: 60s } }
fleet: fleet.yaml
";
const FLEET: &str = "\
name: one
prices_of: 2026-11-20
pools:
  - { name: fixed, provider: on_prem, zone: home, tier: baseline, market: fixed, slots: { soft: 24, hard: 27 }, node_hour: 0.5, boot: 20s, round_trip: 10ms, nodes: { min: 2, max: 2 } }
";

fn small() -> anyhow::Result<(tempfile::TempDir, String)> {
    let directory = tempfile::tempdir()?;
    std::fs::write(directory.path().join("fleet.yaml"), FLEET)?;
    let scenario = directory.path().join("small.yaml");
    std::fs::write(&scenario, SCENARIO)?;
    let scenario = scenario.display().to_string();
    Ok((directory, scenario))
}

#[tokio::test]
async fn a_run_is_one_json_object_a_line() -> anyhow::Result<()> {
    let (_directory, scenario) = small()?;
    let arguments = ["simulate", &scenario, "--policy", "crosspoint", "--policy", "random", "--seeds", "2", "--json"];
    let outcome = crosspoint(&arguments).await?;
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
    let runs: Vec<Value> = outcome.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let names: Vec<_> = runs.iter().map(|run| (run["policy"].as_str(), run["seed"].as_u64())).collect();
    let expected = [("crosspoint", 1), ("crosspoint", 2), ("random", 1), ("random", 2)];
    assert_eq!(names, expected.map(|(name, seed)| (Some(name), Some(seed))));
    for run in &runs {
        // Two nodes at 50 cents for two hours, whatever happens.
        assert!((run["cost_usd"].as_f64().unwrap_or_default() - 2.0).abs() < 0.01, "{run}");
        assert!((run["cost_ratio"].as_f64().unwrap_or_default() - 1.0).abs() < 0.01, "{run}");
        assert!(run["slo_attainment"].as_f64().unwrap_or_default() > 0.99, "{run}");
        assert_eq!((run["scenario"].as_str(), run["config_hash"].as_str().map(str::len)), (Some("small"), Some(16)));
        assert!(run["lb1s_usd"].is_number(), "{run}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_names_its_bound_its_prices_and_its_limits() -> anyhow::Result<()> {
    let (directory, scenario) = small()?;
    let plots = directory.path().join("plots").display().to_string();
    let outcome = crosspoint(&["simulate", &scenario, "--policy", "crosspoint", "--plot", &plots]).await?;
    for words in ["1 seed, LB1s $2.00, prices of 2026-11-20, fleet one", "crosspoint", "What these figures leave out"] {
        assert!(outcome.out.contains(words), "{}", outcome.out);
    }
    for name in ["small-frontier.svg", "small-crosspoint.svg"] {
        assert!(std::fs::read_to_string(directory.path().join("plots").join(name))?.starts_with("<svg"), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_mistake_in_a_scenario_is_shown_and_ends_with_78() -> anyhow::Result<()> {
    let (directory, _) = small()?;
    let scenario = directory.path().join("wrong.yaml");
    std::fs::write(&scenario, SCENARIO.replace("duration", "duratoin"))?;
    let outcome = crosspoint(&["simulate", &scenario.display().to_string()]).await?;
    assert_eq!(outcome.code, Some(78));
    assert!(outcome.err.contains("unknown key \"duratoin\", did you mean \"duration\"?"), "{}", outcome.err);
    let outcome = crosspoint(&["simulate", "W9"]).await?;
    assert!(outcome.code == Some(78) && outcome.err.contains("cannot read W9: "), "{}", outcome.err);
    assert!(outcome.err.contains("built in are W1, W2, "), "{}", outcome.err);
    Ok(())
}
