//! The adapter for engines that speak `/v1/audio/transcriptions`: speaches, vLLM, whisper.cpp and their like. Files only:
//! what these servers offer for streams gives no times and no sign of how far they have heard, so a stream there could
//! neither be watched nor moved.

mod form;
mod heard;
mod places;
mod sound;

use std::time::Duration;

use form_urlencoded::parse;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use scheduler::{ModelName, Placement};

use super::http::{Reply, exchange};
use super::{LegHeaders, OpenError};
use crate::delivery::Spool;
use crate::transcript::Transcript;
use form::Form;
use heard::hear;
use sound::Sound;

/// What is wanted of one engine.
#[derive(Debug)]
pub(crate) struct Errand<'a> {
    /// The node.
    pub(crate) placement: &'a Placement,
    /// The model as callers' requests name it.
    pub(crate) model: &'a ModelName,
    /// The query of the leg, as an engine of `/v1/listen` would get it.
    pub(crate) query: &'a str,
    /// The engine's key, where it wants one.
    pub(crate) key: Option<&'a str>,
    /// How long the engine may take.
    pub(crate) timeout: Duration,
}

/// How much an engine is asked to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Text, segments and words.
    Verbose,
    /// The text alone: some models know no more.
    Text,
}

impl Errand<'_> {
    /// Sends a file and understands what was heard.
    ///
    /// # Errors
    /// Fails when the node does not take it, or gives an answer that cannot be true.
    pub(crate) async fn run(
        &self,
        client: &reqwest::Client,
        headers: &LegHeaders,
        upload: &Spool,
    ) -> Result<Transcript, OpenError> {
        let sound = Sound::of(upload, self.value("encoding"), |name| self.value(name))
            .await
            .map_err(|error| unreadable(&error))?;
        let mut reply = self.ask(client, headers, (upload, &sound), Detail::Verbose).await?;
        if knows_no_details(&reply) {
            reply = self.ask(client, headers, (upload, &sound), Detail::Text).await?;
        }
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        hear(&reply.content_type, &reply.body, sound.length).map_err(|error| OpenError::TryAnother(error.to_string()))
    }

    async fn ask(
        &self,
        client: &reqwest::Client,
        headers: &LegHeaders,
        (upload, sound): (&Spool, &Sound),
        detail: Detail,
    ) -> Result<Reply, OpenError> {
        let form = self.form(detail, sound, upload.length());
        let url = format!("http://{}/v1/audio/transcriptions", self.placement.address);
        let mut request = client
            .post(url)
            .header(CONTENT_TYPE, form.content_type())
            .header(CONTENT_LENGTH, form.length())
            .body(form.body(upload.pieces().await.map_err(|error| unreadable(&error))?));
        if let Some(key) = self.key {
            request = request.bearer_auth(key);
        }
        exchange(request, headers, self.timeout).await
    }

    fn form(&self, detail: Detail, sound: &Sound, length: u64) -> Form {
        let model = self.placement.engine_model.as_ref().unwrap_or(self.model);
        let language = self.value("language");
        let mut fields = vec![("model", model.as_str())];
        match detail {
            Detail::Verbose => fields.extend([
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "segment"),
                ("timestamp_granularities[]", "word"),
                // whisper.cpp would hear everything a second time to tell how sure it is of the language.
                ("no_language_probabilities", "true"),
            ]),
            Detail::Text => fields.push(("response_format", "json")),
        }
        // These servers know languages, not regions.
        let language = language.as_deref().and_then(|tag| tag.split('-').next());
        fields
            .extend(language.filter(|tag| tag.chars().all(|c| c.is_ascii_alphanumeric())).map(|tag| ("language", tag)));
        Form::new(&fields, sound.name, sound.header.as_deref().unwrap_or_default(), length)
    }

    /// Returns the last value of a parameter of the query.
    fn value(&self, name: &str) -> Option<String> {
        let values = parse(self.query.as_bytes()).filter(|(key, value)| key == name && !value.is_empty());
        values.last().map(|(_, value)| value.into_owned())
    }
}

fn unreadable(error: &std::io::Error) -> OpenError {
    OpenError::TryAnother(format!("the upload cannot be read: {error}"))
}

/// Tells whether the model can only be asked for its text. vLLM says so with 400, others may with 422.
fn knows_no_details(reply: &Reply) -> bool {
    let names = |what: &str| String::from_utf8_lossy(&reply.body).contains(what);
    matches!(reply.status, 400 | 422) && (names("verbose_json") || names("timestamp_granularities"))
}

/// Reads a refusal. Only what is said of the audio itself would be said elsewhere too: models, languages and the form
/// are each server's own.
fn refused(reply: &Reply) -> OpenError {
    match OpenError::from_reply(reply.status, &reply.body) {
        OpenError::CallersFault { status, text } if !matches!(status, 400 | 413 | 415) => {
            OpenError::TryAnother(format!("refused with {status}: {text}"))
        }
        error => error,
    }
}
