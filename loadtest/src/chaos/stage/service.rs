//! Routers and proxies: processes that come back where they were.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::super::ChaosError;
use super::KEY;
use crate::children::{Child, ChildError, Children, ProxyReady, RouterReady};
use crate::kernel::Process;

/// How long the port of a process that is gone may stay taken, and how often it is tried.
const AGAIN: Duration = Duration::from_secs(20);
const TRY: Duration = Duration::from_millis(200);
/// How long a process may go on after it was told to end.
const FAREWELL: Duration = Duration::from_secs(100);

/// A router.
#[derive(Debug)]
pub(in crate::chaos) struct Router {
    child: Option<Child<RouterReady>>,
    name: String,
    ready: RouterReady,
    redis: Option<String>,
    children: Arc<Children>,
}

impl Router {
    pub(super) async fn start(children: &Arc<Children>, number: u8, redis: Option<&str>) -> Result<Self, ChaosError> {
        let name = format!("router-{number}");
        let config = config(("127.0.0.1:0", "127.0.0.1:0"), redis);
        let child: Child<RouterReady> = start(children, &name, (&["router"], &config)).await?;
        let ready = child.ready().clone();
        let redis = redis.map(str::to_owned);
        Ok(Self { child: Some(child), name, ready, redis, children: Arc::clone(children) })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.ready.grpc)
    }

    pub(super) fn admin(&self) -> &str {
        &self.ready.admin
    }

    /// Returns its process, while it runs.
    pub(in crate::chaos) fn process(&self) -> Option<Process> {
        self.child.as_ref().and_then(Child::process)
    }

    /// Kills it.
    pub(in crate::chaos) async fn kill(&mut self) -> Result<(), ChaosError> {
        if let Some(child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts it where it was.
    pub(in crate::chaos) async fn start_again(&mut self) -> Result<(), ChaosError> {
        let config = config((&self.ready.grpc, &self.ready.admin), self.redis.as_deref());
        self.child = Some(again(&self.children, &self.name, (&["router"], &config)).await?);
        Ok(())
    }
}

/// Writes what routers are told.
fn config((listen, admin): (&str, &str), redis: Option<&str>) -> String {
    format!(
        "router: {{ listen: \"{listen}\", admin: \"{admin}\", metrics: \"127.0.0.1:0\" }}\n\
         placement: {{ slow_start: 2s }}\n{}",
        store(redis)
    )
}

fn store(redis: Option<&str>) -> String {
    let redis = redis.map_or_else(|| "null".to_owned(), |redis| format!("\"{redis}\""));
    format!("store: {{ redis: {redis} }}\nlogs: {{ filter: warn }}\n")
}

/// All proxies of a stage know each other's tokens.
const RESUME_SECRET: &str = "the stage of a rehearsal has no secrets";

/// A proxy.
#[derive(Debug)]
pub(in crate::chaos) struct Proxy {
    child: Option<Child<ProxyReady>>,
    name: String,
    address: String,
    routers: Vec<String>,
    redis: Option<String>,
    /// Those before it, which still have streams.
    dismissed: JoinSet<Result<ExitStatus, ChildError>>,
    children: Arc<Children>,
}

impl Proxy {
    pub(super) async fn start(
        children: &Arc<Children>,
        number: u8,
        (routers, redis): (&[String], Option<&str>),
    ) -> Result<Self, ChaosError> {
        let mut proxy = Self {
            child: None,
            name: format!("proxy-{number}"),
            address: "127.0.0.1:0".to_owned(),
            routers: routers.to_vec(),
            redis: redis.map(str::to_owned),
            dismissed: JoinSet::new(),
            children: Arc::clone(children),
        };
        proxy.start_again().await?;
        Ok(proxy)
    }

    pub(in crate::chaos) fn address(&self) -> &str {
        &self.address
    }

    /// Returns its process, while it runs.
    pub(in crate::chaos) fn process(&self) -> Option<Process> {
        self.child.as_ref().and_then(Child::process)
    }

    /// Kills it.
    pub(in crate::chaos) async fn kill(&mut self) -> Result<(), ChaosError> {
        if let Some(child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Starts another one beside it, to which it hands its listener; it goes on with its streams.
    pub(in crate::chaos) async fn roll(&mut self) -> Result<(), ChaosError> {
        let old = self.child.take();
        self.start_again().await?;
        if let Some(old) = old {
            self.dismissed.spawn(old.stop(FAREWELL));
        }
        Ok(())
    }

    /// Starts it where it was.
    pub(in crate::chaos) async fn start_again(&mut self) -> Result<(), ChaosError> {
        let routers = self.routers.join(", ");
        let secret = self.children.write("resume-secret", RESUME_SECRET)?;
        let config = format!(
            "proxy:\n  listen: \"{}\"\n  metrics: \"127.0.0.1:0\"\n  routers: [{routers}]\n  latency_limit: 5s\n  \
             handover: \"{}/{}.sock\"\n  resume: {{ secret: \"{}\" }}\n{}",
            self.address,
            self.children.folder().display(),
            self.name,
            secret.display(),
            store(self.redis.as_deref())
        );
        let arguments = ["proxy", "--dev-key", KEY];
        let child: Child<ProxyReady> = again(&self.children, &self.name, (&arguments, &config)).await?;
        self.address.clone_from(&child.ready().address);
        self.child = Some(child);
        Ok(())
    }
}

/// Starts a role and waits until it is ready.
pub(super) async fn start<R: serde::de::DeserializeOwned>(
    children: &Children,
    name: &str,
    (role, config): (&[&str], &str),
) -> Result<Child<R>, ChildError> {
    let file = children.write(&format!("{name}.yaml"), config)?.display().to_string();
    let arguments = [role, &["--config", &file, "--json", "--child"]].concat();
    children.start(name, &arguments).await
}

/// Starts a role whose address may still be taken by the one before it.
async fn again<R: serde::de::DeserializeOwned>(
    children: &Children,
    name: &str,
    what: (&[&str], &str),
) -> Result<Child<R>, ChaosError> {
    let deadline = Instant::now() + AGAIN;
    loop {
        match start(children, name, what).await {
            Ok(child) => return Ok(child),
            Err(ChildError::NotReady { .. }) if Instant::now() < deadline => sleep(TRY).await,
            Err(error) => return Err(error.into()),
        }
    }
}
