//! Conditions: whom a rule concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{Country, Service};
use super::pattern::Pattern;
use super::several::Several;
use crate::ids::{Language, ModelName, PoolName};
use crate::pool::{Compliance, Residency};
use crate::request::{Priority, Request, Work};
use crate::units::{MicroDollars, Ratio, optional_duration};

/// Conditions that must all hold; of several values for one, any will do. What is not written does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The path of the request, such as `/v1/*`.
    pub path: Several<Pattern>,
    /// The caller API.
    pub service: Several<Service>,
    /// Values of headers, by name.
    pub header: BTreeMap<String, Several<Pattern>>,
    /// Values of the caller's token's claims, by name.
    pub claim: BTreeMap<String, Several<Pattern>>,
    /// Where the caller is.
    pub country: Several<Country>,
    /// Whose session it is.
    pub tenant: Several<Pattern>,
    /// The model, aliases resolved.
    pub model: Several<ModelName>,
    /// The language that the caller says is spoken; `en` holds for `en-US` too.
    pub language: Several<Language>,
    /// Stream or file.
    pub work: Option<Work>,
    /// Live, interactive or batch.
    pub priority: Several<Priority>,
    /// Where the caller says its audio must stay.
    pub residency: Several<Residency>,
    /// What the caller asks the pool to be audited for: all of these.
    pub compliance: BTreeSet<Compliance>,
    /// A pool is fuller than this.
    pub load: Option<Busy>,
    /// The caller accepts at most this round trip plus chunk latency.
    #[serde(with = "optional_duration")]
    #[schemars(with = "Option<String>")]
    pub latency_under: Option<Duration>,
    /// The caller pays at most this, in dollars per session-hour.
    pub cost_under: Option<MicroDollars>,
}

/// A pool that is fuller than it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// The pool.
    pub pool: PoolName,
    /// The share of its soft slots, from 0 to 1, above which the condition holds.
    pub above: Ratio,
}

impl When {
    /// Tells whether everything but the load of a pool holds for `request`.
    #[must_use]
    pub(super) fn holds(&self, request: &Request) -> bool {
        let facts = &request.facts;
        self.path.holds(|pattern| pattern.matches(&facts.path))
            && self.service.holds(|service| facts.service == Some(*service))
            && all_hold(&self.header, &facts.headers)
            && all_hold(&self.claim, &facts.claims)
            && self.country.holds(|country| facts.country == Some(*country))
            && self.tenant.holds(|pattern| pattern.matches(request.tenant.as_str()))
            && self.model.holds(|model| request.model == *model)
            && self.language.holds(|language| facts.language.as_ref().is_some_and(|asked| language.is_met_by(asked)))
            && self.work.is_none_or(|work| request.work == work)
            && self.priority.holds(|priority| request.priority == *priority)
            && self.residency.holds(|residency| request.residency.as_ref() == Some(residency))
            && self.compliance.is_subset(&request.compliance)
            && self.latency_under.is_none_or(|limit| request.latency_limit <= limit)
            && self.cost_under.is_none_or(|limit| request.max_cost.is_some_and(|most| most <= limit))
    }
}

fn all_hold(wanted: &BTreeMap<String, Several<Pattern>>, found: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, patterns)| {
        let value = found.get(&name.to_ascii_lowercase());
        value.is_some_and(|value| patterns.holds(|pattern| pattern.matches(value)))
    })
}
