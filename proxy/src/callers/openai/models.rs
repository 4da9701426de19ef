//! The models, once for both SDKs: Deepgram's looks at `stt`, OpenAI's at `data`, and each ignores the rest.

use axum::body::Body;
use axum::http::Response;
use scheduler::{Language, ModelName, ModelSpec, Models};
use serde_json::{Value, json};

use super::answer::{Problem, found};
use crate::callers::model_id;

/// Answers with every model: Deepgram's list has each once, OpenAI's under each name that it has.
pub(super) fn all(models: &Models) -> Response<Body> {
    let speech: Vec<_> = models.0.iter().map(|(model, spec)| deepgram(model.as_str(), model, spec)).collect();
    let names = models
        .0
        .iter()
        .flat_map(|(model, spec)| std::iter::once(model.as_str()).chain(spec.aliases.iter().map(String::as_str)));
    let data: Vec<_> = names.map(openai).collect();
    let body = json!({ "object": "list", "data": data, "stt": speech, "tts": [] });
    found("application/json", body.to_string())
}

/// Answers with one model, asked for by name, alias or Deepgram's id.
pub(super) fn one(models: &Models, name: &str) -> Result<Response<Body>, Problem> {
    let by_id = models.0.keys().find(|model| model_id(model).to_string() == name);
    let model = by_id.map_or_else(|| models.resolve(name, None), Ok);
    let model = model.map_err(|unknown| Problem::no_model(unknown.to_string()))?;
    let spec = models.0.get(model).cloned().unwrap_or_default();
    let mut body = deepgram(name, model, &spec);
    if let (Value::Object(body), Value::Object(more)) = (&mut body, openai(name)) {
        body.extend(more);
    }
    Ok(found("application/json", body.to_string()))
}

/// Nobody knows when a model was made: `created` is 0.
fn openai(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "crosspoint" })
}

fn deepgram(name: &str, model: &ModelName, spec: &ModelSpec) -> Value {
    let languages: Vec<_> = spec.languages.iter().map(Language::as_str).collect();
    json!({
        "name": name,
        "canonical_name": model.as_str(),
        "architecture": model.as_str(),
        "languages": languages,
        "version": "1",
        "uuid": model_id(model),
        "batch": true,
        "streaming": true,
        "formatted_output": true,
    })
}
