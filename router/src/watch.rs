//! Notices nodes that fall silent or come back, says so once, and forgets those that stay away; and sessions whose proxy
//! fell silent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::NodeId;
use scheduler::filter::SUSPECT_AFTER;
use store::LEASE_LIFE;
use tracing::{info, warn};

use crate::core::Core;
use crate::metrics;
use crate::outcomes::PoolSum;

const EVERY: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(100);

/// Watches until the drain begins.
pub(crate) async fn watch(core: Arc<Core>, forget_after: Duration, shutdown: Shutdown) {
    let mut silent = BTreeSet::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => silent = look(&core, &silent, forget_after),
        }
    }
}

/// Works out once a second what depends on the whole fleet, and several times a second who may stop waiting.
pub(crate) async fn tick(core: Arc<Core>, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(TICK);
    let mut turns = tokio::time::interval(TURN);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => core.tick(),
            _ = turns.tick() => {
                core.publish();
                core.let_in();
            }
        }
    }
}

fn look(core: &Core, before: &BTreeSet<NodeId>, forget_after: Duration) -> BTreeSet<NodeId> {
    let now = core.now();
    for node in core.fleet_mut().forget_silent(forget_after, now) {
        info!(%node, "node forgotten");
    }
    let mut reporting = 0;
    let mut silent = BTreeSet::new();
    for node in core.view().nodes() {
        let age = node.age(now);
        if age < SUSPECT_AFTER {
            reporting += 1;
            continue;
        }
        if !before.contains(&node.report.node) {
            warn!(node = %node.report.node, pool = %node.report.pool, age_s = age.as_secs_f64(), "node fell silent, it gets no new sessions");
        }
        silent.insert(node.report.node.clone());
    }
    for node in before.difference(&silent) {
        info!(%node, "node is no longer silent");
    }
    metrics::nodes(reporting, silent.len());
    let view = core.view();
    for pool in view.pools() {
        metrics::pool(&PoolSum::of(pool, &view, now), pool.price.node_hour);
    }
    let live = {
        let mut ledger = core.ledger();
        ledger.lose_silent(LEASE_LIFE, now);
        ledger.live()
    };
    metrics::sessions_live(live);
    silent
}
