//! The decision: allowed set, filters, score, then two choices inside the best pool.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};

use crate::engine::EngineApi;
use crate::filter::{AllowedSet, Reason, Rejected, count_forbidden, reject, unfit};
use crate::fleet::{Fleet, Node};
use crate::ids::{ModelName, NodeId, PoolName};
use crate::pool::Pool;
use crate::request::Request;
use crate::score::{ScoreTerms, Scoring, score};
use crate::units::{MicroDollars, Timestamp};

/// Pools whose mean score is within this share of the best one's count as equal, so that routers do not herd.
const BAND_SHARE: f64 = 0.05;
/// The band is never narrower than this.
const BAND_LEAST: MicroDollars = MicroDollars(500);
/// A node at or above this load, in soft slots, is hot: among hot nodes the emptier wins, among cold ones the cheaper.
const HOT_LOAD: f64 = 0.8;

/// One node offered to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The node.
    pub node: NodeId,
    /// Its pool.
    pub pool: PoolName,
    /// `host:port` of its engine.
    pub address: String,
    /// What it would cost, term by term.
    pub terms: ScoreTerms,
    /// Which API its engine speaks.
    pub api: EngineApi,
    /// What its engine calls the model, where that is another name.
    pub engine_model: Option<ModelName>,
}

/// Why a session gets no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No pool may serve this request, whatever its load: asking again is pointless.
    NotAllowed,
    /// Live nodes could serve this request and every one of them is full: one freed slot is enough.
    Full,
    /// Pools may serve this request, and no live node of theirs can: silent, draining, other model, too far or too dear.
    NoLiveNode,
    /// The key has as many sessions as it may have at one time. Routers say so; no decision does.
    OverLimit,
    /// Every node that has the model hears files only, and a stream was asked for.
    FilesOnly,
}

/// Placements in order of preference, or a refusal; and the reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Up to three nodes, best first: two of the best pool and one of the next.
    pub placements: Vec<Placement>,
    /// Why there is none; absent when there is one.
    pub refusal: Option<Refusal>,
    /// Why other nodes were not considered, grouped by pool and reason: every node is counted here or could have served.
    pub rejected: Vec<Rejected>,
    /// The fleet's version that this was decided on.
    pub fleet_version: u64,
}

struct Scored<'a> {
    node: &'a Node,
    free: u32,
    load: f64,
    terms: ScoreTerms,
}

impl Scored<'_> {
    fn is_hot(&self) -> bool {
        self.load >= HOT_LOAD
    }
}

/// The nodes of one pool that may serve; at least one, once it is chosen from.
struct Group<'a> {
    pool: &'a Pool,
    nodes: Vec<Scored<'a>>,
}

impl Group<'_> {
    fn mean(&self) -> MicroDollars {
        let sum: MicroDollars = self.nodes.iter().map(|scored| scored.terms.total()).sum();
        MicroDollars(sum.0 / i64::try_from(self.nodes.len().max(1)).unwrap_or(i64::MAX))
    }

    fn free_slots(&self) -> u64 {
        self.nodes.iter().map(|scored| u64::from(scored.free)).sum()
    }
}

/// Decides which nodes serve `request`. Pure: the same arguments and dice give the same decision.
pub fn decide(fleet: &Fleet, request: &Request, scoring: &Scoring, now: Timestamp, dice: &mut impl Rng) -> Decision {
    let mut rejected = Vec::new();
    let allowed = AllowedSet::of(fleet, request, &mut rejected);
    let mut groups = candidates(fleet, &allowed, &mut rejected, |node, pool| fit(node, pool, request, scoring, now));
    let mut placements = Vec::with_capacity(3);
    if let Some(best) = take_best(&mut groups, dice) {
        let (winner, loser) = two_choices(&best, dice);
        placements.extend([Some(winner), loser].into_iter().flatten().map(|scored| place(scored, best.pool, request)));
        if let Some(next) = take_best(&mut groups, dice) {
            placements.push(place(two_choices(&next, dice).0, next.pool, request));
        }
    }
    let refusal = placements.is_empty().then(|| refusal(&allowed, &rejected));
    Decision { placements, refusal, rejected, fleet_version: fleet.version() }
}

/// Sorts the nodes of allowed pools into those that fit, by pool, and those that do not, by reason.
fn candidates<'a>(
    fleet: &'a Fleet,
    allowed: &AllowedSet<'a>,
    rejected: &mut Vec<Rejected>,
    fit: impl Fn(&'a Node, &'a Pool) -> Result<Scored<'a>, Reason>,
) -> Vec<Group<'a>> {
    let empty = |pool: &'a Pool| (&pool.name, Group { pool, nodes: Vec::new() });
    let mut groups: BTreeMap<&PoolName, Group<'a>> = allowed.pools().map(empty).collect();
    for node in fleet.nodes() {
        match groups.get_mut(&node.report.pool) {
            Some(group) => match fit(node, group.pool) {
                Ok(scored) => group.nodes.push(scored),
                Err(why) => reject(rejected, group.pool, Some(&node.report.node), why),
            },
            None => count_forbidden(rejected, &node.report.pool),
        }
    }
    for group in groups.values().filter(|group| group.nodes.is_empty()) {
        if rejected.iter().all(|known| known.pool != group.pool.name) {
            reject(rejected, group.pool, None, Reason::NoNodes);
        }
    }
    groups.into_values().filter(|group| !group.nodes.is_empty()).collect()
}

/// Whether a slot is free is asked last, so that "full" means that waiting helps.
fn fit<'a>(
    node: &'a Node,
    pool: &Pool,
    request: &Request,
    scoring: &Scoring,
    now: Timestamp,
) -> Result<Scored<'a>, Reason> {
    if let Some(why) = unfit(node, pool, request, now) {
        return Err(why);
    }
    let terms = score(node, pool, request, scoring, now);
    if request.max_cost.is_some_and(|limit| terms.price() > limit) {
        return Err(Reason::TooDear { cost: terms.price() });
    }
    let (used, slots) = (node.used_estimate(now), request.class.slots(&node.report));
    if used >= slots {
        return Err(Reason::Full { used, slots });
    }
    let load = f64::from(used) / f64::from(node.report.soft_slots.max(1));
    Ok(Scored { node, free: slots - used, load, terms })
}

/// Removes and returns one of the pools whose mean score is about the best, drawn by free slots.
fn take_best<'a>(groups: &mut Vec<Group<'a>>, dice: &mut impl Rng) -> Option<Group<'a>> {
    let means: Vec<MicroDollars> = groups.iter().map(Group::mean).collect();
    let best = *means.iter().min()?;
    let edge = best + BAND_LEAST.max(MicroDollars::from_dollars(best.dollars() * BAND_SHARE));
    let band: Vec<usize> = (0..groups.len()).filter(|index| means[*index] <= edge).collect();
    let chosen = *band.choose_weighted(dice, |index| groups[*index].free_slots()).ok()?;
    Some(groups.swap_remove(chosen))
}

/// Draws two nodes of a pool and orders them: a cold one before a hot one, of two cold ones the cheaper, of two hot ones
/// the emptier. Where that says nothing the other measure does, and then the draw.
fn two_choices<'g, 'a>(group: &'g Group<'a>, dice: &mut impl Rng) -> (&'g Scored<'a>, Option<&'g Scored<'a>>) {
    let count = group.nodes.len();
    let first = dice.random_range(0..count);
    if count == 1 {
        return (&group.nodes[first], None);
    }
    let second = (first + dice.random_range(1..count)) % count;
    let (a, b) = (&group.nodes[first], &group.nodes[second]);
    let cheaper = a.terms.total().cmp(&b.terms.total());
    let emptier = a.load.total_cmp(&b.load);
    let order = match (a.is_hot(), b.is_hot()) {
        (false, false) => cheaper.then(emptier),
        (true, true) => emptier.then(cheaper),
        (a_is_hot, b_is_hot) => a_is_hot.cmp(&b_is_hot),
    };
    if order.is_le() { (a, Some(b)) } else { (b, Some(a)) }
}

fn place(scored: &Scored<'_>, pool: &Pool, request: &Request) -> Placement {
    let report = &scored.node.report;
    Placement {
        node: report.node.clone(),
        pool: pool.name.clone(),
        address: report.address.clone(),
        terms: scored.terms,
        api: report.api,
        engine_model: report.engine_models.get(&request.model).cloned(),
    }
}

fn refusal(allowed: &AllowedSet<'_>, rejected: &[Rejected]) -> Refusal {
    if allowed.pools().next().is_none() {
        Refusal::NotAllowed
    } else if rejected.iter().any(|group| matches!(group.why, Reason::Full { .. })) {
        Refusal::Full
    } else if rejected.iter().any(|group| group.why == Reason::FilesOnly)
        && rejected.iter().all(|group| group.why.is_lasting())
    {
        Refusal::FilesOnly
    } else {
        Refusal::NoLiveNode
    }
}

#[cfg(test)]
mod tests;
