//! Drains: nodes that operators closed to new sessions. An order holds at this router at once and at the others within half a
//! second; whatever a node's agent reports does not undo it, and every router gives the store again what that has lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::Shutdown;
use scheduler::NodeId;
use store::{DrainOrder, DrainOrders, Wanted, merge_drains};
use tokio::sync::Notify;
use tracing::{debug, info};

use super::ticks;
use crate::core::Core;
use crate::metrics;

/// How often this router tells and listens, when nothing changes here.
const EVERY: Duration = Duration::from_millis(500);
/// Names that are alike by less than this share no typing mistake.
const ALIKE: f64 = 0.6;

/// Says that no node has a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no node is called {node}{hint}")]
pub(crate) struct UnknownNode {
    node: NodeId,
    hint: String,
}

/// Whether an order changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It did.
    Yes,
    /// The node was as wanted before.
    No,
}

/// What operators said, and how much of it the store is known to have.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    words: Mutex<Words>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Words {
    known: DrainOrders,
    stored: DrainOrders,
}

impl Words {
    fn drained(&self) -> BTreeSet<NodeId> {
        let drained = self.known.iter().filter(|(_, order)| order.wanted == Wanted::Drained);
        drained.map(|(node, _)| node.clone()).collect()
    }

    fn unstored(&self) -> DrainOrders {
        let news = self.known.iter().filter(|(node, order)| self.stored.get(*node) != Some(order));
        news.map(|(node, order)| (node.clone(), *order)).collect()
    }
}

impl Drains {
    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the nodes that are drained.
    pub(crate) fn drained(&self) -> BTreeSet<NodeId> {
        self.words().drained()
    }
}

impl Core {
    /// Takes an operator's order for a node.
    ///
    /// # Errors
    /// Fails when no node has the name, with the one that comes nearest.
    pub(crate) fn order(&self, node: &NodeId, wanted: Wanted) -> Result<Changed, UnknownNode> {
        let before = self.drains.drained();
        if self.view().node(node).is_none() && !before.contains(node) {
            return Err(self.unknown(node));
        }
        if before.contains(node) == (wanted == Wanted::Drained) {
            return Ok(Changed::No);
        }
        let mut words = self.drains.words();
        let last = words.known.get(node).map_or(0, |order| order.number);
        let number = milliseconds().max(last.saturating_add(1));
        words.known.insert(node.clone(), DrainOrder { number, wanted });
        let drained = words.drained();
        drop(words);
        self.enforce(&before, drained);
        self.drains.news.notify_one();
        Ok(Changed::Yes)
    }

    /// Takes what the store holds.
    fn learn(&self, stored: DrainOrders) {
        let mut words = self.drains.words();
        let before = words.drained();
        merge_drains(&mut words.known, &stored);
        words.stored = stored;
        let drained = words.drained();
        drop(words);
        if before != drained {
            self.enforce(&before, drained);
        }
    }

    fn enforce(&self, before: &BTreeSet<NodeId>, drained: BTreeSet<NodeId>) {
        drained.difference(before).for_each(|node| info!(%node, "node is drained, it gets no new sessions"));
        before.difference(&drained).for_each(|node| info!(%node, "node is drained no longer"));
        metrics::drained(drained.len());
        self.fleet_mut().set_drained(drained, self.now());
        self.publish();
    }

    fn unknown(&self, node: &NodeId) -> UnknownNode {
        let view = self.view();
        let alike = view.nodes().map(|known| {
            let name = known.report.node.as_str();
            (strsim::jaro_winkler(name, node.as_str()), name.to_owned())
        });
        let nearest = alike.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0));
        let all = || "; `crosspoint nodes` lists all".to_owned();
        let hint = nearest.map_or_else(all, |(_, name)| format!(", did you mean {name}?"));
        UnknownNode { node: node.clone(), hint }
    }
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Tells and listens until the shutdown begins.
pub(crate) async fn share_drains(core: Arc<Core>, store: Arc<dyn store::Drains>, shutdown: Shutdown) {
    let mut ticks = ticks(EVERY);
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            () = core.drains.news.notified() => {}
            _ = ticks.tick() => {}
        }
        let news = core.drains.words().unstored();
        match store.exchange(&news, core.now()).await {
            Ok(stored) => core.learn(stored),
            Err(away) => {
                metrics::store_failed("drains");
                debug!(%away, "drains not shared");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::{Drains as _, Embedded};

    use super::*;
    use crate::config::Policy;
    use crate::core::testing::report;

    fn router(store: &Arc<Embedded>) -> Arc<Core> {
        let pool = json!({
            "name": "a", "provider": "aws", "region": "us-west-2", "tier": "burst", "market": "fixed",
            "residency": "us", "price": { "node_hour": 0.2 }, "link": { "round_trip": "15ms" },
        });
        let pools = vec![serde_json::from_value(pool).unwrap()];
        let core = Arc::new(Core::new(&Policy { pools, ..Policy::default() }, store, None));
        core.take(report("a-1", "a")).unwrap();
        // What has just been published is published again a little later.
        core.publish();
        core
    }

    fn drains(core: &Core) -> Vec<String> {
        core.drains.drained().iter().map(ToString::to_string).collect()
    }

    async fn meet(core: &Core, store: &Embedded) {
        let news = core.drains.words().unstored();
        core.learn(store.exchange(&news, core.now()).await.unwrap());
    }

    #[test]
    fn a_name_that_no_node_has_is_answered_with_the_nearest() {
        let core = router(&Arc::default());
        let error = core.order(&"b-1".parse().unwrap(), Wanted::Drained).unwrap_err();
        assert_eq!(error.to_string(), "no node is called b-1, did you mean a-1?");
        let error = core.order(&"gcp-europe".parse().unwrap(), Wanted::Serving).unwrap_err();
        assert_eq!(error.to_string(), "no node is called gcp-europe; `crosspoint nodes` lists all");
    }

    #[tokio::test]
    async fn what_one_router_is_told_the_others_know_and_a_store_that_forgot_learns_it_again() {
        let store = Arc::new(Embedded::new());
        let (one, two, node) = (router(&store), router(&store), "a-1".parse().unwrap());
        assert_eq!(one.order(&node, Wanted::Drained), Ok(Changed::Yes));
        assert_eq!(one.order(&node, Wanted::Drained), Ok(Changed::No));
        meet(&one, &store).await;
        meet(&two, &store).await;
        assert_eq!((drains(&one), drains(&two)), (vec!["a-1".to_owned()], vec!["a-1".to_owned()]));

        let empty = Arc::new(Embedded::new());
        meet(&two, &empty).await;
        meet(&two, &empty).await;
        assert_eq!(two.order(&node, Wanted::Serving), Ok(Changed::Yes));
        meet(&two, &empty).await;
        meet(&one, &empty).await;
        assert_eq!((drains(&one), drains(&two)), (vec![], vec![]), "the last word counts, whatever the store lost");
    }
}
