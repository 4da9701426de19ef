//! Concurrent sessions: those of a key are claimed before a node's slot, and given back when there is none. They are leases like
//! any other: renewed with the slots, and written again when the store lost them.

use std::time::Duration;

use proto::v1::Counted;
use scheduler::{Class, Decision, Refusal, Request};
use store::{Claim, Lease};
use tracing::debug;

use crate::core::Core;
use crate::metrics;

/// Reads what a session counts as.
pub(crate) fn counted(counted: &Counted) -> Option<Lease> {
    Some(Lease::concurrency(&counted.key.parse().ok()?, counted.session.parse().ok()?))
}

impl Core {
    /// Places a session of a key that may have `limit` of them at one time.
    pub(crate) async fn place_within(&self, limit: u32, request: &Request, patience: Duration) -> Decision {
        let Some(key) = &request.key else { return self.place(request, patience).await };
        // The chunks of a file are one session.
        let lease = Lease::concurrency(key, request.file.unwrap_or(request.session));
        match self.count_in(&lease, limit, request.class).await {
            Claim::Full => self.over_limit(),
            Claim::Kept => self.place(request, patience).await,
            Claim::Held => {
                let decision = self.place(request, patience).await;
                if decision.refusal.is_some() {
                    self.release(lease).await;
                }
                decision
            }
        }
    }

    /// A session that runs already is never refused, whatever the store has lost; without the store none is.
    async fn count_in(&self, lease: &Lease, limit: u32, class: Class) -> Claim {
        let claimed = match class {
            Class::New => self.leases.claim(lease, limit, self.now()).await,
            Class::Failover => self.leases.renew(std::slice::from_ref(lease), self.now()).await.map(|()| Claim::Kept),
        };
        claimed.unwrap_or_else(|away| {
            metrics::store_failed("count");
            debug!(%away, "placing without counting");
            Claim::Kept
        })
    }

    fn over_limit(&self) -> Decision {
        let fleet_version = self.view().version();
        let refusal = Some(Refusal::OverLimit);
        Decision { placements: Vec::new(), refusal, rejected: Vec::new(), fleet_version, seat: None, refused_by: None }
    }
}
