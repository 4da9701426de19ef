//! The judgement: fleet, request, policy, time and dice in, a decision with its reasons out.
//!
//! Nothing here has a clock, dice, an environment or I/O: they are arguments, so every decision can be recorded and replayed.
//!
//! # Layout
//! * [`decide()`]: the decision, in the order it is made: allowed set, filters, score, two choices.
//! * [`filter`]: why a node may not serve. [`score`]: what serving there costs, in dollars per session-hour.
//! * [`Fleet`]: pools and nodes as last reported, with the slots promised since. [`Request`]: what a session needs.
//! * [`Pool`], [`Report`], [`Models`], [`Scoring`]: what operators configure and agents say.
//! * [`plan`]: demand in, wanted nodes per pool out.
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
//! * **Lease**: a slot promised to a session until a time. **Tier**: baseline, burst, overflow.
//! * **Leg**: one connection from a session to an engine; its number is the **epoch**.
//! * **Ledger**: what was used and what it cost.

mod decide;
pub mod filter;
mod fleet;
pub mod ids;
mod models;
pub mod plan;
mod pool;
mod report;
mod request;
pub mod score;
#[cfg(test)]
mod testing;
pub mod units;

pub use decide::{Decision, Placement, Refusal, decide};
pub use filter::{AllowedSet, Reason, Rejected};
pub use fleet::{Fleet, Node, UnknownPool};
pub use ids::{KeyId, Language, ModelName, NodeId, PoolName, Region, SessionId, TenantId};
pub use models::{ModelSpec, Models, UnknownModel};
pub use pool::{Compliance, Link, LinkMode, Market, Pool, Price, Provider, Residency, Tier};
pub use report::{Gpu, NodeState, Report};
pub use request::{Class, Priority, Request, Work};
pub use score::{ScoreTerms, Scoring};
pub use units::{MicroDollars, Ratio, Timestamp};
