//! The multipart form: its fields in any order, its file straight into the spool. Who waits for the file hears of it when
//! it begins, with the fields that came before it.

use std::error::Error;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, header};
use session::CloseReason;

use super::answer::Problem;
use super::window::{Taken, Window};
use crate::delivery::{Failure, Spool, Spools};
use futures_util::TryStreamExt;
use tokio::sync::oneshot;

/// Fields of a form, the file among them.
const FIELDS: usize = 64;
/// Bytes of a field that is not the file.
const FIELD_BYTES: usize = 64 << 10;

/// A form, as far as it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    file: Option<Spool>,
}

impl Form {
    /// Reads a request's form to its end. Memory holds its small fields and a part of the file. `begun` is told the form
    /// so far when the file begins.
    pub(super) async fn read(request: Request, spools: &Spools, begun: oneshot::Sender<Self>) -> Result<Self, Problem> {
        let mut opening = Opening { spools, begun: Some(begun) };
        let taken = Taken::default();
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let body = Body::from_stream(Window::new(body.into_data_stream(), taken.clone()));
        let request = Request::from_parts(parts, body);
        let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| no_boundary())?;
        let mut form = Self::default();
        let mut count = 0;
        while let Some(field) = multipart.next_field().await.map_err(|error| broken(&error))? {
            count += 1;
            if count > FIELDS {
                return Err(Problem::new(CloseReason::BadRequest, format!("the form has over {FIELDS} fields")));
            }
            // Its headers are done with.
            taken.add(1);
            form.take(field, &taken, &mut opening).await?;
        }
        Ok(form)
    }

    async fn take(&mut self, mut field: Field<'_>, taken: &Taken, opening: &mut Opening<'_>) -> Result<(), Problem> {
        let name = field.name().unwrap_or_default();
        let name = name.strip_suffix("[]").unwrap_or(name).to_owned();
        if name == "file" {
            return self.take_file(field, taken, opening).await;
        }
        let mut value = Vec::new();
        while let Some(data) = chunk(&mut field, taken).await? {
            if value.len() + data.len() > FIELD_BYTES {
                let shown: String = name.chars().take(40).collect();
                let text = format!("the field {shown:?} is over {FIELD_BYTES} bytes");
                return Err(Problem::new(CloseReason::BadRequest, text));
            }
            value.extend_from_slice(&data);
        }
        let text = format!("the field {:?} is not UTF-8", name.chars().take(40).collect::<String>());
        let value = String::from_utf8(value).map_err(|_| Problem::new(CloseReason::BadText, text))?;
        self.fields.push((name, value));
        Ok(())
    }

    async fn take_file(&mut self, field: Field<'_>, taken: &Taken, opening: &mut Opening<'_>) -> Result<(), Problem> {
        if self.file.is_some() {
            return Err(Problem::invalid("file", "expected one file, got more: send each as a request of its own"));
        }
        let (mut intake, spool) = opening.spools.open(None);
        self.file = Some(spool);
        if let Some(begun) = opening.begun.take() {
            let _nobody_waits = begun.send(self.clone());
        }
        intake.take(field.inspect_ok(|data| taken.add(data.len())), |error| broken(&error)).await?;
        Ok(intake.finish().await?)
    }

    /// Returns a field's last value that is not empty. `name` is without `[]`.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.all(name).rfind(|value| !value.is_empty())
    }

    /// Returns a field's values in order. `name` is without `[]`.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the file, whether or not all of it is there.
    pub(super) fn file(&self) -> Option<&Spool> {
        self.file.as_ref()
    }

    /// Returns the file of a form that was read to its end.
    pub(super) fn into_file(self) -> Result<Spool, Problem> {
        let file = self.file.ok_or_else(|| Problem::missing("file", "you must provide a file: the audio"))?;
        if file.growth().length == 0 {
            let empty = Failure::new(CloseReason::BadAudio, "the audio file is empty");
            return Err(empty.into());
        }
        Ok(file)
    }
}

/// What the file goes into, and who is to be told when it begins.
struct Opening<'a> {
    spools: &'a Spools,
    begun: Option<oneshot::Sender<Form>>,
}

async fn chunk(field: &mut Field<'_>, taken: &Taken) -> Result<Option<bytes::Bytes>, Problem> {
    let data = field.chunk().await.map_err(|error| broken(&error))?;
    taken.add(data.as_ref().map_or(0, bytes::Bytes::len));
    Ok(data)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        return Ok(());
    }
    let shown: String = essence.chars().take(100).collect();
    Err(Problem::invalid("content-type", format!("expected a body of type multipart/form-data, got {shown:?}")))
}

fn no_boundary() -> Problem {
    Problem::missing("boundary", "the Content-Type header has no boundary: let the HTTP library write it")
}

/// Finds out why a form could not be read.
fn broken(error: &MultipartError) -> Problem {
    match Failure::of_upload(error) {
        Some(failure) => failure.into(),
        None => Problem::new(CloseReason::BadRequest, format!("the form cannot be read: {}", innermost(error))),
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}
