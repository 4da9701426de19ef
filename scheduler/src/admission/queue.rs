//! The queue of sessions that wait for a slot: bounded, with a deadline for each, fair between tenants. Sessions that lost
//! their node go before new ones.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::TenantId;
use crate::request::Class;
use crate::units::{Timestamp, positive_duration};

/// Streams that wait for a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueLimits {
    /// Sessions that may wait; half of them of one tenant.
    pub length: NonZeroU32,
    /// How long one waits at most. Who would wait longer is told so at once.
    #[serde(with = "positive_duration")]
    #[schemars(with = "String")]
    pub patience: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { length: NonZeroU32::MIN.saturating_add(999), patience: Duration::from_secs(5) }
    }
}

/// One that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting<T> {
    /// Whose session it is.
    pub tenant: TenantId,
    /// New, or moved.
    pub class: Class,
    /// Until when it waits.
    pub deadline: Timestamp,
    /// What is to be done when it is its turn.
    pub item: T,
}

/// Tenants taking turns: deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) where every item is one slot and so is
/// the quantum, which leaves no deficit to carry.
#[derive(Debug)]
struct Turns<T> {
    tenants: BTreeMap<TenantId, VecDeque<Waiting<T>>>,
    order: VecDeque<TenantId>,
}

impl<T> Turns<T> {
    fn push(&mut self, waiting: Waiting<T>) {
        let line = self.tenants.entry(waiting.tenant.clone()).or_default();
        if line.is_empty() {
            self.order.push_back(waiting.tenant.clone());
        }
        line.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting<T>> {
        let tenant = self.order.pop_front()?;
        let line = self.tenants.get_mut(&tenant)?;
        let next = line.pop_front();
        if line.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.order.push_back(tenant);
        }
        next
    }

    fn expire(&mut self, now: Timestamp) -> Vec<Waiting<T>> {
        let mut expired = Vec::new();
        for line in self.tenants.values_mut() {
            let (late, left) = std::mem::take(line).into_iter().partition(|waiting| waiting.deadline <= now);
            *line = left;
            expired.extend::<VecDeque<_>>(late);
        }
        self.tenants.retain(|_, line| !line.is_empty());
        self.order.retain(|tenant| self.tenants.contains_key(tenant));
        expired
    }

    fn count(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).map_or(0, VecDeque::len)
    }
}

/// Sessions that wait for a slot.
#[derive(Debug)]
pub struct Queue<T> {
    moved: Turns<T>,
    new: Turns<T>,
    length: usize,
    limit: usize,
}

impl<T> Queue<T> {
    /// Starts empty.
    #[must_use]
    pub fn new(limits: &QueueLimits) -> Self {
        let turns = || Turns { tenants: BTreeMap::new(), order: VecDeque::new() };
        Self { moved: turns(), new: turns(), length: 0, limit: limits.length.get() as usize }
    }

    /// Changes how many may wait; those who wait already stay.
    pub fn set_length(&mut self, length: NonZeroU32) {
        self.limit = length.get() as usize;
    }

    /// Lets one wait.
    ///
    /// # Errors
    /// Gives it back when the queue is full, or half of it is the tenant's already.
    pub fn push(&mut self, waiting: Waiting<T>) -> Result<(), Waiting<T>> {
        let own = self.moved.count(&waiting.tenant) + self.new.count(&waiting.tenant);
        if self.length >= self.limit || own >= self.limit.div_ceil(2) {
            return Err(waiting);
        }
        self.length += 1;
        match waiting.class {
            Class::Failover => self.moved.push(waiting),
            Class::New => self.new.push(waiting),
        }
        Ok(())
    }

    /// Takes the next whose turn it is.
    pub fn pop(&mut self) -> Option<Waiting<T>> {
        let next = self.moved.pop().or_else(|| self.new.pop());
        self.length -= usize::from(next.is_some());
        next
    }

    /// Takes out those who have waited as long as they may.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Waiting<T>> {
        let mut expired = self.moved.expire(now);
        expired.append(&mut self.new.expire(now));
        self.length -= expired.len();
        expired
    }

    /// Counts those who wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Tells whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Predicts how long one more would wait behind `waiting` others when `freed` slots a second become free.
#[must_use]
pub fn predicted_wait(waiting: usize, freed: f64) -> Duration {
    if freed <= 0.0 {
        return Duration::MAX;
    }
    Duration::try_from_secs_f64((waiting + 1) as f64 / freed).unwrap_or(Duration::MAX)
}

/// Returns when a refused caller should ask again: the predicted wait, from one second to one minute, give or take half, so
/// that those who were refused together do not come back together.
#[must_use]
pub fn retry_after(waiting: usize, freed: f64, dice: &mut impl Rng) -> Duration {
    let wait = predicted_wait(waiting, freed).clamp(Duration::from_secs(1), Duration::from_secs(60));
    wait.mul_f64(dice.random_range(0.5..=1.5))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dice::Dice;
    use crate::testing::noon;

    fn waiting(tenant: &str, class: Class, item: u32) -> Waiting<u32> {
        let deadline = noon() + Duration::from_secs(5) + Duration::from_millis(item.into());
        Waiting { tenant: tenant.parse().unwrap(), class, deadline, item }
    }

    fn queue(length: u32, all: impl IntoIterator<Item = Waiting<u32>>) -> Queue<u32> {
        let mut queue = Queue::new(&QueueLimits { length: length.try_into().unwrap(), ..QueueLimits::default() });
        all.into_iter().for_each(|waiting| drop(queue.push(waiting)));
        queue
    }

    fn rest(mut queue: Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop().map(|waiting| waiting.item)).collect()
    }

    #[test]
    fn tenants_take_turns_and_those_who_lost_their_node_go_first() {
        let greedy = (0..4).map(|item| waiting("greedy", Class::New, item));
        let others = [waiting("b", Class::New, 10), waiting("c", Class::Failover, 20), waiting("b", Class::New, 11)];
        assert_eq!(rest(queue(100, greedy.chain(others))), [20, 0, 10, 1, 11, 2, 3]);
    }

    #[test]
    fn half_of_the_queue_is_the_most_for_one_tenant() {
        let mut queue = queue(4, (0..9).map(|item| waiting("greedy", Class::New, item)));
        assert_eq!(queue.len(), 2);
        for item in 10..12 {
            queue.push(waiting(&format!("t{item}"), Class::New, item)).unwrap();
        }
        assert!(queue.push(waiting("late", Class::New, 12)).is_err());
    }

    #[test]
    fn who_has_waited_long_enough_is_taken_out() {
        let mut queue = queue(100, (0..4).map(|item| waiting("a", Class::New, item)));
        let expired = queue.expire(noon() + Duration::from_millis(5_001));
        assert_eq!(expired.into_iter().map(|waiting| waiting.item).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(rest(queue), [2, 3]);
    }

    #[test]
    fn a_wait_is_as_long_as_slots_take_to_become_free() {
        assert_eq!(predicted_wait(9, 2.0), Duration::from_secs(5));
        assert_eq!(predicted_wait(0, 0.0), Duration::MAX);
        let mut dice = Dice::new(1);
        let told: Vec<_> = (0..1_000).map(|_| retry_after(19, 2.0, &mut dice).as_secs_f64()).collect();
        assert!(told.iter().all(|seconds| (5.0..=15.0).contains(seconds)));
        let mean = told.iter().sum::<f64>() / 1_000.0;
        assert!((9.5..10.5).contains(&mean), "{mean}");
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_nobody_served_twice(
            arrivals in prop::collection::vec((0..5_u8, any::<bool>()), 0..60), length in 1..40_u32, late in 0..60_u64,
        ) {
            let mut queue = queue(length, []);
            let mut accepted = Vec::new();
            for (item, (tenant, moved)) in (0..).zip(&arrivals) {
                let class = if *moved { Class::Failover } else { Class::New };
                if queue.push(waiting(&format!("t{tenant}"), class, item)).is_ok() {
                    accepted.push(item);
                }
                prop_assert!(queue.len() <= length as usize);
            }
            let mut left: Vec<u32> =
                queue.expire(noon() + Duration::from_millis(5_000 + late)).into_iter().map(|waiting| waiting.item).collect();
            left.extend(rest(queue));
            left.sort_unstable();
            prop_assert_eq!(left, accepted);
        }

        #[test]
        fn equal_tenants_are_served_equally(tenants in 2..6_u32, each in 1..20_u32) {
            let all = (0..tenants).flat_map(|tenant| {
                (0..each).map(move |item| waiting(&format!("t{tenant}"), Class::New, tenant * 100 + item))
            });
            let served = rest(queue(1_000, all));
            for (round, turn) in served.chunks(tenants as usize).enumerate() {
                let mut who: Vec<u32> = turn.iter().map(|item| item / 100).collect();
                who.sort_unstable();
                prop_assert_eq!(who, (0..tenants).collect::<Vec<_>>(), "round {}", round);
            }
        }
    }
}
