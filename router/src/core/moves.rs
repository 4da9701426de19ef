//! Streams on nodes that go away: their proxies are asked to move them, a few a second, so that the nodes that take them
//! over are not all asked at once.

mod leaving;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::v1::session_order::Order;
use proto::v1::{Migrate, SessionOrder};
use scheduler::{NodeId, SessionId, Timestamp, Work};
use store::LEASE_LIFE;
use tokio::sync::mpsc::WeakSender;
use tonic::Status;
use tracing::debug;

use super::{Core, Orders};
use crate::metrics;
use leaving::Leaving;

/// Streams that are known at most; beyond it a stream is not asked to move.
const MOST: usize = 100_000;

/// Sessions that proxies told this router of, and where they are.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeMap<SessionId, Place>>);

#[derive(Debug)]
struct Place {
    node: NodeId,
    /// A stream of orders ends when its proxy has said all, whoever may still have orders for it.
    orders: WeakSender<Result<SessionOrder, Status>>,
    heard_at: Timestamp,
    asked_at: Option<Timestamp>,
}

impl Held {
    fn places(&self) -> MutexGuard<'_, BTreeMap<SessionId, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a session is, and which proxy holds it.
    pub(super) fn note(&self, session: SessionId, node: &NodeId, orders: &Orders, now: Timestamp) {
        let mut places = self.places();
        let known = places.get(&session).filter(|place| place.node == *node);
        let asked_at = known.and_then(|place| place.asked_at);
        if places.len() < MOST || places.contains_key(&session) {
            places.insert(session, Place { node: node.clone(), orders: orders.downgrade(), heard_at: now, asked_at });
        }
    }

    /// Forgets a session that ended.
    pub(super) fn forget(&self, session: SessionId) {
        self.places().remove(&session);
    }

    /// Returns the sessions that are to be asked now, and notes that they are; sessions of silent proxies are forgotten.
    fn due(
        &self,
        leaving: &BTreeMap<NodeId, Leaving>,
        is_stream: impl Fn(SessionId) -> bool,
        now: Timestamp,
    ) -> Vec<(SessionId, NodeId, Orders)> {
        let mut places = self.places();
        places.retain(|_, place| now.since(place.heard_at) < LEASE_LIFE);
        let mut due = Vec::new();
        for (node, why) in leaving {
            let here = places.iter_mut().filter(|(session, place)| place.node == *node && is_stream(**session));
            let mut here: Vec<_> = here.collect();
            let (all, unasked) = (here.len(), here.iter().filter(|(_, place)| place.asked_at.is_none()).count());
            here.retain(|(_, place)| place.asked_at.is_none_or(|at| now.since(at) >= why.reminded_after()));
            // Those who were never asked come first.
            here.sort_by_key(|(_, place)| place.asked_at);
            let budget = why.budget(unasked, all, now).max(usize::from(unasked == 0));
            for (session, place) in here.into_iter().take(budget) {
                place.asked_at = Some(now);
                due.extend(place.orders.upgrade().map(|orders| (*session, node.clone(), orders)));
            }
        }
        due
    }

    /// Notes that a session could not be asked: its proxy has no room for orders, and is asked at the next look.
    fn not_told(&self, session: SessionId) {
        if let Some(place) = self.places().get_mut(&session) {
            place.asked_at = None;
        }
    }
}

impl Core {
    /// Notes that these sessions go on, and who holds them.
    pub(crate) fn live(&self, held: &[(SessionId, NodeId)], orders: &Orders) {
        let (mut fleet, now) = (self.fleet_mut(), self.now());
        for (session, node) in held {
            self.batch.held_by(*session, orders);
            self.held.note(*session, node, orders, now);
            fleet.note_alive(node, now);
        }
    }

    /// Notes that a session is on a node, where its proxy says so.
    pub(crate) fn opened_on(&self, session: SessionId, node: &NodeId, orders: &Orders) {
        self.batch.held_by(session, orders);
        self.held.note(session, node, orders, self.now());
    }

    /// Notes that a session is over.
    pub(crate) fn over(&self, session: SessionId) {
        self.held.forget(session);
    }

    /// Asks for some streams on nodes that go away to be moved; once a second.
    pub(super) fn clear_leaving(&self, now: Timestamp) {
        let leaving = self.leaving();
        if leaving.is_empty() {
            return;
        }
        let is_stream = |session| self.ledger().get(session).is_some_and(|entry| entry.work == Work::Stream);
        for (session, node, orders) in self.held.due(&leaving, is_stream, now) {
            let Some(why) = leaving.get(&node) else { continue };
            let deadline_milliseconds = u32::try_from(why.left(now).as_millis()).unwrap_or(u32::MAX);
            let migrate = Migrate { session: session.to_string(), node: node.to_string(), deadline_milliseconds };
            let order = SessionOrder { order: Some(Order::Migrate(migrate)) };
            let told = orders.try_send(Ok(order)).is_ok();
            if told {
                metrics::move_asked(why.label());
            } else {
                self.held.not_told(session);
            }
            debug!(%session, %node, why = why.label(), deadline_milliseconds, told, "stream shall leave its node");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(1_000 + seconds))
    }

    fn hold(held: &Held, sessions: std::ops::Range<u128>, (node, orders): (&NodeId, &Orders), now: Timestamp) {
        sessions.for_each(|session| held.note(SessionId::from_random(session), node, orders, now));
    }

    fn due(held: &Held, leaving: &BTreeMap<NodeId, Leaving>, now: Timestamp) -> Vec<SessionId> {
        held.due(leaving, |_| true, now).into_iter().map(|(session, ..)| session).collect()
    }

    #[test]
    fn streams_are_asked_a_few_at_a_time_and_again_after_their_deadline() {
        let (held, (orders, _receiver)) = (Held::default(), tokio::sync::mpsc::channel(1));
        let (left, stays) = ("a-1".parse().unwrap(), "a-2".parse().unwrap());
        let hear = |now| {
            hold(&held, 0..90, (&left, &orders), now);
            hold(&held, 90..91, (&stays, &orders), now);
        };
        let leaving = BTreeMap::from([(left.clone(), Leaving::Drained)]);
        let mut asked = BTreeSet::new();
        for second in 0..30 {
            hear(at(second));
            let due = due(&held, &leaving, at(second));
            assert_eq!(due.len(), 3);
            asked.extend(due);
        }
        assert_eq!(asked.len(), 90, "each once");
        hear(at(59));
        assert_eq!(due(&held, &leaving, at(59)), []);
        hear(at(60));
        assert_eq!(due(&held, &leaving, at(60)).len(), 3, "the first ones are still there");
        held.forget(SessionId::from_random(1));
        assert_eq!(due(&held, &leaving, at(76)), [], "nothing was heard of the others for a lease");
    }

    #[test]
    fn two_hundred_streams_are_asked_ten_seconds_before_their_node_is_taken_away() {
        for (notice, most) in [(30, 10), (120, 2)] {
            let (held, (orders, _receiver)) = (Held::default(), tokio::sync::mpsc::channel(1));
            let (node, gone) = ("a-1".parse::<NodeId>().unwrap(), Leaving::TakenAway { at: at(notice) });
            let leaving = BTreeMap::from([(node.clone(), gone)]);
            let mut unasked: BTreeSet<SessionId> = (0..200).map(SessionId::from_random).collect();
            for second in 0..=notice - 10 {
                // Who was asked has left before anybody would be asked again.
                unasked.iter().for_each(|session| held.note(*session, &node, &orders, at(second)));
                let due = due(&held, &leaving, at(second));
                assert!(due.len() <= most, "{} at {second} s of {notice} s", due.len());
                for session in due {
                    held.forget(session);
                    unasked.remove(&session);
                }
            }
            assert!(unasked.is_empty(), "{} are left of {notice} s", unasked.len());
        }
    }

    #[test]
    fn a_stream_that_is_still_there_is_asked_again_and_files_are_not_asked() {
        let (held, (orders, _receiver)) = (Held::default(), tokio::sync::mpsc::channel(1));
        let node: NodeId = "a-1".parse().unwrap();
        let leaving = BTreeMap::from([(node.clone(), Leaving::TakenAway { at: at(120) })]);
        let heard = |now| hold(&held, 0..1, (&node, &orders), now);
        heard(at(0));
        assert!(held.due(&leaving, |_| false, at(0)).is_empty());
        assert_eq!(due(&held, &leaving, at(0)).len(), 1);
        heard(at(14));
        assert_eq!(due(&held, &leaving, at(14)), []);
        held.not_told(SessionId::from_random(0));
        assert_eq!(due(&held, &leaving, at(14)).len(), 1, "the order did not get out");
        heard(at(28));
        assert_eq!(due(&held, &leaving, at(28)), []);
        heard(at(29));
        assert_eq!(due(&held, &leaving, at(29)).len(), 1);
    }
}
