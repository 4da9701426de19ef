//! Affinity: a session that comes back is placed on the node it was on, where that is alive, allowed and has room.

use scheduler::{Class, Decision, NodeId, Request, SessionId};
use store::LastLeg;
use tracing::debug;

use crate::core::Core;
use crate::metrics;

/// Placements that a decision offers at most.
const OFFERED: usize = 3;

impl Core {
    /// Decides, and puts the node first that a returning session was on. One that lost its node wants another.
    pub(crate) async fn consider_near(&self, request: &Request) -> Decision {
        let last = match request.class {
            Class::New => self.last_node(request.session).await,
            Class::Failover => None,
        };
        let decision = self.consider(request);
        match last {
            Some(node) => self.prefer(&node, request, decision),
            None => decision,
        }
    }

    /// Remembers which node a session is on.
    pub(crate) async fn remember(&self, session: SessionId, leg: &LastLeg) {
        if let Err(away) = self.affinity.remember(session, leg, self.now()).await {
            metrics::store_failed("remember");
            debug!(%away, "a session's node is not remembered");
        }
    }

    /// Forgets an ended session's node before long.
    pub(crate) async fn let_go(&self, session: SessionId) {
        if let Err(away) = self.affinity.let_go(session, self.now()).await {
            metrics::store_failed("let_go");
            debug!(%away, "a session's node is remembered too long");
        }
    }

    async fn last_node(&self, session: SessionId) -> Option<NodeId> {
        match self.affinity.last_leg(session, self.now()).await {
            Ok(leg) => leg.map(|leg| leg.node),
            Err(away) => {
                metrics::store_failed("last_leg");
                debug!(%away, "placing without knowing a session's last node");
                None
            }
        }
    }

    /// The same filters judge the node as any other: it is decided on alone.
    fn prefer(&self, node: &NodeId, request: &Request, mut decision: Decision) -> Decision {
        let others: Vec<NodeId> = self.fleet().nodes().map(|other| other.report.node.clone()).collect();
        let mut alone = request.clone();
        alone.exclude.extend(others.into_iter().filter(|other| other != node));
        let Some(near) = self.consider(&alone).placements.into_iter().next() else { return decision };
        decision.placements.retain(|placement| placement.node != near.node);
        decision.placements.insert(0, near);
        decision.placements.truncate(OFFERED);
        decision.refusal = None;
        decision
    }
}
