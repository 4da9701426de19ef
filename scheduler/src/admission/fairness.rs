//! Fairness when slots are short: one tenant's share, the pace of new sessions after a loss, and the budget for retries.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::TenantId;
use crate::units::{Ratio, Timestamp};

/// What one tenant may take while others wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fairness {
    /// Above this load of the whole fleet …
    pub load: Ratio,
    /// … one tenant gets no new sessions beyond this share of its slots.
    pub share: Ratio,
    /// Sessions that are tried again may be this share of new ones.
    pub retries: Ratio,
}

impl Default for Fairness {
    fn default() -> Self {
        Self { load: Ratio::clamped(0.9), share: Ratio::clamped(0.5), retries: Ratio::clamped(0.2) }
    }
}

impl Fairness {
    /// Tells whether a tenant with `own` sessions may begin one more when `used` of `slots` are in use: always, until slots are
    /// short.
    #[must_use]
    pub fn allows(&self, own: u32, used: u32, slots: u32) -> bool {
        let slots = slots as f32;
        used as f32 <= slots * self.load.get() || (own as f32) < slots * self.share.get()
    }
}

/// How many sessions each tenant has.
#[derive(Clone, Debug, Default)]
pub struct Tenants(BTreeMap<TenantId, u32>);

impl Tenants {
    /// Counts a session that begins.
    pub fn began(&mut self, tenant: &TenantId) {
        match self.0.get_mut(tenant) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(tenant.clone(), 1)),
        }
    }

    /// Counts a session that ended.
    pub fn ended(&mut self, tenant: &TenantId) {
        if let Some(count) = self.0.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(tenant);
            }
        }
    }

    /// Tells whether a tenant may begin one more session when `used` of `slots` are in use: always, until slots are short.
    #[must_use]
    pub fn may_begin(&self, tenant: &TenantId, (used, slots): (u32, u32), limits: &Fairness) -> bool {
        limits.allows(self.0.get(tenant).copied().unwrap_or(0), used, slots)
    }
}

/// Paces new sessions while those that lost their nodes are moved: half of the free slots a second.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    tokens: f64,
    at: Timestamp,
}

impl Pace {
    /// Takes a place for one new session, if there is one, while `free` slots are free.
    pub fn take(&mut self, free: u32, now: Timestamp) -> bool {
        let rate = f64::from(free) / 2.0;
        // One second's worth may be saved up, so that a quiet second is not followed by a burst.
        self.tokens = (self.tokens + rate * now.since(self.at).as_secs_f64()).min(rate.max(1.0));
        self.at = now;
        let granted = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(granted));
        granted
    }
}

/// Bounds how many sessions are tried again: each new one earns a share of a retry (Finagle's retry budget).
#[derive(Clone, Debug)]
pub struct RetryBudget {
    earned: f64,
    at: Timestamp,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { earned: Self::LEAST, at: Timestamp::ZERO }
    }
}

impl RetryBudget {
    /// Retries that are always there: a quiet service must be able to retry too. They come back within a second.
    const LEAST: f64 = 10.0;
    /// Retries that can be saved up.
    const MOST: f64 = 1_000.0;

    /// Earns from a new session.
    pub fn earn(&mut self, limits: &Fairness) {
        self.earned = (self.earned + f64::from(limits.retries.get())).min(Self::MOST);
    }

    /// Spends one retry, if there is one.
    pub fn spend(&mut self, now: Timestamp) -> bool {
        let passed = now.since(self.at).min(Duration::from_secs(1)).as_secs_f64();
        self.at = now;
        self.earned = self.earned.max((self.earned + passed * Self::LEAST).min(Self::LEAST));
        let granted = self.earned >= 1.0;
        self.earned -= f64::from(u8::from(granted));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noon;

    #[test]
    fn one_tenant_takes_half_at_most_when_slots_are_short() {
        let (mut tenants, greedy, modest) = (Tenants::default(), "greedy".parse().unwrap(), "modest".parse().unwrap());
        (0..50).for_each(|_| tenants.began(&greedy));
        let may = |tenant: &TenantId, used| tenants.may_begin(tenant, (used, 100), &Fairness::default());
        assert!(may(&greedy, 90) && may(&modest, 99));
        assert!(!may(&greedy, 91));
        tenants.ended(&greedy);
        assert!(tenants.may_begin(&greedy, (91, 100), &Fairness::default()));
        (0..49).for_each(|_| tenants.ended(&greedy));
        assert!(tenants.0.is_empty());
    }

    #[test]
    fn new_sessions_come_at_half_the_free_slots_a_second() {
        let mut pace = Pace::default();
        let passed = |pace: &mut Pace, from: u64| {
            let at = |step: u64| noon() + Duration::from_millis(from * 1_000 + step);
            (0..1_000).filter(|step| pace.take(20, at(*step))).count()
        };
        passed(&mut pace, 0);
        assert_eq!([passed(&mut pace, 1), passed(&mut pace, 2)], [10, 10]);
        assert!((0..1_000).all(|step| !pace.take(0, noon() + Duration::from_millis(4_000 + step)) || step < 1));
    }

    #[test]
    fn a_fifth_may_be_tried_again_and_a_few_always() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..50).filter(|_| budget.spend(noon())).count(), 10);
        (0..100).for_each(|_| budget.earn(&Fairness::default()));
        assert_eq!((0..50).filter(|_| budget.spend(noon())).count(), 20);
        let later = noon() + Duration::from_secs(5);
        assert_eq!((0..50).filter(|_| budget.spend(later)).count(), 10);
    }
}
