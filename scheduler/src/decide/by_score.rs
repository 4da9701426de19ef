//! The score: the cheapest pools on average, one of them drawn by its free slots, and two choices inside it. Nothing here
//! looks at more than a few nodes, unless nearly all are full.

use rand::Rng;

use crate::allowed::pools_of;
use crate::decide::need::{Care, Fit, Need, Place, Round};
use crate::decide::{Choice, Pick};
use crate::fleet::{MOST_POOLS, NodeIndex, PoolIndex};
use crate::numbers::short;

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
const NEVER: i32 = i32::MAX;
/// The bit of each pool in its half of a set.
const BITS: [u32; HALF] = {
    let mut bits = [0; HALF];
    let mut pool = 0;
    while pool < HALF {
        bits[pool] = 1 << pool;
        pool += 1;
    }
    bits
};
/// A set of pools is looked at in two halves, since processors compare whole numbers of 32 bits several at once.
const HALF: usize = MOST_POOLS / 2;

/// Pools with what a session costs there on average. A cost is the bits of its microdollars an hour as a float: those of
/// floats that are not negative are in the same order, and the least of many whole numbers is found in a few instructions.
struct Pools {
    costs: [i32; MOST_POOLS],
}

impl Pools {
    fn of(need: &Need<'_>, round: Round) -> Self {
        let (bits, parts) = (need.pools(round), &need.view.table(round.side).costs);
        let (scoring, gigabytes) = (&need.policy.scoring, short(need.gigabytes()));
        let weight = |dollars: f64| short(dollars * 1e6);
        let (latency, congestion, errors) =
            (weight(scoring.latency), weight(scoring.congestion), weight(scoring.errors));
        let mut costs = [NEVER; MOST_POOLS];
        for (pool, cost) in costs.iter_mut().enumerate() {
            let sum = parts.fixed[pool]
                + gigabytes * parts.egress[pool]
                + latency * parts.late[pool]
                + congestion * parts.congestion[pool]
                + errors * parts.errors[pool];
            *cost = sum.max(0.0).to_bits().cast_signed();
        }
        let mut pools = Self { costs };
        pools.keep(bits);
        pools
    }

    fn keep(&mut self, bits: u64) {
        let (low, high) = self.costs.split_at_mut(HALF);
        for (costs, bits) in [(low, lower(bits)), (high, lower(bits >> HALF))] {
            for (cost, bit) in costs.iter_mut().zip(BITS) {
                *cost = if bits & bit == 0 { NEVER } else { *cost };
            }
        }
    }

    fn remove(&mut self, pool: Option<PoolIndex>) {
        if let Some(pool) = pool {
            self.costs[pool.get()] = NEVER;
        }
    }

    /// Returns the pools that cost no more than this.
    fn up_to(&self, edge: i32) -> impl Iterator<Item = PoolIndex> + use<> {
        let (low, high) = self.costs.split_at(HALF);
        let [low, high] = [low, high]
            .map(|costs| costs.iter().zip(BITS).fold(0, |set, (cost, bit)| set | if *cost <= edge { bit } else { 0 }));
        pools_of(u64::from(high) << HALF | u64::from(low))
    }

    /// Returns the least cost of a pool that still promises something, and removes those that would be cheaper and do not.
    fn best(&mut self, need: &Need<'_>, round: Round) -> Option<i32> {
        loop {
            let least = self.costs.iter().copied().min().filter(|least| *least < NEVER)?;
            if self.up_to(least).any(|pool| need.promising(pool, round)) {
                return Some(least);
            }
            // Where the cheapest are used up others will be, and one look at all is shorter than many.
            let promising = self.up_to(NEVER - 1).filter(|pool| need.promising(*pool, round));
            let promising = promising.fold(0, |set, pool| set | 1 << pool.0);
            self.keep(promising);
        }
    }

    /// Removes and returns one of the pools that cost about as little as the best, drawn by free slots.
    fn draw(&mut self, need: &Need<'_>, round: Round, dice: &mut impl Rng) -> Option<PoolIndex> {
        let best = f32::from_bits(self.best(need, round)?.cast_unsigned());
        let limits = &need.policy.limits;
        let width = (limits.band_least.0 as f32).max(best * limits.band.get());
        let mut band = 0_u64;
        let mut slots = 0_u32;
        let weight = |pool| need.allowed().room(pool, round.side).max(1);
        let edge = (best + width).to_bits().cast_signed().min(NEVER - 1);
        for pool in self.up_to(edge).filter(|pool| need.promising(*pool, round)) {
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

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn lower(bits: u64) -> u32 {
    bits as u32
}

/// Draws two nodes of a pool and orders them.
fn two_choices(
    need: &Need<'_>,
    place: &Place,
    (pool, round): (PoolIndex, Round),
    dice: &mut impl Rng,
) -> Option<(Pick, Option<Pick>)> {
    let nodes = need.allowed().nodes(pool, round.side);
    let drawn = both(need, nodes, dice)?;
    let fits = |node: NodeIndex| need.fit(place, node, round.seats, round.care).ok();
    let first = fits(drawn[0]).or_else(|| draw(need, place, round, (nodes, None), dice))?;
    let second = if drawn[1] == first.node { None } else { fits(drawn[1]) };
    let Some(second) = second.or_else(|| draw(need, place, round, (nodes, Some(first.node)), dice)) else {
        return Some((need.pick(place, first), None));
    };
    let (a, b) = (need.pick(place, first), need.pick(place, second));
    let hot_load = need.policy.limits.hot_load.get().max(place.usual_load);
    let order = better((&first, &a), (&second, &b), hot_load);
    Some(if order.is_le() { (a, Some(b)) } else { (b, Some(a)) })
}

/// Draws two nodes, perhaps the same one twice, and sends for what is known of both before either is looked at: memory is
/// what a decision on a large fleet waits for.
fn both(need: &Need<'_>, nodes: &[NodeIndex], dice: &mut impl Rng) -> Option<[NodeIndex; 2]> {
    if nodes.is_empty() {
        return None;
    }
    let drawn = [dice.random_range(0..nodes.len()), dice.random_range(0..nodes.len())].map(|place| nodes[place]);
    std::hint::black_box(drawn.map(|node| need.glance(node)));
    Some(drawn)
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
