//! The allowed set: the pools that residency, compliance, the caller's key and the rules permit. It is built before anything
//! is weighed, and it is the only way to the nodes of a pool, so nothing later, panic included, can look outside it.

use crate::filter::{Reason, Rejected, reject};
use crate::fleet::{FleetView, Group, NodeIndex, PoolIndex, Side};
use crate::ids::RuleName;
use crate::pool::Pool;
use crate::request::Request;
use crate::rules::{Narrowed, PoolSet, Preference, RuleRefusal, Rules};

/// What a request may use at all, in the order in which it is tried. Only these pools can be decided over.
#[derive(Clone, Debug)]
pub struct Allowed<'a> {
    view: &'a FleetView,
    narrowed: Narrowed<'a>,
}

/// Some of the pools that a request may use.
#[derive(Clone, Copy, Debug)]
pub struct AllowedSet<'a> {
    view: &'a FleetView,
    pools: PoolSet,
}

impl<'a> Allowed<'a> {
    /// Keeps the pools that residency, compliance, the key and the rules permit.
    ///
    /// # Errors
    /// Fails when a rule refuses the request, or closes the last pool that the others leave.
    pub fn of(view: &'a FleetView, request: &Request, rules: &'a Rules) -> Result<Self, RuleRefusal> {
        let lawful = lawful(view, request);
        let everything =
            || Narrowed { first: lawful, fallback: lawful, preference: Preference::Cost, applied: Vec::new() };
        // Where nothing is lawful no rule is to blame.
        let narrowed = if lawful.is_empty() || rules.is_empty() {
            everything()
        } else {
            rules.narrow(request, lawful, |pool| view.load_of(pool))?
        };
        Ok(Self { view, narrowed })
    }

    /// Returns the pools that are tried first.
    #[must_use]
    pub fn first(&self) -> AllowedSet<'a> {
        AllowedSet { view: self.view, pools: self.narrowed.first }
    }

    /// Returns the pools that are tried when nothing in the first can serve: those, and perhaps more.
    #[must_use]
    pub fn fallback(&self) -> AllowedSet<'a> {
        AllowedSet { view: self.view, pools: self.narrowed.fallback }
    }

    pub(crate) fn preference(&self) -> Preference<'a> {
        self.narrowed.preference
    }

    /// Returns the rule that closed a pool.
    pub(crate) fn closed_by(&self, pool: PoolIndex) -> Option<&'a RuleName> {
        self.narrowed.applied.iter().find(|applied| applied.closed.contains(pool.get())).map(|applied| applied.rule)
    }
}

impl<'a> AllowedSet<'a> {
    /// Returns the pools in the set.
    pub fn pools(&self) -> impl Iterator<Item = &'a Pool> {
        let view = self.view;
        self.pools.iter().map(|pool| &view.pools[pool.get()])
    }

    /// Tells whether no pool may serve.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    pub(crate) fn view(&self) -> &'a FleetView {
        self.view
    }

    /// Keeps one pool, if it is in the set.
    pub(crate) fn only(&self, pool: PoolIndex) -> Self {
        Self { pools: self.pools & PoolSet::NONE.with(pool.get()), ..*self }
    }

    pub(crate) fn contains(&self, pool: PoolIndex) -> bool {
        self.pools.contains(pool.get())
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.pools == other.pools
    }

    pub(crate) fn bits(&self) -> u64 {
        self.pools.bits()
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
        self.contains(pool).then(|| self.view.pool_lines[pool.get()].side(side))
    }

    /// Says why the other pools are left out: by law, or by the rule that `closed_by` names.
    pub(crate) fn rejected<'r>(
        &self,
        request: &Request,
        closed_by: impl Fn(PoolIndex) -> Option<&'r RuleName>,
    ) -> Vec<Rejected> {
        let mut rejected = Vec::new();
        for index in PoolIndex::all(self.view.pools.len()).filter(|index| !self.contains(*index)) {
            let pool = &self.view.pools[index.get()];
            let by_rule = || closed_by(index).map(|rule| Reason::Rule { rule: rule.clone() });
            if let Some(why) = forbidden(pool, request).or_else(by_rule) {
                reject(&mut rejected, pool, None, why);
                let nodes = self.view.lines.iter().filter(|line| line.is_in(index.get())).count();
                if let Some(last) = rejected.last_mut() {
                    last.nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
                }
            }
        }
        rejected
    }
}

/// Returns a set without pools, for those whom a rule refuses.
pub(crate) fn nothing(view: &FleetView) -> AllowedSet<'_> {
    AllowedSet { view, pools: PoolSet::NONE }
}

/// Keeps the pools that residency, compliance and the key permit.
fn lawful(view: &FleetView, request: &Request) -> PoolSet {
    let mut bits = u64::MAX.checked_shr(64 - u32::try_from(view.pool_lines.len()).unwrap_or(64)).unwrap_or(0);
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
    PoolSet::of_bits(bits)
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
        let rules = Rules::default();
        let allowed = Allowed::of(fleet.view(), &asked, &rules).unwrap().first();
        assert_eq!(allowed.pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["audited"]);
        let why: Vec<_> = allowed.rejected(&asked, |_| None).iter().map(|group| group.why.to_string()).collect();
        assert_eq!(why, ["pool is not audited for soc2", "audio must stay in us, pool is in eu"]);
    }

    #[test]
    fn a_pool_that_the_key_does_not_grant_is_not_in_the_set() {
        let fleet = Fleet::new(vec![pool("a"), pool("b")]);
        let granted = Request { pools: Some(["b".parse().unwrap()].into()), ..request() };
        let rules = Rules::default();
        let allowed = Allowed::of(fleet.view(), &granted, &rules).unwrap().first();
        assert_eq!(allowed.pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(allowed.rejected(&granted, |_| None)[0].why, Reason::NotGranted);
    }
}
