//! The query of `/v1/listen`, and the caller's wishes in headers or `extra=key:value`.

use std::collections::BTreeSet;

use audio::{Channels, Encoding, Format, SampleRate};
use axum::http::{HeaderMap, Uri};
use form_urlencoded::{Serializer, parse};
use scheduler::{Compliance, Language, MicroDollars, ModelName, Models, Residency, TenantId};
use session::CloseReason;

use super::Problem;

/// A container's audio is taken to be 16 kHz, 16-bit, mono where its rate decides anything before it was read.
pub(super) const GUESSED_BYTES_PER_SECOND: u64 = 32_000;

/// Which interim results a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interims {
    /// All of them.
    Wanted,
    /// None: only finals.
    Unwanted,
}

/// What a caller may narrow: never widen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) residency: Option<Residency>,
    pub(crate) compliance: BTreeSet<Compliance>,
    pub(crate) max_cost: Option<MicroDollars>,
}

/// A request to `/v1/listen`, understood.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) tenant: TenantId,
    pub(crate) model: ModelName,
    pub(crate) format: Option<Format>,
    pub(crate) interims: Interims,
    pub(crate) wishes: Wishes,
    pairs: Vec<(String, String)>,
}

impl Listen {
    /// Reads a request's query and headers.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap, models: &Models, tenant: TenantId) -> Result<Self, Problem> {
        let pairs = pairs(uri);
        let last = |name: &str| pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if last("callback").is_some() {
            return Err(invalid("callback is not supported: results come on this connection"));
        }
        let language = language(last("language").filter(|tag| !tag.is_empty()))?;
        let model = resolve(models, last("model").filter(|name| !name.is_empty()), language.as_ref())?;
        let format = format(last("encoding"), last("sample_rate"), last("channels"))?;
        let interims = match last("interim_results") {
            Some(text) if is_true(text) => Interims::Wanted,
            Some(_) | None => Interims::Unwanted,
        };
        let wishes = wishes(headers, &pairs)?;
        Ok(Self { tenant, model, format, interims, wishes, pairs })
    }

    /// Returns the rate of raw audio; a container's is not known before it was read.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.format.map(|format| format.bytes_per_second())
    }

    /// Writes the query for a leg: the caller's, with the model as engines know it and without our own wishes.
    pub(crate) fn leg_query(&self, interims: Interims) -> String {
        let own = |key: &str| matches!(key, "model" | "interim_results" | "extra");
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(key, _)| !own(key)));
        query.append_pair("model", self.model.as_str());
        if interims == Interims::Wanted {
            query.append_pair("interim_results", "true");
        }
        query.finish()
    }
}

fn pairs(uri: &Uri) -> Vec<(String, String)> {
    parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

fn is_true(text: &str) -> bool {
    text == "1" || text.eq_ignore_ascii_case("true")
}

fn invalid(text: impl Into<String>) -> Problem {
    Problem::new(CloseReason::BadParameter, text)
}

fn language(tag: Option<&str>) -> Result<Option<Language>, Problem> {
    tag.map(|tag| tag.parse().map_err(|_| invalid(format!("expected a language such as en or en-US, got {tag:?}"))))
        .transpose()
}

fn resolve(models: &Models, name: Option<&str>, language: Option<&Language>) -> Result<ModelName, Problem> {
    let first = models.0.keys().next().map(ModelName::as_str);
    let name = name.or(first).unwrap_or_default();
    models.resolve(name, language).cloned().map_err(|unknown| {
        let text = format!("Bad Request: No such model/language/tier combination found. ({unknown})");
        Problem::new(CloseReason::UnknownModel, text)
    })
}

fn format(encoding: Option<&str>, rate: Option<&str>, channels: Option<&str>) -> Result<Option<Format>, Problem> {
    let Some(encoding) = encoding else { return Ok(None) };
    let encoding: Encoding = encoding.parse().map_err(|error| invalid(format!("bad encoding: {error}")))?;
    let rate = rate.ok_or_else(|| invalid("encoding needs sample_rate too, such as sample_rate=16000"))?;
    let rate: SampleRate =
        number::<u32>("sample_rate", rate)?.try_into().map_err(|error| invalid(format!("bad sample_rate: {error}")))?;
    let channels: Channels = match channels {
        Some(text) => {
            number::<u32>("channels", text)?.try_into().map_err(|error| invalid(format!("bad channels: {error}")))?
        }
        None => Channels::MONO,
    };
    Ok(Some(Format { encoding, rate, channels }))
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Problem> {
    let shown: String = text.chars().take(40).collect();
    text.parse().map_err(|_| invalid(format!("expected a number for {name}, got {shown:?}")))
}

fn wishes(headers: &HeaderMap, pairs: &[(String, String)]) -> Result<Wishes, Problem> {
    let extra = |name: &str| {
        let prefix = format!("{name}:");
        pairs.iter().find_map(|(key, value)| value.strip_prefix(&prefix).filter(|_| key == "extra"))
    };
    let wish = |name: &str| {
        let header = headers.get(format!("x-crosspoint-{name}")).and_then(|value| value.to_str().ok());
        header.or_else(|| extra(name)).filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let max_cost = wish("max-cost").map(|text| match text.parse::<f64>() {
        Ok(dollars) if (0.0..1e6).contains(&dollars) => Ok(MicroDollars::from_dollars(dollars)),
        Ok(_) | Err(_) => Err(invalid(format!("expected dollars per hour for max-cost, such as 0.02, got {text:?}"))),
    });
    let compliance = wish("compliance").unwrap_or_default();
    Ok(Wishes {
        residency: wish("residency").map(Residency),
        compliance: compliance
            .split(',')
            .filter(|item| !item.is_empty())
            .map(|item| Compliance(item.to_owned()))
            .collect(),
        max_cost: max_cost.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::HeaderName;

    use scheduler::ModelSpec;

    use super::*;

    fn read(query: &str) -> Result<Listen, Problem> {
        read_with(query, &HeaderMap::new())
    }

    fn read_with(query: &str, headers: &HeaderMap) -> Result<Listen, Problem> {
        let spec = ModelSpec { languages: vec!["en-US".parse().unwrap()], aliases: ["nova-3".to_owned()].into() };
        let models = Models(BTreeMap::from([("sphinx-en-us".parse().unwrap(), spec)]));
        let uri = format!("/v1/listen?{query}").parse().unwrap();
        Listen::read(&uri, headers, &models, "dev".parse().unwrap())
    }

    #[test]
    fn an_alias_becomes_the_engines_model_and_legs_always_have_interims() {
        let listen = read("model=nova-3&language=en&keyterm=a+b&keyterm=c%20d&interim_results=True").unwrap();
        assert_eq!(listen.interims, Interims::Wanted);
        let query = listen.leg_query(Interims::Wanted);
        assert_eq!(query, "language=en&keyterm=a+b&keyterm=c+d&model=sphinx-en-us&interim_results=true");
    }

    #[test]
    fn encoding_without_sample_rate_is_refused() {
        let problem = read("encoding=linear16").unwrap_err();
        assert_eq!(problem.reason, CloseReason::BadParameter);
        assert_eq!(problem.text, "encoding needs sample_rate too, such as sample_rate=16000");
    }

    #[test]
    fn an_unknown_model_is_refused_with_the_known_ones() {
        let problem = read("model=nova-9").unwrap_err();
        assert_eq!(problem.reason, CloseReason::UnknownModel);
        assert!(problem.text.contains("known models: sphinx-en-us, nova-3"), "{}", problem.text);
    }

    #[test]
    fn wishes_come_from_headers_or_extra() {
        let headers =
            HeaderMap::from_iter([("x-crosspoint-residency".parse::<HeaderName>().unwrap(), "eu".parse().unwrap())]);
        let listen = read_with("extra=max-cost:0.02&extra=compliance:soc2,hipaa", &headers).unwrap();
        assert_eq!(listen.wishes.residency, Some(Residency("eu".to_owned())));
        assert_eq!(listen.wishes.max_cost, Some(MicroDollars(20_000)));
        assert_eq!(listen.wishes.compliance.len(), 2);
        assert!(read("extra=max-cost:cheap").is_err());
    }

    #[test]
    fn a_raw_stream_knows_its_rate() {
        let listen = read("encoding=mulaw&sample_rate=8000&channels=2").unwrap();
        assert_eq!(listen.bytes_per_second(), Some(16_000));
        assert_eq!(read("").unwrap().bytes_per_second(), None);
    }
}
