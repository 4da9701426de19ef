//! What is known of the nodes that report to other routers. While the store is away nothing can be heard of them: their ages
//! stand still, and refusals and failed opens count instead, as for a proxy without a router.

use std::collections::BTreeMap;
use std::time::Duration;

use scheduler::{Fleet, NodeId, Report, Timestamp};
use store::Aged;
use tracing::{debug, info};

/// A report whose number is not higher, but which is this much younger, is the first of an agent that was started again.
const RESTARTED: Duration = Duration::from_secs(1);
/// Agents speak once a second, so for longer than this nobody writes nothing where there is a router.
const QUIET: Duration = Duration::from_secs(2);
/// By then every router has noticed that the store is back, and has written what it heard.
const SETTLED: Duration = Duration::from_secs(3);

/// The nodes of others, by the number of the report that came through the store.
#[derive(Debug, Default)]
pub(super) struct Others {
    heard: BTreeMap<NodeId, u64>,
    /// Not heard of since the store went away.
    held: BTreeMap<NodeId, u64>,
    looked_at: Timestamp,
    away_at: Option<Timestamp>,
}

impl Others {
    /// Takes what there is when a router begins. Where nobody has written for a while no router was there to hear the agents:
    /// ages count from the last word that came through, and stand still until the agents have found a router again.
    pub(super) fn begin(&mut self, fleet: &mut Fleet, mut reports: Vec<Aged>, now: Timestamp) {
        let quiet = reports.iter().map(|aged| aged.age).min().unwrap_or_default();
        if quiet >= QUIET {
            reports.iter_mut().for_each(|aged| aged.age -= quiet);
            self.merge(fleet, reports, now);
            self.away_at = Some(now);
            self.looked_at = now;
            self.held.append(&mut self.heard);
        } else {
            self.merge(fleet, reports, now);
        }
    }

    /// Takes reports that say more than what is known. A pool that is not configured here is another router's business.
    pub(super) fn merge(&mut self, fleet: &mut Fleet, reports: Vec<Aged>, now: Timestamp) {
        for Aged { report, age } in reports {
            let at = now - age;
            if is_news(fleet, &report, at) {
                self.take(fleet, report, at);
            }
        }
    }

    fn take(&mut self, fleet: &mut Fleet, report: Report, at: Timestamp) {
        let (node, pool, sequence) = (report.node.clone(), report.pool.clone(), report.sequence);
        let known = fleet.view().node(&node).is_some();
        if let Err(unknown) = fleet.report(report, at) {
            debug!(%node, %unknown, "another router's node passed over");
            return;
        }
        if !known {
            info!(%node, %pool, "node reports to another router");
        }
        self.held.remove(&node);
        self.heard.insert(node, sequence);
    }

    /// Notes that the store answered.
    pub(super) fn came_through(&mut self, fleet: &mut Fleet, now: Timestamp) {
        if self.away_at.is_some_and(|away_at| now.since(away_at) < SETTLED) {
            self.hold(fleet, now);
        } else {
            self.away_at = None;
            self.held.clear();
        }
        self.heard.retain(|node, _| fleet.view().node(node).is_some());
        self.looked_at = now;
    }

    /// Notes that the store did not answer.
    pub(super) fn stayed_away(&mut self, fleet: &mut Fleet, now: Timestamp) {
        self.away_at = Some(now);
        self.held.append(&mut self.heard);
        self.hold(fleet, now);
        self.looked_at = now;
    }

    /// A node that has meanwhile reported here is heard, not held.
    fn hold(&self, fleet: &mut Fleet, now: Timestamp) {
        let missed = now.since(self.looked_at);
        for (node, sequence) in &self.held {
            if fleet.view().node(node).is_some_and(|known| known.report.sequence == *sequence) {
                fleet.hold_age(node, missed, now);
            }
        }
    }
}

/// What this router heard itself comes back a trip older than it was, so the agent's own number decides.
fn is_news(fleet: &Fleet, report: &Report, at: Timestamp) -> bool {
    fleet.view().node(&report.node).is_none_or(|known| {
        let younger = at.since(known.reported_at);
        let follows = report.sequence > known.report.sequence && !younger.is_zero();
        follows || younger >= RESTARTED
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use scheduler::{NodeState, Pool};
    use serde_json::json;

    use super::*;

    fn noon() -> Timestamp {
        Timestamp::at(Duration::from_secs(12 * 3600))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn fleet() -> Fleet {
        let pool = json!({
            "name": "a", "provider": "aws", "region": "us-west-2", "tier": "burst", "market": "spot",
            "residency": "us", "price": { "node_hour": 0.2, "egress_gb": 0.09 }, "link": { "round_trip": "15ms" },
        });
        Fleet::new(vec![serde_json::from_value::<Pool>(pool).unwrap()])
    }

    fn aged(pool: &str, sequence: u64, age: Duration) -> Aged {
        let report = Report {
            node: "a-1".parse().unwrap(),
            pool: pool.parse().unwrap(),
            address: "a-1:80".to_owned(),
            state: NodeState::Serving,
            models: BTreeSet::new(),
            api: scheduler::EngineApi::Listen,
            engine_models: [].into(),
            soft_slots: 1,
            hard_slots: 1,
            used_slots: 0,
            queue_depth: 0,
            chunk_latency_p95: ms(25),
            realtime_factor: 0.1,
            gpus: Vec::new(),
            sequence,
            engine_pid: None,
            reason: None,
            notice: None,
        };
        Aged { report, age }
    }

    /// Returns the number of the report that is believed, and its age.
    fn known(fleet: &Fleet) -> Option<(u64, Duration)> {
        fleet.view().nodes().next().map(|node| (node.report.sequence, node.age(noon())))
    }

    #[test]
    fn a_report_keeps_its_age() {
        let mut fleet = fleet();
        Others::default().merge(&mut fleet, vec![aged("a", 1, ms(700))], noon());
        assert_eq!(known(&fleet), Some((1, ms(700))));
    }

    #[test]
    fn what_this_router_heard_is_not_made_younger_by_its_own_echo() {
        let mut fleet = fleet();
        fleet.report(aged("a", 5, ms(0)).report, noon() - ms(300)).unwrap();
        for echo in [aged("a", 5, ms(290)), aged("a", 4, ms(290)), aged("a", 6, ms(310))] {
            Others::default().merge(&mut fleet, vec![echo], noon());
            assert_eq!(known(&fleet), Some((5, ms(300))));
        }
        Others::default().merge(&mut fleet, vec![aged("a", 6, ms(290))], noon());
        assert_eq!(known(&fleet), Some((6, ms(290))));
    }

    #[test]
    fn an_agent_that_was_started_again_counts_from_the_beginning() {
        let mut fleet = fleet();
        fleet.report(aged("a", 500, ms(0)).report, noon() - ms(2_000)).unwrap();
        Others::default().merge(&mut fleet, vec![aged("a", 1, ms(500))], noon());
        assert_eq!(known(&fleet), Some((1, ms(500))));
    }

    #[test]
    fn a_pool_that_only_another_router_knows_is_passed_over() {
        let mut fleet = fleet();
        Others::default().merge(&mut fleet, vec![aged("b", 1, ms(0))], noon());
        assert_eq!(known(&fleet), None);
    }

    #[test]
    fn while_the_store_is_away_the_nodes_of_others_grow_no_older() {
        let (mut fleet, mut others) = (fleet(), Others::default());
        others.merge(&mut fleet, vec![aged("a", 1, ms(0))], noon());
        others.came_through(&mut fleet, noon());
        let age = |fleet: &Fleet, after| fleet.view().nodes().next().map(|node| node.age(noon() + ms(after)));
        for after in [500, 1_000, 60_000] {
            others.stayed_away(&mut fleet, noon() + ms(after));
            assert_eq!(age(&fleet, after), Some(ms(0)));
        }
        others.came_through(&mut fleet, noon() + ms(62_900));
        assert_eq!(age(&fleet, 62_900), Some(ms(0)), "the router that hears it may not know yet");
        others.came_through(&mut fleet, noon() + ms(63_400));
        assert_eq!(age(&fleet, 63_400), Some(ms(500)));
    }

    #[test]
    fn a_router_that_begins_where_none_was_believes_what_was_heard_last() {
        let found = || {
            let mut dead = aged("a", 1, ms(29_000));
            dead.report.node = "a-2".parse().unwrap();
            vec![dead, aged("a", 1, ms(9_000))]
        };
        let (mut first, mut others) = (fleet(), Others::default());
        others.begin(&mut first, found(), noon());
        others.came_through(&mut first, noon());
        let ages =
            |fleet: &Fleet, after| fleet.view().nodes().map(|node| node.age(noon() + ms(after))).collect::<Vec<_>>();
        assert_eq!(ages(&first, 0), [ms(0), ms(20_000)]);
        for after in [500, 2_900] {
            others.came_through(&mut first, noon() + ms(after));
            assert_eq!(ages(&first, after)[0], ms(0), "agents need a while to find a router");
        }
        others.came_through(&mut first, noon() + ms(3_400));
        assert_eq!(ages(&first, 3_400)[0], ms(500));

        let (mut second, mut others) = (fleet(), Others::default());
        let young = || aged("a", 1, ms(700));
        others.begin(&mut second, [found().remove(0), young()].into(), noon());
        assert_eq!(ages(&second, 0), [ms(700), ms(29_000)], "another router is there");
    }

    #[test]
    fn a_node_that_reports_here_instead_is_no_longer_held() {
        let (mut fleet, mut others) = (fleet(), Others::default());
        others.merge(&mut fleet, vec![aged("a", 1, ms(0))], noon() - ms(5_000));
        others.came_through(&mut fleet, noon() - ms(5_000));
        others.stayed_away(&mut fleet, noon() - ms(4_500));
        fleet.report(aged("a", 2, ms(0)).report, noon() - ms(4_000)).unwrap();
        others.stayed_away(&mut fleet, noon());
        assert_eq!(known(&fleet), Some((2, ms(4_000))));
    }
}
