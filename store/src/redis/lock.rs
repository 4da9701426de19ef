//! Locks in Redis: one hash per task, `crosspoint:{task}:lock`, and one script for everything.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::Timestamp;

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::lock::{
    LOCK_LIFE, Lock, PUBLISHED_LIFE, PUBLISHED_LONGEST, Publication, Published, Task, Token, Turn, bounded,
};

#[derive(Debug)]
pub(super) struct Scripts {
    lock: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { lock: Script::new(include_str!("lock.lua")) }
    }

    fn invoke(&self, task: Task, verb: &str) -> ScriptInvocation<'_> {
        let mut script = self.lock.key(format!("crosspoint:{{{}}}:lock", task.name()));
        script.arg(verb).arg(milliseconds(LOCK_LIFE)).arg(milliseconds(PUBLISHED_LIFE)).arg(PUBLISHED_LONGEST);
        script
    }
}

/// The time is Redis' own, so that all routers share it.
#[async_trait]
impl Lock for Redis {
    async fn lead(&self, task: Task, holder: &str, _now: Timestamp) -> Result<Turn, StoreAway> {
        let token: u64 = self.run(self.locks.invoke(task, "lead").arg(holder)).await?;
        Ok(if token == 0 { Turn::Following } else { Turn::Leading(Token(token)) })
    }

    async fn resign(&self, task: Task, holder: &str, _now: Timestamp) -> Result<(), StoreAway> {
        self.run(self.locks.invoke(task, "resign").arg(holder)).await
    }

    async fn publish(&self, task: Task, token: Token, text: &str, _now: Timestamp) -> Result<Publication, StoreAway> {
        bounded(text)?;
        let written: bool = self.run(self.locks.invoke(task, "publish").arg(token.0).arg(text)).await?;
        Ok(if written { Publication::Written } else { Publication::Fenced })
    }

    async fn published(&self, task: Task, _now: Timestamp) -> Result<Option<Published>, StoreAway> {
        let found: Vec<Vec<u8>> = self.run(&self.locks.invoke(task, "published")).await?;
        let [age, text] = found.as_slice() else { return Ok(None) };
        let age = std::str::from_utf8(age).ok().and_then(|age| age.parse().ok()).map(Duration::from_millis);
        let text = String::from_utf8(text.clone()).ok();
        Ok(age.zip(text).map(|(age, text)| Published { text, age }))
    }
}
