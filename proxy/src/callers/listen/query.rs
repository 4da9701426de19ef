//! The query of `/v1/listen`, and the caller's wishes in headers or `extra=key:value`.

use std::time::Duration;

use audio::{Channels, Encoding, Format, SampleRate};
use axum::http::{HeaderMap, Uri};
use form_urlencoded::{Serializer, parse};
use scheduler::rules::Facts;
use scheduler::{Language, ModelName, Models};
use session::CloseReason;
use store::Caller;

use super::Problem;
use super::extension::Extension;
use super::resume::GoesOn;
use crate::callers::{Asked, Wishes};

/// Which interim results a caller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interims {
    /// All of them.
    Wanted,
    /// None: only finals.
    Unwanted,
}

/// A request to `/v1/listen`, understood.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) asked: Asked,
    pub(crate) format: Option<Format>,
    pub(crate) interims: Interims,
    pub(crate) extension: Extension,
    /// The stream that it goes on with.
    pub(crate) goes_on: Option<GoesOn>,
    pairs: Vec<(String, String)>,
}

/// What cannot be told of a part of a file.
const WHOLE: [&str; 11] = [
    "multichannel",
    "diarize",
    "diarize_model",
    "summarize",
    "sentiment",
    "topics",
    "detect_topics",
    "intents",
    "detect_entities",
    "measurements",
    "search",
];

impl Listen {
    /// Reads a request's query and headers.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap, models: &Models, caller: Caller) -> Result<Self, Problem> {
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
        let wishes = Wishes::read(headers, |name| extra(&pairs, name)).map_err(|bad| invalid(bad.to_string()))?;
        let facts = Facts { language, ..Facts::default() };
        let extension = Extension::read(|name| last(name).is_some_and(is_true));
        let asked = Asked::new(caller, model, wishes, facts)?;
        Ok(Self { asked, format, interims, extension, goes_on: None, pairs })
    }

    /// Returns the rate of raw audio; a container's is not known before it was read.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.format.map(|format| format.bytes_per_second())
    }

    /// Tells whether something is asked for that only who hears the whole file can tell: who speaks, in which channel, what
    /// it is all about.
    pub(crate) fn needs_the_whole(&self) -> bool {
        let off = |value: &str| value.is_empty() || value == "0" || value.eq_ignore_ascii_case("false");
        self.pairs.iter().any(|(name, value)| match name.as_str() {
            "alternatives" => !off(value) && value != "1",
            name => WHOLE.contains(&name) && !off(value),
        })
    }

    /// Tells whether a feature was asked for.
    pub(super) fn wants(&self, feature: &str) -> bool {
        self.last(feature).is_some_and(is_true)
    }

    /// Returns a parameter that is a time in seconds, where it is one.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        Duration::try_from_secs_f64(self.last(name)?.parse().ok()?).ok()
    }

    fn last(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Writes everything that was asked for as a query, also what stood in headers.
    pub(crate) fn parameters(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(key, _)| key != "extra"));
        query.extend_pairs(self.asked.wishes.extras().map(|extra| ("extra", extra)));
        query.finish()
    }

    /// Writes the query for a leg: the caller's, with the model as engines know it and without our own wishes.
    pub(crate) fn leg_query(&self, interims: Interims) -> String {
        let own = |key: &str| matches!(key, "model" | "interim_results" | "extra" | "events" | "ack");
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.pairs.iter().filter(|(key, _)| !own(key)));
        query.append_pair("model", self.asked.model.as_str());
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

/// Finds a wish among the pairs `extra=name:value`.
fn extra<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let extras = pairs.iter().filter(|(key, _)| key == "extra");
    let mut named = extras.filter_map(|(_, value)| value.split_once(':')).filter(|(wish, _)| *wish == name);
    named.next().map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::http::HeaderName;

    use scheduler::{MicroDollars, ModelSpec, Residency};

    use super::*;

    fn read(query: &str) -> Result<Listen, Problem> {
        read_with(query, &HeaderMap::new())
    }

    fn read_with(query: &str, headers: &HeaderMap) -> Result<Listen, Problem> {
        let spec = ModelSpec { languages: vec!["en-US".parse().unwrap()], aliases: ["nova-3".to_owned()].into() };
        let models = Models(BTreeMap::from([("sphinx-en-us".parse().unwrap(), spec)]));
        let uri = format!("/v1/listen?{query}").parse().unwrap();
        let caller = Caller::unlimited("dev".parse().unwrap(), scheduler::KeyId::dev());
        Listen::read(&uri, headers, &models, caller)
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
        assert_eq!(listen.asked.wishes.residency, Some(Residency("eu".to_owned())));
        assert_eq!(listen.asked.wishes.max_cost, Some(MicroDollars(20_000)));
        assert_eq!(listen.asked.wishes.compliance.len(), 2);
        assert!(read("extra=max-cost:cheap").is_err());
    }

    #[test]
    fn what_only_the_whole_file_tells_needs_the_whole() {
        for query in ["multichannel=true", "diarize=True", "summarize=v2", "search=a&search=b", "alternatives=2"] {
            assert!(read(query).unwrap().needs_the_whole(), "{query}");
        }
        for query in ["", "punctuate=true&utterances=true&paragraphs=true", "multichannel=false&alternatives=1"] {
            assert!(!read(query).unwrap().needs_the_whole(), "{query}");
        }
    }

    #[test]
    fn a_raw_stream_knows_its_rate() {
        let listen = read("encoding=mulaw&sample_rate=8000&channels=2").unwrap();
        assert_eq!(listen.bytes_per_second(), Some(16_000));
        assert_eq!(read("").unwrap().bytes_per_second(), None);
    }
}
