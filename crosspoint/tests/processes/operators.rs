//! What operators do to a running service: drain a node, and change the configuration. Nobody who speaks may notice.

use std::process::Output;

use audio::Format;
use audio::coded::Script;
use uuid::Uuid;

use crate::support::child::{Start, signal};
use crate::support::redis::Redis;
use crate::support::router::Router;
use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Kind, Opened, knock, open, text};
use crate::support::until;
use crate::support::up::{KEY, Up};

const FORMAT: Format = Format::SPEECH;
const FAST: &str = "engine: { synthetic: { speed: 1000 } }";

/// Runs a command against a router, and returns what it printed.
async fn told(admin: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let router = format!("http://{admin}");
    let Output { status, stdout, stderr } = Start::of(arguments).with(&["--router", &router]).output().await?;
    anyhow::ensure!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

#[tokio::test]
async fn a_drained_node_gets_no_other_stream_and_the_one_there_moves() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "2"]).await?;
    let stream = open(&up, &query(FORMAT)).await?;
    let moving = stream.session()?;
    let node = up.serving(&moving).await?.name.clone();
    let words = told(up.admin(), &["drain", &node]).await?;
    assert!(words.starts_with(&format!("node {node} takes no new sessions; 1 session there: ")), "{words}");
    for session in 0..8 {
        let script = Script { session, words: 2 };
        let other = open(&up, &query(FORMAT)).await?;
        let name = other.session()?;
        assert_ne!(up.serving(&name).await?.name, node);
        ensure_clean(script, &text(other.say(&sound(script, FORMAT)).await?.results(Kind::Final)))?;
    }
    let listed = told(up.admin(), &["nodes"]).await?;
    assert!(listed.lines().any(|line| line.starts_with(&node) && line.contains("draining (drained)")), "{listed}");

    assert_eq!(told(up.admin(), &["drain", &node, "--wait"]).await?, format!("node {node} has no sessions\n"));
    assert_ne!(up.serving(&moving).await?.name, node);
    let script = Script { session: 40, words: 10 };
    ensure_clean(script, &text(stream.say(&sound(script, FORMAT)).await?.results(Kind::Final)))?;
    assert_eq!(told(up.admin(), &["undrain", &node]).await?, format!("node {node} takes new sessions again\n"));
    Ok(())
}

#[tokio::test]
async fn every_router_knows_of_a_drain_and_no_report_or_lost_redis_undoes_it() -> anyhow::Result<()> {
    let Some(mut redis) = Redis::start().await? else { return Ok(()) };
    let (first, second) = (Router::start(&redis.url()).await?, Router::start(&redis.url()).await?);
    let (child, node) = first.node("only", &second).await?;
    for router in [&first, &second] {
        router.serving(&node).await?;
    }
    told(first.admin(), &["drain", "only"]).await?;
    assert!(first.place(Uuid::from_u128(1)).await?.is_err(), "at once where it was said");
    let drained = async |router: &Router| {
        until("drained node", async || {
            let nodes = router.ask("nodes").await?;
            Ok((nodes["nodes"][0]["state"] == "draining" && nodes["nodes"][0]["drained"] == true).then_some(()))
        })
        .await
    };
    drained(&second).await?;
    assert!(second.place(Uuid::from_u128(2)).await?.is_err());

    redis.kill().await?;
    redis.start_again().await?;
    drop(child);
    let (_child, node) = first.node("only", &second).await?;
    let third = Router::start(&redis.url()).await?;
    for router in [&first, &second, &third] {
        drained(router).await?;
    }
    told(third.admin(), &["undrain", "only"]).await?;
    for router in [&first, &second] {
        router.serving(&node).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_changed_file_is_taken_over_and_a_wrong_one_is_not() -> anyhow::Result<()> {
    let up = Up::configured(FAST, &["--nodes", "1"]).await?;
    let stream = open(&up, &query(FORMAT)).await?;
    let authorization = format!("Token {KEY}");
    let refused = async || {
        until("refusal by the new rule", async || {
            Ok(match knock(&up, &query(FORMAT), &[("authorization", &authorization)]).await? {
                Opened::Stream(_) => None,
                Opened::Refused(answer) => answer.header("dg-error"),
            })
        })
        .await
    };
    let closed = "rules: [{ name: closed, then: { refuse: closed for today } }]";
    up.rewrite(&format!("{FAST}\n{closed}\n"))?;
    assert_eq!(refused().await?, "rule closed refuses this request: closed for today");

    up.rewrite(&format!("{FAST}\nrules:\n  - nme: open\n"))?;
    let problem = "crosspoint.yaml:3:5: unknown key \"nme\", did you mean \"name\"?";
    until("word of the mistake", async || Ok(up.log().contains(problem).then_some(()))).await?;
    assert_eq!(refused().await?, "rule closed refuses this request: closed for today");
    let page = up.metrics_page().await?;
    for line in ["crosspoint_config_last_reload_success 0", "crosspoint_config_reloads_total{outcome=\"applied\"} 1"] {
        assert!(page.contains(line), "{page}");
    }
    let script = Script { session: 41, words: 10 };
    ensure_clean(script, &text(stream.say(&sound(script, FORMAT)).await?.results(Kind::Final)))?;
    Ok(())
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again_and_names_what_needs_a_restart() -> anyhow::Result<()> {
    let router = Router::configured("", "127.0.0.1:0").await?;
    router.rewrite("router: { forget_after: 5min }\n")?;
    signal(router.pid(), "HUP").await?;
    until("word of the reload", async || {
        let log = router.log();
        let read = log.contains("configuration read again") && log.contains("SIGHUP");
        Ok((read && log.contains("router.forget_after")).then_some(()))
    })
    .await?;
    router.ask("overview").await?;
    Ok(())
}
