//! What types alone cannot refuse: names given twice, lists left empty, weights that are no weights.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;
use scheduler::plan::{Scaling, ScalingError};
use scheduler::rules::{RuleError, Rules};
use scheduler::{EndpointError, ModelName, PoolName, Ratio};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Location, Spanned};

use super::Config;

/// What is wrong with a configuration that parses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Problem {
    /// There is nowhere to serve.
    #[error("no pools: list at least one")]
    NoPools,
    /// A pool's name is taken.
    #[error("two pools are called \"{0}\", names must be unique")]
    PoolTwice(PoolName),
    /// A pool does not say where it processes audio.
    #[error("pool \"{0}\" has an empty residency, expected a code such as us or eu")]
    NoResidency(PoolName),
    /// A pool's limits make no sense.
    #[error("pool \"{pool}\": {cause}")]
    Scaling {
        /// The pool.
        pool: PoolName,
        /// What is wrong with them.
        cause: ScalingError,
    },
    /// A pool's endpoint makes no sense.
    #[error("pool \"{pool}\": {cause}")]
    Endpoint {
        /// The pool.
        pool: PoolName,
        /// What is wrong with it.
        cause: EndpointError,
    },
    /// The planner's shares make no sense.
    #[error("planner: expected target_least <= target <= target_most")]
    Targets,
    /// A provider's limits make no sense.
    #[error("planner.providers: expected min <= max, got {min} and {max}")]
    ProviderLimits {
        /// Fewest nodes.
        min: u32,
        /// Most nodes.
        max: u32,
    },
    /// There is nothing to ask for.
    #[error("no models: list at least one")]
    NoModels,
    /// A model hears nothing.
    #[error("model \"{0}\" has no languages, list at least one, such as en-US")]
    NoLanguages(ModelName),
    /// A name means two models.
    #[error("\"{alias}\" means both {first} and {second}, a name can mean one model only")]
    AliasTwice {
        /// The name.
        alias: String,
        /// The model it meant first.
        first: ModelName,
        /// The model it means as well.
        second: ModelName,
    },
    /// A rule makes no sense.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The proxy has nobody to ask.
    #[error("no routers: list at least one, such as http://127.0.0.1:7400")]
    NoRouters,
    /// A router's address is none.
    #[error("expected a router address such as http://127.0.0.1:7400, got \"{0}\"")]
    Router(String),
    /// A weight is no amount of money.
    #[error("scoring.{name} is {value}, expected dollars per session-hour, 0 or more")]
    Weight {
        /// The weight.
        name: &'static str,
        /// What it is.
        value: f64,
    },
}

/// Returns the first problem.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    pools(config)?;
    planner(config)?;
    models(config)?;
    Rules::compile(&config.rules, &config.pools, &config.models)?;
    routers(config)?;
    weights(config)
}

fn pools(config: &Config) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for pool in &config.pools {
        if !names.insert(&pool.name) {
            return Err(Problem::PoolTwice(pool.name.clone()));
        }
        if pool.residency.0.trim().is_empty() {
            return Err(Problem::NoResidency(pool.name.clone()));
        }
        if let Some(Err(cause)) = pool.scaling.as_ref().map(Scaling::limits) {
            return Err(Problem::Scaling { pool: pool.name.clone(), cause });
        }
        if let Some(Err(cause)) = pool.endpoint.as_ref().map(|endpoint| endpoint.check(pool)) {
            return Err(Problem::Endpoint { pool: pool.name.clone(), cause });
        }
    }
    if names.is_empty() { Err(Problem::NoPools) } else { Ok(()) }
}

fn planner(config: &Config) -> Result<(), Problem> {
    let planner = &config.planner;
    let rise = planner.target_least <= planner.target && planner.target <= planner.target_most;
    if !rise || planner.target_least == Ratio::ZERO {
        return Err(Problem::Targets);
    }
    let wrong = planner.providers.iter().find(|limits| limits.min > limits.max);
    wrong.map_or(Ok(()), |limits| Err(Problem::ProviderLimits { min: limits.min, max: limits.max }))
}

fn models(config: &Config) -> Result<(), Problem> {
    let models = &config.models.0;
    let mut meanings: BTreeMap<&str, &ModelName> = models.keys().map(|model| (model.as_str(), model)).collect();
    for (model, spec) in models {
        if spec.languages.is_empty() {
            return Err(Problem::NoLanguages(model.clone()));
        }
        for alias in &spec.aliases {
            if let Some(first) = meanings.insert(alias, model) {
                return Err(Problem::AliasTwice { alias: alias.clone(), first: first.clone(), second: model.clone() });
            }
        }
    }
    if models.is_empty() { Err(Problem::NoModels) } else { Ok(()) }
}

fn routers(config: &Config) -> Result<(), Problem> {
    let routers = &config.proxy.routers;
    let is_address = |text: &&String| Url::parse(text).is_ok_and(|url| url.scheme() == "http" && url.has_host());
    match routers.iter().find(|text| !is_address(text)) {
        Some(wrong) => Err(Problem::Router(wrong.clone())),
        None if routers.is_empty() => Err(Problem::NoRouters),
        None => Ok(()),
    }
}

fn weights(config: &Config) -> Result<(), Problem> {
    let scoring = &config.scoring;
    let weights = [("latency", scoring.latency), ("congestion", scoring.congestion), ("errors", scoring.errors)];
    let wrong = weights.into_iter().find(|(_, value)| !(0.0..=1e6).contains(value));
    wrong.map_or(Ok(()), |(name, value)| Err(Problem::Weight { name, value }))
}

/// The file once more, with the places of what can be wrong in it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Places {
    pools: Option<Spanned<Vec<PoolPlaces>>>,
    models: Option<Spanned<BTreeMap<String, Spanned<ModelPlaces>>>>,
    rules: Vec<RulePlaces>,
    scoring: BTreeMap<String, Spanned<f64>>,
    planner: Option<Spanned<BTreeMap<String, IgnoredAny>>>,
    proxy: ProxyPlaces,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProxyPlaces {
    routers: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
struct RulePlaces {
    name: Spanned<String>,
}

#[derive(Deserialize)]
struct PoolPlaces {
    name: Spanned<String>,
    residency: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ModelPlaces {
    aliases: Vec<Spanned<String>>,
}

impl Problem {
    /// Finds the problem in the file's text; nothing is found for what the file does not say.
    pub(super) fn locate(&self, text: &str) -> Option<Location> {
        let places: Places = serde_saphyr::from_str(text).ok()?;
        match self {
            Self::NoPools => places.pools.map(|pools| pools.referenced),
            Self::NoModels => places.models.map(|models| models.referenced),
            Self::PoolTwice(name) => places.pools(name).nth(1).map(|pool| pool.name.referenced),
            Self::NoResidency(name) => places.pools(name).next().map(|pool| pool.residency.referenced),
            Self::Scaling { pool, .. } | Self::Endpoint { pool, .. } => {
                places.pools(pool).next().map(|pool| pool.name.referenced)
            }
            Self::Targets | Self::ProviderLimits { .. } => places.planner.map(|planner| planner.referenced),
            Self::NoLanguages(model) => places.model(model).map(|model| model.referenced),
            Self::AliasTwice { alias, second, .. } => places
                .model(second)
                .and_then(|model| model.value.aliases.iter().find(|place| place.value == *alias))
                .map(|place| place.referenced),
            Self::Rule(error) => places.rules.get(error.index).map(|rule| rule.name.referenced),
            Self::NoRouters => places.proxy.routers.map(|routers| routers.referenced),
            Self::Router(wrong) => places
                .proxy
                .routers
                .and_then(|routers| routers.value.into_iter().find(|router| router.value == *wrong))
                .map(|router| router.referenced),
            Self::Weight { name, .. } => places.scoring.get(*name).map(|weight| weight.referenced),
        }
    }
}

impl Places {
    fn pools(&self, name: &PoolName) -> impl Iterator<Item = &PoolPlaces> {
        self.pools.iter().flat_map(|pools| &pools.value).filter(move |pool| pool.name.value == name.as_str())
    }

    fn model(&self, name: &ModelName) -> Option<&Spanned<ModelPlaces>> {
        self.models.as_ref().and_then(|models| models.value.get(name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Source;
    use super::*;

    fn first_line(text: &str) -> String {
        let error = Config::parse(Source { name: "f", text }, &[]).unwrap_err().to_string();
        error.lines().next().unwrap().to_owned()
    }

    #[test]
    fn empty_lists_are_refused() {
        assert_eq!(first_line("pools: []"), "f:1:8: no pools: list at least one");
        assert_eq!(first_line("models: {}"), "f:1:9: no models: list at least one");
        assert!(
            first_line("models: { m: {} }").ends_with("model \"m\" has no languages, list at least one, such as en-US")
        );
    }

    #[test]
    fn a_name_that_means_two_models_is_refused_at_the_second() {
        let text = "models:\n  a: { languages: [en], aliases: [c] }\n  b: { languages: [en], aliases: [c] }\n";
        assert_eq!(first_line(text), "f:3:35: \"c\" means both a and b, a name can mean one model only");
        let text = "models:\n  a: { languages: [en] }\n  b: { languages: [en], aliases: [a] }\n";
        assert_eq!(first_line(text), "f:3:35: \"a\" means both a and b, a name can mean one model only");
    }

    #[test]
    fn a_rule_that_makes_no_sense_is_refused_where_it_stands() {
        let text = "rules:\n  - { name: a, then: { tier: burst } }\n  - { name: b, then: { pools: aws } }\n";
        let expected = "f:3:13: rule \"b\": no pool is called \"aws\" (then.pools); \
                        there are on-prem, coreweave-us-east, aws-us-west-2, gcp-europe-west4";
        assert_eq!(first_line(text), expected);
        let text = "rules:\n  - { name: a, when: { tenat: x }, then: { tier: burst } }\n";
        assert_eq!(first_line(text), "f:2:24: unknown key \"tenat\", did you mean \"tenant\"?");
    }

    #[test]
    fn a_router_address_without_its_scheme_is_refused() {
        let expected = "f:1:20: expected a router address such as http://127.0.0.1:7400, got \"10.0.0.5:7400\"";
        assert_eq!(first_line("proxy: { routers: ['10.0.0.5:7400'] }"), expected);
        assert!(
            first_line("proxy: { routers: [] }")
                .ends_with("no routers: list at least one, such as http://127.0.0.1:7400")
        );
    }

    #[test]
    fn limits_that_do_not_rise_are_refused_with_the_pool() {
        let pool = "{ name: a, provider: aws, region: r, tier: burst, market: spot, price: { node_hour: 1 }, residency: us, \
                    link: { round_trip: 1ms }, scaling: { min: 5, desired: 4 } }";
        let expected = "f:1:17: pool \"a\": expected min <= desired <= max, got 5, 4 and 20";
        assert_eq!(first_line(&format!("pools: [{pool}]")), expected);
    }

    #[test]
    fn an_endpoint_that_nobody_can_call_is_refused_with_its_pool() {
        let pool = |endpoint: &str| {
            format!(
                "pools: [{{ name: a, provider: other, region: r, tier: overflow, market: fixed, price: {{ node_hour: 1 }}, \
                 residency: us, link: {{ round_trip: 1ms }}, {endpoint} }}]"
            )
        };
        let expected =
            "f:1:17: pool \"a\": expected an endpoint's address such as lb.internal:8090, got \"https://lb\"";
        assert_eq!(first_line(&pool("endpoint: { address: 'https://lb', models: [m], slots: 4 }")), expected);
        let both = pool("scaling: {}, endpoint: { address: 'lb:80', models: [m], slots: 4 }");
        assert!(first_line(&both).ends_with("its scaling is not ours: leave one of the two out"), "{both}");
    }

    #[test]
    fn a_target_outside_its_bounds_is_refused() {
        let expected = "f:1:10: planner: expected target_least <= target <= target_most";
        assert_eq!(first_line("planner: { target: 93% }"), expected);
    }

    #[test]
    fn a_negative_weight_is_refused_with_its_value() {
        let expected = "f:1:20: scoring.errors is -1, expected dollars per session-hour, 0 or more";
        assert_eq!(first_line("scoring: { errors: -1 }"), expected);
    }
}
