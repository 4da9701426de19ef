//! Which pools cover a need at the least price, under every limit.
//!
//! Greedy, node by node: the next node is the one whose hour costs least per slot that is still lacking, so that a small
//! rest is given a small node. Needs with the fewest lawful pools choose first. Where that leaves a need short it is tried
//! again, a few times: the short need chooses first, and a node of a provider at its limit is made dearer, so that fewer
//! and larger ones are taken. The attempt that lacks least wins.

use super::Why;
use super::config::ProviderLimits;
use super::situation::Zone;
use crate::pool::Provider;

/// Slots below which nothing is lacking: what shares with seven digits leave.
pub(super) const NOTHING: f64 = 1e-3;
/// How often a fill that leaves a need short is tried again.
const ATTEMPTS: usize = 8;
/// Up to this many spot nodes need not be spread.
const UNSPREAD_NODES: u32 = 6;

/// A pool that can be filled.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) provider: Provider,
    /// The zone, of spot pools only.
    pub(super) spot_zone: Option<Zone>,
    /// Slots of one node.
    pub(super) slots: f64,
    /// Dollars for a node-hour.
    pub(super) node_hour: f64,
    /// Dollars for an hour of a used slot beside the node: egress and risk.
    pub(super) slot_hour: f64,
    /// Nodes that are there, or will be in time.
    pub(super) standing: u32,
    /// Nodes that should be there by now and are not: they count under every limit and cover nothing.
    pub(super) overdue: u32,
    /// Fewest nodes.
    pub(super) floor: u32,
    /// Nodes to have if limits allow, and why.
    pub(super) hoped: u32,
    pub(super) hoped_why: Why,
    /// Most nodes, and why.
    pub(super) ceiling: u32,
    pub(super) ceiling_why: Why,
}

impl Offer {
    /// Returns the dollars for a slot-hour of a node that is full.
    pub(super) fn full_price(&self) -> f64 {
        self.node_hour / self.slots + self.slot_hour
    }

    /// Lets the pool keep what it has, and its minimum, but grow by no more than so many nodes.
    pub(super) fn hold_back(&mut self, growth: u32, why: Why) {
        let most = (self.standing + growth).max(self.floor);
        if most < self.ceiling {
            self.ceiling = most;
            self.ceiling_why = why;
        }
    }
}

/// Slots that some pools must hold.
#[derive(Clone, Debug)]
pub(super) struct Need {
    /// The offers that may serve it.
    pub(super) lawful: Vec<usize>,
    /// How many.
    pub(super) slots: f64,
}

/// What binds every fill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) providers: &'a [ProviderLimits],
    /// Most of the spot slots in one zone.
    pub(super) zone_share: f64,
    /// By how much a node that is there seems cheaper.
    pub(super) keep: f64,
}

impl Rules<'_> {
    fn limits(&self, provider: Provider) -> (u32, u32) {
        let found = self.providers.iter().find(|limits| limits.provider == provider);
        found.map_or((0, u32::MAX), |limits| (limits.min, limits.max))
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    /// Nodes per offer, overdue ones included.
    pub(super) wanted: Vec<u32>,
    /// Why that many.
    pub(super) why: Vec<Why>,
    /// Slots that each need lacks.
    pub(super) short: Vec<f64>,
}

impl Filled {
    fn lacking(&self) -> f64 {
        self.short.iter().sum()
    }
}

/// Fills `needs` from `offers`.
pub(super) fn fill(offers: &[Offer], needs: &[Need], rules: Rules<'_>) -> Filled {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|need| needs[*need].lawful.len());
    let mut surcharge = 0.0;
    let mut best = attempt(offers, needs, rules, &order, surcharge);
    for _ in 0..ATTEMPTS {
        if best.lacking() <= NOTHING {
            break;
        }
        order.sort_by_key(|need| best.short[*need] <= NOTHING);
        surcharge = if surcharge == 0.0 { 0.25 } else { surcharge * 4.0 };
        let next = attempt(offers, needs, rules, &order, surcharge);
        if next.lacking() < best.lacking() - NOTHING {
            best = next;
        }
    }
    best
}

/// Tells whether `nodes` per offer cover every need.
pub(super) fn covers(offers: &[Offer], nodes: &[u32], needs: &[Need]) -> bool {
    let mut free: Vec<f64> = offers.iter().zip(nodes).map(|(offer, nodes)| offer.slots * f64::from(*nodes)).collect();
    let mut order: Vec<&Need> = needs.iter().collect();
    order.sort_by_key(|need| need.lawful.len());
    order.into_iter().all(|need| take_free(need, &mut free) <= NOTHING)
}

/// Uses free slots for `need` and returns what it still lacks.
fn take_free(need: &Need, free: &mut [f64]) -> f64 {
    need.lawful.iter().fold(need.slots, |lacking, offer| {
        let taken = lacking.min(free[*offer]);
        free[*offer] -= taken;
        lacking - taken
    })
}

fn attempt(offers: &[Offer], needs: &[Need], rules: Rules<'_>, order: &[usize], surcharge: f64) -> Filled {
    let mut filling = Filling::new(offers, rules, surcharge);
    filling.meet_provider_minimums();
    filling.meet_hopes();
    let mut short = vec![0.0; needs.len()];
    for need in order {
        short[*need] = filling.meet(&needs[*need]);
    }
    let why = (0..offers.len()).map(|offer| filling.why(offer)).collect();
    let wanted = offers.iter().zip(filling.wanted).map(|(offer, wanted)| wanted + offer.overdue).collect();
    Filled { wanted, why, short }
}

/// A fill under way.
struct Filling<'a> {
    offers: &'a [Offer],
    rules: Rules<'a>,
    /// What a node of a limited provider costs on top, so that large ones are preferred.
    surcharge: f64,
    wanted: Vec<u32>,
    free: Vec<f64>,
}

impl<'a> Filling<'a> {
    fn new(offers: &'a [Offer], rules: Rules<'a>, surcharge: f64) -> Self {
        let wanted: Vec<u32> = offers.iter().map(|offer| offer.floor).collect();
        let free = offers.iter().map(|offer| offer.slots * f64::from(offer.floor)).collect();
        Self { offers, rules, surcharge, wanted, free }
    }

    fn meet_provider_minimums(&mut self) {
        for limits in self.rules.providers {
            let mine: Vec<usize> =
                (0..self.offers.len()).filter(|offer| self.offers[*offer].provider == limits.provider).collect();
            while self.of_provider(limits.provider) < limits.min {
                let Some(next) = self.next(&mine, f64::INFINITY) else { break };
                self.add(next);
            }
        }
    }

    fn meet_hopes(&mut self) {
        for offer in 0..self.offers.len() {
            while self.wanted[offer] < self.offers[offer].hoped && self.limit(offer).is_none() {
                self.add(offer);
            }
        }
    }

    /// Returns what it still lacks.
    fn meet(&mut self, need: &Need) -> f64 {
        let mut lacking = take_free(need, &mut self.free);
        while lacking > NOTHING {
            let Some(next) = self.next(&need.lawful, lacking) else { break };
            self.add(next);
            let taken = lacking.min(self.free[next]);
            self.free[next] -= taken;
            lacking -= taken;
        }
        lacking
    }

    fn add(&mut self, offer: usize) {
        self.wanted[offer] += 1;
        self.free[offer] += self.offers[offer].slots;
    }

    /// Picks the offer whose next node costs least for the slots that are lacking.
    fn next(&self, lawful: &[usize], lacking: f64) -> Option<usize> {
        let room: Vec<usize> = lawful.iter().copied().filter(|offer| self.limit(*offer).is_none()).collect();
        let spread: Vec<usize> = room.iter().copied().filter(|offer| self.is_spread(*offer)).collect();
        let spot_is_spread = spread.iter().any(|offer| self.offers[*offer].spot_zone.is_some());
        let few = self.spot_nodes() < UNSPREAD_NODES;
        let usable = if spot_is_spread || !few { spread } else { room };
        usable.into_iter().min_by(|a, b| self.price(*a, lacking).total_cmp(&self.price(*b, lacking)))
    }

    fn price(&self, offer: usize, lacking: f64) -> f64 {
        let Offer { slots, node_hour, slot_hour, standing, provider, .. } = &self.offers[offer];
        let kept = if self.wanted[offer] < *standing { 1.0 - self.rules.keep } else { 1.0 };
        let surcharge = if self.rules.limits(*provider).1 < u32::MAX { self.surcharge } else { 0.0 };
        (node_hour * kept + surcharge) / slots.min(lacking) + slot_hour
    }

    /// Returns what keeps an offer from growing, beside the spread over zones.
    fn limit(&self, offer: usize) -> Option<Why> {
        let Offer { ceiling, ceiling_why, provider, .. } = &self.offers[offer];
        if self.wanted[offer] >= *ceiling {
            Some(*ceiling_why)
        } else {
            (self.of_provider(*provider) >= self.rules.limits(*provider).1).then_some(Why::ProviderMaximum)
        }
    }

    /// Tells whether one more node leaves its zone within its share of spot slots, to within a node.
    fn is_spread(&self, offer: usize) -> bool {
        let Offer { spot_zone: Some(zone), slots, .. } = &self.offers[offer] else { return true };
        let (mut here, mut all) = (0.0, 0.0);
        for (other, wanted) in self.offers.iter().zip(&self.wanted) {
            let there = other.slots * f64::from(*wanted);
            all += if other.spot_zone.is_some() { there } else { 0.0 };
            here += if other.spot_zone.as_ref() == Some(zone) { there } else { 0.0 };
        }
        here <= self.rules.zone_share * (all + slots)
    }

    fn spot_nodes(&self) -> u32 {
        self.sum(|offer| offer.spot_zone.is_some())
    }

    fn of_provider(&self, provider: Provider) -> u32 {
        self.sum(|offer| offer.provider == provider)
    }

    fn sum(&self, of: impl Fn(&Offer) -> bool) -> u32 {
        let parts = self.offers.iter().zip(&self.wanted).filter(|(offer, _)| of(offer));
        parts.map(|(offer, wanted)| wanted + offer.overdue).sum()
    }

    fn why(&self, index: usize) -> Why {
        let offer = &self.offers[index];
        let wanted = self.wanted[index];
        let held_back = matches!(offer.ceiling_why, Why::Unmanaged | Why::BackOff | Why::Suspect | Why::Overdue);
        if held_back && wanted >= offer.ceiling {
            offer.ceiling_why
        } else if wanted > offer.floor.max(offer.hoped) {
            self.limit(index).unwrap_or_else(|| if self.is_spread(index) { Why::Cheapest } else { Why::ZoneShare })
        } else if wanted > offer.floor {
            offer.hoped_why
        } else if wanted > 0 {
            Why::Minimum
        } else {
            Why::NotNeeded
        }
    }
}
