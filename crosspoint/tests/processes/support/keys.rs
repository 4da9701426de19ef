//! Keys as an operator makes them, and a proxy that reads them where routers write them.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use super::child::{Child, Start};
use super::http::{Answer, send};
use super::router::Router;

/// A key that was made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
    #[serde(rename = "key")]
    pub(crate) text: String,
    record: Record,
}

#[derive(Clone, Debug, Deserialize)]
struct Record {
    id: String,
}

impl Key {
    /// Returns its public name.
    pub(crate) fn id(&self) -> &str {
        &self.record.id
    }

    /// Returns what nobody but its owner may see.
    pub(crate) fn secret(&self) -> anyhow::Result<&str> {
        self.text.split('_').nth(3).context("a secret")
    }

    /// Returns the header that Deepgram's SDKs send.
    pub(crate) fn token(&self) -> String {
        format!("Token {}", self.text)
    }
}

/// Runs `crosspoint keys` against a router's admin API, and returns what it printed.
pub(crate) async fn keys(admin: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Start::of(&["keys"]).with(arguments).with(&["--router", &format!("http://{admin}")]).output().await?;
    let words = String::from_utf8(output.stderr)?;
    anyhow::ensure!(output.status.success(), "{words}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Makes a key.
pub(crate) async fn create(admin: &str, arguments: &[&str]) -> anyhow::Result<Key> {
    let printed = keys(admin, &[&["create", "--json", "--tenant", "acme"], arguments].concat()).await?;
    serde_json::from_str(&printed).context(printed)
}

/// Revokes a key.
pub(crate) async fn revoke(admin: &str, key: &Key) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&keys(admin, &["revoke", "--json", key.id()]).await?)?)
}

#[derive(Debug, Deserialize)]
struct Ready {
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
    /// Starts one on free ports, on this Redis and with this router.
    pub(crate) async fn start(redis: &str, router: &Router) -> anyhow::Result<Self> {
        let yaml = format!(
            "store: {{ redis: \"{redis}\", timeout: 5s }}\n\
             logs: {{ filter: debug }}\n\
             proxy: {{ listen: \"127.0.0.1:0\", metrics: \"127.0.0.1:0\", routers: [\"http://{}\"] }}\n",
            router.grpc()
        );
        let (child, ready) = Start::of(&["proxy"]).config(yaml).child().await?;
        Ok(Self { ready, child })
    }

    /// Returns where callers call.
    pub(crate) fn address(&self) -> &str {
        &self.ready.address
    }

    /// Returns where its metrics are.
    pub(crate) fn metrics(&self) -> &str {
        &self.ready.metrics
    }

    /// Returns what it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.child.log()
    }

    /// Asks for the models, as OpenAI's SDKs do.
    pub(crate) async fn models(&self, key: &Key) -> anyhow::Result<Answer> {
        let request =
            reqwest::Client::builder().no_proxy().build()?.get(format!("http://{}/v1/models", self.address()));
        send(request.bearer_auth(&key.text)).await
    }
}

/// Reads a metrics page.
pub(crate) async fn page(address: &str) -> anyhow::Result<String> {
    let request = reqwest::Client::builder().no_proxy().build()?.get(format!("http://{address}/metrics"));
    Ok(String::from_utf8(send(request).await?.body)?)
}
