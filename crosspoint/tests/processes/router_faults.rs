//! Routers killed, stopped and started again under load. Live streams never notice; new sessions go to the other router; where
//! there is none they are refused with a time to try again, and let in as soon as one is back.

use std::time::Duration;

use crate::support::child::{kill, signal};
use crate::support::service::Service;

#[tokio::test]
async fn each_router_killed_in_turn() -> anyhow::Result<()> {
    let Some(mut service) = Service::start().await? else { return Ok(()) };
    for number in [0, 1, 0] {
        kill(service.routers[number].pid()).await?;
        service.newcomers(10).await?;
        service.start_router(number).await?;
        service.newcomers(10).await?;
    }
    let row = service.settle("a router killed, each in turn").await?.ensure_harmless()?;
    row.ensure_admitted()?;
    Ok(())
}

#[tokio::test]
async fn each_router_stopped_in_turn() -> anyhow::Result<()> {
    let Some(service) = Service::start().await? else { return Ok(()) };
    for router in &service.routers {
        signal(router.pid(), "STOP").await?;
        service.newcomers(20).await?;
        service.during(Duration::from_secs(4)).await?;
        signal(router.pid(), "CONT").await?;
        service.newcomers(5).await?;
    }
    let row = service.settle("a router stopped for 4 s, each in turn").await?.ensure_harmless()?;
    row.ensure_admitted()?;
    Ok(())
}

#[tokio::test]
async fn both_routers_killed_and_started_again() -> anyhow::Result<()> {
    let Some(mut service) = Service::start().await? else { return Ok(()) };
    for number in 0..2 {
        kill(service.routers[number].pid()).await?;
    }
    service.newcomers(6).await?;
    for number in 0..2 {
        service.start_router(number).await?;
    }
    let row = service.settle("both routers killed, back after a while").await?.ensure_harmless()?;
    anyhow::ensure!(row.failed > 0, "who let these in: {row}");
    row.ensure_refused_politely()
}
