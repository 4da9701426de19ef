//! Leases: claimed before a session is placed, renewed while it lives, given back when it leaves.

use scheduler::{FleetView, NodeId, SessionId};
use store::{Claim, Lease, Resource};
use tracing::debug;

use super::Core;
use crate::metrics;
use crate::owed::Debt;

impl Core {
    /// Without the store the node's own refusal holds the line, so a claim that cannot be made counts as held.
    pub(super) async fn claim(&self, view: &FleetView, node: &NodeId, session: SessionId) -> Claim {
        let Some(slots) = view.node(node).map(|node| node.report.hard_slots) else {
            return Claim::Full;
        };
        let lease = Lease::slot(node, session);
        self.leases.claim(&lease, slots, self.now()).await.unwrap_or_else(|away| {
            metrics::store_failed("claim");
            debug!(%away, "placing without a lease");
            Claim::Held
        })
    }

    /// Renews leases, in one trip for all of them.
    pub(crate) async fn renew(&self, leases: &[Lease]) {
        if let Err(away) = self.leases.renew(leases, self.now()).await {
            metrics::store_failed("renew");
            debug!(%away, leases = leases.len(), "leases not renewed");
        }
    }

    /// Gives a lease back; later where the store does not take it now.
    pub(crate) async fn release(&self, lease: Lease) {
        if let Resource::Slots(node) = &lease.resource
            && let Some(slots) = self.batch.left(lease.session)
        {
            self.fleet_mut().set_batch_slots(node, slots);
        }
        let debt = Debt { lease, since: self.now() };
        if let Err(debt) = self.try_release(debt).await {
            self.owed.add(debt);
        }
    }

    /// Gives back the leases that the store did not take before, until it does not take one again.
    pub(crate) async fn pay(&self) {
        while let Some(debt) = self.owed.take(self.now()) {
            if let Err(debt) = self.try_release(debt).await {
                return self.owed.add(debt);
            }
        }
    }

    async fn try_release(&self, debt: Debt) -> Result<(), Debt> {
        match self.leases.release(&debt.lease).await {
            Ok(was_held) => {
                if let (true, Resource::Slots(node)) = (was_held, &debt.lease.resource) {
                    self.fleet_mut().note_left(node, self.now());
                }
                Ok(())
            }
            Err(away) => {
                metrics::store_failed("release");
                debug!(%away, "lease not given back, it will be tried again");
                Err(debt)
            }
        }
    }

    pub(crate) async fn leases_on(&self, node: &NodeId) -> u32 {
        self.leases.count(&Resource::Slots(node.clone()), self.now()).await.unwrap_or(0)
    }
}
