//! Checks: what is wrong with a rule before any request has met it.

use std::collections::BTreeSet;

use super::facts::Service;
use super::pattern::Pattern;
use super::{Rule, Then, When};
use crate::fleet::MOST_POOLS;
use crate::ids::{Language, ModelName, PoolName, RuleName};
use crate::models::Models;
use crate::pool::Pool;
use crate::request::Work;

/// Says what is wrong with which rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("rule \"{rule}\": {problem}")]
pub struct RuleError {
    /// The rule.
    pub rule: RuleName,
    /// Its place in the list.
    pub index: usize,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// What can be wrong with a rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleProblem {
    /// Its name is taken.
    #[error("two rules have this name, names must be unique")]
    Twice,
    /// A pool is not there.
    #[error("no pool is called \"{pool}\" ({key}); there are {known}")]
    UnknownPool {
        /// Where it is named, such as `then.pools`.
        key: &'static str,
        /// The pool.
        pool: PoolName,
        /// What there is.
        known: String,
    },
    /// A model is not there.
    #[error("can never apply: no model is called \"{0}\" (when.model); name the model, not an alias")]
    UnknownModel(ModelName),
    /// No model hears a language.
    #[error("can never apply: no model hears \"{0}\" (when.language)")]
    UnknownLanguage(Language),
    /// No door has such a path.
    #[error("can never apply: no path is like \"{0}\" (when.path); there are /v1/listen and /v1/audio/transcriptions")]
    UnknownPath(Pattern),
    /// A service does not do such work.
    #[error("can never apply: transcriptions takes files only (when.work: stream)")]
    NoStreams,
    /// The caller's wish leaves no pool to the rule.
    #[error("can never apply: no pool that it leaves is in {residency} or audited for {compliance}")]
    Unlawful {
        /// Where the audio must stay.
        residency: String,
        /// What the pool must have been audited for.
        compliance: String,
    },
    /// A rule before it refuses everybody whom it concerns.
    #[error("can never apply: rule \"{0}\" comes before it and refuses everybody whom it concerns")]
    Shadowed(RuleName),
    /// It does nothing.
    #[error("does nothing: say in `then` which pools, provider, tier or weights, or refuse")]
    Idle,
    /// Nothing is left by it.
    #[error("leaves no pool: no pool is of that name, provider, tier and weight at once")]
    NothingLeft,
    /// It refuses and places at once.
    #[error("refuses, so nothing else may stand in `then`")]
    RefusesAndPlaces,
    /// There is nothing to order.
    #[error("order: listed needs `then.pools`")]
    NothingListed,
    /// Both ways of preferring.
    #[error("order: listed and weights exclude each other")]
    TwoPreferences,
    /// A pool has a weight and is left out.
    #[error("pool \"{0}\" has a weight but is not among the pools that the rule leaves")]
    WeightWithoutPool(PoolName),
    /// More pools than a decision can hold.
    #[error("rules work with up to {MOST_POOLS} pools, there are {0}")]
    TooManyPools(usize),
}

pub(super) fn check(rules: &[Rule], pools: &[Pool], models: &Models) -> Result<(), RuleError> {
    let mut names = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let fail = |problem| Err(RuleError { rule: rule.name.clone(), index, problem });
        let problem = (!names.insert(&rule.name)).then_some(RuleProblem::Twice);
        let problem = problem.or_else(|| wrong_pools(rule, pools)).or_else(|| wrong_actions(&rule.then, pools));
        let problem = problem.or_else(|| unmatchable(&rule.when, models)).or_else(|| unlawful(rule, pools));
        if let Some(problem) = problem.or_else(|| shadowed(rule, index, rules)) {
            return fail(problem);
        }
    }
    Ok(())
}

fn wrong_pools(rule: &Rule, pools: &[Pool]) -> Option<RuleProblem> {
    if pools.len() > MOST_POOLS {
        return Some(RuleProblem::TooManyPools(pools.len()));
    }
    let then = &rule.then;
    let named = (then.pools.0.iter().map(|pool| ("then.pools", pool)))
        .chain(then.fail_over_to.0.iter().map(|pool| ("then.fail_over_to", pool)))
        .chain(then.weights.keys().map(|pool| ("then.weights", pool)))
        .chain(rule.when.load.iter().map(|busy| ("when.load", &busy.pool)));
    let known = || pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = |name: &PoolName| pools.iter().all(|pool| pool.name != *name);
    let (key, pool) = named.into_iter().find(|(_, name)| unknown(name))?;
    Some(RuleProblem::UnknownPool { key, pool: pool.clone(), known: known() })
}

fn wrong_actions(then: &Then, pools: &[Pool]) -> Option<RuleProblem> {
    let narrows =
        !(then.pools.is_empty() && then.provider.is_empty() && then.tier.is_empty() && then.weights.is_empty());
    let listed = then.order == super::Order::Listed;
    match (then.refuse.is_some(), narrows) {
        (true, true) => return Some(RuleProblem::RefusesAndPlaces),
        (true, false) => return None,
        (false, false) => return Some(RuleProblem::Idle),
        (false, true) => {}
    }
    if listed && then.pools.is_empty() {
        return Some(RuleProblem::NothingListed);
    }
    if listed && !then.weights.is_empty() {
        return Some(RuleProblem::TwoPreferences);
    }
    let kept = then.keeps(pools);
    if kept.is_empty() {
        return Some(RuleProblem::NothingLeft);
    }
    let left_out =
        |name: &&PoolName| !pools.iter().enumerate().any(|(i, pool)| pool.name == **name && kept.contains(i));
    let weighted = then.weights.iter().filter(|(_, weight)| **weight > 0).map(|(name, _)| name);
    weighted.into_iter().find(left_out).map(|name| RuleProblem::WeightWithoutPool(name.clone()))
}

fn unmatchable(when: &When, models: &Models) -> Option<RuleProblem> {
    let unknown_model = |model: &&ModelName| !models.0.contains_key(*model);
    if let Some(model) = when.model.0.iter().find(unknown_model) {
        return Some(RuleProblem::UnknownModel(model.clone()));
    }
    let heard =
        |asked: &Language| models.0.values().flat_map(|spec| &spec.languages).any(|known| asked.is_met_by(known));
    if let Some(language) = when.language.0.iter().find(|language| !heard(language)) {
        return Some(RuleProblem::UnknownLanguage(language.clone()));
    }
    let leads_nowhere = |pattern: &&Pattern| !Service::ALL.iter().any(|service| pattern.matches(service.path()));
    if let Some(pattern) = when.path.0.iter().find(leads_nowhere) {
        return Some(RuleProblem::UnknownPath(pattern.clone()));
    }
    let door = Service::Listen;
    let only_files = !when.path.holds(|pattern| pattern.matches(door.path())) || !when.service.holds(|it| *it == door);
    (only_files && when.work == Some(Work::Stream)).then_some(RuleProblem::NoStreams)
}

/// Callers' residency and compliance bind before any rule: a rule for them that leaves only other pools refuses for sure.
fn unlawful(rule: &Rule, pools: &[Pool]) -> Option<RuleProblem> {
    let When { residency, compliance, .. } = &rule.when;
    let kept = rule.then.keeps(pools);
    let lawful = |(index, pool): (usize, &Pool)| {
        kept.contains(index)
            && residency.holds(|residency| *residency == pool.residency)
            && compliance.is_subset(&pool.compliance)
    };
    if rule.then.refuse.is_some() || pools.iter().enumerate().any(lawful) {
        return None;
    }
    let words = |items: Vec<&str>| if items.is_empty() { "anything".to_owned() } else { items.join(", ") };
    Some(RuleProblem::Unlawful {
        residency: words(residency.0.iter().map(|residency| residency.0.as_str()).collect()),
        compliance: words(compliance.iter().map(|regime| regime.0.as_str()).collect()),
    })
}

/// Tells whether a rule that comes first refuses everybody, or the very same callers.
fn shadowed(rule: &Rule, index: usize, rules: &[Rule]) -> Option<RuleProblem> {
    let comes_first = |(at, other): &(usize, &Rule)| {
        other.priority > rule.priority || (other.priority == rule.priority && *at < index)
    };
    let refuses_them =
        |other: &Rule| other.then.refuse.is_some() && (other.when == When::default() || other.when == rule.when);
    let mut before = rules.iter().enumerate().filter(comes_first).map(|(_, other)| other);
    before.find(|other| refuses_them(other)).map(|other| RuleProblem::Shadowed(other.name.clone()))
}
