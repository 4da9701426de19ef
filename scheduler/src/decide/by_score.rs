//! The score: the cheapest pools on average, one of them drawn by its free slots, and two choices inside it. Nothing here
//! looks at more than a few nodes, unless nearly all are full.

use rand::Rng;

use crate::allowed::pools_of;
use crate::decide::need::{Care, Fit, Need, Place, Round};
use crate::decide::{Choice, Pick};
use crate::fleet::{MOST_POOLS, NodeIndex, PoolIndex};
use crate::numbers::{count, short};

/// Draws that may hit a node that does not fit, before the nodes are tried in turn.
const TRIES: u32 = 4;
/// Nodes that are tried in turn when a quick look is enough.
const SCAN: usize = 32;

/// Chooses up to three nodes: two of the best pool and one of the next.
pub(crate) fn choose(need: &Need<'_>, dice: &mut impl Rng) -> Choice {
    let mut choice = Choice::none();
    let mut best = None;
    for round in need.rounds() {
        if best.is_some() && round.care == Care::Thorough {
            continue;
        }
        let mut pools = Pools::of(need, *round);
        pools.remove(best);
        while let Some(pool) = pools.draw(need, *round, dice) {
            let Some(place) = need.place(pool) else { continue };
            let Some((winner, loser)) = two_choices(need, &place, (pool, *round), dice) else { continue };
            choice.push(winner);
            if best.is_some() {
                return choice;
            }
            best = Some(pool);
            loser.into_iter().for_each(|loser| choice.push(loser));
        }
    }
    choice
}

/// What a pool costs that is not to be looked at.
const NEVER: u32 = u32::MAX;

/// Pools with what a session costs there on average, in whole microdollars an hour: a least whole number is found in a few
/// instructions.
struct Pools {
    costs: [u32; MOST_POOLS],
}

impl Pools {
    fn of(need: &Need<'_>, round: Round) -> Self {
        let (bits, table) = (need.pools(round), need.view.table(round.side));
        let (scoring, gigabytes) = (&need.policy.scoring, short(need.gigabytes()));
        let weight = |dollars: f64| short(dollars * 1e6);
        let (latency, congestion, errors) =
            (weight(scoring.latency), weight(scoring.congestion), weight(scoring.errors));
        let mut costs = [NEVER; MOST_POOLS];
        for pool in pools_of(bits) {
            let cost = &table.costs[pool.get()];
            let sum = cost.fixed
                + gigabytes * cost.egress
                + latency * cost.late
                + congestion * cost.congestion
                + errors * cost.errors;
            costs[pool.get()] = count(sum).min(NEVER - 1);
        }
        Self { costs }
    }

    fn remove(&mut self, pool: Option<PoolIndex>) {
        if let Some(pool) = pool {
            self.costs[pool.get()] = NEVER;
        }
    }

    /// Returns the least cost of a pool that still promises something, and removes those that would be cheaper and do not.
    fn best(&mut self, need: &Need<'_>, round: Round) -> Option<u32> {
        loop {
            let least = self.costs.iter().copied().min().filter(|least| *least < NEVER)?;
            let mut cheapest = pools_up_to(&self.costs, least);
            if cheapest.any(|pool| need.promising(pool, round)) {
                return Some(least);
            }
            for pool in pools_of(bits_up_to(&self.costs, least)) {
                self.remove(Some(pool));
            }
        }
    }

    /// Removes and returns one of the pools that cost about as little as the best, drawn by free slots.
    fn draw(&mut self, need: &Need<'_>, round: Round, dice: &mut impl Rng) -> Option<PoolIndex> {
        let best = self.best(need, round)?;
        let limits = &need.policy.limits;
        let width = u32::try_from(limits.band_least.0).unwrap_or(0).max(count(best as f32 * limits.band.get()));
        let mut band = 0_u64;
        let mut slots = 0_u32;
        let weight = |pool| need.allowed().room(pool, round.side).max(1);
        let edge = best.saturating_add(width).min(NEVER - 1);
        for pool in pools_up_to(&self.costs, edge).filter(|pool| need.promising(*pool, round)) {
            band |= 1 << pool.0;
            slots = slots.saturating_add(weight(pool));
        }
        let mut drawn = if band.is_power_of_two() { 0 } else { dice.random_range(0..slots.max(1)) };
        let chosen = pools_of(band).find(|pool| {
            let here = weight(*pool);
            let found = drawn < here;
            drawn = drawn.saturating_sub(here);
            found
        });
        self.remove(chosen);
        chosen
    }
}

fn bits_up_to(costs: &[u32; MOST_POOLS], edge: u32) -> u64 {
    costs.iter().rev().fold(0, |bits, cost| bits << 1 | u64::from(*cost <= edge))
}

fn pools_up_to(costs: &[u32; MOST_POOLS], edge: u32) -> impl Iterator<Item = PoolIndex> + use<> {
    pools_of(bits_up_to(costs, edge))
}

/// Draws two nodes of a pool and orders them.
fn two_choices(
    need: &Need<'_>,
    place: &Place,
    (pool, round): (PoolIndex, Round),
    dice: &mut impl Rng,
) -> Option<(Pick, Option<Pick>)> {
    let nodes = need.allowed().nodes(pool, round.side);
    let first = draw(need, place, round, (nodes, None), dice)?;
    let Some(second) = draw(need, place, round, (nodes, Some(first.node)), dice) else {
        return Some((need.pick(place, first), None));
    };
    let (a, b) = (need.pick(place, first), need.pick(place, second));
    let hot_load = need.policy.limits.hot_load.get().max(place.usual_load);
    let order = better((&first, &a), (&second, &b), hot_load);
    Some(if order.is_le() { (a, Some(b)) } else { (b, Some(a)) })
}

/// A cold node before a hot one, of two cold ones the cheaper, of two hot ones the emptier. Where that says nothing the other
/// measure does, and then the draw.
fn better(a: (&Fit, &Pick), b: (&Fit, &Pick), hot_load: f32) -> std::cmp::Ordering {
    let cheaper = a.1.terms.total().cmp(&b.1.terms.total());
    let emptier = a.0.load.total_cmp(&b.0.load);
    match (a.0.load >= hot_load, b.0.load >= hot_load) {
        (false, false) => cheaper.then(emptier),
        (true, true) => emptier.then(cheaper),
        (a_is_hot, b_is_hot) => a_is_hot.cmp(&b_is_hot),
    }
}

/// Draws one node that fits, other than `known`. After a few draws that fail, the nodes are tried in turn from a random one.
fn draw(
    need: &Need<'_>,
    place: &Place,
    round: Round,
    (nodes, known): (&[NodeIndex], Option<NodeIndex>),
    dice: &mut impl Rng,
) -> Option<Fit> {
    let count = nodes.len();
    if count <= usize::from(known.is_some()) {
        return None;
    }
    let fits = |node: NodeIndex| {
        if known == Some(node) { None } else { need.fit(place, node, round.seats, round.care).ok() }
    };
    for _ in 0..TRIES {
        if let Some(fit) = fits(nodes[dice.random_range(0..count)]) {
            return Some(fit);
        }
    }
    let start = dice.random_range(0..count);
    let look_at = match round.care {
        Care::Quick => SCAN,
        Care::Thorough => count,
    };
    nodes[start..].iter().chain(&nodes[..start]).take(look_at).copied().find_map(fits)
}
