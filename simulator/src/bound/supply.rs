//! Supply: the pools of a fleet as the bound sees them, with what cannot matter left out.

use std::time::Duration;

use scheduler::{Market, Provider};

use crate::case::{Case, Trial};
use crate::scenario::PoolSpec;

/// Pools that are the same to the bound.
#[derive(Clone, Debug)]
pub(super) struct Supply {
    /// Their places in the fleet.
    pub(super) pools: Vec<usize>,
    pub(super) provider: Provider,
    pub(super) soft: f64,
    /// Slots above soft.
    pub(super) above: f64,
    pub(super) dollars_per_hour: f64,
    /// Dollars of one boot.
    pub(super) boot_dollars: f64,
    /// Nodes beyond the committed ones that can run in each bin, on average.
    pub(super) most: Vec<f64>,
    /// The largest of those.
    pub(super) peak: f64,
    /// The program's variables, by bin.
    pub(super) variables: Vec<usize>,
}

/// Returns the supplies of a trial: pools that differ in nothing are one, and an on-demand pool that another one of the same
/// provider beats at everything is left out. A point of the full program has one of the smaller program that costs no more.
pub(super) fn supplies(case: &Case, trial: &Trial, width: Duration, bins: usize) -> Vec<Supply> {
    let mut supplies: Vec<Supply> = Vec::new();
    for (index, pool) in case.fleet.pools.iter().enumerate() {
        if pool.nodes.max <= pool.nodes.min || case.fleet.pools.iter().any(|other| beats(case, other, pool)) {
            continue;
        }
        let supply = supply(index, pool, trial.capacity[index].means(width, bins));
        match supplies.iter_mut().find(|known| known.is_like(&supply)) {
            Some(known) => known.merge(&supply),
            None => supplies.push(supply),
        }
    }
    supplies
}

/// Returns the providers that have supplies.
pub(super) fn providers(supplies: &[Supply]) -> Vec<Provider> {
    let mut providers: Vec<Provider> = Vec::new();
    for supply in supplies {
        if !providers.contains(&supply.provider) {
            providers.push(supply.provider);
        }
    }
    providers
}

fn supply(index: usize, pool: &PoolSpec, capacity: Vec<f64>) -> Supply {
    let min = f64::from(pool.nodes.min);
    let most: Vec<f64> = capacity.into_iter().map(|nodes| (nodes - min).max(0.0)).collect();
    Supply {
        pools: vec![index],
        provider: pool.provider,
        soft: pool.slots.soft.into(),
        above: pool.slots.hard.saturating_sub(pool.slots.soft).into(),
        dollars_per_hour: pool.dollars_per_hour(),
        boot_dollars: pool.dollars_per_hour() * pool.boot.as_secs_f64() / 3600.0,
        peak: most.iter().copied().fold(0.0, f64::max),
        most,
        variables: Vec::new(),
    }
}

impl Supply {
    fn is_like(&self, other: &Self) -> bool {
        let figures = |supply: &Self| [supply.soft, supply.above, supply.dollars_per_hour, supply.boot_dollars];
        self.provider == other.provider && figures(self) == figures(other)
    }

    fn merge(&mut self, other: &Self) {
        self.pools.extend(&other.pools);
        self.most.iter_mut().zip(&other.most).for_each(|(most, more)| *most += more);
        self.peak = self.most.iter().copied().fold(0.0, f64::max);
    }
}

/// Tells whether `better` can stand in for `pool` at all times and at no more cost: as many slots for less money, larger
/// nodes, so that fewer are needed, and more of them than the provider allows. What its fewer nodes lack of a commitment must
/// not eat up what they save.
fn beats(case: &Case, better: &PoolSpec, pool: &PoolSpec) -> bool {
    let on_demand = |pool: &PoolSpec| pool.market == Market::OnDemand && pool.nodes.min == 0;
    if better.name == pool.name || better.provider != pool.provider || !on_demand(better) || !on_demand(pool) {
        return false;
    }
    let same = case.fleet.pools.iter().filter(|other| other.provider == pool.provider);
    let cheapest = same.map(PoolSpec::dollars_per_hour).fold(f64::INFINITY, f64::min);
    let slots = |pool: &PoolSpec| f64::from(pool.slots.soft);
    let share = slots(pool) / slots(better);
    let above = |pool: &PoolSpec| f64::from(pool.slots.hard) / slots(pool);
    let price = better.dollars_per_hour() * share + cheapest * (1.0 - share);
    let strictly = price < pool.dollars_per_hour() || (share < 1.0 && price <= pool.dollars_per_hour());
    share <= 1.0
        && strictly
        && above(better) >= above(pool) - 1e-9
        && better.boot <= pool.boot
        && better.egress_gb <= pool.egress_gb
        && better.nodes.max >= case.provider_limits(pool.provider).max
}
