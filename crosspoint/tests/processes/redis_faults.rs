//! Redis killed, stopped, read-only, loading, full, out of replicas, out of disk, emptied and full of rubbish, under load. Live
//! streams never notice; new sessions are placed; leases are right again soon after.
//!
//! `cargo nextest run --package crosspoint --test processes _faults --no-capture` prints the table of docs/reliability.md.

use std::time::Duration;

use crate::support::child::signal;
use crate::support::service::{Row, Service};
use crate::support::until;

fn unnoticed(row: Row) -> anyhow::Result<()> {
    row.ensure_harmless()?.ensure_admitted()?;
    Ok(())
}

/// Waits until both routers have noticed, and callers have come meanwhile.
async fn noticed(service: &Service) -> anyhow::Result<()> {
    let away = "redis is away, going on without it";
    until("word of both routers", async || {
        Ok(service.routers.iter().all(|router| router.log().contains(away)).then_some(()))
    })
    .await?;
    service.newcomers(15).await
}

#[tokio::test]
async fn redis_killed_and_started_empty() -> anyhow::Result<()> {
    let Some(mut service) = Service::start().await? else { return Ok(()) };
    service.redis.kill().await?;
    noticed(&service).await?;
    service.redis.start_again().await?;
    unnoticed(service.settle("Redis killed, back empty").await?)
}

#[tokio::test]
async fn redis_stopped_for_five_seconds() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    signal(service.redis.pid(), "STOP").await?;
    service.during(Duration::from_secs(5)).await?;
    signal(service.redis.pid(), "CONT").await?;
    unnoticed(service.settle("Redis stopped for 5 s").await?)
}

#[tokio::test]
async fn redis_stopped_for_longer_than_any_lease_lives() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    signal(service.redis.pid(), "STOP").await?;
    service.during(Duration::from_secs(18)).await?;
    signal(service.redis.pid(), "CONT").await?;
    unnoticed(service.settle("Redis stopped for 18 s").await?)
}

#[tokio::test]
async fn redis_read_only() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    // A master that nobody is.
    service.redis.order(&["REPLICAOF", "127.0.0.1", "1"]).await?;
    noticed(&service).await?;
    service.during(Duration::from_secs(4)).await?;
    service.redis.order(&["REPLICAOF", "NO", "ONE"]).await?;
    unnoticed(service.settle("Redis read-only (READONLY)").await?)
}

#[tokio::test]
async fn redis_loading() -> anyhow::Result<()> {
    let Some(mut service) = Service::start().await? else { return Ok(()) };
    service.redis.order(&["SET", "ballast", "1"]).await?;
    for _ in 0..10 {
        let filler = "for i = 1, 1000 do redis.call('SET', 'ballast' .. math.random(), i) end";
        service.redis.order(&["EVAL", filler, "0"]).await?;
    }
    service.redis.order(&["SAVE"]).await?;
    service.redis.kill().await?;
    // Half a millisecond for each of ten thousand keys.
    service.redis.start_with(&["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"])?;
    until("a Redis that loads", async || {
        Ok(service.redis.command(&["PING"]).await.ok().filter(|answer| answer.starts_with("-LOADING")))
    })
    .await?;
    noticed(&service).await?;
    until("a Redis that has loaded", async || {
        Ok(service.redis.command(&["PING"]).await.ok().filter(|answer| answer.starts_with("+PONG")))
    })
    .await?;
    unnoticed(service.settle("Redis loading (LOADING)").await?)
}

#[tokio::test]
async fn redis_out_of_memory() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    service.redis.order(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]).await?;
    anyhow::ensure!(service.redis.command(&["SET", "ballast", "1"]).await?.starts_with("-OOM"), "there is room");
    service.newcomers(15).await?;
    service.during(Duration::from_secs(4)).await?;
    service.redis.order(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    unnoticed(service.settle("Redis out of memory (OOM)").await?)
}

#[tokio::test]
async fn redis_without_its_replicas() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    service.redis.order(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await?;
    noticed(&service).await?;
    service.during(Duration::from_secs(4)).await?;
    service.redis.order(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await?;
    unnoticed(service.settle("Redis short of replicas (NOREPLICAS)").await?)
}

#[tokio::test]
async fn redis_that_cannot_save() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    // A directory in the file's place: the dump cannot be put there, and whoever saves on a schedule then refuses writes.
    service.redis.order(&["CONFIG", "SET", "save", "3600 1"]).await?;
    let dump = service.redis.folder().join("dump.rdb");
    std::fs::create_dir_all(dump.join("in-the-way"))?;
    service.redis.order(&["BGSAVE"]).await?;
    until("a Redis that refuses writes", async || {
        let answer = service.redis.command(&["SET", "ballast", "1"]).await?;
        Ok(answer.starts_with("-MISCONF").then_some(()))
    })
    .await?;
    noticed(&service).await?;
    service.during(Duration::from_secs(4)).await?;
    service.redis.order(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await?;
    unnoticed(service.settle("Redis cannot save (MISCONF)").await?)
}

#[tokio::test]
async fn redis_emptied_under_way() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    for _ in 0..3 {
        service.redis.order(&["FLUSHALL"]).await?;
        service.redis.order(&["SCRIPT", "FLUSH"]).await?;
        service.newcomers(5).await?;
    }
    unnoticed(service.settle("every key and script lost (FLUSHALL)").await?)
}

#[tokio::test]
async fn redis_full_of_rubbish() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    let names: Vec<_> = service.node_names().map(str::to_owned).collect();
    for rubbish in ["\u{0}\u{1}rubbish", "-1", "{\"version\":1,\"report\":{}}"] {
        for name in &names {
            service.redis.order(&["SET", &format!("crosspoint:{{{name}}}:leases"), rubbish]).await?;
            service.redis.order(&["DEL", "crosspoint:{reports}:bodies"]).await?;
            service.redis.order(&["HSET", "crosspoint:{reports}:bodies", name, rubbish]).await?;
        }
        service.newcomers(4).await?;
        for part in ["order", "times", "bodies"] {
            service.redis.order(&["SET", &format!("crosspoint:{{reports}}:{part}"), rubbish]).await?;
        }
        service.newcomers(4).await?;
        for name in &names {
            let key = format!("crosspoint:{{{name}}}:leases");
            service.redis.order(&["DEL", &key]).await?;
            service.redis.order(&["ZADD", &key, "9e15", rubbish, "-5", "nobody"]).await?;
            service.redis.order(&["DEL", "crosspoint:{reports}:order"]).await?;
            service.redis.order(&["ZADD", "crosspoint:{reports}:order", "9e15", name]).await?;
        }
        service.newcomers(4).await?;
    }
    unnoticed(service.settle("rubbish under our keys").await?)
}
