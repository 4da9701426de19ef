//! What a form asks for, understood. Fields that only other engines know (`prompt`, `keywords`, `chunking_strategy`) and
//! unknown ones change nothing; what would change the answer and cannot be had is refused by name.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use form_urlencoded::Serializer;
use scheduler::rules::Facts;
use scheduler::{Language, Models, UnknownModel};
use store::Caller;

use super::answer::Problem;
use super::form::Form;
use crate::callers::{Asked, Wishes};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The text and what it cost, as JSON.
    Json,
    /// The text.
    Text,
    /// Subtitles, `SubRip`.
    Srt,
    /// Subtitles, `WebVTT`.
    Vtt,
    /// The text with its segments or words, as JSON.
    VerboseJson,
}

impl Format {
    /// Tells whether there are times in it.
    pub(super) fn has_times(self) -> bool {
        match self {
            Self::Json | Self::Text => false,
            Self::Srt | Self::Vtt | Self::VerboseJson => true,
        }
    }
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// In one piece.
    Whole,
    /// As server-sent events.
    Events,
}

/// What is timed in a verbose answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Granularity {
    /// Each word.
    Word,
    /// Each segment: as much as is on the screen at one time.
    Segment,
}

/// A form, understood.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) asked: Asked,
    /// The model as the caller calls it.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) manner: Manner,
    pub(super) granularities: BTreeSet<Granularity>,
    /// The language that the caller says is spoken.
    pub(super) language: Option<Language>,
    /// The language that the model hears before all others.
    pub(super) native: Option<Language>,
}

impl Order {
    /// Understands a form.
    pub(super) fn read(form: &Form, headers: &HeaderMap, models: &Models, caller: Caller) -> Result<Self, Problem> {
        let name = form.last("model").ok_or_else(|| Problem::missing("model", "you must provide a model"))?;
        let language = form.last("language").or_else(|| form.last("languages")).map(language).transpose()?;
        let model = models.resolve(name, language.as_ref()).map_err(|error| unknown(&error))?.clone();
        let native = models.0.get(&model).and_then(|spec| spec.languages.first()).cloned();
        let format = format(form.last("response_format").unwrap_or("json"))?;
        let granularities = form.all("timestamp_granularities").map(granularity).collect::<Result<_, _>>()?;
        let manner = manner(name, form.last("stream").unwrap_or("false"), format)?;
        check_temperature(form.last("temperature"))?;
        check_unsupported(form)?;
        let wishes = Wishes::read(headers, |_| None)
            .map_err(|bad| Problem::invalid("x-crosspoint-max-cost", bad.to_string()))?;
        let facts = Facts { language: language.clone(), ..Facts::default() };
        let asked = Asked::new(caller, model, wishes, facts)?;
        Ok(Self { asked, name: name.to_owned(), format, manner, granularities, language, native })
    }

    /// Writes the query for a leg.
    pub(super) fn leg_query(&self) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("punctuate", "true").append_pair("model", self.asked.model.as_str());
        if let Some(language) = &self.language {
            query.append_pair("language", language.as_str());
        }
        query.finish()
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn unknown(unknown: &UnknownModel) -> Problem {
    match unknown {
        UnknownModel::Name { .. } => Problem::no_model(unknown.to_string()),
        UnknownModel::Language { .. } => Problem::no_language(unknown.to_string()),
    }
}

fn language(tag: &str) -> Result<Language, Problem> {
    let text = || format!("expected a language such as en, got {:?}", shown(tag));
    tag.parse().map_err(|_| Problem::invalid("language", text()))
}

fn format(name: &str) -> Result<Format, Problem> {
    match name {
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        "srt" => Ok(Format::Srt),
        "vtt" => Ok(Format::Vtt),
        "verbose_json" => Ok(Format::VerboseJson),
        _ => {
            let text = format!("expected json, text, srt, verbose_json or vtt, got {:?}", shown(name));
            Err(Problem::invalid("response_format", text))
        }
    }
}

fn granularity(name: &str) -> Result<Granularity, Problem> {
    match name {
        "word" => Ok(Granularity::Word),
        "segment" => Ok(Granularity::Segment),
        _ => {
            let text = format!("expected word or segment, got {:?}", shown(name));
            Err(Problem::invalid("timestamp_granularities", text))
        }
    }
}

/// `whisper-1` answers in one piece whatever is asked, as it always has.
fn manner(model: &str, stream: &str, format: Format) -> Result<Manner, Problem> {
    let manner = match stream.to_ascii_lowercase().as_str() {
        "true" | "1" if model != "whisper-1" => Manner::Events,
        "true" | "1" | "false" | "0" => Manner::Whole,
        _ => return Err(Problem::invalid("stream", format!("expected true or false, got {:?}", shown(stream)))),
    };
    match (manner, format) {
        (Manner::Events, Format::Srt | Format::Vtt | Format::VerboseJson) => {
            Err(Problem::invalid("response_format", "stream=true needs response_format json or text"))
        }
        (Manner::Events, Format::Json | Format::Text) | (Manner::Whole, _) => Ok(manner),
    }
}

fn check_temperature(value: Option<&str>) -> Result<(), Problem> {
    let Some(value) = value else { return Ok(()) };
    match value.parse::<f64>() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
        Ok(_) | Err(_) => {
            let text = format!("expected a temperature from 0 to 1, got {:?}", shown(value));
            Err(Problem::invalid("temperature", text))
        }
    }
}

fn check_unsupported(form: &Form) -> Result<(), Problem> {
    for name in ["include", "known_speaker_names", "known_speaker_references"] {
        if form.last(name).is_some() {
            return Err(Problem::invalid(name, format!("{name} is not supported: send the request without it")));
        }
    }
    Ok(())
}
