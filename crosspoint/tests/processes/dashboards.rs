//! The dashboard, the alerts and where they go, against a real Prometheus that scrapes a service under load.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::Value;

use crate::support::prometheus::{Prometheus, run, shipped, yaml};
use crate::support::service::Service;
use crate::support::until;

/// What Grafana puts in for its variable, at the pace of the test.
const RATE: &str = "30s";

/// Every query of the dashboard, with its panel's title.
fn panels() -> anyhow::Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(shipped("grafana/crosspoint.json"))?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let mut queries = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().context("a title")?;
        for target in panel["targets"].as_array().context("targets")? {
            let expression = target["expr"].as_str().context("a query")?;
            queries.push((title.to_owned(), expression.replace("$__rate_interval", RATE)));
        }
    }
    Ok(queries)
}

/// Every alert, as it is written.
fn alerts() -> anyhow::Result<Vec<Value>> {
    let rules = yaml(&shipped("alerts.yml"))?;
    let groups = rules["groups"].as_array().context("groups")?.iter();
    Ok(groups.flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
}

/// The metrics of ours that an expression names.
fn metrics(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("crosspoint_"));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

fn registered(page: &str) -> impl Iterator<Item = String> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
}

#[tokio::test]
async fn every_panel_shows_something_and_every_rule_can_be_worked_out() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    let targets = service.targets();
    let Some(prometheus) = Prometheus::start(&targets)? else { return Ok(()) };
    prometheus.scraped().await?;

    let mut pages = BTreeSet::new();
    for address in targets.iter().flat_map(|(_, addresses)| addresses) {
        pages.extend(registered(&reqwest::get(format!("http://{address}/metrics")).await?.text().await?));
    }
    let alerts = alerts()?;
    let panels = panels()?;
    let rules: Vec<_> = alerts.iter().filter_map(|alert| alert["expr"].as_str()).collect();
    let asked: BTreeSet<String> =
        panels.iter().map(|(_, query)| query.as_str()).chain(rules.iter().copied()).flat_map(metrics).collect();
    assert_eq!(asked.difference(&pages).collect::<Vec<_>>(), [""; 0], "nobody registers these");
    let unseen: Vec<_> = pages.difference(&asked).filter(|name| name.starts_with("crosspoint_")).collect();
    assert_eq!(unseen, [""; 0], "these have no panel in dashboards/grafana/crosspoint.json");

    for (panel, query) in &panels {
        let data = until("data", async || Ok(Some(prometheus.query(query).await?).filter(|data| !data.is_empty())));
        data.await.with_context(|| format!("panel {panel:?} is empty: {query}"))?;
    }
    for rule in rules {
        prometheus.query(rule).await?;
    }
    until("evaluation of every rule", async || {
        let found = prometheus.ask("rules", &[]).await?.unwrap_or_default();
        let rules = found["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        let bad: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        anyhow::ensure!(bad.is_empty(), "{bad:?}");
        Ok((rules.len() == alerts.len() && rules.iter().all(|rule| rule["health"] == "ok")).then_some(()))
    })
    .await?;
    // Only what a test machine is by itself may be firing: it is one router's worth of slots, and it is slow.
    let firing = prometheus.query("ALERTS{alertstate=\"firing\",severity=\"page\"}").await?;
    assert_eq!(firing, [Value::Null; 0], "a healthy service calls nobody");
    service.settle("no fault").await?;
    Ok(())
}

#[test]
fn every_alert_is_made_to_fire_and_told_what_to_do_about() -> anyhow::Result<()> {
    let tests = yaml(&shipped("alerts_test.yml"))?;
    let guide = std::fs::read_to_string(shipped("../docs/operations.md"))?;
    let cases = tests["tests"].as_array().context("tests")?;
    let fires = |name: &str| {
        let checks = cases.iter().flat_map(|case| case["alert_rule_test"].as_array().into_iter().flatten());
        let mut mine = checks.filter(|check| check["alertname"] == name);
        mine.any(|check| check["exp_alerts"].as_array().is_some_and(|expected| !expected.is_empty()))
    };
    for alert in alerts()? {
        let name = alert["alert"].as_str().context("a name")?;
        assert!(fires(name), "nothing in alerts_test.yml makes {name} fire");
        assert!(guide.contains(&format!("`{name}`")), "docs/operations.md does not say what to do about {name}");
        assert!(["page", "warn", "info"].map(Value::from).contains(&alert["labels"]["severity"]), "{alert}");
    }
    let Some(said) = run("promtool", &["test", "rules", "alerts_test.yml"])? else { return Ok(()) };
    assert!(said.contains("SUCCESS"), "{said}");
    run("promtool", &["check", "config", "prometheus.yml"])?;
    Ok(())
}

#[test]
fn alerts_reach_who_is_on_call_and_the_team() -> anyhow::Result<()> {
    let Some(said) = run("amtool", &["check-config", "alertmanager.yml"])? else { return Ok(()) };
    assert!(said.contains("SUCCESS"), "{said}");
    for (severity, receivers) in [("page", "on-call,team"), ("warn", "team"), ("info", "team")] {
        let routes = ["config", "routes", "test", "--config.file=alertmanager.yml", &format!("severity={severity}")];
        let said = run("amtool", &routes)?.unwrap_or_default();
        assert!(said.lines().any(|line| line == receivers), "{severity}: {said}");
    }
    Ok(())
}
