//! Keys, from their making on a router to what they open at a proxy: used, revoked, lost with Redis and back again.

use audio::Format;
use audio::coded::Script;
use reqwest::multipart;
use tempfile::TempDir;

use crate::support::child::{Child, Start, kill};
use crate::support::http::{Answer, Door, Refusal, send};
use crate::support::keys::{Key, Proxy, create, keys, page, revoke};
use crate::support::redis::Redis;
use crate::support::router::{Node, Router};
use crate::support::speech::{ensure_clean, file, query, sound, transcript};
use crate::support::stream::{Kind, Opened, Stream, knock_at, text};
use crate::support::until;
use crate::support::up::Up;

/// A Redis, a router that keeps its keys on disk, a node, and a proxy.
struct Site {
    redis: Redis,
    router: Router,
    proxy: Proxy,
    _node: (Child, Node),
    directory: TempDir,
}

impl Site {
    /// Starts everything; nothing where there is no Redis.
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(redis) = Redis::start().await? else { return Ok(None) };
        let directory = tempfile::tempdir()?;
        let router = Router::keeping(&redis.url(), &directory.path().display().to_string()).await?;
        let node = router.node("only", &router).await?;
        router.serving(&node.1).await?;
        let proxy = Proxy::start(&redis.url(), &router).await?;
        Ok(Some(Self { redis, router, proxy, _node: node, directory }))
    }

    async fn create(&self, arguments: &[&str]) -> anyhow::Result<Key> {
        create(self.router.admin(), arguments).await
    }

    async fn knock(&self, key: &Key) -> anyhow::Result<Opened> {
        knock_at(self.proxy.address(), &query(Format::SPEECH), &[("authorization", &key.token())]).await
    }

    /// Opens a stream as soon as the only slot is free.
    async fn open(&self, key: &Key) -> anyhow::Result<Stream> {
        until("stream", async || match self.knock(key).await? {
            Opened::Stream(stream) => Ok(Some(*stream)),
            Opened::Refused(answer) if answer.status == 503 => Ok(None),
            Opened::Refused(answer) => anyhow::bail!("refused: {answer:?}"),
        })
        .await
    }

    /// Sends a file as OpenAI's SDKs do, as soon as the only slot is free.
    async fn transcribe(&self, key: &Key) -> anyhow::Result<Answer> {
        let url = format!("http://{}/v1/audio/transcriptions", self.proxy.address());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let sound = file(script(), Format::SPEECH, None)?;
        until("answer to a file", async || {
            let part = multipart::Part::bytes(sound.clone()).file_name("a.wav");
            let form = multipart::Form::new().text("model", "whisper-1").part("file", part);
            let answer = send(client.post(&url).bearer_auth(&key.text).multipart(form)).await?;
            Ok((answer.status != 503).then_some(answer))
        })
        .await
    }

    /// Waits until a key opens nothing, and returns how that is said.
    async fn refused(&self, key: &Key) -> anyhow::Result<Refusal> {
        until("refusal of a key", async || match self.knock(key).await? {
            Opened::Refused(answer) if answer.status != 503 => Ok(Some(answer.refusal()?)),
            Opened::Refused(_) | Opened::Stream(_) => Ok(None),
        })
        .await
    }

    /// Everything that was written anywhere so far.
    async fn written(&self) -> anyhow::Result<String> {
        let pages = [page(self.proxy.metrics()).await?, page(self.router.metrics()).await?];
        let list = keys(self.router.admin(), &["list", "--json"]).await?;
        let journal = std::fs::read(self.directory.path().join("keys.journal"))?;
        let logs = [self.proxy.log(), self.router.log(), list, String::from_utf8_lossy(&journal).into_owned()];
        Ok([pages.concat(), logs.concat()].concat())
    }
}

fn script() -> Script {
    Script { session: 77, words: 12 }
}

#[tokio::test]
async fn a_key_opens_both_apis_until_it_is_revoked_and_its_secret_is_written_nowhere() -> anyhow::Result<()> {
    let Some(site) = Site::start().await? else { return Ok(()) };
    let key = site.create(&["--label", "web shop"]).await?;
    let ended = site.open(&key).await?.say(&sound(script(), Format::SPEECH)).await?;
    ensure_clean(script(), &text(ended.results(Kind::Final)))?;

    let answer = site.transcribe(&key).await?;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    ensure_clean(script(), answer.json()?["text"].as_str().unwrap_or_default())?;

    let mut live = site.open(&key).await?;
    live.audio(&[0; 3_200]).await?;
    let revoked = revoke(site.router.admin(), &key).await?;
    assert_eq!((&revoked["record"]["state"], &revoked["proxies_know"]), (&"revoked".into(), &"now".into()));
    assert_eq!(live.end().await?.close(), (1008, "the key was revoked"));
    let expected = Refusal::new(401, "INVALID_AUTH", "Invalid credentials: the key was revoked.");
    assert_eq!(site.refused(&key).await?, expected);
    assert_eq!(site.proxy.models(&key).await?.status, 401);

    let written = site.written().await?;
    assert!(written.contains(key.id()), "its name is in the records");
    assert!(!written.contains(key.secret()?), "its secret was written somewhere");
    Ok(())
}

#[tokio::test]
async fn a_key_opens_only_what_it_grants() -> anyhow::Result<()> {
    let Some(site) = Site::start().await? else { return Ok(()) };
    let key = site.create(&["--scope", "models", "--scope", "listen", "--pool", "aws-us-west-2"]).await?;
    assert_eq!(site.proxy.models(&key).await?.status, 200);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{}/v1/listen", site.proxy.address());
    let refusal = send(client.post(url).header("authorization", key.token()).body("RIFF")).await?.refusal()?;
    let words = "User does not have sufficient permissions: the key does not have the scope transcribe.";
    assert_eq!(refusal, Refusal::new(403, "INSUFFICIENT_PERMISSIONS", words));
    let url = format!("http://{}/v1/audio/transcriptions", site.proxy.address());
    let answer = send(client.post(url).bearer_auth(&key.text).body("form")).await?;
    assert_eq!((answer.status, &answer.json()?["error"]["code"]), (403, &"insufficient_permissions".into()));
    // The only node is of another pool.
    assert_eq!(site.knock(&key).await?.refused()?.status, 503);
    Ok(())
}

#[tokio::test]
async fn keys_outlive_their_router_and_their_redis() -> anyhow::Result<()> {
    let Some(mut site) = Site::start().await? else { return Ok(()) };
    let (good, bad) = (site.create(&[]).await?, site.create(&[]).await?);
    revoke(site.router.admin(), &bad).await?;
    assert_eq!(site.proxy.models(&good).await?.status, 200);
    kill(site.router.pid()).await?;
    site.redis.kill().await?;
    site.redis.start_again().await?;

    let cold = Proxy::start(&site.redis.url(), &site.router).await?;
    let answer = cold.models(&good).await?;
    assert_eq!(answer.status, 503, "an index that was lost knows nothing: {:?}", answer.json());
    assert_eq!(site.proxy.models(&good).await?.status, 200, "and what was known is not forgotten");

    let directory = site.directory.path().display().to_string();
    let router = Router::keeping(&site.redis.url(), &directory).await?;
    until("keys written again", async || Ok((cold.models(&good).await?.status == 200).then_some(()))).await?;
    assert_eq!(cold.models(&bad).await?.status, 401, "revoked is revoked");
    let list = keys(router.admin(), &["list"]).await?;
    assert!(list.contains(good.id()) && list.contains(bad.id()), "{list}");
    Ok(())
}

#[tokio::test]
async fn while_redis_is_away_known_keys_open_and_unknown_ones_do_not() -> anyhow::Result<()> {
    let Some(mut site) = Site::start().await? else { return Ok(()) };
    let (warm, cold) = (site.create(&[]).await?, site.create(&[]).await?);
    assert_eq!(site.proxy.models(&warm).await?.status, 200);
    site.redis.kill().await?;
    let stream = site.open(&warm).await?;
    let ended = stream.say(&sound(script(), Format::SPEECH)).await?;
    ensure_clean(script(), &text(ended.results(Kind::Final)))?;
    let refusal = site.knock(&cold).await?.refused()?.refusal()?;
    let words = "keys cannot be checked now, please try again";
    assert_eq!(refusal, Refusal::new(503, "SERVICE_UNAVAILABLE", words).retry());
    let made = site.create(&[]).await?;
    site.redis.start_again().await?;
    for key in [&cold, &made] {
        until("key written later", async || Ok((site.proxy.models(key).await?.status == 200).then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn in_one_process_keys_open_beside_the_dev_key() -> anyhow::Result<()> {
    let up = Up::start(&["--nodes", "1"]).await?;
    let key = create(up.admin(), &["--residency", "eu"]).await?;
    let headers = [("authorization", key.token()), ("x-crosspoint-residency", "us".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let refusal = knock_at(up.address(), "", &headers).await?.refused()?.refusal()?;
    let words = "the key keeps audio in eu, and the request wants it in us: ask for eu, or for nothing";
    assert_eq!(refusal, Refusal::new(403, "INSUFFICIENT_PERMISSIONS", words));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let body = file(script(), Format::SPEECH, None)?;
    let request =
        client.post(format!("http://{}/v1/listen", up.address())).header("authorization", key.token()).body(body);
    let answer = send(request).await?;
    ensure_clean(script(), transcript(&answer.json()?["results"]["channels"][0]))?;
    let record = up.record(&answer.request_id()?).await?;
    let pool = record["pool"].as_str().unwrap_or_default();
    assert!(["on-prem", "gcp-europe-west4"].contains(&pool), "audio of eu went to {pool}");
    Ok(())
}

#[tokio::test]
async fn a_router_without_redis_makes_no_keys_and_a_proxy_without_says_what_opens_it() -> anyhow::Result<()> {
    let free = ["ROUTER__LISTEN", "ROUTER__ADMIN", "ROUTER__METRICS", "PROXY__LISTEN", "PROXY__METRICS"];
    let start = |role| {
        free.iter()
            .fold(Start::of(&[role]), |start, name| start.variable(&format!("CROSSPOINT__{name}"), "127.0.0.1:0"))
    };
    let (_router, ready): (_, serde_json::Value) = start("router").child().await?;
    let admin = ready["admin"].as_str().unwrap_or_default();
    let refused = create(admin, &[]).await.unwrap_err().to_string();
    let words = "no proxy would know a key of this router: set store.redis, the same for routers and proxies";
    assert_eq!(refused, format!("error: {words}\n"));

    let (proxy, _): (_, serde_json::Value) = start("proxy").child().await?;
    let said = "store.redis is not set: keys of `crosspoint keys` are not known here \
                opens=\"nothing opens this proxy, every caller is refused\"";
    until("word of what opens it", async || Ok(proxy.log().contains(said).then_some(()))).await?;

    let jwt = "proxy: { jwt: { audience: a, issuers: [{ name: web, issuer: i, keys: /nowhere/web.pem }] } }";
    let output = start("proxy").config(jwt).output().await?;
    let words = String::from_utf8(output.stderr)?;
    let said = "error: proxy.jwt cannot be used: cannot read /nowhere/web.pem, the public keys of issuer web: No such file or \
                directory (os error 2)\n";
    assert!(output.status.code() == Some(1) && words.ends_with(said), "{words}");
    Ok(())
}
