//! How far a long file is, for callers who ask with `Accept: text/event-stream`, as no SDK does: an event for each part
//! that was heard, `{"type":"Progress","heard":30.0,"duration":3600.0}` in seconds (the length where the file tells it),
//! and last the body that everybody else gets, or the error. What is answered in one go is answered as always.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures_util::{StreamExt, stream};
use scheduler::SessionId;
use serde_json::json;
use session::CloseReason;

use super::Problem;
use super::file::{Written, completed, found};
use crate::callers::follow::{Following, Step};
use crate::delivery::{Failure, News};
use crate::record::Record;

const EVENTS: &str = "text/event-stream";

/// The session, and what its file came to.
pub(super) type Outcome = (Record, Result<Written, Failure>);

/// Tells whether a caller asks for events.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().eq_ignore_ascii_case(EVENTS))
}

/// Answers with events once there is something to tell before the end.
pub(super) async fn follow(session: SessionId, mut following: Following<Outcome>) -> Response<Body> {
    let news = match following.next().await {
        Some(Step::News(news)) => news,
        Some(Step::Done((record, heard))) => return completed(session, record, heard),
        None => return Problem::from(Failure::no_node(CloseReason::Draining)).answer(session),
    };
    let later = stream::unfold(following, move |mut following| async move {
        let event = match following.next().await? {
            Step::News(news) => progress(&news),
            Step::Done(outcome) => ended(session, outcome),
        };
        Some((event, following))
    });
    let events = stream::iter([progress(&news)]).chain(later).map(Ok::<_, std::convert::Infallible>);
    let mut response = found(session, EVENTS, Body::from_stream(events));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn progress(news: &News) -> Bytes {
    let duration = news.expected.map(|length| length.max(news.heard).as_secs_f64());
    let event = json!({ "type": "Progress", "heard": news.heard.as_secs_f64(), "duration": duration });
    event_of(event.to_string().as_bytes())
}

fn ended(session: SessionId, (record, heard): Outcome) -> Bytes {
    match heard {
        Ok((body, _timing)) => {
            record.end(CloseReason::Completed);
            event_of(&body)
        }
        Err(failure) => {
            record.end(failure.reason);
            event_of(Problem::from(failure).body(session).as_bytes())
        }
    }
}

/// JSON has no line breaks of its own.
fn event_of(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}
