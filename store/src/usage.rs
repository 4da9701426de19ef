//! Usage: what sessions used and what that cost, added up by day, key, pool and model.
//!
//! A [`Charge`] says everything that one part of a session has used so far, so the greatest of what was heard is the truth:
//! hearing it twice, late or out of order changes nothing, and sums are exact.

mod day;

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use async_trait::async_trait;
use scheduler::{KeyId, MicroDollars, ModelName, PoolName, SessionId};
use serde::{Deserialize, Serialize};

use crate::StoreAway;

pub use day::{BadDay, Day};

/// Days for which totals are kept.
pub const DAYS_KEPT: u32 = 400;
/// Charges that one call may write; what is more takes more calls.
pub const CHARGE_BATCH: usize = 100;
/// The largest amount that is believed, in its own unit; sums of a million of them are still exact in every backend.
const MOST: u64 = 1 << 50;

/// What was used, and what it cost. Times are kept to the microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u64; 7]", into = "[u64; 7]")]
pub struct Amounts {
    /// Audio accepted from callers; replays are free.
    pub audio: Duration,
    /// Time for which slots on GPUs were held.
    pub slot: Duration,
    /// Bytes of audio accepted from callers.
    pub bytes_in: u64,
    /// Bytes of results sent to callers.
    pub bytes_out: u64,
    /// The slots' share of their nodes' price.
    pub gpu: MicroDollars,
    /// The price of sending the audio to the nodes.
    pub egress: MicroDollars,
    /// Sessions that began; a ledger counts them itself.
    pub sessions: u64,
}

impl Amounts {
    /// Takes the greater one of each.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        self.with(other, Ord::max)
    }

    /// Returns how much this is beyond what was known before.
    #[must_use]
    pub fn beyond(self, before: Self) -> Self {
        self.with(before, u64::saturating_sub)
    }

    /// Returns what everything cost.
    #[must_use]
    pub fn cost(self) -> MicroDollars {
        self.gpu + self.egress
    }

    fn with(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        let (mut all, others) = (<[u64; 7]>::from(self), <[u64; 7]>::from(other));
        for (one, other) in all.iter_mut().zip(others) {
            *one = each(*one, other);
        }
        all.into()
    }
}

impl Add for Amounts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }
}

impl From<Amounts> for [u64; 7] {
    fn from(amounts: Amounts) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let money = |amount: MicroDollars| u64::try_from(amount.0).unwrap_or(0);
        let Amounts { audio, slot, bytes_in, bytes_out, gpu, egress, sessions } = amounts;
        [micros(audio), micros(slot), bytes_in, bytes_out, money(gpu), money(egress), sessions]
    }
}

impl From<[u64; 7]> for Amounts {
    fn from([audio, slot, bytes_in, bytes_out, gpu, egress, sessions]: [u64; 7]) -> Self {
        let money = |amount| MicroDollars(i64::try_from(amount).unwrap_or(i64::MAX));
        let (audio, slot) = (Duration::from_micros(audio), Duration::from_micros(slot));
        Self { audio, slot, bytes_in, bytes_out, gpu: money(gpu), egress: money(egress), sessions }
    }
}

/// What one part of a session has used so far: a leg of a stream, or a chunk of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The session that pays; of a chunk, the file's.
    pub session: SessionId,
    /// The part's number in its session.
    pub part: u32,
    /// Who pays.
    pub key: KeyId,
    /// Where it was served.
    pub pool: PoolName,
    /// What served it.
    pub model: ModelName,
    /// When it was last used, in UTC.
    pub day: Day,
    /// Everything so far.
    pub amounts: Amounts,
}

impl Charge {
    /// Bounds what cannot be, so that no sum can ever overflow, and moves a day that nobody keeps to `today`.
    #[must_use]
    pub fn sane(mut self, today: Day) -> Self {
        self.amounts = self.amounts.with(Amounts::from([MOST; 7]), Ord::min);
        self.amounts.sessions = 0;
        if self.day > today.next() || self.day < today.before(DAYS_KEPT - 1) {
            self.day = today;
        }
        self
    }
}

/// What a key used in a day, by pool and model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// The day, in UTC.
    pub day: Day,
    /// Who pays.
    pub key: KeyId,
    /// Where it was served.
    pub pool: PoolName,
    /// What served it.
    pub model: ModelName,
    /// How much.
    pub amounts: Amounts,
}

/// Which totals are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// The first day.
    pub since: Day,
    /// The last day; at most [`DAYS_KEPT`] are looked at.
    pub until: Day,
    /// One key alone, or all.
    pub key: Option<KeyId>,
}

impl Period {
    /// Returns the days, first to last.
    pub fn days(&self) -> impl Iterator<Item = Day> + use<> {
        let until = self.until;
        let first = self.since.max(until.before(DAYS_KEPT - 1));
        std::iter::successors(Some(first), |day| Some(day.next())).take_while(move |day| *day <= until)
    }
}

/// What was used, and what it cost. Sessions are remembered for as long as their charges may come again.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Writes charges, and returns what each of them added to what was known.
    ///
    /// # Errors
    /// Fails when the store is away or full; a part of the charges may have been written, and all may be written again.
    async fn charge(&self, charges: &[Charge], today: Day) -> Result<Vec<Amounts>, StoreAway>;

    /// Reads totals, in order of day, key, pool and model.
    ///
    /// # Errors
    /// Fails when the store is away.
    async fn totals(&self, period: &Period) -> Result<Vec<Total>, StoreAway>;
}

/// Where an amount belongs.
pub(crate) type Cell = (Day, KeyId, PoolName, ModelName);

/// Makes totals of amounts by where they belong.
pub(crate) fn totals(cells: BTreeMap<Cell, Amounts>) -> Vec<Total> {
    let total = |((day, key, pool, model), amounts)| Total { day, key, pool, model, amounts };
    cells.into_iter().map(total).collect()
}
