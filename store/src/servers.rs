//! Which Redis: one server, the master that sentinels agree on, or a cluster; over TLS where the addresses say so.

use std::fmt;
use std::path::PathBuf;

use redis::{Client, IntoConnectionInfo};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What a password is shown as.
const HIDDEN: &str = "***";

/// Where a Redis is, as `redis://[user:password@]host:port[/database]`, with `rediss://` for TLS. `Debug` hides it, for it may
/// hold a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct RedisUrl(String);

/// Says that a text is no address of a Redis; the text is not shown, for it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the address of a Redis such as redis://127.0.0.1:6379, or rediss:// for TLS")]
pub struct BadRedisUrl;

impl RedisUrl {
    /// Gives the address to the one place that connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Tells whether it is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.starts_with("rediss://")
    }

    fn without_password(self) -> Self {
        match self.0.split_once("://").zip(self.0.rsplit_once('@')) {
            Some(((scheme, _), (login, rest))) => {
                let user = login.strip_prefix(&format!("{scheme}://")).unwrap_or_default();
                let user = user.split_once(':').map_or(user, |(user, _)| user);
                Self(format!("{scheme}://{user}:{HIDDEN}@{rest}"))
            }
            None => self,
        }
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = BadRedisUrl;
    fn try_from(text: String) -> Result<Self, BadRedisUrl> {
        // Without a check of the certificate TLS would protect nothing.
        let insecure = text.contains("#insecure");
        let known = text.starts_with("redis://") || text.starts_with("rediss://");
        if !known || insecure || text.as_str().into_connection_info().is_err() || Client::open(text.as_str()).is_err() {
            return Err(BadRedisUrl);
        }
        Ok(Self(text))
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redis]")
    }
}

/// A password; `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Gives the password to the one place that connects.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Which Redis, and whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub struct RedisServers {
    /// How the servers stand together.
    pub at: Topology,
    /// A file of certificates, PEM, to trust instead of the system's.
    pub ca: Option<PathBuf>,
}

/// How servers stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    One(RedisUrl),
    /// A master and its replicas, watched by sentinels.
    Sentinel(Sentinel),
    /// A cluster, found through any of these.
    Cluster(Vec<RedisUrl>),
}

/// Sentinels, and the master they watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sentinel {
    /// The name that the sentinels know the master by.
    pub master: String,
    /// The sentinels; the first one's user and password are all theirs. With `rediss://` the servers speak TLS too.
    pub sentinels: Vec<RedisUrl>,
    /// The user at the master.
    #[serde(default)]
    pub user: Option<String>,
    /// The password at the master.
    #[serde(default)]
    pub password: Option<Password>,
    /// The database.
    #[serde(default)]
    pub database: u32,
}

impl RedisServers {
    /// Hides every password, for showing.
    #[must_use]
    pub fn without_passwords(self) -> Self {
        let hide = |urls: Vec<RedisUrl>| urls.into_iter().map(RedisUrl::without_password).collect();
        let at = match self.at {
            Topology::One(url) => Topology::One(url.without_password()),
            Topology::Cluster(seeds) => Topology::Cluster(hide(seeds)),
            Topology::Sentinel(sentinel) => Topology::Sentinel(Sentinel {
                sentinels: hide(sentinel.sentinels),
                password: sentinel.password.map(|_| Password(HIDDEN.to_owned())),
                ..sentinel
            }),
        };
        Self { at, ..self }
    }

    fn is_secure(&self) -> bool {
        match &self.at {
            Topology::One(url) => url.is_secure(),
            Topology::Sentinel(sentinel) => sentinel.sentinels.iter().all(RedisUrl::is_secure),
            Topology::Cluster(seeds) => seeds.iter().all(RedisUrl::is_secure),
        }
    }
}

impl From<RedisUrl> for RedisServers {
    fn from(url: RedisUrl) -> Self {
        Self { at: Topology::One(url), ca: None }
    }
}

/// What the configuration says: an address, or keys.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Url(RedisUrl),
    Keys(Keys),
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<RedisUrl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentinel: Option<Sentinel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Vec<RedisUrl>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// Says what is wrong with the keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadServers {
    /// Nothing, or more than one thing, says where.
    #[error("expected one of url, sentinel and cluster")]
    NotOne,
    /// A list of addresses is empty.
    #[error("no addresses: list at least one, such as redis://10.0.0.1:6379")]
    NoAddresses,
    /// Some speak TLS and some do not.
    #[error("expected redis:// in every address or rediss:// in every one")]
    Mixed,
    /// There is no TLS to trust anybody for.
    #[error("ca is for TLS: write the addresses with rediss://")]
    Unused,
}

impl TryFrom<Written> for RedisServers {
    type Error = BadServers;
    fn try_from(written: Written) -> Result<Self, BadServers> {
        let (at, ca) = match written {
            Written::Url(url) => (Topology::One(url), None),
            Written::Keys(Keys { url: Some(url), sentinel: None, cluster: None, ca }) => (Topology::One(url), ca),
            Written::Keys(Keys { url: None, sentinel: Some(sentinel), cluster: None, ca }) => {
                check(&sentinel.sentinels)?;
                (Topology::Sentinel(sentinel), ca)
            }
            Written::Keys(Keys { url: None, sentinel: None, cluster: Some(seeds), ca }) => {
                check(&seeds)?;
                (Topology::Cluster(seeds), ca)
            }
            Written::Keys(_) => return Err(BadServers::NotOne),
        };
        let servers = Self { at, ca };
        if servers.ca.is_some() && !servers.is_secure() {
            return Err(BadServers::Unused);
        }
        Ok(servers)
    }
}

fn check(urls: &[RedisUrl]) -> Result<(), BadServers> {
    let first = urls.first().ok_or(BadServers::NoAddresses)?;
    if urls.iter().all(|url| url.is_secure() == first.is_secure()) { Ok(()) } else { Err(BadServers::Mixed) }
}

impl From<RedisServers> for Written {
    fn from(RedisServers { at, ca }: RedisServers) -> Self {
        let keys = match (at, &ca) {
            (Topology::One(url), None) => return Self::Url(url),
            (Topology::One(url), Some(_)) => Keys { url: Some(url), ..Keys::default() },
            (Topology::Sentinel(sentinel), _) => Keys { sentinel: Some(sentinel), ..Keys::default() },
            (Topology::Cluster(seeds), _) => Keys { cluster: Some(seeds), ..Keys::default() },
        };
        Self::Keys(Keys { ca, ..keys })
    }
}

/// By hand, because the error of an untagged enum would not say what is wrong.
impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the address of a Redis, or keys such as sentinel or cluster")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                RedisUrl::try_from(text.to_owned()).map(Written::Url).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Keys::deserialize(MapAccessDeserializer::new(map)).map(Written::Keys)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<RedisServers, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_read_and_never_shown() {
        let url = RedisUrl::try_from("redis://user:hunter2@10.0.0.1:6379/1".to_owned());
        assert_eq!(format!("{url:?}"), "Ok([redis])");
        for bad in ["", "here", "http://10.0.0.1", "rediss://10.0.0.1/#insecure", "redis://:port", "unix:///tmp/x"] {
            assert_eq!(RedisUrl::try_from(bad.to_owned()), Err(BadRedisUrl), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let sentinel = json!({
            "master": "main", "sentinels": ["rediss://10.0.0.1:26379", "rediss://10.0.0.2:26379"],
            "user": "crosspoint", "password": "hunter2", "database": 2,
        });
        for written in [
            json!("rediss://user:hunter2@10.0.0.1:6379/1"),
            json!({ "url": "rediss://10.0.0.1", "ca": "ca.pem" }),
            json!({ "sentinel": sentinel, "ca": "ca.pem" }),
            json!({ "cluster": ["redis://:hunter2@10.0.0.1:6379", "redis://10.0.0.2:6379"] }),
        ] {
            let servers = read(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&servers).unwrap(), written);
            assert!(!format!("{servers:?}").contains("hunter2"));
            let shown = serde_json::to_value(servers.without_passwords()).unwrap();
            assert!(!shown.to_string().contains("hunter2"), "{shown}");
            assert!(read(shown).is_ok(), "what is shown can be read");
        }
    }

    #[test]
    fn servers_that_make_no_sense_are_refused_with_what_does() {
        let one = "expected one of url, sentinel and cluster";
        for (written, why) in [
            (json!({}), one),
            (json!({ "url": "redis://a", "cluster": ["redis://a"] }), one),
            (json!({ "cluster": [] }), "no addresses: list at least one, such as redis://10.0.0.1:6379"),
            (json!({ "sentinel": { "master": "main", "sentinels": [] } }), "no addresses"),
            (json!({ "cluster": ["redis://a", "rediss://b"] }), "expected redis:// in every address"),
            (json!({ "url": "redis://a", "ca": "ca.pem" }), "ca is for TLS"),
            (json!({ "cluster": ["redis://x:hunter2@:a"] }), "expected the address of a Redis"),
            (json!({ "sentinels": [] }), "unknown field `sentinels`"),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.starts_with(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
