//! Streams on drained nodes: their proxies are asked to move them in a pause, a few a second, so that the nodes that take
//! them over are not all asked at once. A proxy that cannot move streams lets them end by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1::session_order::Order;
use proto::v1::{Migrate, SessionOrder};
use scheduler::{NodeId, SessionId, Timestamp, Work};
use store::LEASE_LIFE;
use tokio::sync::mpsc::WeakSender;
use tonic::Status;
use tracing::debug;

use super::{Core, Orders};
use crate::metrics;

/// All streams of drained nodes are asked within about so many looks, a second apart.
const SPREAD: usize = 30;
/// How long a stream may look for a pause; one that is still there then is asked again.
const DEADLINE: Duration = Duration::from_secs(60);
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
    fn due(&self, drained: &BTreeSet<NodeId>, now: Timestamp) -> Vec<(SessionId, NodeId, Orders)> {
        let mut places = self.places();
        places.retain(|_, place| now.since(place.heard_at) < LEASE_LIFE);
        let on_drained = places.values().filter(|place| drained.contains(&place.node)).count();
        let is_due = |place: &Place| {
            drained.contains(&place.node) && place.asked_at.is_none_or(|asked_at| now.since(asked_at) >= DEADLINE)
        };
        let due = places.iter_mut().filter(|(_, place)| is_due(place)).take(on_drained.div_ceil(SPREAD));
        due.filter_map(|(session, place)| {
            place.asked_at = Some(now);
            Some((*session, place.node.clone(), place.orders.upgrade()?))
        })
        .collect()
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

    /// Asks for some streams on drained nodes to be moved; once a second.
    pub(super) fn clear_drained(&self, now: Timestamp) {
        for (session, node, orders) in self.held.due(&self.drains.drained(), now) {
            if !self.ledger().get(session).is_some_and(|entry| entry.work == Work::Stream) {
                continue;
            }
            let deadline_milliseconds = u32::try_from(DEADLINE.as_millis()).unwrap_or(u32::MAX);
            let migrate = Migrate { session: session.to_string(), node: node.to_string(), deadline_milliseconds };
            let order = SessionOrder { order: Some(Order::Migrate(migrate)) };
            let told = orders.try_send(Ok(order)).is_ok();
            if told {
                metrics::move_asked();
            }
            debug!(%session, %node, told, "stream on a drained node shall move");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn streams_are_asked_a_few_at_a_time_and_again_after_their_deadline() {
        let (held, (orders, _receiver)) = (Held::default(), tokio::sync::mpsc::channel(1));
        let (left, stays) = ("a-1".parse().unwrap(), "a-2".parse().unwrap());
        let note = |session, node: &NodeId, now| held.note(SessionId::from_random(session), node, &orders, now);
        let hear = |now| {
            (0..90).for_each(|session| note(session, &left, now));
            note(90, &stays, now);
        };
        let drained = BTreeSet::from([left.clone()]);
        let mut asked = BTreeSet::new();
        for second in 0..30 {
            hear(at(second));
            let due = held.due(&drained, at(second));
            assert_eq!(due.len(), 3);
            asked.extend(due.into_iter().map(|(session, ..)| session));
        }
        assert_eq!(asked.len(), 90, "each once");
        hear(at(59));
        assert_eq!(held.due(&drained, at(59)).len(), 0);
        hear(at(60));
        assert_eq!(held.due(&drained, at(60)).len(), 3, "the first ones are still there");
        note(0, &stays, at(61));
        held.forget(SessionId::from_random(1));
        assert_eq!(held.due(&drained, at(76)).len(), 0, "nothing was heard of the others for a lease");
    }
}
