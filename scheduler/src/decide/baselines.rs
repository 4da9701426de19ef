//! What others do: the methods that the score is compared with. Each is what its name says, with one knob, over the same
//! allowed set and the same filters. They look at every node, since some of them must, and are not made for speed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::allowed::pools_of;
use crate::decide::Choice;
use crate::decide::need::{Care, Fit, Need, Place, Round};
use crate::fleet::PoolIndex;
use crate::ids::PoolName;
use crate::policy::Method;
use crate::request::Priority;
use crate::units::{Ratio, positive_duration};

/// What `round_robin` goes round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// All nodes.
    #[default]
    Nodes,
    /// The pools, and in each pool its nodes.
    Pools,
}

/// What `random` draws by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lots {
    /// Every node is as likely.
    #[default]
    Nodes,
    /// A node is as likely as it has soft slots.
    Slots,
}

/// One knob for each method that has one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// `round_robin`: what it goes round.
    pub turns: Turns,
    /// `random`: what it draws by.
    pub lots: Lots,
    /// `least_loaded`: how many nodes it looks at; all when absent.
    pub sample: Option<NonZeroU32>,
    /// `two_choices`: how many choices it has.
    pub choices: NonZeroU32,
    /// `peak_ewma`: how long a peak is remembered.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub decay: Duration,
    /// `weighted`: shares of pools; a pool that is not listed weighs nothing, unless none is.
    pub weights: BTreeMap<PoolName, u32>,
    /// `cheapest`: up to which share of its soft slots a node is filled before the next cheapest is begun.
    pub fill: Ratio,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            turns: Turns::Nodes,
            lots: Lots::Nodes,
            sample: None,
            choices: NonZeroU32::MIN.saturating_add(1),
            // The default of tower's balancer in linkerd.
            decay: Duration::from_secs(10),
            weights: BTreeMap::new(),
            fill: Ratio::clamped(1.0),
        }
    }
}

/// A node that may serve, and where it is.
#[derive(Clone, Copy)]
struct Candidate {
    fit: Fit,
    pool: PoolIndex,
    place: Place,
}

/// Chooses up to three nodes: the two that come first and the first of another pool.
pub(crate) fn choose(need: &Need<'_>, dice: &mut impl Rng) -> Choice {
    let quick = need.request.priority == Priority::Batch;
    for round in need.rounds().iter().filter(|round| quick || round.care == Care::Thorough) {
        let mut candidates = candidates(need, *round);
        if !candidates.is_empty() {
            order(need, &mut candidates, dice);
            return offer(need, &candidates);
        }
    }
    Choice::none()
}

fn candidates(need: &Need<'_>, round: Round) -> Vec<Candidate> {
    let places = pools_of(need.pools(round)).filter_map(|pool| Some((pool, need.place(pool)?)));
    places
        .flat_map(|(pool, place)| {
            let nodes = need.allowed().nodes(pool, round.side).iter();
            let fits = nodes.filter_map(move |node| need.fit(&place, *node, round.seats, round.care).ok());
            fits.map(move |fit| Candidate { fit, pool, place })
        })
        .collect()
}

fn offer(need: &Need<'_>, ordered: &[Candidate]) -> Choice {
    let mut choice = Choice::none();
    let Some(first) = ordered.first() else { return choice };
    let elsewhere = ordered.iter().find(|candidate| candidate.pool != first.pool);
    let second = ordered.get(1).filter(|second| Some(second.fit.node) != elsewhere.map(|other| other.fit.node));
    for candidate in [Some(first), second, elsewhere].into_iter().flatten() {
        choice.push(need.pick(&candidate.place, candidate.fit));
    }
    choice
}

/// Puts the candidates in the method's order.
fn order(need: &Need<'_>, candidates: &mut [Candidate], dice: &mut impl Rng) {
    let knobs = &need.policy.limits.knobs;
    match need.policy.method {
        Method::RoundRobin => take_turns(need, candidates, knobs.turns),
        Method::Random => draw_lots(need, candidates, knobs.lots, dice),
        Method::LeastLoaded => best_of(candidates, knobs.sample, by_load, dice),
        Method::TwoChoices => best_of(candidates, Some(knobs.choices), by_load, dice),
        Method::PeakEwma => best_of(candidates, NonZeroU32::new(2), |a, b| by_peak(need, a, b), dice),
        Method::Weighted => by_weight(need, candidates, &knobs.weights, dice),
        Method::Cheapest => candidates.sort_by(|a, b| by_price(need, a, b, knobs.fill.get())),
        // The score has a module of its own; nodes in their order are what is left when it is asked for here.
        Method::Score => {}
    }
}

fn take_turns(need: &Need<'_>, candidates: &mut [Candidate], turns: Turns) {
    let turn = need.view.promises.turn() as usize;
    match turns {
        Turns::Nodes => {
            candidates.sort_by_key(|candidate| candidate.fit.node);
            candidates.rotate_left(turn % candidates.len().max(1));
        }
        Turns::Pools => {
            let pools = candidates.chunk_by(|a, b| a.pool == b.pool).count().max(1);
            let begins = candidates.chunk_by(|a, b| a.pool == b.pool).take(turn % pools).map(<[_]>::len).sum();
            candidates.rotate_left(begins);
            let own = candidates.chunk_by(|a, b| a.pool == b.pool).next().map_or(0, <[_]>::len);
            candidates[..own].rotate_left(turn / pools % own.max(1));
        }
    }
}

fn draw_lots(need: &Need<'_>, candidates: &mut [Candidate], lots: Lots, dice: &mut impl Rng) {
    candidates.shuffle(dice);
    if lots == Lots::Slots {
        let slots = |candidate: &Candidate| need.view.lines[candidate.fit.node.get()].soft;
        let indices: Vec<usize> = (0..candidates.len()).collect();
        if let Ok(drawn) = indices.choose_weighted(dice, |index| slots(&candidates[*index])) {
            candidates.swap(0, *drawn);
        }
    }
}

/// Draws a sample and puts its best first; the others follow as they were drawn.
fn best_of(
    candidates: &mut [Candidate],
    sample: Option<NonZeroU32>,
    by: impl Fn(&Candidate, &Candidate) -> Ordering,
    dice: &mut impl Rng,
) {
    candidates.shuffle(dice);
    let count = sample.map_or(candidates.len(), |sample| candidates.len().min(sample.get() as usize));
    candidates[..count].sort_by(by);
}

fn by_load(a: &Candidate, b: &Candidate) -> Ordering {
    a.fit.load.total_cmp(&b.fit.load)
}

/// The cost of tower's `PeakEwma`: the estimated latency times the sessions there would be.
fn by_peak(need: &Need<'_>, a: &Candidate, b: &Candidate) -> Ordering {
    let cost = |candidate: &Candidate| {
        let peak = need.view.lines[candidate.fit.node.get()].peak + candidate.place.site.round_trip as f32;
        peak * (candidate.fit.used + 1) as f32
    };
    cost(a).total_cmp(&cost(b))
}

/// Draws a pool by its share, and takes the less loaded of two of its nodes.
fn by_weight(need: &Need<'_>, candidates: &mut [Candidate], weights: &BTreeMap<PoolName, u32>, dice: &mut impl Rng) {
    candidates.shuffle(dice);
    let share = |pool: PoolIndex| weights.get(&need.view.pools[pool.get()].name).copied().unwrap_or(0);
    let mut pools: Vec<PoolIndex> = candidates.iter().map(|candidate| candidate.pool).collect();
    pools.sort_unstable();
    pools.dedup();
    let Some(drawn) = pools.choose_weighted(dice, |pool| share(*pool)).or_else(|_| pools.choose(dice).ok_or(())).ok()
    else {
        return;
    };
    candidates.sort_by_key(|candidate| candidate.pool != *drawn);
    let own = candidates.iter().take(2).filter(|candidate| candidate.pool == *drawn).count();
    candidates[..own].sort_by(by_load);
}

/// Nodes below the filling mark first, then the cheaper, then the fuller: a node is filled before the next one is begun.
fn by_price(need: &Need<'_>, a: &Candidate, b: &Candidate, fill: f32) -> Ordering {
    let price = |candidate: &Candidate| {
        i64::from(need.view.lines[candidate.fit.node.get()].slot_price) + candidate.place.site.egress.0
    };
    let filled = |candidate: &Candidate| candidate.fit.load >= fill;
    let fuller = b.fit.load.total_cmp(&a.fit.load);
    filled(a).cmp(&filled(b)).then(price(a).cmp(&price(b))).then(fuller).then(a.fit.node.cmp(&b.fit.node))
}
