//! A long file as server-sent events: the words of each part as soon as it was heard, and those before it.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use futures_util::{StreamExt, stream};
use session::CloseReason;

use super::answer::{Problem, found};
use super::order::Order;
use super::render::{EVENTS, deltas, done};
use super::transcription::{ended, written};
use crate::app::Shared;
use crate::callers::follow::{Following, Step};
use crate::delivery::{Answer, Cutting, Failure, News, Parcel, deliver_cut};
use crate::keys::unless_revoked;
use crate::record::Record;

/// The session, and what its file came to.
type Outcome = (Record, Result<Answer, Failure>);

/// Answers with events once there is something to tell before the end.
pub(super) async fn follow(
    order: Order,
    (shared, mut record): (Arc<Shared>, Record),
    (parcel, cutting): (Parcel, Cutting),
) -> Response<Body> {
    let caller = order.asked.caller.clone();
    let mut following = Following::new(|news| async move {
        let cutting = Cutting { news: Some(news), ..cutting };
        let answer = unless_revoked(&caller, deliver_cut(&shared, &mut record, parcel, cutting)).await;
        (record, answer)
    });
    let news = match following.next().await {
        Some(Step::News(news)) => news,
        Some(Step::Done((mut record, answer))) => {
            let answered = answer.map_err(Problem::from).and_then(|answer| written(&mut record, &order, &answer));
            return ended(record, answered);
        }
        None => return Problem::from(Failure::no_node(CloseReason::Draining)).answer(),
    };
    let mut telling = Telling { following, said: false, bytes: 0 };
    let first = telling.tell(&news);
    let later = stream::unfold(telling, async |mut telling| Some((telling.next().await?, telling)));
    let events = stream::iter([first]).chain(later).map(Ok::<_, std::convert::Infallible>);
    let mut response = found(EVENTS, Body::from_stream(events));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The events of one file.
struct Telling {
    following: Following<Outcome>,
    /// Whether there were words already.
    said: bool,
    bytes: usize,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        match self.following.next().await? {
            Step::News(news) => Some(self.tell(&news)),
            Step::Done(outcome) => Some(self.end(outcome)),
        }
    }

    /// Texts are joined by spaces, as they are in the whole.
    fn tell(&mut self, news: &News) -> Bytes {
        let space = if self.said && !news.text.is_empty() { " " } else { "" };
        self.said |= !news.text.is_empty();
        let events = deltas(&format!("{space}{}", news.text));
        // A comment, which SDKs pass over, where nothing was said: the connection lives.
        let events = if events.is_empty() { ": silence\n\n".to_owned() } else { events };
        self.bytes += events.len();
        events.into()
    }

    fn end(&self, (mut record, answer): Outcome) -> Bytes {
        let heard = answer.and_then(|answer| Ok((answer.transcript()?, answer)));
        match heard {
            Ok((heard, answer)) => {
                let event = done(&heard);
                record.used(answer.usage(heard.duration, self.bytes + event.len()));
                record.end(CloseReason::Completed);
                event.into()
            }
            Err(failure) => {
                record.end(failure.reason);
                format!("data: {}\n\n", Problem::from(failure).body()).into()
            }
        }
    }
}
