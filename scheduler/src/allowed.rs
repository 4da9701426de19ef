//! The allowed set: the pools that residency, compliance and the caller's key permit. It is built before anything is
//! weighed, and it is the only way to the nodes of a pool, so nothing later, panic included, can look outside it.

use crate::filter::{Reason, Rejected, reject};
use crate::fleet::{FleetView, Group, NodeIndex, PoolIndex, Side};
use crate::pool::Pool;
use crate::request::Request;

/// The pools that a request may use at all. Only these can be decided over.
#[derive(Clone, Copy, Debug)]
pub struct AllowedSet<'a> {
    view: &'a FleetView,
    bits: u64,
}

impl<'a> AllowedSet<'a> {
    /// Keeps the pools that residency, compliance and the key permit.
    #[must_use]
    pub fn of(view: &'a FleetView, request: &Request) -> Self {
        let every = u64::MAX.checked_shr(64 - u32::try_from(view.pool_lines.len()).unwrap_or(64)).unwrap_or(0);
        let mut bits = every;
        if let Some(wanted) = &request.residency {
            bits &= view.maps.resident(wanted);
        }
        for regime in &request.compliance {
            bits &= view.maps.audited(regime);
        }
        if let Some(granted) = &request.pools {
            let granted = granted.iter().filter_map(|name| view.maps.pool(name));
            bits &= granted.fold(0, |bits, pool| bits | 1 << pool);
        }
        Self { view, bits }
    }

    /// Returns the pools in the set.
    pub fn pools(&self) -> impl Iterator<Item = &'a Pool> {
        let view = self.view;
        pools_of(self.bits).map(|pool| &view.pools[pool.get()])
    }

    /// Tells whether no pool may serve.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    pub(crate) fn bits(&self) -> u64 {
        self.bits
    }

    /// Returns the nodes of a pool that stand on a side; none of a pool that is not in the set.
    pub(crate) fn nodes(&self, pool: PoolIndex, side: Side) -> &'a [NodeIndex] {
        self.group(pool, side).map_or(&[], Group::nodes)
    }

    /// Counts the soft slots free on a side of a pool, as reported.
    pub(crate) fn room(&self, pool: PoolIndex, side: Side) -> u32 {
        self.group(pool, side).map_or(0, Group::room)
    }

    fn group(&self, pool: PoolIndex, side: Side) -> Option<&'a Group> {
        (self.bits & (1 << pool.0) != 0).then(|| self.view.pool_lines[pool.get()].side(side))
    }

    /// Says why the other pools are left out.
    pub(crate) fn rejected(&self, request: &Request) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for (index, pool) in self.view.pools.iter().enumerate().filter(|(index, _)| self.bits & (1 << index) == 0) {
            if let Some(why) = forbidden(pool, request) {
                reject(&mut rejected, pool, None, why);
                let nodes = self.view.lines.iter().filter(|line| line.is_in(index)).count();
                if let Some(last) = rejected.last_mut() {
                    last.nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
                }
            }
        }
        rejected
    }
}

/// Returns the pools whose bits are set.
pub(crate) fn pools_of(mut bits: u64) -> impl Iterator<Item = PoolIndex> {
    std::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let lowest = bits.trailing_zeros();
        bits &= bits - 1;
        u8::try_from(lowest).ok().map(PoolIndex)
    })
}

fn forbidden(pool: &Pool, request: &Request) -> Option<Reason> {
    if let Some(wanted) = &request.residency
        && pool.residency != *wanted
    {
        return Some(Reason::Residency { pool: pool.residency.0.clone(), wanted: wanted.0.clone() });
    }
    if request.pools.as_ref().is_some_and(|granted| !granted.contains(&pool.name)) {
        return Some(Reason::NotGranted);
    }
    let missing = request.compliance.iter().find(|regime| !pool.compliance.contains(*regime))?;
    Some(Reason::Compliance { missing: missing.0.clone() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{pool, request};
    use crate::{Compliance, Fleet, Residency};

    #[test]
    fn a_pool_without_the_audit_or_elsewhere_is_not_in_the_set() {
        let audited = Pool { compliance: BTreeSet::from([Compliance("soc2".to_owned())]), ..pool("audited") };
        let european = Pool { residency: Residency("eu".to_owned()), ..audited.clone() };
        let european = Pool { name: "european".parse().unwrap(), ..european };
        let fleet = Fleet::new(vec![pool("plain"), audited, european]);
        let (residency, compliance) = (Some(Residency("us".to_owned())), [Compliance("soc2".to_owned())].into());
        let asked = Request { residency, compliance, ..request() };
        let allowed = AllowedSet::of(fleet.view(), &asked);
        assert_eq!(allowed.pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["audited"]);
        let why: Vec<_> = allowed.rejected(&asked).iter().map(|group| group.why.to_string()).collect();
        assert_eq!(why, ["pool is not audited for soc2", "audio must stay in us, pool is in eu"]);
    }

    #[test]
    fn a_pool_that_the_key_does_not_grant_is_not_in_the_set() {
        let fleet = Fleet::new(vec![pool("a"), pool("b")]);
        let granted = Request { pools: Some(["b".parse().unwrap()].into()), ..request() };
        let allowed = AllowedSet::of(fleet.view(), &granted);
        assert_eq!(allowed.pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(allowed.rejected(&granted)[0].why, Reason::NotGranted);
    }
}
