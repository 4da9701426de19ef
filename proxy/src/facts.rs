//! Facts for rules: what a request says of itself and its caller, as far as the configuration lets rules see it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName};
use maxminddb::{MaxMindDbError, Reader, path};
use scheduler::rules::{Country, Facts, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::debug;

/// What rules may look at, besides what every request needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FactsConfig {
    /// Headers whose values are passed on to the routers. They may be logged there: name none that holds a secret.
    pub headers: Vec<FactHeader>,
    /// The header in which whoever stands before the proxy says where the caller is, such as `cf-ipcountry`. Callers can
    /// write it too where nobody stands before the proxy.
    pub country_header: Option<FactHeader>,
    /// A country or city database in MaxMind's format, read once at the start: it tells where the caller is by its address.
    pub countries: Option<PathBuf>,
}

impl Default for FactsConfig {
    fn default() -> Self {
        let known = |name| FactHeader(HeaderName::from_static(name));
        Self { headers: vec![known("x-cloud-id"), known("x-service-cloud")], country_header: None, countries: None }
    }
}

/// The name of a header that rules may look at: never one that carries a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct FactHeader(HeaderName);

/// Says that rules may not look at a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a header that holds no secret, such as x-cloud-id, got {0:?}")]
pub struct BadFactHeader(String);

impl TryFrom<String> for FactHeader {
    type Error = BadFactHeader;
    fn try_from(name: String) -> Result<Self, BadFactHeader> {
        let secret = ["authorization", "proxy-authorization", "cookie", "sec-websocket-protocol", "x-api-key"];
        let header = HeaderName::try_from(name.as_str()).ok().filter(|header| !secret.contains(&header.as_str()));
        header.map(Self).ok_or(BadFactHeader(name))
    }
}

impl From<FactHeader> for String {
    fn from(header: FactHeader) -> Self {
        header.0.as_str().to_owned()
    }
}

/// Says that the database of countries cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("proxy.facts.countries: cannot use {} as a database of countries: {cause}", path.display())]
pub struct CountriesError {
    path: PathBuf,
    cause: MaxMindDbError,
}

/// Reads facts.
#[derive(Debug)]
pub(crate) struct FactReader {
    headers: Vec<FactHeader>,
    country_header: Option<FactHeader>,
    countries: Option<Reader<Vec<u8>>>,
}

impl FactReader {
    /// Makes ready, the database included.
    pub(crate) fn open(config: &FactsConfig) -> Result<Self, CountriesError> {
        Ok(Self {
            headers: config.headers.clone(),
            country_header: config.country_header.clone(),
            countries: config.countries.as_deref().map(open).transpose()?,
        })
    }

    /// Adds to `facts` what the door, the headers and the caller's address tell.
    pub(crate) fn add(&self, facts: &mut Facts, service: Service, headers: &HeaderMap, peer: IpAddr) {
        let value = |header: &FactHeader| headers.get(&header.0).and_then(|value| value.to_str().ok());
        (facts.service, facts.path) = (Some(service), service.path().to_owned());
        for header in &self.headers {
            if let Some(value) = value(header) {
                facts.note_header(header.0.as_str(), value);
            }
        }
        let told = self.country_header.as_ref().and_then(value).and_then(|country| country.trim().parse().ok());
        facts.country = told.or_else(|| self.country_of(peer));
    }

    /// What the database does not know, or knows as nonsense, is no country.
    fn country_of(&self, peer: IpAddr) -> Option<Country> {
        let found = self.countries.as_ref()?.lookup(peer.to_canonical());
        let found = found.and_then(|found| found.decode_path::<String>(&path!["country", "iso_code"]));
        found.inspect_err(|error| debug!(%error, "no country found")).ok()??.parse().ok()
    }
}

fn open(path: &Path) -> Result<Reader<Vec<u8>>, CountriesError> {
    Reader::open_readfile(path).map_err(|cause| CountriesError { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;
    use tempfile::NamedTempFile;

    use super::*;

    /// A database that knows one network: 127.0.0.0/8 is German. <https://maxmind.github.io/MaxMind-DB/>
    fn german_loopback() -> NamedTempFile {
        const NODES: u8 = 8;
        let record = |value: u8| [0, 0, value];
        let mut database = Vec::new();
        for depth in 0..NODES {
            let bit = 0b0111_1111_u8 >> (7 - depth) & 1;
            let next = if depth + 1 == NODES { NODES + 16 } else { depth + 1 };
            let pair = if bit == 0 { [next, NODES] } else { [NODES, next] };
            database.extend(pair.into_iter().flat_map(record));
        }
        let text = |text: &str| [&[0x40 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        database.extend([0; 16]);
        database.extend([vec![0xe1], text("country"), vec![0xe1], text("iso_code"), text("DE")].concat());
        database.extend(b"\xab\xcd\xefMaxMind.com");
        let fields = [
            ("node_count", vec![0xc1, NODES]),
            ("record_size", vec![0xa1, 24]),
            ("ip_version", vec![0xa1, 4]),
            ("database_type", text("Country")),
            ("languages", vec![0x00, 0x04]),
            ("binary_format_major_version", vec![0xa1, 2]),
            ("binary_format_minor_version", vec![0xa0]),
            ("build_epoch", vec![0x01, 0x02, 1]),
            ("description", vec![0xe0]),
        ];
        database.push(0xe0 | u8::try_from(fields.len()).unwrap());
        for (name, value) in fields {
            database.extend([text(name), value].concat());
        }
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&database).unwrap();
        file
    }

    fn read(config: &FactsConfig, headers: &[(&'static str, &'static str)], peer: &str) -> Facts {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut facts = Facts::default();
        let reader = FactReader::open(config).unwrap();
        reader.add(&mut facts, Service::Listen, &HeaderMap::from_iter(pairs), peer.parse().unwrap());
        facts
    }

    #[test]
    fn only_the_headers_that_are_named_are_passed_on() {
        let headers = [("x-cloud-id", "aws"), ("x-other", "1"), ("authorization", "Token k")];
        let facts = read(&FactsConfig::default(), &headers, "10.0.0.1");
        assert_eq!(facts.headers, [("x-cloud-id".to_owned(), "aws".to_owned())].into());
        assert_eq!((facts.service, facts.path.as_str()), (Some(Service::Listen), "/v1/listen"));
        for secret in ["Authorization", "cookie", "x-api-key", "two words", ""] {
            assert!(FactHeader::try_from(secret.to_owned()).is_err(), "{secret}");
        }
    }

    #[test]
    fn an_address_is_looked_up_and_a_trusted_header_comes_first() {
        let file = german_loopback();
        let countries = Some(file.path().to_owned());
        let config = FactsConfig { countries, ..FactsConfig::default() };
        let country = |facts: Facts| facts.country.map(|country| country.to_string());
        assert_eq!(country(read(&config, &[], "127.0.0.1")).as_deref(), Some("DE"));
        assert_eq!(country(read(&config, &[], "::ffff:127.0.0.1")).as_deref(), Some("DE"));
        for unknown in ["10.0.0.1", "2001:db8::1"] {
            assert_eq!(country(read(&config, &[], unknown)), None, "{unknown}");
        }
        let header = Some(FactHeader::try_from("cf-ipcountry".to_owned()).unwrap());
        let config = FactsConfig { country_header: header, ..config };
        assert_eq!(country(read(&config, &[("cf-ipcountry", "at")], "127.0.0.1")).as_deref(), Some("AT"));
        assert_eq!(country(read(&config, &[("cf-ipcountry", "T1")], "127.0.0.1")).as_deref(), Some("DE"));
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(b"no database").unwrap();
        let config = FactsConfig { countries: Some(file.path().to_owned()), ..FactsConfig::default() };
        let error = FactReader::open(&config).unwrap_err().to_string();
        assert!(error.starts_with("proxy.facts.countries: cannot use "), "{error}");
    }
}
