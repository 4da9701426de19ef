//! What came of a run: money, what went wrong for whom, and how the fleet stood minute by minute.

use std::time::Duration;

use scheduler::Timestamp;

use super::nodes::Level;
use super::{NodeNumber, SessionIndex};
use crate::case::{Case, Trial};

/// The width of a bin of the record.
pub const BIN: Duration = Duration::from_secs(60);
const BINS_PER_HOUR: usize = 60;

/// Why a stream did not get what it was promised. A stream counts once, however much went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It got no slot within its patience.
    Rejected,
    /// It waited more than a second.
    Late,
    /// It was cut: no other slot in time, or no move at all.
    Dropped,
    /// Its first result took more than 800 ms, or ten seconds of it were slower than 500 ms.
    Slow,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Rejected, Self::Late, Self::Dropped, Self::Slow];

    fn bit(self) -> u8 {
        match self {
            Self::Rejected => 1,
            Self::Late => 2,
            Self::Dropped => 4,
            Self::Slow => 8,
        }
    }
}

/// Sums over one minute.
#[derive(Clone, Debug, Default)]
pub struct Bin {
    /// Slot-seconds of streams.
    pub streams: f64,
    /// Slot-seconds of files.
    pub files: f64,
    /// Slot-seconds of streams above soft slots.
    pub above: f64,
    /// Soft slot-seconds paid for.
    pub paid: f64,
    /// Of those, of nodes that boot.
    pub booting: f64,
    /// Dollars, without egress.
    pub dollars: f64,
    /// Node-seconds by pool.
    pub nodes: Vec<f64>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Record {
    /// Streams that asked for a slot.
    pub offered: u64,
    /// Bits of causes, by session.
    marks: Vec<u8>,
    /// Streams that were moved at least once.
    pub moved: u64,
    /// Streams that were put above soft slots.
    pub over: u64,
    /// Candidates that were offered a stream.
    pub tries: u64,
    /// Candidates that declined.
    pub nacks: u64,
    /// Streams that had to leave their node.
    pub moves: Moves,
    /// Streams that got a slot, moves included.
    pub placements: u64,
    /// Decisions of all routers.
    pub decisions: u64,
    /// Time the decisions took, on this machine.
    pub deciding: Duration,
    /// Dollars for nodes, the minimum charge of a minute included.
    pub node_dollars: f64,
    /// Dollars for what was missing from commitments.
    pub missing_dollars: f64,
    /// Dollars for audio sent.
    pub egress_dollars: f64,
    /// Slot-seconds of files that were not done by their deadline.
    pub missed: f64,
    /// Launches that were accepted.
    pub launches: u64,
    /// Spot nodes that were taken away.
    pub preempted: u64,
    /// Time from a request to its first result, by millisecond, the last entry for everything above.
    first_results: Vec<u32>,
    /// Longest gap of each forced move, in seconds, by hundredth, the last entry for everything above.
    gaps: Vec<u32>,
    /// The minutes.
    pub bins: Vec<Bin>,
    /// Streams that asked for a slot and that failed, by hour.
    pub hours: Vec<Share>,
    /// The same by tenant.
    pub tenants: Vec<Share>,
    /// A running hash of all decisions, at the end of every minute.
    pub digests: Vec<u64>,
    digest: u64,
}

/// Streams that had to leave their node, and what it took to find another.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Candidates that said they were full.
    pub full: u64,
    /// Streams by the candidates they asked, the last entry for everything above.
    by_tries: [u64; MOST_TRIES],
}

/// The last entry of the histogram of tries.
const MOST_TRIES: usize = 16;

impl Moves {
    /// Notes a stream that found a slot.
    pub(super) fn placed_after(&mut self, tries: u32) {
        let entry = usize::try_from(tries).unwrap_or(MOST_TRIES).min(MOST_TRIES - 1);
        self.by_tries[entry] += 1;
    }

    /// Counts the streams that found a slot.
    #[must_use]
    pub fn placed(&self) -> u64 {
        self.by_tries.iter().sum()
    }

    /// Returns the candidates that 99 in 100 of them asked at most.
    #[must_use]
    pub fn tries_p99(&self) -> u64 {
        quantile(&self.by_tries, 0.99)
    }
}

/// Failures among attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Attempts.
    pub offered: u64,
    /// Of those, failures.
    pub failed: u64,
}

impl Share {
    /// Returns the share that went well; all of nothing did.
    #[must_use]
    pub fn attainment(&self) -> f64 {
        if self.offered == 0 { 1.0 } else { 1.0 - self.failed as f64 / self.offered as f64 }
    }
}

/// The last entry of a histogram of milliseconds or hundredths.
const MOST_ENTRIES: usize = 8_000;
/// Seed of the hash (FNV-1a).
const FNV: u64 = 0xCBF2_9CE4_8422_2325;

impl Record {
    pub(super) fn new(case: &Case, trial: &Trial) -> Self {
        let bins = usize::try_from(trial.workload.horizon.since(Timestamp::ZERO).as_secs().div_ceil(BIN.as_secs()))
            .unwrap_or(usize::MAX);
        let bin = Bin { nodes: vec![0.0; case.fleet.pools.len()], ..Bin::default() };
        Self {
            offered: 0,
            marks: vec![0; trial.workload.sessions.len()],
            moved: 0,
            over: 0,
            tries: 0,
            nacks: 0,
            moves: Moves::default(),
            placements: 0,
            decisions: 0,
            deciding: Duration::ZERO,
            node_dollars: 0.0,
            missing_dollars: 0.0,
            egress_dollars: 0.0,
            missed: 0.0,
            launches: 0,
            preempted: 0,
            first_results: vec![0; MOST_ENTRIES],
            gaps: vec![0; MOST_ENTRIES],
            bins: vec![bin; bins],
            hours: vec![Share::default(); bins.div_ceil(BINS_PER_HOUR)],
            tenants: vec![Share::default(); trial.workload.tenants],
            digests: Vec::with_capacity(bins),
            digest: FNV,
        }
    }

    /// Counts what is held over a span of time that lies in one bin.
    pub(super) fn pass(&mut self, from: Timestamp, seconds: f64, level: &Level) {
        let index = bin_of(from);
        while self.digests.len() < index {
            self.digests.push(self.digest);
        }
        let Some(bin) = self.bins.get_mut(index) else { return };
        bin.streams += f64::from(level.streams) * seconds;
        bin.files += f64::from(level.files) * seconds;
        bin.above += f64::from(level.above) * seconds;
        bin.paid += f64::from(level.paid_slots) * seconds;
        bin.booting += f64::from(level.booting_slots) * seconds;
        bin.dollars += level.dollars_per_hour * seconds / 3600.0;
        for (sum, nodes) in bin.nodes.iter_mut().zip(&level.nodes) {
            *sum += f64::from(*nodes) * seconds;
        }
        self.missing_dollars += level.missing_per_hour * seconds / 3600.0;
    }

    /// Counts a stream that asks for a slot.
    pub(super) fn offer(&mut self, tenant: u16, at: Timestamp) {
        self.offered += 1;
        self.tenants[usize::from(tenant)].offered += 1;
        if let Some(hour) = self.hours.get_mut(bin_of(at) / BINS_PER_HOUR) {
            hour.offered += 1;
        }
    }

    /// Notes what went wrong for a stream that came `at` a time.
    pub(super) fn fail(&mut self, session: SessionIndex, cause: Cause, tenant: u16, at: Timestamp) {
        let mark = &mut self.marks[session as usize];
        if *mark == 0 {
            self.tenants[usize::from(tenant)].failed += 1;
            if let Some(hour) = self.hours.get_mut(bin_of(at) / BINS_PER_HOUR) {
                hour.failed += 1;
            }
        }
        *mark |= cause.bit();
    }

    /// Notes how long a stream waited for its first result.
    pub(super) fn first_result(&mut self, after: Duration) {
        let entry = usize::try_from(after.as_millis()).unwrap_or(MOST_ENTRIES).min(MOST_ENTRIES - 1);
        self.first_results[entry] += 1;
    }

    /// Notes how long a moved stream was without a node.
    pub(super) fn gap(&mut self, gap: Duration) {
        let entry = usize::try_from(gap.as_millis() / 10).unwrap_or(MOST_ENTRIES).min(MOST_ENTRIES - 1);
        self.gaps[entry] += 1;
    }

    /// Mixes a decision into the hash.
    pub(super) fn decided(&mut self, session: SessionIndex, node: Option<NodeNumber>, at: Timestamp) {
        let node = node.map_or(u64::MAX, u64::from);
        for word in [u64::from(session), node, at.micros()] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01B3);
        }
    }

    pub(super) fn close(&mut self) {
        self.digests.resize(self.bins.len(), self.digest);
    }

    /// Counts the streams that a cause befell.
    #[must_use]
    pub fn failed_by(&self, cause: Cause) -> u64 {
        self.marks.iter().filter(|mark| **mark & cause.bit() != 0).count() as u64
    }

    /// Counts the streams that did not get what they were promised.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.marks.iter().filter(|mark| **mark != 0).count() as u64
    }

    /// Returns the share of streams that got what they were promised.
    #[must_use]
    pub fn attainment(&self) -> f64 {
        Share { offered: self.offered, failed: self.failed() }.attainment()
    }

    /// Returns all dollars.
    #[must_use]
    pub fn dollars(&self) -> f64 {
        self.node_dollars + self.missing_dollars + self.egress_dollars
    }

    /// Returns a quantile of the time to the first result.
    #[must_use]
    pub fn first_result_quantile(&self, share: f64) -> Duration {
        Duration::from_millis(quantile(&self.first_results, share))
    }

    /// Returns a quantile of the gap of forced moves.
    #[must_use]
    pub fn gap_quantile(&self, share: f64) -> Duration {
        Duration::from_millis(10 * quantile(&self.gaps, share))
    }

    /// Returns the attainment of the worst group that has as many attempts.
    #[must_use]
    pub fn worst(&self, groups: &[Share], least: u64) -> f64 {
        let ranked = groups.iter().filter(|group| group.offered >= least);
        ranked.map(Share::attainment).min_by(f64::total_cmp).unwrap_or_else(|| self.attainment())
    }

    /// Sums something over the minutes.
    pub fn sum(&self, of: impl Fn(&Bin) -> f64) -> f64 {
        self.bins.iter().map(of).sum()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
fn quantile<T: Copy + Into<u64>>(counts: &[T], share: f64) -> u64 {
    let total: u64 = counts.iter().map(|count| (*count).into()).sum();
    let wanted = (total as f64 * share).ceil() as u64;
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += (*count).into();
        seen >= wanted
    });
    reached.unwrap_or(0) as u64
}

fn bin_of(at: Timestamp) -> usize {
    usize::try_from(at.since(Timestamp::ZERO).as_secs() / BIN.as_secs()).unwrap_or(usize::MAX)
}
