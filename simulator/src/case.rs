//! A case: a scenario with everything its names stand for, ready to be drawn from. What a seed decides is a [`Trial`]; every
//! policy meets the same trials.

use std::path::{Path, PathBuf};
use std::time::Duration;

use scheduler::Market;

use crate::scenario::{Failure, FleetFile, Scenario, Streams, Telemetry};
use crate::traces::{Capacity, RateTrace, RecordedSessions, SpotFile, SpotSource, TraceError, WINDOW};
use crate::workload::{Demand, Sources, Workload, dice, windows};

/// Dice for spot capacity are not those of any client.
const SPOT_DICE: u64 = 1 << 40;
/// More nodes than any pool has.
const UNLIMITED: u32 = 1_000_000;

/// Where trace files are looked for, in order.
#[derive(Clone, Debug, Default)]
pub struct TraceDirs(pub Vec<PathBuf>);

impl TraceDirs {
    /// Returns the first place where the file is, or its own path.
    #[must_use]
    pub fn find(&self, file: &Path) -> PathBuf {
        let places = self.0.iter().map(|dir| dir.join(file));
        places.into_iter().find(|place| place.exists()).unwrap_or_else(|| file.to_owned())
    }
}

/// A scenario, with its traces read.
#[derive(Clone, Debug)]
pub struct Case {
    /// What tables call it.
    pub name: String,
    /// The fleet, its factors applied.
    pub fleet: FleetFile,
    /// What goes wrong.
    pub failures: Vec<Failure>,
    /// How the routers learn of the nodes.
    pub telemetry: Telemetry,
    /// How long a stream waits for a slot.
    pub patience: Duration,
    /// Slot-seconds of a chunk of a file.
    pub chunk: Duration,
    /// How often it is run.
    pub seeds: u64,
    sources: Sources,
    spot: Vec<SpotOf>,
}

/// Where one pool's capacity comes from.
#[derive(Clone, Debug)]
enum SpotOf {
    Never,
    Recorded(Capacity),
    Drawn(crate::traces::SyntheticSpot),
}

/// What one seed decides.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The seed.
    pub seed: u64,
    /// Streams and files.
    pub workload: Workload,
    /// Nodes that each pool can have, in the fleet's order.
    pub capacity: Vec<Capacity>,
}

impl Case {
    /// Reads the traces that a scenario names.
    ///
    /// # Errors
    /// Fails when a trace cannot be read, is not in its format, or is too short.
    pub fn load(
        scenario: &Scenario,
        fleet: FleetFile,
        spot: Option<&SpotFile>,
        dirs: &TraceDirs,
    ) -> Result<Self, TraceError> {
        let spot_price = scenario.failures.iter().fold(1.0, |price, failure| match failure {
            Failure::SpotPrice(factor) => price * factor,
            Failure::Crashes(_)
            | Failure::ZoneLoss { .. }
            | Failure::ProviderLoss { .. }
            | Failure::Gray { .. }
            | Failure::TelemetryLoss(_)
            | Failure::LaunchFailures(_)
            | Failure::RouterPartition(_) => price,
        });
        let fleet = fleet.scaled(scenario.factors).with_spot_price(spot_price);
        Ok(Self {
            name: scenario.name.clone(),
            spot: spot_of(&fleet, spot, scenario.duration, dirs)?,
            sources: sources(scenario, dirs)?,
            fleet,
            failures: scenario.failures.clone(),
            telemetry: scenario.telemetry,
            patience: scenario.patience,
            chunk: scenario.batch.as_ref().map_or(Duration::from_secs(3), |batch| batch.chunk),
            seeds: scenario.seeds,
        })
    }

    /// Draws what one seed decides.
    #[must_use]
    pub fn trial(&self, seed: u64) -> Trial {
        let draw = |(place, (pool, spot)): (u64, (&crate::scenario::PoolSpec, &SpotOf))| match spot {
            SpotOf::Never => Capacity::always(pool.nodes.max),
            SpotOf::Recorded(capacity) => capacity.capped(pool.nodes.max),
            SpotOf::Drawn(synthetic) => {
                Capacity::draw(synthetic, self.sources.duration, &mut dice(seed, SPOT_DICE + place))
                    .capped(pool.nodes.max)
            }
        };
        let capacity = (0..).zip(self.fleet.pools.iter().zip(&self.spot)).map(draw).collect();
        Trial { seed, workload: Workload::draw(&self.sources, seed), capacity }
    }

    /// Lets spot pools be never short.
    pub(crate) fn let_spot_be_never_short(&mut self) {
        self.spot.fill(SpotOf::Never);
    }

    /// Returns the share of streams that must be lost, where theory knows: one machine, a Poisson process, nobody waits.
    #[must_use]
    pub fn theory(&self) -> Option<f64> {
        let (Demand::Stationary(stationary), [pool]) = (&self.sources.demand, self.fleet.pools.as_slice()) else {
            return None;
        };
        let loss_system = pool.nodes.max == 1 && self.patience.is_zero();
        loss_system.then(|| crate::bound::blocking(pool.slots.hard, stationary.load))
    }

    /// Returns the slots of a fleet that never changes.
    #[must_use]
    pub fn fixed_slots(&self) -> Option<u32> {
        let fixed = self.fleet.pools.iter().all(|pool| pool.nodes.min == pool.nodes.max);
        fixed.then(|| self.fleet.pools.iter().map(|pool| pool.nodes.max * pool.slots.hard).sum())
    }

    /// Returns when files must be done after they came.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.sources.batch.as_ref().map(|batch| batch.deadline)
    }

    /// Returns the most nodes that a provider's pools may have together.
    #[must_use]
    pub fn provider_limits(&self, provider: scheduler::Provider) -> crate::scenario::Limits {
        let limits = self.fleet.providers.get(provider);
        limits.unwrap_or(crate::scenario::Limits { min: 0, max: UNLIMITED })
    }
}

fn spot_of(
    fleet: &FleetFile,
    spot: Option<&SpotFile>,
    duration: Duration,
    dirs: &TraceDirs,
) -> Result<Vec<SpotOf>, TraceError> {
    let of = |pool: &crate::scenario::PoolSpec| match spot.and_then(|spot| spot.pools.get(&pool.name)) {
        Some(SpotSource::Trace(entry)) if pool.market == Market::Spot => {
            Capacity::read(&dirs.find(&entry.file), entry, duration).map(SpotOf::Recorded)
        }
        Some(SpotSource::Synthetic(synthetic)) if pool.market == Market::Spot => Ok(SpotOf::Drawn(*synthetic)),
        Some(SpotSource::Trace(_) | SpotSource::Synthetic(_)) | None => Ok(SpotOf::Never),
    };
    fleet.pools.iter().map(of).collect()
}

fn sources(scenario: &Scenario, dirs: &TraceDirs) -> Result<Sources, TraceError> {
    let windows = windows(scenario.duration);
    let demand = match &scenario.streams {
        Streams::Servegen(servegen) => {
            let trace = RateTrace::read(&dirs.find(&servegen.file), first_window(servegen.first_day), windows)?;
            Demand::Rates(trace, servegen.mean_load)
        }
        Streams::Sessions(sessions) => Demand::Recorded(RecordedSessions::read(&dirs.find(&sessions.file))?),
        Streams::Synthetic(synthetic) => Demand::Synthetic(synthetic.clone()),
        Streams::Stationary(stationary) => Demand::Stationary(stationary.clone()),
    };
    let batch_shape = match &scenario.batch {
        Some(batch) => match &batch.shape {
            Some(file) => RateTrace::read(&dirs.find(file), first_window(batch.first_day), windows)?.total(),
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    Ok(Sources {
        demand,
        durations: scenario.durations,
        batch: scenario.batch.clone(),
        batch_shape,
        duration: scenario.duration,
    })
}

fn first_window(day: u32) -> usize {
    usize::try_from(u64::from(day) * 86_400 / WINDOW.as_secs()).unwrap_or(usize::MAX)
}
