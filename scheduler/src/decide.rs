//! The decision: the allowed set, then the method that the policy names, then the node that the session was on.
//!
//! * [`decide()`]: the whole of it; pure. [`Choice`]: what comes of it, in numbers. [`Decision`]: the same with names.
//! * `need`: a request against one view: filters as a handful of comparisons. `by_score`: the method that we believe in.
//! * `baselines`: what others do.

mod baselines;
mod by_score;
mod choice;
pub(crate) mod need;

use rand::Rng;

use crate::allowed::pools_of;
use crate::explain::explain;
use crate::filter::Reason;
use crate::fleet::{FleetView, Side};
use crate::policy::{Method, Policy};
use crate::request::Request;
use crate::units::Timestamp;

pub use baselines::{Knobs, Lots, Turns};
pub use choice::{Choice, Decision, Pick, Placement, Refusal, Seat};
use need::{Care, Need, Seats, Unfit};

/// Decides which nodes serve `request`, in time that does not grow with the fleet. Pure: the same view, promises included, and
/// the same arguments and dice give the same choice. Nothing is promised: that is [`FleetView::reserve`].
pub fn decide(view: &FleetView, request: &Request, policy: &Policy, now: Timestamp, dice: &mut impl Rng) -> Choice {
    let need = Need::new(view, request, policy, now);
    if need.allowed().is_empty() {
        return Choice::refused(Refusal::NotAllowed);
    }
    let mut choice = match policy.method {
        Method::Score => by_score::choose(&need, dice),
        Method::RoundRobin
        | Method::Random
        | Method::LeastLoaded
        | Method::TwoChoices
        | Method::PeakEwma
        | Method::Weighted
        | Method::Cheapest => baselines::choose(&need, dice),
    };
    stay(&need, &mut choice);
    if choice.picks().is_empty() { Choice::refused(refusal(&need)) } else { choice }
}

/// Puts the node that the session was on first, if it may serve it and has a soft slot.
fn stay(need: &Need<'_>, choice: &mut Choice) {
    let Some(node) = need.request.prefer.as_ref().and_then(|name| need.view.index_of(name)) else { return };
    let pool = need.view.lines[node.get()].pool;
    let allowed = need.allowed().bits() & (1 << pool.0) != 0;
    let Some(place) = need.place(pool).filter(|_| allowed) else { return };
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
