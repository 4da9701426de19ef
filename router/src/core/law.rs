//! The law: what placements are decided by, replaced as a whole when the configuration is read again. Sessions that are open
//! stay where they are.

use std::sync::Arc;

use scheduler::plan::PlannerConfig;
use scheduler::{FleetView, Models, Policy, PolicyHash, Pool};
use tracing::info;

use super::Core;
use crate::{config, endpoints, metrics};

/// What is in force.
#[derive(Debug)]
pub(crate) struct Law {
    /// How a node is chosen; its rules know pools by their place in `pools`.
    pub(crate) policy: Policy,
    /// What callers may ask for.
    pub(crate) models: Models,
    /// How pools are scaled.
    pub(crate) planner: PlannerConfig,
    pools: Arc<[Pool]>,
}

impl Law {
    /// Makes a policy ready for the pools of a fleet.
    pub(super) fn new(policy: &config::Policy, pools: Arc<[Pool]>) -> Self {
        Self {
            policy: ready(&policy.choice, &pools),
            models: policy.models.clone(),
            planner: policy.planner.clone(),
            pools,
        }
    }
}

fn ready(policy: &Policy, pools: &[Pool]) -> Policy {
    Policy { rules: policy.rules.on(pools), ..policy.clone() }
}

impl Core {
    /// Returns what is in force.
    pub(crate) fn law(&self) -> Arc<Law> {
        self.law.load_full()
    }

    /// Returns what is in force, fit for a view: around a change of pools, a view may have others than the law was made for.
    pub(super) fn law_on(&self, view: &FleetView) -> Arc<Law> {
        let law = self.law();
        if std::ptr::eq(view.pools(), &raw const *law.pools) {
            return law;
        }
        let pools = view.shared_pools();
        let (models, planner) = (law.models.clone(), law.planner.clone());
        Arc::new(Law { policy: ready(&law.policy, &pools), models, planner, pools })
    }

    /// Puts another policy in force, and returns its hash.
    pub(crate) fn replace_law(&self, policy: &config::Policy) -> PolicyHash {
        let mut fleet = self.fleet_mut();
        if fleet.view().pools() != policy.pools {
            let before: Vec<_> = fleet.view().pools().iter().map(|pool| pool.name.clone()).collect();
            for node in fleet.replace_pools(policy.pools.clone(), self.now()) {
                info!(%node, "node forgotten: its pool is no longer configured");
            }
            metrics::describe_billing(policy.pools.iter().map(|pool| &pool.name));
            let gone = before.iter().filter(|name| fleet.view().pool(name).is_none());
            gone.for_each(metrics::pool_gone);
        }
        endpoints::guard(&mut fleet, &policy.choice);
        let law = Law::new(policy, fleet.view().shared_pools());
        self.slots.set_limits(&law.policy.limits);
        if let Some(log) = &self.decisions {
            log.law(&law.policy);
        }
        let hash = law.policy.hash();
        self.law.store(Arc::new(law));
        drop(fleet);
        self.publish();
        hash
    }
}
