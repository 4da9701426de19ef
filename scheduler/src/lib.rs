//! The judgement: fleet, request, policy, time and dice in, a decision with its reasons out.
//!
//! Nothing here has a clock, dice, an environment or I/O: they are arguments, so every decision can be recorded and replayed.
//!
//! # Layout
//! * [`decide()`]: the decision; [`Allowed`]: what comes before it; [`explain()`]: why other nodes were passed over.
//! * [`Fleet`]: takes what agents and proxies say; [`FleetView`]: what decisions read; [`OpenSet`]: where sessions are steered.
//! * [`filter`]: why a node may not serve. [`score`]: what serving there costs, in dollars per session-hour.
//! * [`Policy`]: method, weights and limits. [`DecisionRecord`], [`FleetSnapshot`], [`Dice`]: a decision made again.
//! * [`Queue`], [`Fairness`], [`BatchLease`]: who waits and who yields. [`Breaker`], [`OutlierLimits`]: who rests.
//! * [`Pool`], [`Report`], [`Request`], [`Models`]: what operators configure, agents say and sessions need.
//! * [`rules`]: who may be served where. [`plan`]: demand in, wanted nodes per pool out.
//! * [`ids`] and [`units`]: names and measures that cannot be mixed up.
//!
//! # The words
//! One word per idea, in code, configuration, metrics and docs.
//!
//! * **Session**: one caller's stream, or one file. **Pool**: nodes of one provider, region and market.
//! * **Node**: one GPU host with one engine. **Slot**: room for one live stream on a node.
//! * **Engine**: the speech server on the node. **Agent**: what reports for the node.
//! * **Report**: what an agent says of its node. **Fleet**: all nodes as last reported.
//! * **Request**: what a session needs. **Policy**: rules, weights and limits.
//! * **Decision**: placements in order of preference, or a refusal, with the reasons.
//! * **Placement**: one node offered to a session, with its score terms.
//! * **Open**: steered to; **closed**: emptying out. **Ejected**: resting, worse than its pool. **Shunned**: behind a breaker.
//! * **Tick**: what is worked out once a second. **Over**: on a slot above the soft ones.
//! * **Lease**: a slot promised to a session until a time. **Tier**: baseline, burst, overflow.
//! * **Leg**: one connection from a session to an engine; its number is the **epoch**.
//! * **Ledger**: what was used and what it cost.

mod admission;
mod allowed;
mod decide;
mod dice;
mod endpoint;
mod engine;
mod explain;
pub mod filter;
mod fleet;
mod health;
pub mod ids;
mod models;
mod numbers;
mod open;
pub mod plan;
mod policy;
mod pool;
mod record;
mod report;
mod request;
pub mod rules;
pub mod score;
#[cfg(test)]
mod testing;
pub mod units;

pub use admission::{
    BatchLease, Fairness, Pace, Queue, QueueLimits, Rate, RetryBudget, Tenants, Waiting, predicted_wait, retry_after,
    to_revoke,
};
pub use allowed::{Allowed, AllowedSet};
pub use decide::{Choice, Decision, Knobs, Lots, Pick, Placement, Refusal, Seat, Turns, decide};
pub use dice::Dice;
pub use endpoint::{Endpoint, EndpointError};
pub use engine::EngineApi;
pub use explain::explain;
pub use filter::{Reason, Rejected};
pub use fleet::{Beat, Capacity, Demand, Fleet, FleetView, MOST_POOLS, Node, NodeIndex, Ticked, UnknownPool};
pub use health::{Breaker, BreakerLimits, OutlierLimits};
pub use ids::{BadName, KeyId, Language, ModelName, NodeId, PoolName, Region, RuleName, SessionId, TenantId};
pub use models::{ModelSpec, Models, UnknownModel};
pub use open::{OpenLimits, OpenSet, Steer};
pub use policy::{Limits, Method, Policy, PolicyHash};
pub use pool::{Compliance, Link, LinkMode, Market, Pool, Price, Provider, Residency, Tier};
pub use record::{CannotReplay, DecisionRecord, FleetSnapshot, InFlight};
pub use report::{Gpu, NodeState, Notice, NoticeKind, Report};
pub use request::{Class, Priority, Request, Work};
pub use score::{ScoreTerms, Scoring};
pub use units::{MicroDollars, Ratio, Timestamp};
