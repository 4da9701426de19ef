//! Orders to leave a node, on their way from the router to the stream that it serves. A stream looks for its order when it
//! is woken; one that waits costs a stream next to nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use proto::v1::Migrate;
use scheduler::{NodeId, SessionId};
use tokio::time::Instant;
use tracing::debug;

use super::Reporter;

/// An order to leave a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MoveOrder {
    /// The one to leave.
    pub(crate) node: NodeId,
    /// When it goes away.
    pub(crate) deadline: Instant,
}

/// Where a stream's last order lies until the stream looks.
#[derive(Debug, Default)]
struct Letterbox {
    waker: AtomicWaker,
    order: Mutex<Option<MoveOrder>>,
}

impl Letterbox {
    fn order(&self) -> MutexGuard<'_, Option<MoveOrder>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The letterboxes of all streams of this proxy.
#[derive(Debug, Default)]
pub(super) struct Letterboxes(Mutex<HashMap<SessionId, Arc<Letterbox>>>);

impl Letterboxes {
    fn all(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Letterbox>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream's end of it; orders for it go nowhere once this is dropped.
#[derive(Debug)]
pub(crate) struct MoveOrders {
    session: SessionId,
    letterbox: Arc<Letterbox>,
    reporter: Reporter,
}

impl MoveOrders {
    /// Takes the order that came last, or waits for one.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<MoveOrder> {
        self.letterbox.waker.register(cx.waker());
        self.letterbox.order().take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for MoveOrders {
    fn drop(&mut self) {
        self.reporter.letterboxes().all().remove(&self.session);
    }
}

impl Reporter {
    /// Lets orders to move reach a stream.
    pub(crate) fn move_orders(&self, session: SessionId) -> MoveOrders {
        let letterbox = Arc::<Letterbox>::default();
        self.letterboxes().all().insert(session, Arc::clone(&letterbox));
        MoveOrders { session, letterbox, reporter: self.clone() }
    }

    /// Tells a stream to leave a node.
    pub(crate) fn migrate(&self, Migrate { session, node, deadline_milliseconds }: &Migrate) {
        let deadline = Instant::now() + Duration::from_millis(u64::from(*deadline_milliseconds));
        let (Ok(id), Ok(to_leave)) = (session.parse::<SessionId>(), node.parse()) else {
            return debug!(session, node, "a move is ordered of no session, or from no node");
        };
        let Some(letterbox) = self.letterboxes().all().get(&id).cloned() else {
            return debug!(session, node, "a move is ordered of a stream that is not here");
        };
        *letterbox.order() = Some(MoveOrder { node: to_leave, deadline });
        letterbox.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    fn migrate(session: SessionId) -> Migrate {
        Migrate { session: session.to_string(), node: "a-1".to_owned(), deadline_milliseconds: 30_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_reaches_its_stream_and_no_other() {
        let (reporter, ours, other) = (Reporter::default(), SessionId::from_random(1), SessionId::from_random(2));
        let (orders, others) = (reporter.move_orders(ours), reporter.move_orders(other));
        reporter.migrate(&migrate(ours));
        let order = poll_fn(|cx| orders.poll(cx)).await;
        assert_eq!((order.node.as_str(), order.deadline), ("a-1", Instant::now() + Duration::from_secs(30)));
        assert_eq!(poll_fn(|cx| orders.poll(cx)).now_or_never(), None, "it is told once");
        assert_eq!(poll_fn(|cx| others.poll(cx)).now_or_never(), None);
    }

    #[test]
    fn a_stream_that_is_over_leaves_nothing_behind() {
        let (reporter, session) = (Reporter::default(), SessionId::from_random(1));
        drop(reporter.move_orders(session));
        reporter.migrate(&migrate(session));
        reporter.migrate(&Migrate { session: "nobody".to_owned(), ..migrate(session) });
        assert!(reporter.letterboxes().all().is_empty());
    }
}
