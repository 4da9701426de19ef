//! A cloud says that it will take a host away: its streams are elsewhere before it does.

use std::time::Duration;

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::child::{Child, Start, kill};
use crate::support::proxy::{Proxy, agent};
use crate::support::router::Router;
use crate::support::speech::{query, sound};
use crate::support::stream::open;
use crate::support::{until, within};
use crate::survival::speak;

const FORMAT: Format = Format::SPEECH;

#[derive(Debug, Deserialize)]
struct Engine {
    pid: u32,
    address: String,
}

/// A host: an engine, its agent, and the metadata server that only it can ask.
struct Host {
    name: String,
    /// The engine's process.
    pid: u32,
    _engine: Child,
    _agent: Child,
    is_taken: watch::Sender<bool>,
    _metadata: JoinSet<std::io::Result<()>>,
}

impl Host {
    async fn start(name: &str, router: &Router) -> anyhow::Result<Self> {
        let start =
            Start::of(&["engine", "--voice", "synthetic"]).variable("CROSSPOINT__ENGINE__LISTEN", "127.0.0.1:0");
        let (engine, Engine { pid, address }) = start.child().await?;
        let is_taken = watch::Sender::new(false);
        let pages = axum::Router::new()
            .route("/computeMetadata/v1/instance/preempted", get(preempted))
            .route("/computeMetadata/v1/instance/maintenance-event", get(async || "NONE"))
            .with_state(is_taken.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let metadata = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(axum::serve(listener, pages).into_future());
        let section = format!(
            "node: {name}, pool: on-prem, routers: [\"{}\"], engine: {{ url: \"http://{address}\" }}, \
             notices: {{ cloud: gcp, url: \"http://{metadata}\", gcp_warning: 30s }}",
            router.url()
        );
        let agent = agent(&section).await?;
        Ok(Self { name: name.to_owned(), pid, _engine: engine, _agent: agent, is_taken, _metadata: serving })
    }
}

/// Answers at once when there is something to say, and otherwise when there is.
async fn preempted(State(is_taken): State<watch::Sender<bool>>, uri: axum::http::Uri) -> impl IntoResponse {
    let mut is_taken = is_taken.subscribe();
    let tag = |is_taken: bool| if is_taken { "taken" } else { "safe" };
    let query = uri.query().unwrap_or_default().to_owned();
    let knows = |is_taken: &bool| query.ends_with(&format!("last_etag={}", tag(*is_taken)));
    let _ = is_taken.wait_for(|is_taken| !knows(is_taken)).await;
    let is_taken = *is_taken.borrow();
    ([("etag", tag(is_taken))], if is_taken { "TRUE" } else { "FALSE" })
}

async fn serving_node(router: &Router, session: &str) -> anyhow::Result<String> {
    until("live session", async || {
        let record = router.ask(&format!("sessions/{session}")).await?;
        Ok(record["node"].as_str().filter(|_| record["state"] == "live").map(str::to_owned))
    })
    .await
}

#[tokio::test]
async fn a_stream_has_left_a_host_before_its_cloud_takes_it_away() -> anyhow::Result<()> {
    let router = Router::configured("", "127.0.0.1:0").await?;
    let hosts = [Host::start("host-1", &router).await?, Host::start("host-2", &router).await?];
    until("two nodes", async || {
        let nodes = router.ask("nodes").await?;
        let nodes = nodes["nodes"].as_array().context("a list of nodes")?;
        Ok((nodes.iter().filter(|node| node["state"] == "serving").count() == 2).then_some(()))
    })
    .await?;
    let proxy = Proxy::start(&[router.url()], "", "").await?;
    let script = Script::lasting(44, Duration::from_secs(24));
    let stream = open(&proxy, &format!("{}&interim_results=true", query(FORMAT))).await?;
    let (id, (finals, mut heard)) = (stream.session()?, watch::channel(0));
    let leaving = async {
        within("two results", heard.wait_for(|count| *count >= 2)).await??;
        let left = serving_node(&router, &id).await?;
        let host = hosts.iter().find(|host| host.name == left).context("a host")?;
        host.is_taken.send_replace(true);
        until("move to another host", async || Ok((serving_node(&router, &id).await? != left).then_some(()))).await?;
        kill(host.pid).await?;
        anyhow::ensure!(router.ask("nodes").await?["nodes"].as_array().is_some_and(|nodes| {
            nodes.iter().any(|node| node["node"] == *left && node["notice"]["kind"] == "preemption")
        }));
        Ok(())
    };
    let told = speak(stream, &sound(script, FORMAT), finals, leaving).await?;
    told.ensure_whole(script, &id)?;
    let record = router.record(&id).await?;
    let attempts = record["attempts"].as_array().context("attempts")?;
    let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["opened", "moved", "opened"], "{record}");
    Ok(())
}
