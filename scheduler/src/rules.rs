//! Rules: what an operator says about who may be served where. The highest priority comes first, all conditions of a rule
//! must hold, and actions narrow: a rule never opens a pool that the key, residency, compliance or a rule before it closed.
//!
//! * [`When`]: the conditions. [`Then`]: the actions. [`Facts`]: what conditions look at besides the [`Request`] itself.
//! * [`Rules::compile`] checks rules against the pools and models that there are: a rule that names an unknown pool or that
//!   can never apply is a [`RuleError`] that says where.
//! * [`Rules::narrow`] gives the pools that one request may use, before anything is balanced over them.

mod check;
mod facts;
mod pattern;
mod pools;
mod several;
mod then;
mod when;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{PoolName, RuleName};
use crate::models::Models;
use crate::pool::Pool;
use crate::request::Request;

pub use check::{RuleError, RuleProblem};
pub use facts::{Country, Facts, Service};
pub use pattern::Pattern;
pub use pools::PoolSet;
pub use several::Several;
pub use then::{OnFailure, Order, Then};
pub use when::{Busy, When};

/// One rule as an operator writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, unique in the file; explanations and refusals show it.
    pub name: RuleName,
    /// Higher ones come first; equal ones in the order of the file.
    #[serde(default)]
    pub priority: u32,
    /// Whom it concerns: all conditions hold. Without conditions, everybody.
    #[serde(default)]
    pub when: When,
    /// Where they may be served.
    pub then: Then,
}

/// Which of the pools that a rule leaves is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference<'a> {
    /// The cheapest, as without rules.
    Cost,
    /// The first of these, by index, that has room.
    Listed(&'a [u8]),
    /// One of these, by index, drawn by its weight.
    Weighted(&'a [(u8, u32)]),
}

/// What rules leave of the pools for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed<'a> {
    /// The pools that it may use.
    pub first: PoolSet,
    /// The pools that it may use when nothing in `first` can serve; holds all of `first`.
    pub fallback: PoolSet,
    /// Which of them to prefer.
    pub preference: Preference<'a>,
    /// The rules that applied, in their order, with the pools that each closed to this request.
    pub applied: Vec<Applied<'a>>,
}

/// One rule's effect on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied<'a> {
    /// The rule.
    pub rule: &'a RuleName,
    /// The pools that were open before it, and were closed by it.
    pub closed: PoolSet,
}

/// Says that a rule refuses a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleRefusal {
    /// A rule says so.
    #[error("rule {rule} refuses this request: {text}")]
    Refused {
        /// The rule.
        rule: RuleName,
        /// Its words for the caller.
        text: String,
    },
    /// Rules that apply together, or a rule and what was allowed before it, leave no pool.
    #[error("rule {rule} leaves no pool to this request")]
    NothingLeft {
        /// The rule that closed the last one.
        rule: RuleName,
    },
}

impl RuleRefusal {
    /// Returns the rule that refuses.
    #[must_use]
    pub fn rule(&self) -> &RuleName {
        match self {
            Self::Refused { rule, .. } | Self::NothingLeft { rule } => rule,
        }
    }
}

/// Rules that were checked, ready to be asked once per decision. Pools are known by their index in the configuration.
///
/// They are written as an operator writes them. What was read back knows no pools yet and says nothing until [`Rules::on`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Rules {
    written: Vec<Rule>,
    rules: Vec<Compiled>,
}

impl From<Vec<Rule>> for Rules {
    fn from(written: Vec<Rule>) -> Self {
        Self { written, rules: Vec::new() }
    }
}

impl From<Rules> for Vec<Rule> {
    fn from(rules: Rules) -> Self {
        rules.written
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Compiled {
    name: RuleName,
    when: When,
    busy: Option<(usize, f64)>,
    then: then::Compiled,
}

impl Rules {
    /// Checks `rules` and makes them ready.
    ///
    /// # Errors
    /// Fails on the first rule that names a pool, model or language that is not there, can never apply, or does nothing.
    pub fn compile(rules: &[Rule], pools: &[Pool], models: &Models) -> Result<Self, RuleError> {
        check::check(rules, pools, models)?;
        Ok(Self::from(rules.to_vec()).on(pools))
    }

    /// Makes rules that were checked before ready for these pools.
    #[must_use]
    pub fn on(&self, pools: &[Pool]) -> Self {
        let mut order: Vec<&Rule> = self.written.iter().collect();
        order.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        let index = |name: &PoolName| pools.iter().position(|pool| pool.name == *name);
        let compiled = order.into_iter().map(|rule| Compiled {
            name: rule.name.clone(),
            when: rule.when.clone(),
            busy: rule.when.load.as_ref().and_then(|busy| Some((index(&busy.pool)?, f64::from(busy.above.get())))),
            then: rule.then.compile(pools),
        });
        Self { rules: compiled.collect(), written: self.written.clone() }
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Narrows `allowed`, the pools that key, residency and compliance leave to `request`; `load` tells how full a pool is,
    /// in shares of its soft slots.
    ///
    /// # Errors
    /// Fails when a rule refuses the request, or when a rule that may not be passed over leaves no pool.
    pub fn narrow(
        &self,
        request: &Request,
        allowed: PoolSet,
        load: impl Fn(usize) -> f64,
    ) -> Result<Narrowed<'_>, RuleRefusal> {
        let mut narrowed =
            Narrowed { first: allowed, fallback: allowed, preference: Preference::Cost, applied: Vec::new() };
        for rule in &self.rules {
            let is_busy = |(pool, above): (usize, f64)| load(pool) > above;
            if rule.when.holds(request) && rule.busy.is_none_or(is_busy) {
                rule.apply(&mut narrowed)?;
            }
        }
        Ok(narrowed)
    }
}

impl Compiled {
    fn apply<'a>(&'a self, narrowed: &mut Narrowed<'a>) -> Result<(), RuleRefusal> {
        if let Some(text) = &self.then.refuse {
            return Err(RuleRefusal::Refused { rule: self.name.clone(), text: text.clone() });
        }
        let (first, fallback) = (narrowed.first & self.then.first, narrowed.fallback & self.then.fallback);
        if fallback.is_empty() {
            return Err(RuleRefusal::NothingLeft { rule: self.name.clone() });
        }
        let closed = narrowed.first - first;
        // Where nothing is left of a first choice, the next best is.
        let choices = [first, narrowed.first & fallback, fallback];
        narrowed.first = choices.into_iter().find(|choice| !choice.is_empty()).unwrap_or(fallback);
        narrowed.fallback = fallback;
        if narrowed.preference == Preference::Cost {
            narrowed.preference = self.then.preference();
        }
        narrowed.applied.push(Applied { rule: &self.name, closed });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
