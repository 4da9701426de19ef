//! What is worked out once a second: which nodes are open, which rest, which pools are judged by their last word, and
//! whether what is healthy is enough.

use serde::{Deserialize, Serialize};

use crate::filter::SUSPECT_AFTER;
use crate::fleet::line::{Line, NodeIndex, PoolIndex, Side, Standing};
use crate::fleet::pool::Telemetry;
use crate::fleet::view::Capacity;
use crate::fleet::{Fleet, Group};
use crate::health::{Peer, misfits};
use crate::ids::NodeId;
use crate::numbers::short;
use crate::open::Openable;
use crate::policy::{Limits, Policy};
use crate::score::MOVE_COST;
use crate::units::Timestamp;

/// A session that was heard of this long ago may still go on: proxies renew their leases every 5 s.
const ALIVE_FOR: std::time::Duration = std::time::Duration::from_secs(10);
/// Weight of the last second in a node's rate of placements.
const RATE_STEP: f32 = 0.3;

/// What is asked of the fleet, by all routers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Streams that live or wait.
    pub streams: u32,
    /// As many as arrived in the busiest stretch of late; a stretch is [`crate::OpenLimits::arrivals`] long.
    pub arrivals: u32,
}

/// What a tick changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Nodes that rest from now on.
    pub ejected: Vec<NodeId>,
    /// Nodes that are back from their rest.
    pub returned: Vec<NodeId>,
    /// The version of the open set.
    pub open_set: u64,
}

impl Fleet {
    /// Works out everything that depends on time or on the whole fleet. To be called about once a second.
    pub fn tick(&mut self, demand: Demand, policy: &Policy, now: Timestamp) -> Ticked {
        let limits = &policy.limits;
        let passed = self.ticked_at.replace(now).map_or(0.0, |last| now.since(last).as_secs_f32());
        let returned = self.age_nodes(limits, passed, now);
        self.judge_telemetry(limits, now);
        let ejected = self.eject(demand, limits, now);
        self.choose_open(demand, limits, now);
        self.regroup(now);
        self.weigh_capacity(demand, limits);
        let names =
            |nodes: Vec<NodeIndex>| nodes.into_iter().filter_map(|node| Some(self.view.at(node)?.report.node.clone()));
        Ticked {
            ejected: names(ejected).collect(),
            returned: names(returned).collect(),
            open_set: self.open_set.version(),
        }
    }

    /// Forgets a little of errors and peaks, measures rates, and lets nodes return from their rest.
    fn age_nodes(&mut self, limits: &Limits, passed: f32, now: Timestamp) -> Vec<NodeIndex> {
        let mut returned = Vec::new();
        let keep = (-passed / limits.knobs.decay.as_secs_f32()).exp();
        for (place, (line, history)) in self.view.lines.iter_mut().zip(&mut self.histories).enumerate() {
            line.errors = line.error_share(now).get();
            line.errors_at = now;
            line.peak = line.latency as f32 + (line.peak - line.latency as f32) * keep;
            let made = self.view.promises.made(place);
            if passed > 0.0 {
                let rate = made.wrapping_sub(history.made) as f32 / passed;
                line.rate += (rate - line.rate) * RATE_STEP;
            }
            history.made = made;
            let word = self.view.promises.on(place);
            if word != super::Promised::default() && word.count(now) == 0 {
                self.view.promises.set(place, super::Promised::default());
            }
            if line.standing == Standing::Ejected && now >= history.ejected_until {
                line.standing = Standing::Serving;
                line.ready_at = now;
                history.failures = 0;
                returned.extend(u32::try_from(place).map(NodeIndex));
            }
        }
        returned
    }

    /// A pool most of which is silent while its sessions go on has lost its agents, not its engines.
    fn judge_telemetry(&mut self, limits: &Limits, now: Timestamp) {
        let mut counts = vec![[0_u32; 3]; self.view.pools.len()];
        for (line, history) in self.view.lines.iter().zip(&self.histories) {
            if matches!(line.standing, Standing::Serving | Standing::Ejected) {
                let [all, silent, alive] = &mut counts[line.pool.get()];
                let is_silent = now.since(line.reported_at) >= SUSPECT_AFTER;
                let is_alive = history.alive_at.is_some_and(|at| now.since(at) < ALIVE_FOR);
                *all += 1;
                *silent += u32::from(is_silent);
                *alive += u32::from(is_silent && is_alive);
            }
        }
        for (pool, [all, silent, alive]) in self.view.pool_lines.iter_mut().zip(counts) {
            let most = silent as f32 > all as f32 * limits.panic.get();
            pool.telemetry = if most && alive > 0 { Telemetry::Frozen } else { Telemetry::Flowing };
        }
    }

    /// Lets nodes rest that are far worse than their pool, never beyond a third of it and never below the demand.
    fn eject(&mut self, demand: Demand, limits: &Limits, now: Timestamp) -> Vec<NodeIndex> {
        let mut healthy: u32 = self.healthy().map(|line| u32::from(line.soft)).sum();
        let mut ejected = Vec::new();
        for pool in 0..self.view.pools.len() {
            let resting = self.view.lines.iter().filter(|line| line.is_in(pool) && line.standing == Standing::Ejected);
            let mut resting = resting.count();
            let peers = self.peers(pool, limits, now);
            let size = peers.len() + resting;
            for node in misfits(&peers, &limits.outliers, now) {
                let soft = u32::from(self.view.lines[node.get()].soft);
                let few = (resting + 1) * limits.outliers.one_in.get() as usize <= size;
                if few && healthy.saturating_sub(soft) >= demand.streams {
                    resting += 1;
                    healthy = healthy.saturating_sub(soft);
                    self.rest(node, limits, now);
                    ejected.push(node);
                }
            }
        }
        ejected
    }

    fn rest(&mut self, node: NodeIndex, limits: &Limits, now: Timestamp) {
        let history = &mut self.histories[node.get()];
        history.ejected_until = now + limits.outliers.rest_after(history.ejections);
        history.ejections += 1;
        history.slow_since = None;
        self.view.lines[node.get()].standing = Standing::Ejected;
    }

    /// Returns a pool's nodes as they are compared, and notes which of them are slow.
    fn peers(&mut self, pool: usize, limits: &Limits, now: Timestamp) -> Vec<Peer> {
        let is_peer = |line: &Line| line.is_in(pool) && line.standing == Standing::Serving;
        let mut latencies: Vec<u32> =
            self.view.lines.iter().filter(|line| is_peer(line)).map(|line| line.latency).collect();
        let middle = latencies.len() / 2;
        let median = if latencies.is_empty() { 0 } else { *latencies.select_nth_unstable(middle).1 };
        let slow = median as f32 * limits.outliers.slowness;
        let nodes = self.view.lines.iter().zip(&mut self.histories).zip(0_u32..);
        let peers = nodes.filter(|((line, _), _)| is_peer(line)).map(|((line, history), place)| {
            let is_slow = line.latency as f32 > slow;
            history.slow_since = is_slow.then(|| history.slow_since.unwrap_or(now));
            Peer {
                node: NodeIndex(place),
                errors: line.errors,
                failures: history.failures,
                slow_since: history.slow_since,
            }
        });
        peers.collect()
    }

    /// Nodes whose slots count: serving, and heard of or taken at their last word.
    fn healthy(&self) -> impl Iterator<Item = &Line> {
        let now = self.ticked_at.unwrap_or_default();
        self.view.lines.iter().filter(move |line| {
            let heard = now.since(line.reported_at) < SUSPECT_AFTER;
            let frozen = || self.view.pool_lines[line.pool.get()].telemetry == Telemetry::Frozen;
            line.standing == Standing::Serving && (heard || frozen())
        })
    }

    fn choose_open(&mut self, demand: Demand, limits: &Limits, now: Timestamp) {
        let zones = zones(&self.view.pools);
        let named = self.view.maps.nodes().map(|(_, node)| (node, &self.view.lines[node.get()]));
        let frozen = |line: &Line| self.view.pool_lines[line.pool.get()].telemetry == Telemetry::Frozen;
        let ready = named.filter(|(_, line)| {
            line.standing == Standing::Serving && (now.since(line.reported_at) < SUSPECT_AFTER || frozen(line))
        });
        let openable = ready.map(|(node, line)| {
            let risk = self.view.pool_lines[line.pool.get()].hazard * MOVE_COST * 1e6;
            Openable {
                node,
                pool: line.pool,
                zone: zones[line.pool.get()],
                tier: self.view.pools[line.pool.get()].tier,
                cost: f64::from(line.slot_price) + risk,
                slots: line.lent(line.soft, limits.slow_start, now),
                used: line.used.saturating_sub(line.batch).into(),
            }
        });
        self.open_set = self.open_set.next(openable.collect(), demand, &limits.open, now);
    }

    /// Sorts nodes into their groups, and weighs every pool anew.
    pub(super) fn regroup(&mut self, now: Timestamp) {
        for pool in &mut self.view.pool_lines {
            (pool.open, pool.closed) = (Group::default(), Group::default());
        }
        self.view.serving.fill(0);
        self.view.promises.tick();
        let mut loads = vec![Vec::new(); self.view.pools.len()];
        let mut left = [[0_u32; crate::fleet::MOST_POOLS]; 2];
        for node in (0..self.view.lines.len()).filter_map(|place| u32::try_from(place).ok().map(NodeIndex)) {
            let line = &mut self.view.lines[node.get()];
            if line.standing != Standing::Serving {
                continue;
            }
            line.side = if self.open_set.holds(node) { Side::Open } else { Side::Closed };
            let line = *line;
            self.view.note_models(&line);
            let used = line.used_estimate(self.view.promises.on(node.get()), 0, now);
            let row = usize::from(line.side == Side::Closed);
            let streams = used.saturating_sub(line.batch.into());
            left[row][line.pool.get()] += u32::from(line.soft).saturating_sub(streams);
            loads[line.pool.get()].push(streams as f32 / f32::from(line.soft.max(1)));
            self.view.pool_lines[line.pool.get()].side_mut(line.side).join(node, &line);
        }
        for (pool, line) in self.view.pool_lines.iter().enumerate() {
            // With fewer slots than one in eight nodes has, a few draws would find none.
            left[0][pool] = left[0][pool].saturating_sub(line.open.few());
            left[1][pool] = left[1][pool].saturating_sub(line.closed.few());
        }
        [self.view.open.left, self.view.closed.left] = left;
        self.view.count_spent();
        for (pool, loads) in loads.into_iter().enumerate() {
            self.view.pool_lines[pool].usual_load = usual(loads);
            self.refresh(pool);
        }
    }

    /// Compares what is healthy with what is asked, and says how much of it batch may not touch.
    fn weigh_capacity(&mut self, demand: Demand, limits: &Limits) {
        let healthy: u32 = self.healthy().map(|line| u32::from(line.soft)).sum();
        self.view.capacity = if healthy < demand.streams { Capacity::Short } else { Capacity::Enough };
        self.view.soft_slots = healthy;
        let open = self.healthy().filter(|line| line.side == Side::Open);
        let slots: u32 = open.map(|line| u32::from(line.soft)).sum();
        let kept = limits.open.spread * f64::from(demand.streams).sqrt() + f64::from(demand.arrivals);
        self.view.kept = short((kept / f64::from(slots.max(1))).min(1.0));
    }
}

/// Numbers the zones of pools.
fn zones(pools: &[crate::Pool]) -> Vec<u8> {
    let zone = |pool: &crate::Pool| {
        let first = pools.iter().position(|other| (other.provider, &other.region) == (pool.provider, &pool.region));
        first.and_then(|place| u8::try_from(place).ok()).unwrap_or(0)
    };
    pools.iter().map(zone).collect()
}

/// Returns the load that eight in ten nodes stay at or below.
fn usual(mut loads: Vec<f32>) -> f32 {
    if loads.is_empty() {
        return 0.0;
    }
    let place = (loads.len() - 1) * 8 / 10;
    *loads.select_nth_unstable_by(place, f32::total_cmp).1
}

impl PoolIndex {
    pub(crate) fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..count).filter_map(|pool| u8::try_from(pool).ok().map(Self))
    }
}
