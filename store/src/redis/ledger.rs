//! The ledger in Redis: what was heard of each session, and totals by day and key. A charge is one step of a script, so it counts
//! once, however often it is written.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Script;

use super::Redis;
use crate::StoreAway;
use crate::usage::{Amounts, CHARGE_BATCH, Cell, Charge, DAYS_KEPT, Day, Ledger, Period, Total, totals};

/// The prefix of every key: the scripts touch several, which share its hash tag.
const PREFIX: &str = "crosspoint:{usage}";
/// How long after its last charge a session is remembered: longer than a proxy may be away with charges that nobody
/// acknowledged. 1,000 new sessions a minute are 3 million keys of some 200 bytes.
const REMEMBERED: Duration = Duration::from_secs(48 * 3_600);
/// Days asked for at a time, on one connection: a year costs a dozen trips.
const DAYS_AT_ONCE: usize = 32;
/// Keys looked at in one call.
const KEYS: usize = 100;

#[derive(Debug)]
pub(super) struct Scripts {
    charge: Script,
    totals: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { charge: Script::new(include_str!("charge.lua")), totals: Script::new(include_str!("totals.lua")) }
    }
}

/// Writes amounts; the count of sessions is the script's.
fn write(amounts: Amounts) -> String {
    <[u64; 7]>::from(amounts)[..6].iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// Reads amounts that anybody may have written.
fn read(text: &str) -> Option<Amounts> {
    let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    <[u64; 7]>::try_from(numbers).ok().map(Amounts::from)
}

/// Reads where a total belongs.
fn cell(day: Day, key: &str, pool_and_model: &str) -> Option<Cell> {
    let (pool, model) = pool_and_model.split_once('|')?;
    Some((day, key.parse().ok()?, pool.parse().ok()?, model.parse().ok()?))
}

impl Redis {
    async fn read_day(&self, day: Day, key: &str) -> Result<BTreeMap<Cell, Amounts>, StoreAway> {
        let mut cells = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut script = self.ledger.totals.key(PREFIX);
            script.arg(day.to_string()).arg(key).arg(&cursor).arg(KEYS);
            let (next, found): (String, Vec<String>) = self.run(&script).await?;
            for total in found.chunks_exact(3) {
                if let (Some(cell), Some(amounts)) = (cell(day, &total[0], &total[1]), read(&total[2])) {
                    // A scan may show a key twice.
                    cells.insert(cell, amounts);
                }
            }
            if next == "0" {
                return Ok(cells);
            }
            cursor = next;
        }
    }
}

#[async_trait]
impl Ledger for Redis {
    async fn charge(&self, charges: &[Charge], _today: Day) -> Result<Vec<Amounts>, StoreAway> {
        let mut added = Vec::with_capacity(charges.len());
        for batch in charges.chunks(CHARGE_BATCH) {
            let mut script = self.ledger.charge.key(PREFIX);
            script.arg(REMEMBERED.as_secs()).arg(u64::from(DAYS_KEPT) * 86_400);
            for Charge { session, part, key, pool, model, day, amounts } in batch {
                script.arg(session.to_string()).arg(*part).arg(day.to_string()).arg(key.as_str());
                script.arg(format!("{pool}|{model}")).arg(write(*amounts));
            }
            let more: Vec<String> = self.run(&script).await?;
            added.extend(more.iter().map(|text| read(text).unwrap_or_default()));
        }
        Ok(added)
    }

    async fn totals(&self, period: &Period) -> Result<Vec<Total>, StoreAway> {
        let key = period.key.as_ref().map_or("", |key| key.as_str());
        let days = stream::iter(period.days()).map(|day| self.read_day(day, key));
        let days: Vec<_> = days.buffered(DAYS_AT_ONCE).try_collect().await?;
        Ok(totals(days.into_iter().flatten().collect()))
    }
}
