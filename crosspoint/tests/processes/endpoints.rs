//! Pools without agents: an engine behind an address that the configuration names.

use audio::Format;
use audio::coded::Script;
use serde::Deserialize;

use crate::support::child::{Child, Start};
use crate::support::proxy::Proxy;
use crate::support::router::Router;
use crate::support::speech::{ensure_clean, query, sound};
use crate::support::stream::{Kind, knock, open, text};
use crate::support::until;
use crate::support::up::KEY;

const FORMAT: Format = Format::SPEECH;

#[derive(Debug, Deserialize)]
struct Engine {
    address: String,
}

async fn engine() -> anyhow::Result<(Child, String)> {
    let start = Start::of(&["engine", "--voice", "synthetic"]).variable("CROSSPOINT__ENGINE__LISTEN", "127.0.0.1:0");
    let (child, Engine { address }) = start.child().await?;
    Ok((child, address))
}

/// Tells whether `crosspoint explain` says this of where a stream would go.
async fn is_explained(router: &Router, words: &str) -> anyhow::Result<Option<()>> {
    let admin = format!("http://{}", router.admin());
    let output = Start::of(&["explain", "--model", "nova-3", "--router", &admin]).output().await?;
    Ok(String::from_utf8(output.stdout)?.contains(words).then_some(()))
}

#[tokio::test]
async fn an_engine_behind_an_address_serves_and_is_left_alone_while_it_is_gone() -> anyhow::Result<()> {
    let (child, address) = engine().await?;
    let pools = format!(
        "pools: [{{ name: managed, provider: other, region: here, tier: baseline, market: on_demand, residency: eu, \
         price: {{ node_hour: 0.40 }}, link: {{ round_trip: 1ms }}, \
         endpoint: {{ address: \"{address}\", models: [sphinx-en-us], slots: 8 }} }}]"
    );
    let router = Router::configured(&pools, "127.0.0.1:0").await?;
    let proxy = Proxy::start(&[router.url()], "", &pools).await?;
    until("the pool", async || is_explained(&router, "managed").await).await?;

    let script = Script { session: 61, words: 4 };
    let ended = open(&proxy, &query(FORMAT)).await?.say(&sound(script, FORMAT)).await?;
    ensure_clean(script, &text(ended.results(Kind::Final)))?;

    child.close().await?;
    until("the breaker", async || {
        let _refused = knock(&proxy, &query(FORMAT), &[("authorization", &format!("Token {KEY}"))]).await?;
        is_explained(&router, "left alone after failures").await
    })
    .await
}
