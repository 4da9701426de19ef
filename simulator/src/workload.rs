//! Workloads: the sessions and files of one run, drawn before it begins, so that every policy meets the same ones.

mod arrivals;
mod lengths;
mod synthetic;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use scheduler::{Priority, Timestamp};

use crate::scenario::{Batch, Durations, Stationary, Streams};
use crate::traces::{RateTrace, RecordedSessions, WINDOW};

use arrivals::draw_arrivals;
use lengths::Lengths;

/// One live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// When it is asked for.
    pub at: Timestamp,
    /// How long it speaks.
    pub length: Duration,
    /// Its tenant, as an index of [`Workload::tenants`].
    pub tenant: u16,
}

/// Files that arrive in one minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchWork {
    /// When.
    pub at: Timestamp,
    /// When they must be done.
    pub due: Timestamp,
    /// How much there is to do, in slot-seconds.
    pub work: f64,
}

/// Everything that is asked of the fleet in one run.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The streams, in the order they arrive.
    pub sessions: Vec<Session>,
    /// How many tenants they belong to.
    pub tenants: usize,
    /// The files, in the order they arrive.
    pub batch: Vec<BatchWork>,
    /// The end of the run; what still speaks then is cut.
    pub horizon: Timestamp,
}

/// What a workload is drawn from: the scenario's words with the traces behind them.
#[derive(Clone, Debug)]
pub enum Demand {
    /// Rates of clients, scaled to a mean load in Erlang.
    Rates(RateTrace, f64),
    /// The synthetic days.
    Synthetic(crate::scenario::Synthetic),
    /// Theory's process.
    Stationary(Stationary),
    /// What was recorded; dice change nothing.
    Recorded(RecordedSessions),
}

/// Everything that a workload is drawn from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where streams come from.
    pub demand: Demand,
    /// How long they are.
    pub durations: Durations,
    /// Files.
    pub batch: Option<Batch>,
    /// Arrivals of files per window, in any unit; empty where they come evenly.
    pub batch_shape: Vec<f64>,
    /// How much time is simulated.
    pub duration: Duration,
}

/// Files are gathered by the minute.
const MINUTE: Duration = Duration::from_secs(60);
/// When recorded files are due, where the scenario does not say.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

impl Workload {
    /// Draws the workload of one seed.
    #[must_use]
    pub fn draw(sources: &Sources, seed: u64) -> Self {
        let horizon = Timestamp::at(sources.duration);
        let mut sessions = sources.sessions(seed);
        sessions.retain(|session| session.at < horizon && !session.length.is_zero());
        sessions.sort_by_key(|session| session.at);
        let tenants = sessions.iter().map(|session| usize::from(session.tenant) + 1).max().unwrap_or(1);
        let spoken = sessions.iter().map(|session| within(session, horizon)).sum();
        let mut batch = sources.files(spoken);
        batch.retain(|files| files.at < horizon);
        Self { sessions, tenants, batch, horizon }
    }

    /// Returns the mean number of streams that speak in each bin.
    #[must_use]
    pub fn mean_streams(&self, bin: Duration, bins: usize) -> Vec<f64> {
        let mut steps: Vec<(f64, f64)> = Vec::with_capacity(self.sessions.len() * 2);
        for session in &self.sessions {
            let from = session.at.since(Timestamp::ZERO).as_secs_f64();
            steps.extend([(from, 1.0), (from + session.length.as_secs_f64(), -1.0)]);
        }
        integrate(&steps, bin.as_secs_f64(), bins)
    }
}

/// Turns steps (time, change) into the mean level of each bin: a change at `t` counts for the rest of its bin and for all
/// bins after it.
fn integrate(steps: &[(f64, f64)], width: f64, bins: usize) -> Vec<f64> {
    let (mut part, mut rest) = (vec![0.0; bins], vec![0.0; bins + 1]);
    for (at, change) in steps {
        let index = bin_of(*at, width);
        if index < bins {
            part[index] += change * ((index as f64 + 1.0) - at / width);
            rest[index + 1] += change;
        }
    }
    let mut level = 0.0;
    for (mean, change) in part.iter_mut().zip(&rest) {
        level += change;
        *mean = (*mean + level).max(0.0);
    }
    part
}

/// Returns the bin of a time, in seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "float to integer casts saturate")]
pub(crate) fn bin_of(at: f64, width: f64) -> usize {
    (at / width) as usize
}

/// Returns the seconds of a session before the horizon.
fn within(session: &Session, horizon: Timestamp) -> f64 {
    session.length.min(horizon.since(session.at)).as_secs_f64()
}

impl Sources {
    fn sessions(&self, seed: u64) -> Vec<Session> {
        match &self.demand {
            Demand::Rates(trace, mean_load) => self.by_rates(trace, *mean_load, seed),
            Demand::Synthetic(synthetic) => {
                let windows = windows(self.duration);
                let trace = synthetic::rates(synthetic, windows, &mut dice(seed, u64::MAX));
                self.by_rates(&trace, synthetic.mean_load, seed)
            }
            Demand::Stationary(stationary) => stationary_sessions(stationary, self.duration, seed),
            Demand::Recorded(recorded) => {
                let streams = recorded.sessions.iter().filter(|session| session.priority != Priority::Batch);
                let session = |recorded: &crate::traces::Recorded| Session {
                    at: recorded.at,
                    length: recorded.length,
                    tenant: recorded.tenant,
                };
                streams.map(session).collect()
            }
        }
    }

    /// Each client has dice of its own: leaving one client out changes nothing for the others.
    fn by_rates(&self, trace: &RateTrace, mean_load: f64, seed: u64) -> Vec<Session> {
        let lengths = Lengths::of(&self.durations);
        let expected: f64 = trace.clients.iter().map(crate::traces::ClientRates::arrivals).sum();
        let wanted = mean_load * self.duration.as_secs_f64() / lengths.mean();
        let scale = if expected > 0.0 { wanted / expected } else { 0.0 };
        let mut sessions = Vec::new();
        for (tenant, client) in (0..=u16::MAX).zip(&trace.clients) {
            let mut dice = dice(seed, client.client.into());
            let arrivals = draw_arrivals(client, scale, &mut dice);
            sessions.extend(arrivals.into_iter().map(|at| Session {
                at: Timestamp::at(Duration::from_secs_f64(at)),
                length: lengths.draw(&mut dice),
                tenant,
            }));
        }
        sessions
    }

    /// Spreads the files' work over the minutes.
    fn files(&self, spoken: f64) -> Vec<BatchWork> {
        let deadline = self.batch.as_ref().map_or(DEADLINE, |batch| batch.deadline);
        let mut files = match &self.batch {
            Some(batch) => self.drawn_files(batch, spoken * batch.share),
            None => Vec::new(),
        };
        if let Demand::Recorded(recorded) = &self.demand {
            let recorded = recorded.sessions.iter().filter(|session| session.priority == Priority::Batch);
            files.extend(recorded.map(|file| BatchWork {
                at: file.at,
                due: file.at + deadline,
                work: file.length.as_secs_f64(),
            }));
            files.sort_by_key(|file| file.at);
        }
        files
    }

    fn drawn_files(&self, batch: &Batch, total: f64) -> Vec<BatchWork> {
        let minutes = u32::try_from(self.duration.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
        let weights: Vec<f64> = (0..minutes).map(|minute| self.shape_at(MINUTE * minute)).collect();
        let sum: f64 = weights.iter().sum();
        let arrival = |(minute, weight): (u32, f64)| {
            let at = Timestamp::at(MINUTE * minute);
            BatchWork { at, due: at + batch.deadline, work: total * weight / sum.max(f64::MIN_POSITIVE) }
        };
        (0..minutes).zip(weights).map(arrival).filter(|files| files.work > 0.0).collect()
    }

    /// Interpolates the files' shape between the windows' centres.
    fn shape_at(&self, since_start: Duration) -> f64 {
        let Some(last) = self.batch_shape.len().checked_sub(1) else { return 1.0 };
        let place = (since_start.as_secs_f64() / WINDOW.as_secs_f64() - 0.5).max(0.0);
        let before = bin_of(place, 1.0).min(last);
        let (from, to) = (self.batch_shape[before], self.batch_shape[(before + 1).min(last)]);
        from + (to - from) * (place - before as f64).min(1.0)
    }
}

/// Counts the trace windows that cover a time.
pub(crate) fn windows(duration: Duration) -> usize {
    usize::try_from(duration.as_secs().div_ceil(WINDOW.as_secs())).unwrap_or(usize::MAX)
}

fn stationary_sessions(stationary: &Stationary, duration: Duration, seed: u64) -> Vec<Session> {
    let mut dice = dice(seed, 0);
    let mean = stationary.mean.as_secs_f64();
    let arrivals = arrivals::poisson(stationary.load / mean, duration.as_secs_f64(), &mut dice);
    let session = |at| Session {
        at: Timestamp::at(Duration::from_secs_f64(at)),
        length: lengths::holding(stationary.holding, mean, &mut dice),
        tenant: 0,
    };
    arrivals.into_iter().map(session).collect()
}

/// Makes dice for one purpose of one seed.
pub(crate) fn dice(seed: u64, purpose: u64) -> SmallRng {
    SmallRng::seed_from_u64(mix(seed, purpose))
}

/// Mixes two numbers into one that looks like neither: the finaliser of `SplitMix64`.
pub(crate) fn mix(seed: u64, purpose: u64) -> u64 {
    let sum = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(purpose.wrapping_mul(0xD1B5_4A32_D192_ED03));
    let mixed = (sum ^ (sum >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The scenario's way to ask for streams tells which trace it needs.
impl Streams {
    /// Returns the trace file, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Servegen(servegen) => Some(&servegen.file),
            Self::Sessions(sessions) => Some(&sessions.file),
            Self::Synthetic(_) | Self::Stationary(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
