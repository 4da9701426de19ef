//! The configuration: one YAML file, overlaid by the environment. This is the only place that reads either.
//!
//! * [`Config`]: the file as a type. `default.yaml` is its default, manual and example at once.
//! * `problem`: what is wrong and where, with the line and a caret.
//! * `reference`: the page of documentation that the default file makes.
//! * `check`: what types alone cannot refuse. `overlay`: the environment's part.

mod check;
mod overlay;
mod problem;
mod reference;

use std::ffi::OsString;
use std::path::Path;

use process::logs::LogConfig;
use scheduler::plan::PlannerConfig;
use scheduler::rules::{Rule, Rules};
use scheduler::{Limits, Method, Models, Policy, Pool, Scoring};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use store::StoreConfig;

pub(crate) use problem::ConfigError;
use problem::Source;
pub(crate) use reference::markdown;

/// The default file, with its comments.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.yaml");

/// Everything that can be configured. A role reads its own section and what it shares with the others.
///
/// A new section is a field here with `#[serde(default)]`, its value in [`Config::default`], and its text in
/// `default.yaml`; the tests below fail until all three agree and every key is mentioned. Its type derives `Serialize` as
/// well, because the environment is laid over the values in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where speech can be served.
    #[serde(default = "default_pools")]
    pub(crate) pools: Vec<Pool>,
    /// How a node is chosen.
    #[serde(default)]
    pub(crate) policy: Method,
    /// What a placement is judged by.
    #[serde(default)]
    pub(crate) scoring: Scoring,
    /// The limits that every policy keeps to.
    #[serde(default)]
    pub(crate) placement: Limits,
    /// Who may be served where.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
    /// How pools are scaled.
    #[serde(default)]
    pub(crate) planner: PlannerConfig,
    /// What callers may ask for.
    #[serde(default = "default_models")]
    pub(crate) models: Models,
    /// What every process writes to standard error.
    #[serde(default)]
    pub(crate) logs: LogConfig,
    /// Where routers keep what they share.
    #[serde(default)]
    pub(crate) store: StoreConfig,
    /// The door for callers.
    #[serde(default)]
    pub(crate) proxy: proxy::Config,
    /// The service that agents report to and proxies ask.
    #[serde(default)]
    pub(crate) router: router::Config,
    /// The reporter on a GPU host.
    #[serde(default)]
    pub(crate) agent: agent::Config,
    /// The speech server on a node.
    #[serde(default)]
    pub(crate) engine: engine::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pools: default_pools(),
            policy: Method::default(),
            scoring: Scoring::default(),
            placement: Limits::default(),
            rules: Vec::new(),
            planner: PlannerConfig::default(),
            models: default_models(),
            logs: LogConfig::default(),
            store: StoreConfig::default(),
            proxy: proxy::Config::default(),
            router: router::Config::default(),
            agent: agent::Config::default(),
            engine: engine::Config::default(),
        }
    }
}

impl Config {
    /// Returns everything that placements are decided by.
    pub(crate) fn choice(&self) -> Policy {
        Policy {
            method: self.policy,
            scoring: self.scoring.clone(),
            limits: self.placement.clone(),
            rules: Rules::from(self.rules.clone()).on(&self.pools),
        }
    }

    /// Reads `file`, or the default file, and lays the environment over it.
    ///
    /// # Errors
    /// Fails on a file that cannot be read and on anything in it, or in the environment, that is not understood.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let variables = overlay::variables(std::env::vars_os());
        match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
                Self::parse(Source { name: &path.display().to_string(), text: &text }, &variables)
            }
            None => Self::parse(Source { name: "default configuration", text: DEFAULT_FILE }, &variables),
        }
    }

    fn parse(source: Source<'_>, variables: &[overlay::Variable]) -> Result<Self, ConfigError> {
        let config = serde_saphyr::from_str_with_options(source.text, problem::options())
            .map_err(|error| source.wrong(&error))?;
        check::check(&config).map_err(|problem| source.refused(&problem))?;
        overlay::overlay(config, variables)
    }
}

/// Reads a text that is no configuration but is written like one; its mistakes are told in the same way.
///
/// # Errors
/// Fails on anything in it that is not understood.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, ConfigError> {
    let source = Source { name, text };
    serde_saphyr::from_str_with_options(text, problem::options()).map_err(|error| source.wrong(&error))
}

/// Tells whether the user's environment allows colours (<https://no-color.org>).
pub(crate) fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value == OsString::new())
}

/// The parts of the default file whose values have no other home.
#[derive(Default, Deserialize)]
struct Listed {
    pools: Vec<Pool>,
    models: Models,
}

/// Reads the embedded file, which a test proves to be sound; were it not, an empty list would be refused by the check.
fn listed() -> Listed {
    serde_saphyr::from_str(DEFAULT_FILE).unwrap_or_default()
}

fn default_pools() -> Vec<Pool> {
    listed().pools
}

fn default_models() -> Models {
    listed().models
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Source { name: "crosspoint.yaml", text }, &[]).map_err(|error| error.to_string())
    }

    fn with_environment(variables: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let source = Source { name: "default configuration", text: DEFAULT_FILE };
        Config::parse(source, &overlay::variables(pairs)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_file_is_the_default() {
        assert_eq!(parse(DEFAULT_FILE), Ok(Config::default()));
        for empty in ["{}", "", "# nothing yet\n"] {
            assert_eq!(parse(empty), Ok(Config::default()));
        }
        assert_eq!(Config::default().pools.len(), 4);
    }

    #[test]
    fn the_default_file_mentions_every_key() {
        let schema = serde_json::to_value(schemars::schema_for!(Config)).unwrap();
        for (section, body) in schema["properties"].as_object().unwrap() {
            let text = section_text(section);
            let mut keys = Vec::new();
            collect_keys(&schema, body, &mut keys);
            for key in keys {
                assert!(mentions(&text, &key), "default.yaml does not mention {section}: …{key}");
            }
        }
    }

    /// The lines from `section:` to the next section, comments before it included.
    fn section_text(section: &str) -> String {
        let start = DEFAULT_FILE.find(&format!("\n{section}:")).expect("every section stands in the default file");
        let body = &DEFAULT_FILE[start + 1..];
        let mut lines = body.lines();
        let head = lines.next().into_iter();
        head.chain(lines.take_while(|line| line.is_empty() || line.starts_with([' ', '#'])))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn mentions(text: &str, key: &str) -> bool {
        let before = [' ', '{', '\n'];
        text.match_indices(&format!("{key}:")).any(|(at, _)| text[..at].ends_with(before))
    }

    fn collect_keys(root: &Value, schema: &Value, keys: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            collect_keys(root, &root["$defs"][name], keys);
        }
        for (key, body) in schema["properties"].as_object().into_iter().flatten() {
            keys.push(key.clone());
            collect_keys(root, body, keys);
        }
        for part in ["items", "additionalProperties"] {
            collect_keys_of(root, &schema[part], keys);
        }
        for part in ["anyOf", "oneOf", "allOf"] {
            schema[part].as_array().into_iter().flatten().for_each(|body| collect_keys_of(root, body, keys));
        }
    }

    fn collect_keys_of(root: &Value, schema: &Value, keys: &mut Vec<String>) {
        if schema.is_object() {
            collect_keys(root, schema, keys);
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_right_one() {
        let error = parse("logs:\n  filter: info\n  formt: json\n").unwrap_err();
        let expected = r#"crosspoint.yaml:3:3: unknown key "formt", did you mean "format"?
  |
3 |   formt: json
  |   ^^^^^"#;
        assert_eq!(error, expected);
    }

    #[test]
    fn an_address_that_is_no_redis_is_refused_and_not_repeated() {
        let error = parse("store: { redis: \"http://user:hunter2@10.0.0.1\" }\n").unwrap_err();
        let expected = "crosspoint.yaml:1:17: expected the address of a Redis such as redis://127.0.0.1:6379, or rediss:// for TLS\n";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_key_like_no_other_is_answered_with_all_of_them() {
        let error = parse("volume: 11\n").unwrap_err();
        let expected = r#"crosspoint.yaml:1:1: unknown key "volume", expected one of pools, policy, scoring, placement, rules, planner, models, logs, store, proxy, router, agent, engine
  |
1 | volume: 11
  | ^^^^^^"#;
        assert_eq!(error, expected);
    }

    #[test]
    fn a_wrong_value_is_shown_with_what_was_expected() {
        let error = parse("logs: { format: jsno }\n").unwrap_err();
        let expected = r#"crosspoint.yaml:1:17: unknown value "jsno", did you mean "json"?
  |
1 | logs: { format: jsno }
  |                 ^^^^"#;
        assert_eq!(error, expected);
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_where_it_stands() {
        let text = DEFAULT_FILE.replace("round_trip: 12ms", "round_trip: 12");
        let error = parse(&text).unwrap_err();
        assert!(error.contains("expected a duration such as 15ms, 5s or 2min, got \"12\"\n"), "{error}");
        assert!(
            error.ends_with(
                "link: { mode: vpn, round_trip: 12, bandwidth: 5Gbps }\n   |                                    ^^"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_answered_with_the_right_one() {
        let what = |text| parse(text).unwrap_err().lines().next().unwrap().to_owned();
        assert_eq!(what("scoring: { errors: few }"), "crosspoint.yaml:1:20: expected a number");
        assert_eq!(what("pools: 4"), "crosspoint.yaml:1:8: expected a list");
        assert_eq!(what("logs: all"), "crosspoint.yaml:1:7: expected keys with values");
        assert_eq!(what("logs: { filter: [] }"), "crosspoint.yaml:1:17: expected a text");
        assert_eq!(what("logs: { filter: a, filter: b }"), "crosspoint.yaml:1:20: key \"filter\" appears twice");
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = parse("pools:\n  - name: here\n    provider: aws\n").unwrap_err();
        assert!(error.starts_with("crosspoint.yaml:3:5: missing key \"region\"\n"), "{error}");
    }

    #[test]
    fn text_that_is_no_yaml_is_told_with_its_line() {
        let error = parse("pools: [\nscoring: {}\n").unwrap_err();
        assert!(error.starts_with("crosspoint.yaml:"), "{error}");
    }

    #[test]
    fn two_pools_of_one_name_are_refused_at_the_second() {
        let text = DEFAULT_FILE.replace("name: aws-us-west-2", "name: on-prem");
        let error = parse(&text).unwrap_err();
        let line = 1 + text.lines().enumerate().filter(|(_, line)| line.contains("name: on-prem")).last().unwrap().0;
        let expected = format!(
            "crosspoint.yaml:{line}:11: two pools are called \"on-prem\", names must be unique\n   |\n{line} |   - name: on-prem\n   |           ^^^^^^^"
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = with_environment(&[
            ("CROSSPOINT__LOGS__FILTER", "debug"),
            ("CROSSPOINT__POOLS__2__PRICE__NODE_HOUR", "0.18"),
            ("CROSSPOINT__MODELS__SPHINX_EN_US__LANGUAGES", "[en-US, en-GB]"),
            ("CROSSPOINT_KEY", "not configuration"),
        ])
        .unwrap();
        assert_eq!(config.logs.filter, "debug");
        assert_eq!(config.pools[2].price.node_hour, scheduler::MicroDollars(180_000));
        assert_eq!(config.models.0.len(), 1);
        assert_eq!(config.models.0.values().next().unwrap().languages.len(), 2);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let error = |name, value| with_environment(&[("CROSSPOINT__LOGS__FORMAT", "json"), (name, value)]).unwrap_err();
        assert_eq!(
            error("CROSSPOINT__LOGS__FLITER", "debug"),
            "environment variable CROSSPOINT__LOGS__FLITER: unknown key \"fliter\", did you mean \"filter\"?"
        );
        assert_eq!(
            error("CROSSPOINT__POOLS__9__NAME", "x"),
            "environment variable CROSSPOINT__POOLS__9__NAME: expected a number from 0 to 3, got \"9\""
        );
        assert_eq!(
            error("CROSSPOINT__POOLS__0__NAME", "aws-us-west-2"),
            "environment variable CROSSPOINT__POOLS__0__NAME: two pools are called \"aws-us-west-2\", names must be unique"
        );
    }
}
