//! The environment's part: `CROSSPOINT__LOGS__FILTER=debug` sets `logs.filter`, whatever the file says.

use std::ffi::OsString;

use serde_json::Value;

use super::problem::{ConfigError, explain, options};
use super::{Config, check};

/// What every variable of the configuration begins with, and what joins the parts of its path.
const PREFIX: &str = "CROSSPOINT__";
const JOINT: &str = "__";

/// One variable of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    name: String,
    path: Vec<String>,
    value: Value,
}

/// Picks the configuration's variables out of an environment, in the order of their names.
pub(super) fn variables(environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<Variable> {
    let text = environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut variables: Vec<_> = text.filter_map(|(name, value)| Variable::read(name, value)).collect();
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    variables
}

impl Variable {
    fn read(name: String, text: String) -> Option<Self> {
        let path = name.strip_prefix(PREFIX)?.split(JOINT).map(str::to_lowercase).collect();
        let value = serde_saphyr::from_str(&text).unwrap_or(Value::String(text));
        Some(Self { name, path, value })
    }

    fn wrong(&self, what: String) -> ConfigError {
        ConfigError::Environment { name: self.name.clone(), what }
    }
}

/// Lays the variables over a configuration.
///
/// # Errors
/// Fails on a variable that names no key or has no meaning there, with its name.
pub(super) fn overlay(config: Config, variables: &[Variable]) -> Result<Config, ConfigError> {
    if variables.is_empty() {
        return Ok(config);
    }
    let everything = |what| ConfigError::Environment { name: names(variables), what };
    let base = serde_json::to_value(config).map_err(|error| everything(error.to_string()))?;
    let mut tree = base.clone();
    for variable in variables {
        set(&mut tree, &variable.path, &variable.value).map_err(|what| variable.wrong(what))?;
    }
    read(&tree).map_err(|what| {
        let culprit = variables.iter().find_map(|variable| Some(variable.wrong(alone(&base, variable)?)));
        culprit.unwrap_or_else(|| everything(what))
    })
}

/// Says what is wrong with a variable when it is the only one.
fn alone(base: &Value, variable: &Variable) -> Option<String> {
    let mut tree = base.clone();
    set(&mut tree, &variable.path, &variable.value).and_then(|()| read(&tree)).err()
}

/// Reads a tree as the file is read, for the same rules and the same words; JSON is YAML.
fn read(tree: &Value) -> Result<Config, String> {
    let config = serde_saphyr::from_str_with_options(&tree.to_string(), options()).map_err(|error| explain(&error))?;
    check::check(&config).map_err(|problem| problem.to_string())?;
    Ok(config)
}

fn set(tree: &mut Value, path: &[String], value: &Value) -> Result<(), String> {
    let Some((key, rest)) = path.split_first() else {
        *tree = value.clone();
        return Ok(());
    };
    if let Value::Array(items) = tree {
        return set(item(items, key)?, rest, value);
    }
    if !tree.is_object() {
        *tree = Value::Object(serde_json::Map::new());
    }
    match tree.as_object_mut() {
        Some(map) => {
            let key = map.keys().find(|known| same(known, key)).cloned().unwrap_or_else(|| key.clone());
            set(map.entry(key).or_insert(Value::Null), rest, value)
        }
        None => Ok(()),
    }
}

fn item<'a>(items: &'a mut [Value], key: &str) -> Result<&'a mut Value, String> {
    let last = items.len().saturating_sub(1);
    let index = key.parse::<usize>().ok();
    let found = index.and_then(|index| items.get_mut(index));
    found.ok_or_else(|| format!("expected a number from 0 to {last}, got \"{key}\""))
}

/// Shells allow no dashes in names, and no lower case by habit.
fn same(known: &str, key: &str) -> bool {
    known.to_lowercase().replace(['-', '.'], "_") == key.replace(['-', '.'], "_")
}

fn names(variables: &[Variable]) -> String {
    variables.iter().map(|variable| variable.name.as_str()).collect::<Vec<_>>().join(" with ")
}
