//! Endpoints: pools that have no agents, because what serves there is a load balancer or somebody else's service. What is
//! known of such a pool is what the configuration says, what the routers have promised there, and what sessions meet.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::EngineApi;
use crate::ids::{ModelName, NodeId, PoolName};
use crate::pool::Pool;
use crate::report::{NodeState, Report};

/// Says why an endpoint makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Proxies could not call it.
    #[error("expected an endpoint's address such as lb.internal:8090, got \"{0}\"")]
    Address(String),
    /// It serves nothing.
    #[error("its endpoint has no models, list at least one")]
    NoModels,
    /// There are no nodes of ours to scale.
    #[error("it has an endpoint, so its scaling is not ours: leave one of the two out")]
    Scaled,
}

/// One address that serves a whole pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// `host:port`, where proxies send audio.
    pub address: String,
    /// Which API it speaks.
    #[serde(default)]
    pub api: EngineApi,
    /// Models that it serves.
    pub models: BTreeSet<ModelName>,
    /// What it calls those models that it knows by another name.
    #[serde(default)]
    pub engine_models: BTreeMap<ModelName, ModelName>,
    /// Sessions that are sent there at the same time, at most.
    pub slots: NonZeroU32,
}

impl Endpoint {
    /// Names the node that stands for a pool of this kind: as the pool.
    #[must_use]
    pub fn node(pool: &PoolName) -> NodeId {
        NodeId::of_pool(pool)
    }

    /// Tells what is wrong with it.
    ///
    /// # Errors
    /// Fails on an address that proxies could not call, on an endpoint that serves nothing, and on a pool that is to be scaled.
    pub fn check(&self, pool: &Pool) -> Result<(), EndpointError> {
        if !self.is_reachable() {
            return Err(EndpointError::Address(self.address.clone()));
        }
        if self.models.is_empty() {
            return Err(EndpointError::NoModels);
        }
        if pool.scaling.is_some() { Err(EndpointError::Scaled) } else { Ok(()) }
    }

    fn is_reachable(&self) -> bool {
        let parts = self.address.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok())
    }

    /// Says of the pool what an agent would, when `used` of its slots are promised.
    #[must_use]
    pub fn report(&self, pool: &PoolName, used: u32) -> Report {
        Report {
            node: Self::node(pool),
            pool: pool.clone(),
            address: self.address.clone(),
            state: NodeState::Serving,
            models: self.models.clone(),
            api: self.api,
            engine_models: self.engine_models.clone(),
            soft_slots: self.slots.get(),
            hard_slots: self.slots.get(),
            used_slots: used,
            queue_depth: 0,
            chunk_latency_p95: Duration::ZERO,
            realtime_factor: 0.0,
            gpus: Vec::new(),
            sequence: 0,
            engine_pid: None,
            reason: None,
            notice: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> Endpoint {
        let models = BTreeSet::from(["general".parse().unwrap()]);
        let slots = NonZeroU32::new(8).unwrap();
        Endpoint { address: address.to_owned(), api: EngineApi::Listen, models, engine_models: [].into(), slots }
    }

    #[test]
    fn an_address_without_host_or_port_is_not_reachable() {
        for good in ["10.0.0.1:8090", "lb.internal:443", "[::1]:80"] {
            assert!(endpoint(good).is_reachable(), "{good}");
        }
        for bad in ["", "lb.internal", ":80", "http://lb:80", "lb:http", "lb:99999"] {
            assert!(!endpoint(bad).is_reachable(), "{bad}");
        }
    }

    #[test]
    fn a_pool_is_reported_as_one_node_with_the_slots_that_are_left() {
        let report = endpoint("lb:80").report(&"managed".parse().unwrap(), 3);
        assert_eq!((report.node.as_str(), report.soft_slots, report.used_slots), ("managed", 8, 3));
    }
}
