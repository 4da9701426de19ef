//! Why an upload could not be taken or read.

use std::error::Error;
use std::io;

use axum::http::StatusCode;
use session::CloseReason;

use crate::delivery::Failure;
use crate::edge::UploadError;

/// What whoever reads an upload hears of its end.
pub(in crate::delivery) fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the upload broke off")
}

pub(super) fn full(error: &io::Error) -> Failure {
    tracing::error!(%error, "cannot spool an upload");
    Failure::new(CloseReason::NoCapacity, "no room to take the upload, please try again")
}

impl Failure {
    /// Finds out why an upload could not be read: `None` where the edge had no part in it.
    pub(crate) fn of_upload(error: &(dyn Error + 'static)) -> Option<Self> {
        match error.downcast_ref::<UploadError>() {
            Some(UploadError::Refused(violation)) => Some(Self::new(reason(violation.status()), violation.message())),
            Some(UploadError::Broken(_)) => Some(Self::broken_off()),
            None => error.source().and_then(Self::of_upload),
        }
    }

    pub(super) fn broken_off() -> Self {
        Self::new(CloseReason::CallerGone, "the upload broke off")
    }
}

fn reason(status: StatusCode) -> CloseReason {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => CloseReason::UploadTooBig,
        StatusCode::REQUEST_TIMEOUT => CloseReason::UploadTooSlow,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => CloseReason::UnsupportedBody,
        _ => CloseReason::BadRequest,
    }
}
