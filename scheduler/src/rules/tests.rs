//! What rules say to requests, and what is said to rules that make no sense.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{pool, request};
use crate::{Compliance, ModelSpec, Provider, Residency, Tier};

/// Four pools: two European ones on-premises and in GCP, two American ones elsewhere.
fn pools() -> Vec<Pool> {
    let with = |name, provider, tier, residency: &str| Pool {
        provider,
        tier,
        residency: Residency(residency.to_owned()),
        compliance: [Compliance("soc2".to_owned())].into(),
        ..pool(name)
    };
    vec![
        with("fra", Provider::OnPrem, Tier::Baseline, "eu"),
        with("coreweave", Provider::Coreweave, Tier::Baseline, "us"),
        with("aws", Provider::Aws, Tier::Burst, "us"),
        with("gcp", Provider::Gcp, Tier::Overflow, "eu"),
    ]
}

fn models() -> Models {
    let spec = ModelSpec { languages: vec!["en-US".parse().unwrap()], ..ModelSpec::default() };
    Models(BTreeMap::from([("m".parse().unwrap(), spec)]))
}

fn written(rules: serde_json::Value) -> Result<Rules, String> {
    let rules: Vec<Rule> = serde_json::from_value(rules).map_err(|error| error.to_string())?;
    Rules::compile(&rules, &pools(), &models()).map_err(|error| error.to_string())
}

fn rules(value: serde_json::Value) -> Rules {
    written(value).unwrap()
}

fn all() -> PoolSet {
    (0..4).collect()
}

fn names(set: PoolSet) -> Vec<&'static str> {
    ["fra", "coreweave", "aws", "gcp"]
        .into_iter()
        .enumerate()
        .filter(|(i, _)| set.contains(*i))
        .map(|(_, n)| n)
        .collect()
}

/// The pools of first choice, and those to fall back on.
fn left(rules: &Rules, request: &Request) -> (Vec<&'static str>, Vec<&'static str>) {
    let narrowed = rules.narrow(request, all(), |_| 0.0).unwrap();
    (names(narrowed.first), names(narrowed.fallback))
}

fn with_header(name: &str, value: &str) -> Request {
    let mut facts = Facts::default();
    facts.note_header(name, value);
    Request { facts, ..request() }
}

#[test]
fn without_rules_everything_stays_open() {
    assert_eq!(left(&rules(json!([])), &request()).0, names(all()));
}

#[test]
fn a_header_sends_a_session_to_a_provider() {
    let rules = rules(json!([
        {"name": "cloud", "when": {"header": {"X-Cloud-ID": "aws*"}}, "then": {"provider": "aws", "on_failure": "any"}}
    ]));
    assert_eq!(left(&rules, &with_header("x-cloud-id", "AWS-prod")), (vec!["aws"], names(all())));
    assert_eq!(left(&rules, &with_header("x-cloud-id", "gcp")).0, names(all()));
    assert_eq!(left(&rules, &request()).0, names(all()));
}

#[test]
fn every_condition_is_looked_at() {
    let facts = Facts {
        service: Some(Service::Listen),
        path: "/v1/listen".to_owned(),
        headers: [("x-a".to_owned(), "1".to_owned())].into(),
        claims: [("plan".to_owned(), "gold".to_owned())].into(),
        country: Some("DE".parse().unwrap()),
        language: Some("en-US".parse().unwrap()),
    };
    let met = Request {
        facts,
        max_cost: Some(crate::MicroDollars(10_000)),
        residency: Some(Residency("eu".to_owned())),
        compliance: [Compliance("soc2".to_owned()), Compliance("gdpr".to_owned())].into(),
        ..request()
    };
    let conditions = [
        (json!({"service": "listen"}), json!({"service": "transcriptions"})),
        (json!({"path": ["/v1/listen"]}), json!({"path": "/v1/audio/*"})),
        (json!({"header": {"X-A": "1"}}), json!({"header": {"X-A": "2"}})),
        (json!({"claim": {"plan": ["gold", "silver"]}}), json!({"claim": {"plan": "tin"}})),
        (json!({"country": ["de", "at"]}), json!({"country": "US"})),
        (json!({"tenant": "t*"}), json!({"tenant": "u"})),
        (json!({"model": "m"}), json!({"model": "m", "tenant": "u"})),
        (json!({"language": "en"}), json!({"language": "en", "country": "US"})),
        (json!({"work": "stream"}), json!({"work": "file"})),
        (json!({"priority": ["live", "batch"]}), json!({"priority": "batch"})),
        (json!({"residency": "eu"}), json!({"residency": "us"})),
        (json!({"compliance": ["soc2"]}), json!({"compliance": ["soc2"], "tenant": "u"})),
        (json!({"latency_under": "1s"}), json!({"latency_under": "799ms"})),
        (json!({"cost_under": 0.01}), json!({"cost_under": 0.009})),
    ];
    for (holds, fails) in conditions {
        for (when, applies) in [(holds, 1), (fails, 0)] {
            let rules = rules(json!([{"name": "r", "when": when, "then": {"tier": ["baseline", "burst"]}}]));
            assert_eq!(rules.narrow(&met, all(), |_| 0.0).unwrap().applied.len(), applies, "{when}");
        }
    }
}

#[test]
fn a_full_pool_sends_new_sessions_elsewhere() {
    let busy = rules(json!([
        {"name": "relief", "when": {"load": {"pool": "fra", "above": 0.8}}, "then": {"pools": ["gcp", "aws"]}}
    ]));
    let load = |full: f64| move |pool: usize| if pool == 0 { full } else { 0.0 };
    assert_eq!(names(busy.narrow(&request(), all(), load(0.81)).unwrap().first), ["aws", "gcp"]);
    assert_eq!(names(busy.narrow(&request(), all(), load(0.80)).unwrap().first), names(all()));
}

#[test]
fn higher_priorities_come_first_and_every_rule_narrows_further() {
    let rules = rules(json!([
        {"name": "cheap", "then": {"tier": "baseline", "on_failure": "any"}},
        {"name": "europe", "priority": 300, "when": {"tenant": "t"}, "then": {"pools": ["gcp", "fra"], "order": "listed"}},
    ]));
    let request = request();
    let narrowed = rules.narrow(&request, all(), |_| 0.0).unwrap();
    assert_eq!((names(narrowed.first), names(narrowed.fallback)), (vec!["fra"], vec!["fra", "gcp"]));
    assert_eq!(narrowed.preference, Preference::Listed(&[3, 0]));
    let applied: Vec<_> = narrowed.applied.iter().map(|a| (a.rule.as_str(), names(a.closed))).collect();
    assert_eq!(applied, [("europe", vec!["coreweave", "aws"]), ("cheap", vec!["gcp"])]);
}

#[test]
fn weights_and_a_pool_to_fail_over_to_are_handed_on() {
    let rules = rules(json!([
        {"name": "split", "then": {"weights": {"aws": 40, "gcp": 60}, "fail_over_to": ["fra"]}}
    ]));
    let request = request();
    let narrowed = rules.narrow(&request, all(), |_| 0.0).unwrap();
    assert_eq!((names(narrowed.first), names(narrowed.fallback)), (vec!["aws", "gcp"], vec!["fra", "aws", "gcp"]));
    assert_eq!(narrowed.preference, Preference::Weighted(&[(2, 40), (3, 60)]));
}

#[test]
fn a_refusal_and_an_empty_set_name_their_rule() {
    let refusing =
        rules(json!([{"name": "no-files", "when": {"work": "stream"}, "then": {"refuse": "files only today"}}]));
    let refused = refusing.narrow(&request(), all(), |_| 0.0).unwrap_err();
    assert_eq!(refused.to_string(), "rule no-files refuses this request: files only today");
    let apart = rules(json!([{"name": "a", "then": {"pools": "aws"}}, {"name": "b", "then": {"pools": "gcp"}}]));
    let refused = apart.narrow(&request(), all(), |_| 0.0).unwrap_err();
    assert_eq!(refused.to_string(), "rule b leaves no pool to this request");
}

#[test]
fn rules_that_make_no_sense_are_told_why() {
    let cases = [
        (
            json!([{"name": "r", "then": {}}]),
            "does nothing: say in `then` which pools, provider, tier or weights, or refuse",
        ),
        (
            json!([{"name": "r", "then": {"pools": "aws-1"}}]),
            "no pool is called \"aws-1\" (then.pools); there are fra, coreweave, aws, gcp",
        ),
        (
            json!([{"name": "r", "when": {"load": {"pool": "x", "above": 0.5}}, "then": {"pools": "aws"}}]),
            "no pool is called \"x\" (when.load); there are fra, coreweave, aws, gcp",
        ),
        (
            json!([{"name": "r", "then": {"pools": "aws", "provider": "gcp"}}]),
            "leaves no pool: no pool is of that name, provider, tier and weight at once",
        ),
        (
            json!([{"name": "r", "when": {"model": "nova-3"}, "then": {"pools": "aws"}}]),
            "can never apply: no model is called \"nova-3\" (when.model); name the model, not an alias",
        ),
        (
            json!([{"name": "r", "when": {"language": "fr"}, "then": {"pools": "aws"}}]),
            "can never apply: no model hears \"fr\" (when.language)",
        ),
        (
            json!([{"name": "r", "when": {"path": "/v2/*"}, "then": {"pools": "aws"}}]),
            "can never apply: no path is like \"/v2/*\" (when.path); there are /v1/listen and /v1/audio/transcriptions",
        ),
        (
            json!([{"name": "r", "when": {"service": "transcriptions", "work": "stream"}, "then": {"pools": "aws"}}]),
            "can never apply: transcriptions takes files only (when.work: stream)",
        ),
        (
            json!([{"name": "r", "when": {"residency": "eu"}, "then": {"pools": "aws"}}]),
            "can never apply: no pool that it leaves is in eu or audited for anything",
        ),
        (
            json!([{"name": "r", "when": {"compliance": ["hipaa"]}, "then": {"pools": "aws"}}]),
            "can never apply: no pool that it leaves is in anything or audited for hipaa",
        ),
        (
            json!([{"name": "r", "then": {"pools": "aws"}}, {"name": "all", "priority": 1, "then": {"refuse": "closed"}}]),
            "can never apply: rule \"all\" comes before it and refuses everybody whom it concerns",
        ),
        (
            json!([{"name": "r", "then": {"pools": "aws", "refuse": "x"}}]),
            "refuses, so nothing else may stand in `then`",
        ),
        (json!([{"name": "r", "then": {"tier": "burst", "order": "listed"}}]), "order: listed needs `then.pools`"),
        (
            json!([{"name": "r", "then": {"pools": "aws", "order": "listed", "weights": {"aws": 1}}}]),
            "order: listed and weights exclude each other",
        ),
        (
            json!([{"name": "r", "then": {"pools": "aws", "weights": {"aws": 1, "gcp": 1}}}]),
            "pool \"gcp\" has a weight but is not among the pools that the rule leaves",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(written(value).unwrap_err(), format!("rule \"r\": {expected}"));
    }
    let twice = json!([{"name": "r", "then": {"pools": "aws"}}, {"name": "r", "then": {"pools": "gcp"}}]);
    assert_eq!(written(twice).unwrap_err(), "rule \"r\": two rules have this name, names must be unique");
}

/// Rules over the four pools, of any kind that makes sense alone.
fn any_rule() -> impl Strategy<Value = serde_json::Value> {
    let pool = || prop::sample::select(vec!["fra", "coreweave", "aws", "gcp"]);
    let when = prop_oneof![
        Just(json!({})),
        Just(json!({"tenant": "t"})),
        Just(json!({"work": "file"})),
        (pool(), 0.0..1.0_f32).prop_map(|(pool, above)| json!({"load": {"pool": pool, "above": above}})),
    ];
    let then = prop_oneof![
        prop::collection::vec(pool(), 1..3).prop_map(|pools| json!({"pools": pools})),
        prop::collection::vec(pool(), 1..3).prop_map(|pools| json!({"pools": pools, "on_failure": "any"})),
        (pool(), pool()).prop_map(|(first, then)| json!({"pools": [first], "fail_over_to": [then]})),
        pool().prop_map(|pool| json!({"weights": {pool: 3}})),
        Just(json!({"tier": "baseline"})),
    ];
    (when, then, 0..4_u32).prop_map(|(when, then, priority)| json!({"when": when, "then": then, "priority": priority}))
}

proptest! {
    #[test]
    fn rules_never_widen_and_never_leave_nothing_silently(
        mut written in prop::collection::vec(any_rule(), 0..6),
        allowed in prop::collection::btree_set(0..4_usize, 1..4),
        full in 0.0..1.0_f64,
    ) {
        for (index, rule) in written.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{index}"));
        }
        let rules = rules(json!(written));
        let allowed: PoolSet = allowed.into_iter().collect();
        let request = request();
        if let Ok(narrowed) = rules.narrow(&request, allowed, |_| full) {
            prop_assert!((narrowed.first - narrowed.fallback).is_empty());
            prop_assert!((narrowed.fallback - allowed).is_empty());
            prop_assert!(!narrowed.first.is_empty());
        }
    }
}
