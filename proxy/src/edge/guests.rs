//! Who has a request on the way, or has just come in and may still make its first: so long the process may not think that
//! nothing more will be asked of it, and nobody hangs up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Everybody who is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Guests(TaskTracker);

/// One connection.
#[derive(Debug)]
pub(super) struct Guest {
    all: Guests,
    /// Held while it is waited for: until its first request was answered, and during every later one.
    visit: Mutex<Option<TaskTrackerToken>>,
    idle: Notify,
}

/// A request on the way. Dropping it says that it is answered.
#[derive(Debug)]
pub(super) struct Visit(Arc<Guest>);

impl Guests {
    /// Notes a new connection: it is waited for until its first request is answered, or it ends.
    pub(super) fn arrive(&self) -> Arc<Guest> {
        let visit = Mutex::new(Some(self.0.token()));
        Arc::new(Guest { all: self.clone(), visit, idle: Notify::new() })
    }

    /// Resolves when nobody is left who is waited for.
    pub(super) async fn gone(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

impl Guest {
    /// Notes a request; a connection has one at a time.
    pub(super) fn speak(self: &Arc<Self>) -> Visit {
        self.visit().get_or_insert_with(|| self.all.0.token());
        Visit(Arc::clone(self))
    }

    /// Resolves when it has been answered everything that it has asked so far, and something at least.
    pub(super) async fn is_idle(&self) {
        while self.visit().is_some() {
            self.idle.notified().await;
        }
    }

    fn visit(&self) -> MutexGuard<'_, Option<TaskTrackerToken>> {
        self.visit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        *self.0.visit() = None;
        self.0.idle.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_has_come_in_is_waited_for_until_it_was_answered() {
        let guests = Guests::default();
        let guest = guests.arrive();
        let is_waited_for = || guests.gone().now_or_never().is_none() && guest.is_idle().now_or_never().is_none();
        assert!(is_waited_for());
        let first = guest.speak();
        assert!(is_waited_for());
        drop(first);
        assert!(guests.gone().now_or_never().is_some() && guest.is_idle().now_or_never().is_some());
        let second = guest.speak();
        assert!(is_waited_for());
        drop(second);
        assert!(guests.gone().now_or_never().is_some());
        drop(guests.arrive());
        assert!(guests.gone().now_or_never().is_some());
    }
}
