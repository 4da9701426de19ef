//! Reports in Redis: bodies in a hash, with the order they were written in and when their agents spoke beside it.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};
use scheduler::{Report, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::reports::{Aged, Changes, Cursor, REPORT_BATCH, REPORT_LIFE, Reports, Rest};

/// The keys that the scripts touch share a hash tag: order, times, bodies.
const KEYS: [&str; 3] = ["crosspoint:{reports}:order", "crosspoint:{reports}:times", "crosspoint:{reports}:bodies"];
/// The longest body, in bytes; a node with eight GPUs needs 2 KiB.
const LONGEST: usize = 64 << 10;
/// How bodies are written today; others are ignored.
const VERSION: u32 = 1;

#[derive(Debug)]
pub(super) struct Scripts {
    put: Script,
    changed: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { put: Script::new(include_str!("put.lua")), changed: Script::new(include_str!("changed.lua")) }
    }
}

#[derive(Serialize, Deserialize)]
struct Body<R> {
    version: u32,
    report: R,
}

fn invoke(script: &Script) -> ScriptInvocation<'_> {
    let mut invocation = script.prepare_invoke();
    KEYS.iter().for_each(|key| {
        invocation.key(*key);
    });
    invocation
}

/// Reads a body that anybody may have written.
fn read(body: &[u8]) -> Option<Report> {
    let Body { version, report } = serde_json::from_slice::<Body<Report>>(body).ok()?;
    (version == VERSION).then(|| report.sane())
}

#[async_trait]
impl Reports for Redis {
    async fn put(&self, reports: &[Aged], _now: Timestamp) -> Result<(), StoreAway> {
        for batch in reports.chunks(REPORT_BATCH) {
            let mut script = invoke(&self.reports.put);
            script.arg(milliseconds(REPORT_LIFE));
            for Aged { report, age } in batch {
                let body = serde_json::to_vec(&Body { version: VERSION, report });
                let body = body.map_err(|error| StoreAway(error.to_string()))?;
                script.arg(report.node.as_str()).arg(milliseconds(*age)).arg(body);
            }
            self.run::<()>(&script).await?;
        }
        Ok(())
    }

    async fn changed_since(&self, cursor: Cursor, _now: Timestamp) -> Result<Changes, StoreAway> {
        let mut script = invoke(&self.reports.changed);
        script.arg(cursor.0).arg(REPORT_BATCH).arg(milliseconds(REPORT_LIFE)).arg(LONGEST);
        let (next, seen, found): (u64, usize, Vec<(u64, Vec<u8>)>) = self.run(&script).await?;
        let read = |(age, body): &(u64, Vec<u8>)| Some(Aged { report: read(body)?, age: Duration::from_millis(*age) });
        let reports: Vec<_> = found.iter().filter_map(read).collect();
        let rest = if seen < REPORT_BATCH { Rest::Nothing } else { Rest::More };
        Ok(Changes { ignored: found.len() - reports.len(), reports, next: Cursor(next), rest })
    }
}
