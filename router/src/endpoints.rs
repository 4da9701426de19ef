//! Pools without agents: the router itself says of them what an agent would, from the leases on them. Every router does so
//! for itself. Whether such a pool works is known from the sessions that are sent there: a breaker guards it.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::{Endpoint, Fleet, Policy, PoolName};
use store::Resource;
use tokio::time::interval;
use tracing::debug;

use crate::core::Core;
use crate::metrics;

/// Guards the pools that have no agents.
pub(crate) fn guard(fleet: &mut Fleet, policy: &Policy) {
    let pools = fleet.view().shared_pools();
    for pool in pools.iter().filter(|pool| pool.endpoint.is_some()) {
        fleet.guard(&pool.name, &policy.limits.breaker);
    }
}

/// Reports for all pools without agents, until the drain begins.
pub(crate) async fn report(core: Arc<Core>, every: Duration, shutdown: Shutdown) {
    let mut ticks = interval(every);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => look(&core).await,
        }
    }
}

async fn look(core: &Core) {
    let pools = core.view().shared_pools();
    for pool in pools.iter() {
        let Some(endpoint) = &pool.endpoint else { continue };
        let report = endpoint.report(&pool.name, used(core, &pool.name).await);
        // A pool that was removed meanwhile is no longer reported at the next look.
        if let Err(unknown) = core.fleet_mut().report(report, core.now()) {
            debug!(%unknown, "endpoint not reported");
        }
    }
}

/// Counts the slots that all routers have promised; while the store is away, those that were known last.
async fn used(core: &Core, pool: &PoolName) -> u32 {
    let node = Endpoint::node(pool);
    core.leases.count(&Resource::Slots(node.clone()), core.now()).await.unwrap_or_else(|away| {
        metrics::store_failed("count");
        debug!(%away, "slots of an endpoint not counted");
        core.view().node(&node).map_or(0, |node| node.report.used_slots)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    use scheduler::{EngineApi, Pool, Refusal, Request, SessionId};
    use store::Embedded;

    use super::*;
    use crate::config;
    use crate::core::testing::{self, pool};

    fn request(number: u128) -> Request {
        Request { session: SessionId::from_random(number), ..testing::request() }
    }

    async fn placed(core: &Core, number: u128) -> Option<Refusal> {
        core.publish();
        core.place(&request(number), Duration::ZERO).await.refusal
    }

    async fn managed() -> Core {
        let endpoint = Endpoint {
            address: "lb.internal:8090".to_owned(),
            api: EngineApi::Listen,
            models: BTreeSet::from([request(0).model]),
            engine_models: [].into(),
            slots: NonZeroU32::new(4).unwrap(),
        };
        let pools = vec![Pool { endpoint: Some(endpoint), ..pool("managed") }];
        let core = Core::new(&config::Policy { pools, ..config::Policy::default() }, &Arc::new(Embedded::new()), None);
        look(&core).await;
        core.publish();
        core
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_placed_without_an_agent_until_all_slots_are_promised() {
        let core = managed().await;
        for number in 0..4 {
            assert_eq!(placed(&core, number).await, None);
        }
        look(&core).await;
        assert_eq!(placed(&core, 4).await, Some(Refusal::Full));
        core.release(store::Lease::slot(&"managed".parse().unwrap(), request(0).session)).await;
        look(&core).await;
        assert_eq!(placed(&core, 5).await, None, "what was given back is free");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_where_everybody_fails_is_left_alone_and_then_tried_by_one() {
        let (core, node) = (managed().await, "managed".parse().unwrap());
        (0..5).for_each(|_failure| core.leg_failed(&node));
        assert_ne!(placed(&core, 1).await, None);
        tokio::time::advance(Duration::from_secs(61)).await;
        look(&core).await;
        assert_eq!(placed(&core, 2).await, None);
        assert_ne!(placed(&core, 3).await, None, "one at a time");
        core.leg_opened(&node);
        assert_eq!(placed(&core, 4).await, None);
    }
}
