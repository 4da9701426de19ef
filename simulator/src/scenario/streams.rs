//! What is asked of the fleet: live streams, how long they are, and files.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where live streams come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    /// Arrival rates of a `ServeGen` trace, scaled to a load.
    Servegen(ServeGen),
    /// Recorded sessions, one a line.
    Sessions(SessionsFile),
    /// Days and weeks with bursts, for whoever has no trace.
    Synthetic(Synthetic),
    /// A Poisson process that never changes: what theory knows the answer to.
    Stationary(Stationary),
}

/// A trace of arrival rates per client: `client,t_s,rate_rps,cv,dist,p1,p2`, one line per client and 10 minutes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeGen {
    /// The file, `.csv` or `.csv.gz`.
    pub file: PathBuf,
    /// The day of the trace that the scenario begins with.
    #[serde(default)]
    pub first_day: u32,
    /// Mean number of streams at a time, in Erlang; the trace's rates are scaled to it.
    pub mean_load: f64,
}

/// Recorded sessions: `arrival_s,duration_s[,tenant,class]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsFile {
    /// The file, `.csv` or `.csv.gz`.
    pub file: PathBuf,
}

/// A daily and weekly cycle with bursts, shared by tenants of Zipf size.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// Mean number of streams at a time, in Erlang.
    pub mean_load: f64,
    /// Tenants; the nth is 1/n as large as the first.
    pub tenants: u16,
    /// How far the day's peak and trough lie from its mean, as a share of the mean.
    pub daily_swing: f64,
    /// Load of a weekend day over that of a working day.
    pub weekend: f64,
    /// Crowds on top.
    pub bursts: Bursts,
}

/// Crowds: one tenant at a time is suddenly larger.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bursts {
    /// How many a day, on average.
    pub per_day: f64,
    /// How many times its own rate the tenant then has.
    pub height: f64,
    /// Mean length; lengths are exponential.
    #[serde(with = "scheduler::units::duration")]
    pub length: Duration,
}

/// A Poisson process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stationary {
    /// Offered load, in Erlang.
    pub load: f64,
    /// The law of the holding time.
    pub holding: Holding,
    /// Its mean.
    #[serde(with = "scheduler::units::positive_duration")]
    pub mean: Duration,
}

/// How long a stream of a [`Stationary`] scenario holds its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the laws' own names")]
pub enum Holding {
    Exponential,
    Lognormal,
    Constant,
}

/// Session lengths: lognormal, clipped, with a share of meetings. The defaults are fitted to 31,277 answered calls of a call
/// centre (mean 189 s); the meetings' spread is an assumption.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// Mean of the logarithm of the seconds.
    pub mu: f64,
    /// Standard deviation of that logarithm.
    pub sigma: f64,
    /// Nothing is shorter.
    #[serde(with = "scheduler::units::duration")]
    pub least: Duration,
    /// Nothing is longer.
    #[serde(with = "scheduler::units::duration")]
    pub most: Duration,
    /// The long ones.
    pub meetings: Meetings,
}

/// A share of sessions of another kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meetings {
    /// Their share of all sessions.
    pub share: f64,
    /// Their median.
    #[serde(with = "scheduler::units::duration")]
    pub median: Duration,
    /// Standard deviation of the logarithm of their length.
    pub sigma: f64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            mu: 4.749,
            sigma: 0.995,
            least: Duration::from_secs(2),
            most: Duration::from_secs(4 * 3600),
            meetings: Meetings { share: 0.02, median: Duration::from_secs(45 * 60), sigma: 0.5 },
        }
    }
}

/// Files: work without a caller on the line, due by a deadline.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// A trace whose rates over time the files follow; without it they come evenly.
    #[serde(default)]
    pub shape: Option<PathBuf>,
    /// The day of that trace to begin with.
    #[serde(default)]
    pub first_day: u32,
    /// Slot-seconds of files over slot-seconds of streams.
    pub share: f64,
    /// From arrival to when a file must be done.
    #[serde(with = "scheduler::units::positive_duration")]
    pub deadline: Duration,
    /// Slot-seconds of one chunk: 30 s of audio at ten times real time.
    #[serde(default = "chunk", with = "scheduler::units::positive_duration")]
    pub chunk: Duration,
}

fn chunk() -> Duration {
    Duration::from_secs(3)
}
