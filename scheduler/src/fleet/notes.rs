//! What proxies say of nodes: opens that failed or did not, sessions that go on, slots that batch holds.

use crate::fleet::{Fleet, PoolIndex};
use crate::health::{Breaker, BreakerLimits};
use crate::ids::{NodeId, PoolName};
use crate::units::Timestamp;

impl Fleet {
    /// Notes that a session opened on a node.
    pub fn note_opened(&mut self, node: &NodeId, now: Timestamp) {
        let Some(node) = self.view.index_of(node) else { return };
        let history = &mut self.histories[node.get()];
        history.failures = 0;
        history.alive_at = Some(now);
        let mut line = self.view.lines[node.get()];
        self.use_breaker(line.pool, Breaker::succeeded);
        if line.errors > 0.0 {
            line.observe_open(0.0, now);
            self.replace(node, line);
        }
    }

    /// Notes that a session could not be opened, or was lost, on a node.
    pub fn note_failed(&mut self, node: &NodeId, now: Timestamp) {
        let Some(node) = self.view.index_of(node) else { return };
        self.histories[node.get()].failures += 1;
        let mut line = self.view.lines[node.get()];
        line.observe_open(1.0, now);
        self.use_breaker(line.pool, |breaker| breaker.failed(now));
        self.replace(node, line);
    }

    /// Notes that a session has left a node, so that its slot is free before the next report says so.
    pub fn note_left(&mut self, node: &NodeId, now: Timestamp) {
        let Some(node) = self.view.index_of(node) else { return };
        let mut line = self.view.lines[node.get()];
        if !self.view.promises.withdraw(node.get(), now) && line.used > 0 {
            line.used -= 1;
            self.replace(node, line);
        }
    }

    /// Notes that a session goes on on a node, whatever its agent says or does not say.
    pub fn note_alive(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(node) = self.view.index_of(node) {
            self.histories[node.get()].alive_at = Some(now);
        }
    }

    /// Says how many slots of a node batch chunks hold.
    pub fn set_batch_slots(&mut self, node: &NodeId, slots: u32) {
        let Some(node) = self.view.index_of(node) else { return };
        let mut line = self.view.lines[node.get()];
        line.batch = u16::try_from(slots).unwrap_or(u16::MAX);
        self.replace(node, line);
    }

    /// Says that a pool has no agents: its health is what sessions meet there, and a breaker guards it.
    pub fn guard(&mut self, pool: &PoolName, limits: &BreakerLimits) {
        if let Some(index) = self.view.maps.pool(pool) {
            self.breakers[index] = Some(Breaker::new(limits.clone()));
        }
    }

    fn use_breaker(&mut self, pool: PoolIndex, tell: impl FnOnce(&mut Breaker)) {
        if let Some(breaker) = &mut self.breakers[pool.get()] {
            tell(breaker);
            self.view.pool_lines[pool.get()].gate = breaker.gate();
        }
    }
}
