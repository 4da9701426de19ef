//! Commitments: a minimum of nodes is paid for whether they run or not. What a pool or a provider has less than its minimum is
//! billed as if it ran, at the pool's price or at the lowest price of the provider. So no policy saves by falling short of a
//! minimum, and the bound may charge for it.

use scheduler::Provider;

use crate::case::Case;

/// One minimum: which pools count toward it, and what an hour of a missing node costs.
#[derive(Clone, Debug)]
pub(crate) struct Commitment {
    /// Places of the pools in the fleet.
    pub(crate) pools: Vec<usize>,
    /// Nodes.
    pub(crate) nodes: f64,
    /// Dollars.
    pub(crate) dollars_per_hour: f64,
}

/// Lists the commitments of a case: of pools, and of providers beyond those of their pools.
pub(crate) fn commitments(case: &Case) -> Vec<Commitment> {
    let pools = case.fleet.pools.iter().enumerate().filter(|(_, pool)| pool.nodes.min > 0);
    let of_pool = |(index, pool): (usize, &crate::scenario::PoolSpec)| Commitment {
        pools: vec![index],
        nodes: f64::from(pool.nodes.min),
        dollars_per_hour: pool.dollars_per_hour(),
    };
    pools.map(of_pool).chain(PROVIDERS.into_iter().filter_map(|provider| of_provider(case, provider))).collect()
}

const PROVIDERS: [Provider; 6] =
    [Provider::Aws, Provider::Gcp, Provider::Coreweave, Provider::OnPrem, Provider::Azure, Provider::Other];

fn of_provider(case: &Case, provider: Provider) -> Option<Commitment> {
    let ours = || case.fleet.pools.iter().enumerate().filter(move |(_, pool)| pool.provider == provider);
    let nodes = case.fleet.providers.get(provider)?.min;
    // Pools with minimums of their own would be billed twice; their nodes count all the same.
    let of_pools: u32 = ours().map(|(_, pool)| pool.nodes.min).sum();
    let dollars_per_hour = ours().map(|(_, pool)| pool.dollars_per_hour()).min_by(f64::total_cmp)?;
    (nodes > of_pools).then(|| Commitment {
        pools: ours().map(|(index, _)| index).collect(),
        nodes: f64::from(nodes),
        dollars_per_hour,
    })
}

/// Returns the dollars an hour that are billed for what is missing.
pub(crate) fn missing_dollars_per_hour(case: &Case, nodes: impl Fn(usize) -> f64) -> f64 {
    let missing = |commitment: &Commitment| {
        let present: f64 = commitment.pools.iter().map(|pool| nodes(*pool)).sum();
        (commitment.nodes - present).max(0.0) * commitment.dollars_per_hour
    };
    commitments(case).iter().map(missing).sum()
}
