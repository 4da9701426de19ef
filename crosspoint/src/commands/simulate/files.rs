//! The files of a simulation: what is named is looked for among what is built in, then on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use simulator::case::{Case, TraceDirs, Trial};
use simulator::library::{BuiltIn, FLEETS, SCENARIOS, SPOT_SETS, find};
use simulator::policy::{Contender, built_in, placing};
use simulator::scenario::Scenario;

use crate::config::{ConfigError, read};

/// Where files are looked for.
pub(super) struct Files {
    traces: Vec<PathBuf>,
}

impl Files {
    /// Looks for traces in these directories too.
    pub(super) fn new(traces: &[PathBuf]) -> Self {
        Self { traces: traces.to_vec() }
    }

    /// Reads a scenario with everything that it names, to simulate as much time of it as it says or as is given.
    ///
    /// # Errors
    /// Fails on a file that cannot be read or is not understood.
    pub(super) fn case(&self, name: &str, duration: Option<Duration>) -> anyhow::Result<Case> {
        let home = Path::new(name).parent().filter(|_| find(name, SCENARIOS).is_none());
        let mut scenario: Scenario = named(name, SCENARIOS, None)?;
        scenario.duration = duration.unwrap_or(scenario.duration);
        let fleet = named(&scenario.fleet, FLEETS, home)?;
        let spot = scenario.spot.as_ref().map(|spot| named(spot, SPOT_SETS, home)).transpose()?;
        let here = home.map(Path::to_owned).into_iter();
        let dirs = here.chain(self.traces.iter().cloned()).chain([PathBuf::from(".")]);
        Ok(Case::load(&scenario, fleet, spot.as_ref(), &TraceDirs(dirs.collect()))?)
    }

    /// Reads a contender; those that are built in may be told the trial and where to set their knob.
    ///
    /// # Errors
    /// Fails on a file that cannot be read or is not understood.
    pub(super) fn contender(&self, name: &str, knob: Option<f32>, trial: &Trial) -> Result<Contender, ConfigError> {
        match built_in(name, knob, trial) {
            Some(contender) => Ok(contender),
            None => named(name, &[], None),
        }
    }

    /// Reads a contender that is to place only: a way of placing that is built in, or a file.
    ///
    /// # Errors
    /// Fails on a file that cannot be read or is not understood.
    pub(super) fn policy(&self, name: &str) -> Result<Contender, ConfigError> {
        placing(name).map_or_else(|| named(name, &[], None), Ok)
    }
}

/// Reads what is built in under a name, or the file of that name, also beside another file.
fn named<T: DeserializeOwned>(name: &str, among: &'static [BuiltIn], beside: Option<&Path>) -> Result<T, ConfigError> {
    if let Some(built_in) = find(name, among) {
        return read(built_in.name, built_in.text);
    }
    let near = beside.map(|dir| dir.join(name)).filter(|path| path.exists());
    let path = near.unwrap_or_else(|| PathBuf::from(name));
    let known = || among.iter().map(|built_in| built_in.name).collect::<Vec<_>>().join(", ");
    let text = std::fs::read_to_string(&path).map_err(|cause| match among {
        [] => ConfigError::Unreadable { path: path.clone(), cause },
        [_, ..] => ConfigError::NotBuiltIn { name: name.to_owned(), cause, known: known() },
    })?;
    read(&path.display().to_string(), &text)
}
