//! Counts the routers: each holds a lease on being one. What the others promise is in no report yet, so decisions take it to
//! be what this one promises, as often as there are others. While the store is away the last count stands.

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::SessionId;
use store::{Lease, Resource};
use tracing::{debug, info};

use super::ticks;
use crate::core::Core;
use crate::metrics;

/// How often this router says that it is there, and counts: a third of a lease's life.
const EVERY: Duration = Duration::from_secs(5);

/// Counts until the drain begins.
pub(crate) async fn count(core: Arc<Core>, shutdown: Shutdown) {
    let me = Lease::router(SessionId::from_random(rand::random()));
    let mut ticks = ticks(EVERY);
    loop {
        tokio::select! {
            () = shutdown.begun() => break,
            _ = ticks.tick() => look(&core, &me).await,
        }
    }
    // Where this fails the lease ends by itself.
    if let Err(away) = core.leases.release(&me).await {
        debug!(%away, "other routers will learn late that this one is gone");
    }
}

async fn look(core: &Core, me: &Lease) {
    core.renew(std::slice::from_ref(me)).await;
    match core.leases.count(&Resource::Routers, core.now()).await {
        Ok(routers) => believe(core, routers.max(1)),
        Err(away) => {
            metrics::store_failed("count");
            debug!(%away, "routers not counted");
        }
    }
}

fn believe(core: &Core, routers: u32) {
    let mut fleet = core.fleet_mut();
    let before = fleet.view().routers();
    if routers != before {
        info!(before, routers, "number of routers changed");
        fleet.set_routers(routers);
    }
}

#[cfg(test)]
mod tests {
    use store::Embedded;
    use tokio::time::sleep;

    use super::*;
    use crate::config::Policy;

    fn start(store: &Arc<Embedded>) -> (Arc<Core>, Shutdown) {
        let (core, shutdown) = (Arc::new(Core::new(&Policy::default(), store, None)), Shutdown::new());
        shutdown.spawn("peers", count(Arc::clone(&core), shutdown.clone()));
        (core, shutdown)
    }

    #[tokio::test(start_paused = true)]
    async fn routers_on_one_store_know_how_many_they_are() {
        let store = Arc::new(Embedded::new());
        let (first, _running) = start(&store);
        let (second, shutdown) = start(&store);
        sleep(EVERY + Duration::from_millis(100)).await;
        first.publish();
        assert_eq!((first.view().routers(), second.fleet_mut().view().routers()), (2, 2));
        shutdown.begin();
        sleep(EVERY).await;
        assert_eq!(first.fleet_mut().view().routers(), 1, "one that leaves says so");
    }
}
