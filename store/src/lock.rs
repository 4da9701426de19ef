//! Locks: work that one process at a time does for all, and what it last published.
//!
//! A lock is a lease: its holder takes it again every few seconds, and when it does not, another may have it. A process that
//! was stopped may believe that it still holds one, so every holding has a number, the fencing token, which grows from holder
//! to holder; what is published with the number of a holding that has ended is refused.

use std::time::Duration;

use async_trait::async_trait;
use scheduler::Timestamp;

use crate::StoreAway;

/// How long a lock is held after it was taken or taken again.
pub const LOCK_LIFE: Duration = Duration::from_secs(6);
/// How long what was published is kept after the last look at the lock.
pub const PUBLISHED_LIFE: Duration = Duration::from_secs(3600);
/// The longest text that is published, in bytes.
pub const PUBLISHED_LONGEST: usize = 1 << 20;

/// Work that one process at a time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// Working out how many nodes every pool should have.
    Planner,
}

impl Task {
    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Planner => "planner",
        }
    }
}

/// The fencing token: the number of a holding. A later one is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The one who asked holds the lock.
    Leading(Token),
    /// Another does.
    Following,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// Everybody can read it.
    Written,
    /// Its writer does not hold the lock any more.
    Fenced,
}

/// What a holder last published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The text.
    pub text: String,
    /// Time since.
    pub age: Duration,
}

/// Work that one process at a time does for all.
#[async_trait]
pub trait Lock: Send + Sync {
    /// Takes a lock that is free, or takes it again; `holder` names a process, and no two have the same name.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn lead(&self, task: Task, holder: &str, now: Timestamp) -> Result<Turn, StoreAway>;

    /// Gives a lock back; giving back what is not held does nothing.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn resign(&self, task: Task, holder: &str, now: Timestamp) -> Result<(), StoreAway>;

    /// Publishes a text of at most [`PUBLISHED_LONGEST`] bytes in place of the last one, as long as the lock is held.
    ///
    /// # Errors
    /// Fails when the store is away, and on a text that is too long.
    async fn publish(&self, task: Task, token: Token, text: &str, now: Timestamp) -> Result<Publication, StoreAway>;

    /// Reads what was published last.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn published(&self, task: Task, now: Timestamp) -> Result<Option<Published>, StoreAway>;
}

/// Refuses a text that is too long to be shared.
pub(crate) fn bounded(text: &str) -> Result<(), StoreAway> {
    if text.len() <= PUBLISHED_LONGEST {
        return Ok(());
    }
    Err(StoreAway(format!("expected a text of at most {PUBLISHED_LONGEST} bytes, got {}", text.len())))
}
