//! Names: one type per kind of thing that has a name, so that a pool can never be passed for a node.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Says why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 128 letters, digits, '.', '_', ':', '/' or '-', got {0:?}")]
pub struct BadName(String);

fn check(name: &str) -> Result<(), BadName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-');
    if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
        return Err(BadName(name.chars().take(128).collect()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(name: &str) -> Result<Self, BadName> {
                check(name)?;
                Ok(Self(name.into()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;
            fn try_from(name: String) -> Result<Self, BadName> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// Names a node: one GPU host with one engine.
    NodeId
);
name!(
    /// Names a pool of nodes.
    PoolName
);
name!(
    /// Names the customer a key belongs to.
    TenantId
);
name!(
    /// Names an API key without opening anything: it may be shown, logged and billed to.
    KeyId
);
name!(
    /// Names a rule.
    RuleName
);
name!(
    /// Names a model as engines know it.
    ModelName
);
name!(
    /// Names a provider's region.
    Region
);

impl NodeId {
    /// Names the node that stands for a whole pool.
    pub(crate) fn of_pool(pool: &PoolName) -> Self {
        Self(Arc::clone(&pool.0))
    }
}

impl KeyId {
    /// Returns the name of the development key.
    #[must_use]
    pub fn dev() -> Self {
        Self("dev".into())
    }
}

/// A language tag as callers write it (`en`, `en-US`); compared without case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Language(String);

impl Language {
    /// Tells whether a request for `self` is met by `offered`: equal, or the same language without a region.
    #[must_use]
    pub fn is_met_by(&self, offered: &Self) -> bool {
        self == offered || offered.0.split('-').next() == Some(self.0.as_str())
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Language {
    type Err = BadName;
    fn from_str(tag: &str) -> Result<Self, BadName> {
        check(tag)?;
        Ok(match tag.split_once('-') {
            Some((language, region)) => Self(format!("{}-{}", language.to_lowercase(), region.to_uppercase())),
            None => Self(tag.to_lowercase()),
        })
    }
}

impl TryFrom<String> for Language {
    type Error = BadName;
    fn try_from(tag: String) -> Result<Self, BadName> {
        tag.parse()
    }
}

impl From<Language> for String {
    fn from(tag: Language) -> Self {
        tag.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Names a session for life: it is the request id that the caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// Makes a version 4 id from 128 random bits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_space_is_refused_with_its_value() {
        let error = "two words".parse::<NodeId>().unwrap_err();
        assert!(error.to_string().ends_with("got \"two words\""));
    }

    #[test]
    fn a_language_is_met_by_its_regional_form_only() {
        let tag = |text: &str| text.parse::<Language>().unwrap();
        assert!(tag("en").is_met_by(&tag("en-US")));
        assert!(tag("EN-us").is_met_by(&tag("en-US")));
        assert!(!tag("en-GB").is_met_by(&tag("en-US")));
        assert!(!tag("e").is_met_by(&tag("en-US")));
    }
}
