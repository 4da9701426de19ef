//! Servers of other makers: speaches, vLLM and whisper.cpp, each with the fields, headers, errors and quirks that its
//! source has. They hear coded audio, so what they answer is what they were sent.

mod answers;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use answers::{joined, speaches, vllm, whisper_cpp, words};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Speaches,
    Vllm,
    /// vLLM with a model that knows no times.
    VllmWithoutTimes,
    WhisperCpp,
}

impl Maker {
    /// What the server calls its model.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Speaches => "Systran/faster-whisper-small",
            Self::Vllm => "openai/whisper-large-v3",
            Self::VllmWithoutTimes => "mistralai/Voxtral-Mini-3B",
            Self::WhisperCpp => "whisper",
        }
    }
}

/// What it does to a file.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Hears it.
    Hears,
    /// Hears it once the test lets it go on.
    Waits,
    /// Dies in the middle of its answer.
    Dies,
    /// Answers with this status, type and body.
    Says(u16, &'static str, String),
    /// Loads its model: it is not well, and hears nothing.
    Loads,
}

/// What was uploaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upload {
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) file_name: String,
    pub(crate) headers: HeaderMap,
    file: Vec<u8>,
}

impl Upload {
    /// Returns the last value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

struct Server {
    maker: Maker,
    key: Option<&'static str>,
    manner: Mutex<Manner>,
    uploads: Mutex<Vec<Upload>>,
    go_on: Semaphore,
}

/// A running stub; dropping it ends it.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    server: Arc<Server>,
    task: JoinHandle<()>,
}

impl Stub {
    /// Starts one on a free port, which may want a key.
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
    pub(crate) async fn start(maker: Maker, key: Option<&'static str>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Arc::new(Server {
            maker,
            key,
            manner: Mutex::new(Manner::Hears),
            uploads: Mutex::default(),
            go_on: Semaphore::new(0),
        });
        let routes =
            Router::new().route("/health", get(health)).route("/v1/audio/transcriptions", post(transcriptions));
        let routes = match maker {
            Maker::Speaches | Maker::Vllm | Maker::VllmWithoutTimes => routes.route("/v1/models", get(models)),
            Maker::WhisperCpp => routes,
        };
        let routes = routes.fallback(unknown).with_state(Arc::clone(&server));
        let routes = routes.layer(axum::extract::DefaultBodyLimit::disable());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self { address, server, task })
    }

    /// Sets what it does to files from now on.
    pub(crate) fn set(&self, manner: Manner) {
        *self.server.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// Lets one file that waits be heard.
    pub(crate) fn go_on(&self) {
        self.server.go_on.add_permits(1);
    }

    /// Returns what was uploaded so far.
    pub(crate) fn uploads(&self) -> Vec<Upload> {
        self.server.uploads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what was uploaded last.
    pub(crate) fn last_upload(&self) -> anyhow::Result<Upload> {
        self.uploads().pop().context("an upload")
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    fn manner(&self) -> Manner {
        self.manner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where a key is wanted, everything but `/health` wants it.
    fn turns_away(&self, headers: &HeaderMap) -> Option<Response> {
        let key = self.key?;
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if shown == Some(&format!("Bearer {key}")) {
            return None;
        }
        Some(match self.maker {
            Maker::Vllm | Maker::VllmWithoutTimes => {
                (StatusCode::UNAUTHORIZED, Json(json!({ "error": "Unauthorized" }))).into_response()
            }
            Maker::Speaches | Maker::WhisperCpp => {
                (StatusCode::FORBIDDEN, Json(json!({ "detail": "Invalid API key" }))).into_response()
            }
        })
    }

    fn refusal(&self, status: StatusCode, text: &str) -> Response {
        let body = match self.maker {
            Maker::Speaches => json!({ "detail": text }),
            Maker::Vllm | Maker::VllmWithoutTimes => json!({ "error": {
                "message": text, "type": "BadRequestError", "param": null, "code": status.as_u16(),
            }}),
            Maker::WhisperCpp => json!({ "error": text }),
        };
        (status, Json(body)).into_response()
    }
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    let loads = matches!(server.manner(), Manner::Loads);
    match server.maker {
        Maker::Speaches => Json(json!({ "message": "OK" })).into_response(),
        Maker::Vllm | Maker::VllmWithoutTimes if loads => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Maker::Vllm | Maker::VllmWithoutTimes => StatusCode::OK.into_response(),
        Maker::WhisperCpp if loads => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "loading model" }))).into_response()
        }
        Maker::WhisperCpp => Json(json!({ "status": "ok" })).into_response(),
    }
}

async fn models(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = server.turns_away(&headers) {
        return refusal;
    }
    let model = json!({ "id": server.maker.model(), "object": "model", "created": 0, "owned_by": "somebody" });
    Json(json!({ "object": "list", "data": [model] })).into_response()
}

async fn unknown(State(server): State<Arc<Server>>, method: Method) -> Response {
    match server.maker {
        Maker::Speaches | Maker::Vllm | Maker::VllmWithoutTimes => {
            (StatusCode::NOT_FOUND, Json(json!({ "detail": "Not Found" }))).into_response()
        }
        Maker::WhisperCpp => {
            let text = format!("File Not Found ({method})");
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html")], text).into_response()
        }
    }
}

async fn transcriptions(State(server): State<Arc<Server>>, headers: HeaderMap, form: Multipart) -> Response {
    if let Some(refusal) = server.turns_away(&headers) {
        return refusal;
    }
    let upload = match read(headers, form).await {
        Ok(upload) => upload,
        Err(error) => return server.refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    server.uploads.lock().unwrap_or_else(PoisonError::into_inner).push(upload.clone());
    match server.manner() {
        Manner::Hears => server.hear(&upload),
        Manner::Waits => match server.go_on.acquire().await {
            Ok(permit) => {
                permit.forget();
                server.hear(&upload)
            }
            Err(_closed) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        Manner::Dies => {
            let dead = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
            let broken = futures_util::stream::iter([Ok("{\"text\": \"hal"), Err(dead)]);
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
        }
        Manner::Says(status, kind, body) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Manner::Loads => server.refusal(StatusCode::SERVICE_UNAVAILABLE, "loading model"),
    }
}

async fn read(headers: HeaderMap, mut form: Multipart) -> anyhow::Result<Upload> {
    let mut upload = Upload { headers, ..Upload::default() };
    while let Some(field) = form.next_field().await? {
        match field.name().unwrap_or_default().to_owned() {
            name if name == "file" => {
                upload.file_name = field.file_name().unwrap_or_default().to_owned();
                upload.file = field.bytes().await?.to_vec();
            }
            name => upload.fields.push((name, field.text().await?)),
        }
    }
    Ok(upload)
}

impl Server {
    fn hear(&self, upload: &Upload) -> Response {
        if self.maker != Maker::WhisperCpp && upload.field("model") != Some(self.maker.model()) {
            let model = upload.field("model").unwrap_or_default();
            let text = format!("The model `{model}` does not exist.");
            return self.refusal(StatusCode::NOT_FOUND, &text);
        }
        let Ok((words, duration)) = words(&upload.file) else {
            return self.refusal(StatusCode::BAD_REQUEST, "failed to read audio data");
        };
        let verbose = upload.field("response_format") == Some("verbose_json");
        match self.maker {
            Maker::VllmWithoutTimes if verbose => {
                self.refusal(StatusCode::BAD_REQUEST, "Currently do not support verbose_json for this model")
            }
            Maker::Speaches => Json(speaches(&words, duration)).into_response(),
            Maker::Vllm => Json(vllm(&words, duration, upload.field("language"))).into_response(),
            Maker::VllmWithoutTimes => {
                let usage = json!({ "type": "duration", "seconds": duration.ceil() });
                Json(json!({ "text": joined(&words), "usage": usage })).into_response()
            }
            Maker::WhisperCpp => Json(whisper_cpp(&words, duration)).into_response(),
        }
    }
}
