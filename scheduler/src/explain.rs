//! The explanation: why every other node was passed over, in groups. It looks at the whole fleet and writes text, so it is
//! apart from the decision: whoever wants it asks the same view.

use crate::allowed::{Allowed, nothing};
use crate::decide::need::{Care, Need, Seats, Unfit};
use crate::filter::{Reason, Rejected, reject, unfit};
use crate::fleet::{FleetView, Gate, Node, PoolIndex, Standing};
use crate::policy::Policy;
use crate::request::{Priority, Request};
use crate::units::Timestamp;

/// Says why nodes cannot serve `request`, grouped by pool and reason. Every node is counted here or could serve.
#[must_use]
pub fn explain(view: &FleetView, request: &Request, policy: &Policy, now: Timestamp) -> Vec<Rejected> {
    let allowed = match Allowed::of(view, request, &policy.rules) {
        Ok(allowed) => allowed,
        Err(refusal) => return nothing(view).rejected(request, |_| Some(refusal.rule())),
    };
    let within = |set| Need::new(set, request, policy, now);
    let (first, could_serve) = rejected(&within(allowed.first()), &allowed);
    if could_serve || allowed.first().is(&allowed.fallback()) {
        return first;
    }
    rejected(&within(allowed.fallback()), &allowed).0
}

/// Explains over the pools of `need`, and tells whether any node there could serve.
fn rejected(need: &Need<'_>, allowed: &Allowed<'_>) -> (Vec<Rejected>, bool) {
    let view = need.view;
    let mut rejected = need.allowed().rejected(need.request, |pool| allowed.closed_by(pool));
    let mut counts = vec![0_usize; view.pools.len()];
    let mut could_serve = false;
    for (index, line) in view.maps.nodes().map(|(_, index)| (index, &view.lines[index.get()])) {
        let pool = line.pool;
        counts[pool.get()] += 1;
        if !need.allowed().contains(pool) {
            continue;
        }
        let Some(node) = view.at(index) else { continue };
        match why_not(need, node, pool, index) {
            Some(why) => reject(&mut rejected, &view.pools[pool.get()], Some(&node.report.node), why),
            None => could_serve = true,
        }
    }
    for (pool, _) in view.pools.iter().zip(counts).filter(|(_, count)| *count == 0) {
        if rejected.iter().all(|known| known.pool != pool.name) {
            reject(&mut rejected, pool, None, Reason::NoNodes);
        }
    }
    (rejected, could_serve)
}

fn why_not(need: &Need<'_>, node: Node<'_>, pool: PoolIndex, index: crate::fleet::NodeIndex) -> Option<Reason> {
    let line = &need.view.pool_lines[pool.get()];
    if let Gate::Shut { until } = line.gate
        && need.now < until
    {
        return Some(Reason::Shunned { left: until.since(need.now) });
    }
    if node.line.standing == Standing::Ejected {
        return Some(Reason::Ejected);
    }
    let place = need.place(pool)?;
    if let Some(why) = unfit(node, need.request, place.patience, need.now) {
        return Some(why);
    }
    if let Some(limit) = need.request.max_cost {
        let cost = need.price(&place, index);
        if cost > limit {
            return Some(Reason::TooDear { cost });
        }
    }
    let (seats, slots) = match need.request.priority {
        Priority::Live | Priority::Interactive => (Seats::Hard, node.report.hard_slots),
        Priority::Batch => (need.batch_seats(index), node.report.soft_slots),
    };
    match need.fit(&place, index, seats, Care::Thorough) {
        Ok(_) if !need.rounds().is_empty() => None,
        Ok(_) | Err(Unfit::Full | Unfit::Otherwise) => Some(Reason::Full { used: node.used_estimate(need.now), slots }),
    }
}
