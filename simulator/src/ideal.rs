//! Ideals: a case without one of the world's imperfections, and a run beside its bound there. What the ratio falls by is what
//! that imperfection costs; bounds know the imperfection too, so nothing is gained by an easier task.

use std::time::Duration;

use scheduler::Ratio;

use crate::case::Case;
use crate::policy::{Contender, Scaling};
use crate::scenario::{FleetFile, SlotSpec, Telemetry};

/// One imperfection less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ideal {
    /// Every change is known at once, to one router that places everything.
    Reports,
    /// Nodes are there when they are ordered.
    Boot,
    /// Spot nodes are never short and never taken away.
    Spot,
    /// Three small nodes for each, at the same price per slot.
    SmallNodes,
    /// All of these.
    World,
    /// Streams may fill every slot: no ideal of the world but a choice, and what it costs shows in the service.
    NoHeadroom,
}

/// Small nodes for one.
const PIECES: u32 = 3;

impl Ideal {
    /// Every ideal, in the order in which they are shown.
    pub const ALL: [Self; 6] = [Self::Reports, Self::Boot, Self::Spot, Self::SmallNodes, Self::World, Self::NoHeadroom];

    /// Returns what tables call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Reports => "reports at once, one router",
            Self::Boot => "no boot time",
            Self::Spot => "spot never short",
            Self::SmallNodes => "nodes of a third",
            Self::World => "all four",
            Self::NoHeadroom => "no headroom",
        }
    }

    /// Returns the case as it would be.
    #[must_use]
    pub fn case(self, case: &Case) -> Case {
        let mut ideal = case.clone();
        self.improve(&mut ideal);
        ideal.name = format!("{}, {}", case.name, self.label());
        ideal
    }

    fn improve(self, case: &mut Case) {
        match self {
            Self::Reports => case.telemetry = AT_ONCE,
            Self::Boot => case.fleet.pools.iter_mut().for_each(|pool| pool.boot = Duration::ZERO),
            Self::Spot => case.let_spot_be_never_short(),
            Self::SmallNodes => cut_in_pieces(&mut case.fleet),
            Self::World => {
                [Self::Reports, Self::Boot, Self::Spot, Self::SmallNodes].into_iter().for_each(|one| one.improve(case));
            }
            Self::NoHeadroom => {}
        }
    }

    /// Returns the contender as it would be.
    #[must_use]
    pub fn contender(self, contender: &Contender) -> Contender {
        let mut contender = contender.clone();
        if let (Self::NoHeadroom, Scaling::Planner(planner)) = (self, &mut contender.scaling) {
            let whole = Ratio::clamped(1.0);
            (planner.target, planner.target_least, planner.target_most) = (whole, whole, whole);
        }
        contender
    }
}

const AT_ONCE: Telemetry = Telemetry { routers: 1, period: Duration::ZERO, delay: Duration::ZERO };

/// Cuts every node in pieces; a slot that does not divide is left out, and its price with it.
fn cut_in_pieces(fleet: &mut FleetFile) {
    for pool in &mut fleet.pools {
        let slots = SlotSpec { soft: (pool.slots.soft / PIECES).max(1), hard: (pool.slots.hard / PIECES).max(1) };
        let share = f64::from(slots.soft) / f64::from(pool.slots.soft.max(1));
        pool.node_hour = scheduler::MicroDollars::from_dollars(pool.node_hour.dollars() * share);
        pool.slots = slots;
        (pool.nodes.min, pool.nodes.max) = (pool.nodes.min * PIECES, pool.nodes.max * PIECES);
    }
    fleet.providers = fleet.providers.times(PIECES);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::built_in;
    use crate::run::Bounded;
    use crate::testing::case;

    #[test]
    fn in_a_perfect_world_nobody_pays_for_boots_and_nothing_is_taken_away() {
        let case = case("S", |scenario| scenario.duration = Duration::from_secs(4 * 3600));
        let run = |case: &Case| {
            let bounded = Bounded::draw(case, 1);
            let contender = built_in("crosspoint", None, &bounded.trial).unwrap();
            bounded.run(case, &contender).unwrap().outcome
        };
        let (real, ideal) = (run(&case), run(&Ideal::World.case(&case)));
        assert!(real.loss.boot_usd > 0.0);
        assert_eq!((ideal.loss.boot_usd, ideal.preempted), (0.0, 0));
    }

    #[test]
    fn pieces_have_the_price_of_the_whole() {
        let case = case("S", |_| {});
        let slots = |case: &Case| case.fleet.pools.iter().map(|pool| pool.slots.soft * pool.nodes.max).sum::<u32>();
        let price = |case: &Case| {
            let per_slot = case.fleet.pools.iter().map(|pool| pool.dollars_per_hour() / f64::from(pool.slots.soft));
            (per_slot.sum::<f64>() * 1e3).round()
        };
        let pieces = Ideal::SmallNodes.case(&case);
        assert!(slots(&pieces) <= slots(&case) && slots(&pieces) * 10 > slots(&case) * 9);
        assert_eq!(price(&pieces), price(&case));
    }
}
