//! GPU hosts: an agent joins with a command, says what it misses, and is shown to operators with its reasons.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::support::child::{Child, Start, signal};
use crate::support::router::Router;
use crate::support::until;

const TOKEN: &str = "canary-agent-token-of-enough-characters";
const WRONG: &str = "canary-agent-token-of-somebody-else";

#[derive(Debug, Deserialize)]
struct Engine {
    address: String,
}

#[derive(Debug, Deserialize)]
struct Agent {
    pid: u32,
}

async fn engine() -> anyhow::Result<(Child, String)> {
    let start = Start::of(&["engine", "--voice", "synthetic"]).variable("CROSSPOINT__ENGINE__LISTEN", "127.0.0.1:0");
    let (child, Engine { address }) = start.child().await?;
    Ok((child, format!("http://{address}")))
}

/// An agent's command between these two, on a host without cards or cloud.
fn agent(router: &str, engine: &str) -> Start {
    let arguments =
        ["agent", "--pool", "on-prem", "--name", "host-1", "--gpus", "none", "--router", router, "--engine"];
    Start::of(&arguments)
        .with(&[engine])
        .variable("CROSSPOINT__AGENT__METRICS", "null")
        .variable("CROSSPOINT__AGENT__NOTICES__CLOUD", "none")
}

/// Waits until the router's only node is as wanted.
async fn node(router: &Router, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    until("node as wanted", async || Ok(Some(router.ask("nodes").await?["nodes"][0].clone()).filter(&wanted))).await
}

#[tokio::test]
async fn a_host_joins_with_the_right_token_and_is_told_what_to_do_with_a_wrong_one() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (theirs, ours) = (folder.path().join("tokens"), folder.path().join("token"));
    std::fs::write(&theirs, format!("{TOKEN}\n"))?;
    std::fs::write(&ours, format!("{WRONG}\n"))?;
    let (_engine, engine) = engine().await?;
    let variable = "CROSSPOINT__ROUTER__AGENT_TOKEN_FILE";
    let start = Start::of(&["router"]).variable(variable, theirs.display().to_string());
    let free = "router: { listen: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\" }";
    let (router, ready): (Child, Value) = start.config(free).child().await?;
    let url = format!("http://{}", ready["grpc"].as_str().context("an address")?);
    let token = ours.display().to_string();

    let check = || agent(&url, &engine).with(&["--token-file", &token, "--check"]);
    let refused = check().output().await?;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stdout)?;
    let reason =
        "the agent's token is not one of this router's: write a token of router.agent_token_file into the agent's";
    assert!(said.contains(&format!("router   missing  {url}/ refuses: {reason}")), "{said}");

    let (joined, _ready): (Child, Agent) = agent(&url, &engine).with(&["--token-file", &token]).child().await?;
    until("refusal in the log", async || Ok(joined.log().contains(reason).then_some(()))).await?;
    std::fs::write(&ours, format!("{TOKEN}\n"))?;
    until("taken reports", async || Ok(joined.log().contains("router takes this node's reports").then_some(())))
        .await?;
    let taken = check().with(&["--json"]).output().await?;
    assert_eq!(taken.status.code(), Some(0), "{}", String::from_utf8_lossy(&taken.stdout));
    let check: Value = serde_json::from_slice(&taken.stdout)?;
    assert_eq!((&check["report"]["node"], &check["report"]["state"]), (&"host-1".into(), &"serving".into()));
    for log in [router.log(), joined.log(), said] {
        assert!(!log.contains("canary"), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_cannot_serve_says_why_to_whoever_looks() -> anyhow::Result<()> {
    let router = Router::configured("", "127.0.0.1:0").await?;
    let (process, engine) = engine().await?;
    let (_agent, _ready): (Child, Agent) = agent(&router.url(), &engine).child().await?;
    node(&router, |node| node["state"] == "serving").await?;
    drop(process);
    let failing = node(&router, |node| node["state"] == "failing").await?;
    let reason = failing["reason"].as_str().context("a reason")?.to_owned();
    assert!(reason.starts_with(&format!("no answer from {engine}")), "{reason}");
    let admin = format!("http://{}", router.admin());
    let nodes = Start::of(&["nodes", "--router", &admin]).output().await?;
    let listing = String::from_utf8(nodes.stdout)?;
    assert!(listing.contains(&format!("NODE    SAYS\nhost-1  no answer from {engine}")), "{listing}");
    let why = Start::of(&["explain", "--model", "nova-3", "--router", &admin]).output().await?;
    let explained = String::from_utf8(why.stdout)?;
    assert!(explained.contains("failing: no answer from"), "{explained}");
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_told_to_end_drains_and_leaves() -> anyhow::Result<()> {
    let router = Router::configured("", "127.0.0.1:0").await?;
    let (_process, engine) = engine().await?;
    let (mut child, ready): (Child, Agent) = agent(&router.url(), &engine).child().await?;
    node(&router, |node| node["state"] == "serving").await?;
    signal(ready.pid, "TERM").await?;
    let draining = node(&router, |node| node["state"] == "draining").await?;
    assert_eq!(draining["reason"], "its agent was told to end");
    until("end of the agent", async || Ok((!child.is_running()?).then_some(()))).await?;
    assert!(child.log().contains("agent ends"), "{}", child.log());
    Ok(())
}
