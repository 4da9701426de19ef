//! Locks in this process's memory.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use async_trait::async_trait;
use scheduler::Timestamp;

use super::{Embedded, alive};
use crate::StoreAway;
use crate::lock::{LOCK_LIFE, Lock, PUBLISHED_LIFE, Publication, Published, Task, Token, Turn, bounded};

/// A lock as it was last taken.
#[derive(Debug, Default)]
pub(super) struct Holding {
    holder: String,
    until: Timestamp,
    token: u64,
    published: Option<(String, Timestamp)>,
}

/// All locks there are.
pub(super) type Holdings = BTreeMap<Task, Holding>;

impl Embedded {
    fn with_lock<T>(&self, task: Task, act: impl FnOnce(&mut Holding) -> T) -> T {
        act(self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(task).or_default())
    }
}

#[async_trait]
impl Lock for Embedded {
    async fn lead(&self, task: Task, holder: &str, now: Timestamp) -> Result<Turn, StoreAway> {
        Ok(self.with_lock(task, |holding| {
            let held = alive(holding.until, now);
            if held && holding.holder != holder {
                return Turn::Following;
            }
            holding.token += u64::from(!held);
            holder.clone_into(&mut holding.holder);
            holding.until = now + LOCK_LIFE;
            Turn::Leading(Token(holding.token))
        }))
    }

    async fn resign(&self, task: Task, holder: &str, now: Timestamp) -> Result<(), StoreAway> {
        self.with_lock(task, |holding| {
            if holding.holder == holder {
                holding.until = holding.until.min(now);
            }
        });
        Ok(())
    }

    async fn publish(&self, task: Task, token: Token, text: &str, now: Timestamp) -> Result<Publication, StoreAway> {
        bounded(text)?;
        Ok(self.with_lock(task, |holding| {
            if !alive(holding.until, now) || holding.token != token.0 {
                return Publication::Fenced;
            }
            holding.published = Some((text.to_owned(), now));
            Publication::Written
        }))
    }

    async fn published(&self, task: Task, now: Timestamp) -> Result<Option<Published>, StoreAway> {
        Ok(self.with_lock(task, |holding| {
            let published = holding.published.as_ref().filter(|(_, at)| now.since(*at) < PUBLISHED_LIFE);
            published.map(|(text, at)| Published { text: text.clone(), age: now.since(*at) })
        }))
    }
}
