//! Affinity: a session that comes back is placed on the node it was on, where that is alive, allowed and has room.

use scheduler::{Class, NodeId, Request, SessionId};
use store::LastLeg;
use tracing::debug;

use crate::core::Core;
use crate::metrics;

impl Core {
    /// Returns a returning session's request with the node that it was on, where that is known and it asks for none itself.
    /// One that lost its node wants another.
    pub(crate) async fn near(&self, request: &Request) -> Option<Request> {
        let last = match request.class {
            Class::New if request.prefer.is_none() => self.last_node(request.session).await,
            Class::New | Class::Failover => None,
        };
        last.map(|node| Request { prefer: Some(node), ..request.clone() })
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
}
