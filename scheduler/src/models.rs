//! Models: what callers may ask for, and which model that means.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Language, ModelName};

/// One model that engines serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSpec {
    /// Languages it hears; a request for `en` is met by `en-US`.
    pub languages: Vec<Language>,
    /// Other names that callers use for it.
    pub aliases: BTreeSet<String>,
}

/// Every model that callers may ask for, by the name engines know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Models(pub BTreeMap<ModelName, ModelSpec>);

/// Says why a request for a model cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// Nobody offers that name.
    #[error("no model is called {asked:?}; known models: {known}")]
    Name {
        /// What the caller asked for.
        asked: String,
        /// What there is.
        known: String,
    },
    /// The model does not hear that language.
    #[error("model {model} does not hear language {asked}; it hears {known}")]
    Language {
        /// The model, alias resolved.
        model: ModelName,
        /// What the caller asked for.
        asked: Language,
        /// What the model hears.
        known: String,
    },
}

impl Models {
    /// Finds the model that a caller means by `name` and `language`.
    ///
    /// # Errors
    /// Fails on a name that is neither a model nor an alias, and on a language that the model does not hear.
    pub fn resolve(&self, name: &str, language: Option<&Language>) -> Result<&ModelName, UnknownModel> {
        let (model, spec) =
            self.0
                .iter()
                .find(|(model, spec)| model.as_str() == name || spec.aliases.contains(name))
                .ok_or_else(|| UnknownModel::Name { asked: name.chars().take(128).collect(), known: self.names() })?;
        match language {
            Some(asked) if !spec.languages.iter().any(|offered| asked.is_met_by(offered)) => {
                let known = spec.languages.iter().map(Language::as_str).collect::<Vec<_>>().join(", ");
                Err(UnknownModel::Language { model: model.clone(), asked: asked.clone(), known })
            }
            Some(_) | None => Ok(model),
        }
    }

    fn names(&self) -> String {
        let names = self
            .0
            .iter()
            .flat_map(|(model, spec)| std::iter::once(model.as_str()).chain(spec.aliases.iter().map(String::as_str)));
        names.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models() -> Models {
        let spec =
            ModelSpec { languages: vec!["en-US".parse().unwrap()], aliases: BTreeSet::from(["nova-3".to_owned()]) };
        Models(BTreeMap::from([("sphinx-en-us".parse().unwrap(), spec)]))
    }

    #[test]
    fn an_alias_means_its_model() {
        assert_eq!(models().resolve("nova-3", None).unwrap().as_str(), "sphinx-en-us");
    }

    #[test]
    fn an_unknown_name_is_answered_with_what_there_is() {
        let error = models().resolve("nova-9", None).unwrap_err().to_string();
        assert_eq!(error, "no model is called \"nova-9\"; known models: sphinx-en-us, nova-3");
    }

    #[test]
    fn a_language_the_model_does_not_hear_is_refused() {
        let french = "fr".parse().unwrap();
        assert!(matches!(models().resolve("nova-3", Some(&french)), Err(UnknownModel::Language { .. })));
    }
}
