//! A proxy in a process of its own, and agents before engines that are not ours.

use serde::Deserialize;
use serde_json::Value;

use super::child::{Child, Start};
use super::http::Door;
use super::up::KEY;

#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    address: String,
    metrics: String,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    ready: Ready,
    child: Child,
}

impl Proxy {
    /// Starts one on free ports that asks these routers; `yaml` is more of its section, `more` the rest of the file.
    pub(crate) async fn start(routers: &[String], yaml: &str, more: &str) -> anyhow::Result<Self> {
        Self::at("127.0.0.1:0", routers, (yaml, more)).await
    }

    /// Starts one for callers at this address.
    pub(crate) async fn at(listen: &str, routers: &[String], (yaml, more): (&str, &str)) -> anyhow::Result<Self> {
        let yaml = format!(
            "{more}\nproxy: {{ listen: \"{listen}\", metrics: \"127.0.0.1:0\", routers: [{}], {yaml} }}\n",
            routers.join(", ")
        );
        let (child, ready) = Start::of(&["proxy", "--dev-key", KEY]).config(yaml).child().await?;
        Ok(Self { ready, child })
    }

    /// Returns its process.
    pub(crate) fn pid(&self) -> u32 {
        self.ready.pid
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.child.log()
    }

    /// Tells whether it is still there.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        self.child.is_running()
    }

    /// Returns where its metrics are.
    pub(crate) fn metrics_address(&self) -> &str {
        &self.ready.metrics
    }

    /// Returns its metrics page.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(client.get(format!("http://{}/metrics", self.ready.metrics)).send().await?.text().await?)
    }
}

impl Door for Proxy {
    fn address(&self) -> &str {
        &self.ready.address
    }
}

/// Starts an agent; `yaml` is its section of the configuration.
pub(crate) async fn agent(yaml: &str) -> anyhow::Result<Child> {
    let yaml = format!("agent: {{ gpus: none, metrics: null, {yaml} }}\n");
    let (child, _ready): (_, Value) = Start::of(&["agent"]).config(yaml).child().await?;
    Ok(child)
}
