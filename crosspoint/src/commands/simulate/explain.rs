//! What each of the world's imperfections costs a contender.

use simulator::ideal::Ideal;
use simulator::outcome::Outcome;
use simulator::run::{Bounded, on_all_processors};

use super::compare::Compared;
use super::files::Files;

/// Runs a contender in every ideal world, on the seeds of a comparison.
///
/// # Errors
/// Fails when the contender's file is not understood, or a run costs less than it can.
pub(super) fn ideals(compared: &Compared, name: &str, files: &Files) -> anyhow::Result<Vec<(Ideal, Vec<Outcome>)>> {
    let seeds: Vec<u64> = compared.rows.first().into_iter().flatten().map(|run| run.outcome.seed).collect();
    let cases = Ideal::ALL.map(|ideal| ideal.case(&compared.case));
    let outcomes = on_all_processors(cases.len() * seeds.len(), |job| {
        let (case, seed) = (job / seeds.len(), seeds[job % seeds.len()]);
        let bounded = Bounded::draw(&cases[case], seed);
        let contender = Ideal::ALL[case].contender(&files.contender(name, None, &bounded.trial)?);
        Ok::<_, anyhow::Error>(bounded.run(&cases[case], &contender)?.outcome)
    })?;
    let mut outcomes = outcomes.into_iter();
    Ok(Ideal::ALL.map(|ideal| (ideal, outcomes.by_ref().take(seeds.len()).collect())).into())
}
