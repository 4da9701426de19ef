//! Outcomes: one run in figures, beside its bound; and figures of several seeds with their intervals.

use std::time::Duration;

use serde::Serialize;

use crate::bound::{Clairvoyant, OVERFLOW_SHARE};
use crate::case::Case;
use crate::policy::Contender;
use crate::run::Bounded;
use crate::world::{Cause, Record};

/// Tenants with fewer sessions are not ranked: one lost session of a hundred says nothing.
const RANKED_TENANT: u64 = 1_000;
/// Hours with fewer sessions are not ranked.
const RANKED_HOUR: u64 = 100;
/// A run that serves this share must cost at least the bound.
const SERVES: f64 = 0.999;

/// One run in figures. Shares are of sessions offered; causes may overlap, attainment counts each session once.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// The contender.
    pub policy: String,
    /// The seed.
    pub seed: u64,
    /// Dollars of nodes, commitments and audio sent.
    pub cost_usd: f64,
    /// Dollars that serving everything costs at least.
    pub lb1s_usd: f64,
    /// The one over the other.
    pub cost_ratio: f64,
    /// Dollars that having this run's streams and files on slots costs at least.
    pub lb1_served_usd: f64,
    /// Share of sessions that got what they were promised.
    pub slo_attainment: f64,
    /// Share that got no slot.
    pub rejected: f64,
    /// Share that must be turned away whoever decides, where the fleet never changes.
    pub fewest_rejected: Option<f64>,
    /// Share that waited more than a second.
    pub late: f64,
    /// Share that was cut.
    pub dropped: f64,
    /// Share that was slow.
    pub slow: f64,
    /// Share that was above soft slots.
    pub over: f64,
    /// Share that was moved.
    pub moved: f64,
    /// Slot-seconds of files that missed their deadline, over all of them.
    pub files_missed: f64,
    /// Sessions offered.
    pub sessions: u64,
    /// Attainment of the tenant that fared worst.
    pub worst_tenant: f64,
    /// Attainment of the hour that fared worst.
    pub worst_hour: f64,
    /// Slot-seconds used over soft slot-seconds paid for.
    pub utilisation: f64,
    /// Candidates that declined, per placement.
    pub nacks_per_placement: f64,
    /// Decisions a second of deciding, on this machine.
    pub decisions_per_s: f64,
    /// First result, 50th, 95th and 99th percentile, in milliseconds.
    pub first_result_ms: [u64; 3],
    /// Gap of forced moves, 99th percentile, in milliseconds.
    pub move_gap_p99_ms: u64,
    /// Streams that had to leave their node and found another slot; one that moved twice counts twice.
    pub moves: u64,
    /// Nodes that said they were full to such a stream, per stream.
    pub move_nacks: f64,
    /// Nodes that such a stream asked, 99th percentile.
    pub move_tries_p99: u64,
    /// Where the distance from the bound went.
    pub loss: Loss,
    /// Nodes launched.
    pub launches: u64,
    /// Spot nodes taken away.
    pub preempted: u64,
    /// The configuration's name by content.
    pub config_hash: String,
    /// When the prices were true.
    pub prices_of: String,
}

/// Dollars beyond the bound, by what they were paid for. The parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Loss {
    /// Slots of nodes that boot.
    pub boot_usd: f64,
    /// Whole nodes where the bound rents parts: an estimate, at most the idle slots.
    pub integrality_usd: f64,
    /// Slots that serve and that nobody used: headroom, drains, and what routers did not know.
    pub headroom_usd: f64,
    /// Everything else: dearer slots than the bound's, because spot was not there or not foreseen.
    pub price_usd: f64,
}

/// Why a table would be a lie.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{policy} on {scenario}, seed {seed}, costs ${cost:.4}, below the bound ${bound:.4}: the simulator or the bound is wrong"
)]
pub struct BelowBound {
    scenario: String,
    policy: String,
    seed: u64,
    cost: f64,
    bound: f64,
}

impl Outcome {
    /// Puts a run beside its bound.
    ///
    /// # Errors
    /// Fails when the run costs less than the bound of what it had on its slots; or less than the bound of everything, though
    /// it served 99.9 %, all files in time, and was above soft slots no more than the bound allows.
    pub fn of(case: &Case, bounded: &Bounded, contender: &Contender, run: &Record) -> Result<Self, BelowBound> {
        let Bounded { trial, bound, fewest_rejected } = bounded;
        let (cost, served) = (run.dollars(), bound.dollars_for(run));
        let offered = run.offered.max(1) as f64;
        let share = |count: u64| count as f64 / offered;
        let files: f64 = trial.workload.batch.iter().map(|files| files.work).sum();
        let outcome = Self {
            scenario: case.name.clone(),
            policy: contender.name.clone(),
            seed: trial.seed,
            cost_usd: cost,
            lb1s_usd: bound.dollars(),
            cost_ratio: cost / bound.dollars().max(f64::MIN_POSITIVE),
            lb1_served_usd: served,
            slo_attainment: run.attainment(),
            rejected: share(run.failed_by(Cause::Rejected)),
            fewest_rejected: fewest_rejected.map(share),
            late: share(run.failed_by(Cause::Late)),
            dropped: share(run.failed_by(Cause::Dropped)),
            slow: share(run.failed_by(Cause::Slow)),
            over: share(run.over),
            moved: share(run.moved),
            files_missed: if files > 0.0 { run.missed / files } else { 0.0 },
            sessions: run.offered,
            worst_tenant: run.worst(&run.tenants, RANKED_TENANT),
            worst_hour: run.worst(&run.hours, RANKED_HOUR),
            utilisation: run.sum(|bin| bin.streams + bin.files) / run.sum(|bin| bin.paid).max(1.0),
            nacks_per_placement: run.nacks as f64 / run.placements.max(1) as f64,
            decisions_per_s: run.decisions as f64 / run.deciding.as_secs_f64().max(1e-9),
            first_result_ms: [0.5, 0.95, 0.99].map(|share| millis(run.first_result_quantile(share))),
            move_gap_p99_ms: millis(run.gap_quantile(0.99)),
            moves: run.moves.placed(),
            move_nacks: run.moves.full as f64 / run.moves.placed().max(1) as f64,
            move_tries_p99: run.moves.tries_p99(),
            loss: Loss::of(run, bound, cost),
            launches: run.launches,
            preempted: run.preempted,
            config_hash: contender.hash(),
            prices_of: case.fleet.prices_of.clone(),
        };
        outcome.check(run)?;
        Ok(outcome)
    }

    fn check(&self, run: &Record) -> Result<(), BelowBound> {
        let above = run.sum(|bin| bin.above) / run.sum(|bin| bin.streams).max(1.0);
        let serves = self.slo_attainment >= SERVES && self.files_missed <= 0.0 && above <= OVERFLOW_SHARE;
        let bound = if serves { self.lb1s_usd.max(self.lb1_served_usd) } else { self.lb1_served_usd };
        if self.cost_usd >= bound {
            return Ok(());
        }
        let (scenario, policy) = (self.scenario.clone(), self.policy.clone());
        Err(BelowBound { scenario, policy, seed: self.seed, cost: self.cost_usd, bound })
    }
}

impl Loss {
    /// Splits what was paid by what it was paid for: every bin's dollars go to its slots alike.
    fn of(run: &Record, bound: &Clairvoyant, cost: f64) -> Self {
        let part = |of: &dyn Fn(&crate::world::Bin) -> f64| run.sum(|bin| bin.dollars * of(bin) / bin.paid.max(1e-9));
        let boot_usd = part(&|bin| bin.booting);
        let idle = part(&|bin| (bin.paid - bin.booting - bin.streams - bin.files).max(0.0));
        let total = (cost - bound.dollars()).max(0.0);
        let boot_usd = boot_usd.min(total);
        let idle = idle.min(total - boot_usd);
        let integrality_usd = bound.integrality_dollars().min(idle);
        let headroom_usd = idle - integrality_usd;
        Self { boot_usd, integrality_usd, headroom_usd, price_usd: total - boot_usd - idle }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
