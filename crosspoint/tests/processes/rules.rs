//! Rules: what an operator wrote is where sessions go, and what `crosspoint explain` says.

use audio::Format;
use audio::coded::Script;
use serde_json::Value;

use crate::support::child::Start;
use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Kind, Opened, knock, text};
use crate::support::up::{KEY, Up};

const FORMAT: Format = Format::SPEECH;

const RULES: &str = "
rules:
  - { name: closed, priority: 9, when: { header: { X-Cloud-ID: closed } }, then: { refuse: this cloud is closed } }
  - { name: cloud, when: { header: { X-Cloud-ID: aws* } }, then: { provider: aws } }
  - { name: home, when: { residency: eu }, then: { pools: on-prem, on_failure: refuse } }
";

async fn knock_with(up: &Up, header: (&str, &str)) -> anyhow::Result<Opened> {
    knock(up, &query(FORMAT), &[("authorization", &format!("Token {KEY}")), header]).await
}

/// What `crosspoint explain` prints of a session.
async fn explained(up: &Up, session: &str) -> anyhow::Result<String> {
    let router = format!("http://{}", up.admin());
    let output = Start::of(&["explain", "--router", &router, session]).output().await?;
    anyhow::ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_header_sends_a_stream_where_its_rule_says() -> anyhow::Result<()> {
    let up = Up::configured(RULES, &["--nodes", "1"]).await?;
    let script = Script { session: 21, words: 8 };
    for (cloud, pool) in [("gcp", "on-prem"), ("aws-prod", "aws-us-west-2")] {
        let stream = knock_with(&up, ("x-cloud-id", cloud)).await?.stream()?;
        let session = stream.session()?;
        let ended = stream.say(&sound(script, FORMAT)).await?;
        ensure_clean(script, &text(ended.results(Kind::Final)))?;
        let record = up.record(&session).await?;
        assert_eq!(record["pool"], pool, "{record}");
        let by_rule = explained(&up, &session).await?.contains("rule cloud keeps it elsewhere");
        assert_eq!(by_rule, pool == "aws-us-west-2");
    }
    Ok(())
}

#[tokio::test]
async fn a_rule_that_refuses_says_so_in_its_own_words() -> anyhow::Result<()> {
    let up = Up::configured(RULES, &["--nodes", "1"]).await?;
    let answer = knock_with(&up, ("x-cloud-id", "closed")).await?.refused()?;
    assert_eq!(answer.status, 400);
    let expected = "rule closed refuses this request: this cloud is closed";
    assert_eq!(answer.header("dg-error").as_deref(), Some(expected));
    assert_eq!(answer.json()?["err_msg"], expected);
    assert!(explained(&up, &answer.request_id()?).await?.contains("rule closed keeps it elsewhere"));
    Ok(())
}

#[tokio::test]
async fn audio_that_a_rule_keeps_at_home_goes_nowhere_else_when_home_is_dead() -> anyhow::Result<()> {
    let up = Up::configured(RULES, &["--nodes", "1"]).await?;
    for node in up.pool("on-prem") {
        up.kill(node).await?;
    }
    let answer = knock_with(&up, ("x-crosspoint-residency", "eu")).await?.refused()?;
    assert_eq!(answer.status, 503, "{answer:?}");
    let session = answer.request_id()?;
    let record = up.record(&session).await?;
    let gcp = record["rejected"].as_array().and_then(|groups| groups.iter().find(|group| group["reason"] == "rule"));
    assert_eq!(gcp.map(|group| &group["pool"]), Some(&Value::from("gcp-europe-west4")), "{record}");
    assert!(explained(&up, &session).await?.contains("rule home keeps it elsewhere"));
    Ok(())
}
