//! Affinity in Redis: one string per session, `crosspoint:{session}:affinity`, that expires by itself.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::{SessionId, Timestamp};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::affinity::{AFFINITY_LIFE, Affinity, LONGEST_SESSION, LastLeg};

/// How legs are written today; others are ignored.
const VERSION: &str = "1";

#[derive(Debug)]
pub(super) struct Scripts {
    affinity: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { affinity: Script::new(include_str!("affinity.lua")) }
    }

    fn invoke(&self, verb: &str, session: SessionId, life: Duration) -> ScriptInvocation<'_> {
        let mut script = self.affinity.key(format!("crosspoint:{{{session}}}:affinity"));
        script.arg(verb).arg(milliseconds(life));
        script
    }
}

/// Reads what anybody may have written.
fn read(text: &[u8]) -> Option<LastLeg> {
    let text = std::str::from_utf8(text).ok()?;
    let (epoch, node) = text.strip_prefix(VERSION)?.strip_prefix(' ')?.split_once(' ')?;
    Some(LastLeg { node: node.parse().ok()?, epoch: epoch.parse().ok()? })
}

#[async_trait]
impl Affinity for Redis {
    async fn remember(&self, session: SessionId, leg: &LastLeg, _now: Timestamp) -> Result<(), StoreAway> {
        let mut script = self.affinity.invoke("remember", session, LONGEST_SESSION);
        self.run(script.arg(format!("{VERSION} {} {}", leg.epoch, leg.node))).await
    }

    async fn let_go(&self, session: SessionId, _now: Timestamp) -> Result<(), StoreAway> {
        self.run(&self.affinity.invoke("let_go", session, AFFINITY_LIFE)).await
    }

    async fn last_leg(&self, session: SessionId, _now: Timestamp) -> Result<Option<LastLeg>, StoreAway> {
        let text: Vec<u8> = self.run(&self.affinity.invoke("find", session, Duration::ZERO)).await?;
        Ok(read(&text))
    }
}
