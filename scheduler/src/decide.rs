//! The decision: the allowed set, then the pools that a rule prefers, then the method that the policy names, then the node that the session was on.
//!
//! * [`decide()`]: the whole of it; pure. [`Choice`]: what comes of it, in numbers. [`Decision`]: the same with names.
//! * `need`: a request against one view: filters as a handful of comparisons. `by_score`: the method that we believe in.
//! * `baselines`: what others do.

mod baselines;
mod by_score;
mod choice;
pub(crate) mod need;

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::allowed::{Allowed, pools_of};
use crate::explain::explain;
use crate::filter::Reason;
use crate::fleet::{FleetView, PoolIndex, Side};
use crate::policy::{Method, Policy};
use crate::request::Request;
use crate::rules::Preference;
use crate::units::Timestamp;

pub use baselines::{Knobs, Lots, Turns};
pub use choice::{Choice, Decision, Pick, Placement, Refusal, Seat};
use need::{Care, Need, Seats, Unfit};

/// Decides which nodes serve `request`, in time that does not grow with the fleet. Pure: the same view, promises included, and
/// the same arguments and dice give the same choice. Nothing is promised: that is [`FleetView::reserve`].
pub fn decide(view: &FleetView, request: &Request, policy: &Policy, now: Timestamp, dice: &mut impl Rng) -> Choice {
    let Ok(allowed) = Allowed::of(view, request, &policy.rules) else { return Choice::refused(Refusal::NotAllowed) };
    if allowed.fallback().is_empty() {
        return Choice::refused(Refusal::NotAllowed);
    }
    let mut need = Need::new(allowed.first(), request, policy, now);
    let mut choice = preferred(&need, allowed.preference(), dice);
    if choice.picks().is_empty() && !allowed.fallback().is(&allowed.first()) {
        need = need.within(allowed.fallback());
        choice = by_method(&need, dice);
    }
    stay(&need, &mut choice);
    if choice.picks().is_empty() { Choice::refused(refusal(&need)) } else { choice }
}

fn by_method(need: &Need<'_>, dice: &mut impl Rng) -> Choice {
    match need.policy.method {
        Method::Score => by_score::choose(need, dice),
        Method::RoundRobin
        | Method::Random
        | Method::LeastLoaded
        | Method::TwoChoices
        | Method::PeakEwma
        | Method::Weighted
        | Method::Cheapest => baselines::choose(need, dice),
    }
}

/// Takes the pool that a rule prefers first, if one has room, and then what the method says.
fn preferred(need: &Need<'_>, preference: Preference<'_>, dice: &mut impl Rng) -> Choice {
    let order = match preference {
        Preference::Cost => return by_method(need, dice),
        Preference::Listed(pools) => pools.iter().copied().map(PoolIndex).collect(),
        Preference::Weighted(weights) => drawn(weights, dice),
    };
    let in_pool = |pool: &PoolIndex| by_method(&need.softly_in(*pool), dice);
    let mut choice = order.iter().map(in_pool).find(|choice| !choice.picks().is_empty()).unwrap_or_else(Choice::none);
    choice.fill(&by_method(need, dice));
    choice
}

/// Draws pools one after the other, each by its weight among those that are left.
fn drawn(weights: &[(u8, u32)], dice: &mut impl Rng) -> Vec<PoolIndex> {
    let mut left = weights.to_vec();
    let mut order = Vec::with_capacity(left.len());
    while let Ok((pool, _)) = left.choose_weighted(dice, |(_, weight)| *weight).copied() {
        left.retain(|(other, _)| *other != pool);
        order.push(PoolIndex(pool));
    }
    order
}

/// Puts the node that the session was on first, if it may serve it and has a soft slot.
fn stay(need: &Need<'_>, choice: &mut Choice) {
    let Some(node) = need.request.prefer.as_ref().and_then(|name| need.view.index_of(name)) else { return };
    let pool = need.view.lines[node.get()].pool;
    let Some(place) = need.place(pool).filter(|_| need.allowed().contains(pool)) else { return };
    if let Ok(fit) = need.fit(&place, node, Seats::Soft, Care::Thorough) {
        choice.put_first(need.pick(&place, fit));
    }
}

/// Full, if slots are all that is missing on any node; this is asked only after nothing was found.
fn refusal(need: &Need<'_>) -> Refusal {
    for pool in pools_of(need.allowed().bits()) {
        let Some(place) = need.place(pool) else { continue };
        for side in [Side::Open, Side::Closed] {
            let mut nodes = need.allowed().nodes(pool, side).iter();
            // A batch chunk may be kept from slots that are free.
            if nodes.any(|node| !matches!(need.fit(&place, *node, Seats::Soft, Care::Thorough), Err(Unfit::Otherwise)))
            {
                return Refusal::Full;
            }
        }
    }
    let rejected = explain(need.view, need.request, need.policy, need.now);
    let deaf = rejected.iter().any(|group| group.why == Reason::FilesOnly);
    if deaf && rejected.iter().all(|group| group.why.is_lasting()) { Refusal::FilesOnly } else { Refusal::NoLiveNode }
}

#[cfg(test)]
mod tests;
