//! The decision: allowed set, filters, score, then two choices inside the best pool.

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};

use crate::filter::{AllowedSet, Reason, Rejected, reject, unfit};
use crate::fleet::{Fleet, Node};
use crate::ids::{NodeId, PoolName};
use crate::pool::Pool;
use crate::request::Request;
use crate::score::{ScoreTerms, Scoring, score};
use crate::units::{MicroDollars, Timestamp};

/// Pools whose mean score is within this share of the best one's count as equal, so that routers do not herd.
const BAND_SHARE: f64 = 0.05;
/// The band is never narrower than this.
const BAND_LEAST: MicroDollars = MicroDollars(500);
/// A node at or above this load is hot: among hot nodes the emptier wins, among cold ones the cheaper.
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
}

/// Why a session gets no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No pool may serve this request, whatever its load.
    NotAllowed,
    /// Nodes exist, but every one that may serve is full.
    Full,
    /// No node that may serve is alive.
    NoLiveNode,
}

/// Placements in order of preference, or a refusal; and the reasons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Up to three nodes, best first: two of the best pool and one of the next.
    pub placements: Vec<Placement>,
    /// Why there is none; absent when there is one.
    pub refusal: Option<Refusal>,
    /// Why other nodes were not considered, grouped by pool and reason.
    pub rejected: Vec<Rejected>,
    /// The fleet's version that this was decided on.
    pub fleet_version: u64,
}

struct Scored<'a> {
    node: &'a Node,
    load: f64,
    terms: ScoreTerms,
}

struct Group<'a> {
    pool: &'a Pool,
    nodes: Vec<Scored<'a>>,
}

impl Group<'_> {
    fn mean(&self) -> MicroDollars {
        let sum: MicroDollars = self.nodes.iter().map(|scored| scored.terms.total()).sum();
        MicroDollars(sum.0 / i64::try_from(self.nodes.len().max(1)).unwrap_or(i64::MAX))
    }

    fn free_slots(&self, now: Timestamp) -> u32 {
        self.nodes.iter().map(|s| s.node.report.hard_slots.saturating_sub(s.node.used_estimate(now))).sum()
    }
}

/// Decides which nodes serve `request`. Pure: the same arguments and dice give the same decision.
pub fn decide(fleet: &Fleet, request: &Request, scoring: &Scoring, now: Timestamp, dice: &mut impl Rng) -> Decision {
    let mut rejected = Vec::new();
    let allowed = AllowedSet::of(fleet, request, &mut rejected);
    let mut groups = candidates(fleet, &allowed, request, (scoring, now), &mut rejected);
    let mut placements = Vec::with_capacity(3);
    if let Some(best) = take_best(&mut groups, now, dice) {
        let (winner, loser) = two_choices(&best, dice);
        placements.extend([Some(winner), loser].into_iter().flatten().map(|scored| place(scored, best.pool)));
        if let Some(next) = take_best(&mut groups, now, dice) {
            placements.push(place(two_choices(&next, dice).0, next.pool));
        }
    }
    let refusal = placements.is_empty().then(|| refusal(&allowed, &rejected));
    Decision { placements, refusal, rejected, fleet_version: fleet.version() }
}

fn candidates<'a>(
    fleet: &'a Fleet,
    allowed: &AllowedSet<'a>,
    request: &Request,
    (scoring, now): (&Scoring, Timestamp),
    rejected: &mut Vec<Rejected>,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = allowed.pools().map(|pool| Group { pool, nodes: Vec::new() }).collect();
    for group in &mut groups {
        let mut members = fleet.nodes().filter(|node| node.report.pool == group.pool.name).peekable();
        if members.peek().is_none() {
            reject(rejected, group.pool, None, Reason::NoNodes);
        }
        for node in members {
            match fit(node, group.pool, request, scoring, now) {
                Ok(scored) => group.nodes.push(scored),
                Err(why) => reject(rejected, group.pool, Some(&node.report.node), why),
            }
        }
    }
    groups.retain(|group| !group.nodes.is_empty());
    groups
}

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
    match request.max_cost {
        Some(limit) if terms.price() > limit => Err(Reason::TooDear { cost: terms.price() }),
        Some(_) | None => {
            let load = f64::from(node.used_estimate(now)) / f64::from(node.report.soft_slots.max(1));
            Ok(Scored { node, load, terms })
        }
    }
}

/// Removes and returns one of the pools whose mean score is about the best, drawn by free slots.
fn take_best<'a>(groups: &mut Vec<Group<'a>>, now: Timestamp, dice: &mut impl Rng) -> Option<Group<'a>> {
    let best = groups.iter().map(Group::mean).min()?;
    let width = BAND_LEAST.max(MicroDollars::from_dollars(best.dollars() * BAND_SHARE));
    let band: Vec<usize> = (0..groups.len()).filter(|i| groups[*i].mean() <= best + width).collect();
    let chosen = band.choose_weighted(dice, |i| groups[*i].free_slots(now).max(1)).ok().copied()?;
    Some(groups.swap_remove(chosen))
}

/// Draws two nodes of a pool and orders them: the less loaded of two hot ones, else the cold one, else the cheaper.
fn two_choices<'g, 'a>(group: &'g Group<'a>, dice: &mut impl Rng) -> (&'g Scored<'a>, Option<&'g Scored<'a>>) {
    let count = group.nodes.len();
    let first = dice.random_range(0..count);
    if count == 1 {
        return (&group.nodes[first], None);
    }
    let second = (first + dice.random_range(1..count)) % count;
    let (a, b) = (&group.nodes[first], &group.nodes[second]);
    let a_wins = match (a.load >= HOT_LOAD, b.load >= HOT_LOAD) {
        (true, true) => a.load <= b.load,
        (false, false) => a.terms.total() <= b.terms.total(),
        (hot, _) => !hot,
    };
    if a_wins { (a, Some(b)) } else { (b, Some(a)) }
}

fn place(scored: &Scored<'_>, pool: &Pool) -> Placement {
    let report = &scored.node.report;
    Placement {
        node: report.node.clone(),
        pool: pool.name.clone(),
        address: report.address.clone(),
        terms: scored.terms,
    }
}

fn refusal(allowed: &AllowedSet<'_>, rejected: &[Rejected]) -> Refusal {
    if allowed.pools().next().is_none() {
        Refusal::NotAllowed
    } else if rejected.iter().any(|group| matches!(group.why, Reason::Full { .. })) {
        Refusal::Full
    } else {
        Refusal::NoLiveNode
    }
}
