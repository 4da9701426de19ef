//! One transcription: the form is read to its end, the file delivered, and the words written as they were asked for. A
//! short file goes to a node while the form is read, if what must be known for that came before it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use scheduler::{SessionId, Work};
use session::CloseReason;
use store::Caller;
use tokio::sync::oneshot;

use super::answer::{Problem, found};
use super::events;
use super::form::Form;
use super::order::{Manner, Order};
use super::render::render;
use crate::app::Shared;
use crate::callers::{authorization, peer};
use crate::delivery::{Answer, Cutting, Failure, Hint, Parcel, Spool, Way, choose, deliver_cut, deliver_whole};
use crate::record::Record;
use crate::trace::Trace;

const NO_KEY: &str =
    "You didn't provide an API key: send it in an Authorization header (Authorization: Bearer YOUR_KEY).";

/// What an upload is sent on as: engines look at the bytes themselves, and callers' types are often wrong.
const ANY_TYPE: &str = "application/octet-stream";

/// Tells whose key a request brings.
pub(super) fn caller(shared: &Shared, request: &Request) -> impl Future<Output = Result<Caller, Problem>> {
    let (key, peer) = (authorization(request.headers()), peer(request));
    async move {
        let key = key.ok_or_else(|| Problem::new(CloseReason::Unauthorised, NO_KEY))?;
        Ok(shared.keys.check(&key, peer).await?)
    }
}

/// Serves one file.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let caller = caller(shared, &request).await?;
    let trace = Trace::of(request.headers());
    let mut record = shared.admit(session, trace, &caller, Work::File).map_err(Failure::no_node)?;
    let reading = Reading { shared, caller, headers: request.headers().clone(), epoch: 0 };
    let answered = match reading.take(&mut record, request).await {
        Ok(Taken::Heard(order, answer)) => written(&mut record, &order, &answer),
        Ok(Taken::Long(order, parcel, cutting)) if order.manner == Manner::Events => {
            return Ok(events::follow(order, (Arc::clone(shared), record), (*parcel, cutting)).await);
        }
        Ok(Taken::Long(order, parcel, cutting)) => {
            let answer = deliver_cut(shared, &mut record, *parcel, cutting).await;
            answer.map_err(Problem::from).and_then(|answer| written(&mut record, &order, &answer))
        }
        Err(problem) => Err(problem),
    };
    Ok(ended(record, answered))
}

/// Ends a session with its answer, or with why there is none.
pub(super) fn ended(record: Record, answered: Result<Response<Body>, Problem>) -> Response<Body> {
    record.end(answered.as_ref().map_or_else(|problem| problem.reason, |_| CloseReason::Completed));
    answered.unwrap_or_else(|problem| problem.answer())
}

/// Writes what was heard as it was asked for.
pub(super) fn written(record: &mut Record, order: &Order, answer: &Answer) -> Result<Response<Body>, Problem> {
    let heard = answer.transcript()?;
    let (content_type, body) = render(order, &heard);
    record.used(answer.usage(heard.duration, body.len()));
    let mut response = found(content_type, body);
    if order.manner == Manner::Events {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    Ok(response)
}

/// A form that was read to its end.
enum Taken {
    /// Its file is heard already.
    Heard(Order, Answer),
    /// Its file is to be cut.
    Long(Order, Box<Parcel>, Cutting),
}

/// A request on its way in.
struct Reading<'a> {
    shared: &'a Shared,
    caller: Caller,
    headers: HeaderMap,
    /// The last that was used for a leg.
    epoch: u32,
}

impl Reading<'_> {
    /// Reads the form, and gets a short file heard: while it comes in, if the model came before it.
    async fn take(mut self, record: &mut Record, request: Request) -> Result<Taken, Problem> {
        let (begun, begins) = oneshot::channel();
        let hearing = async { Ok(self.hear_early(record, begins).await) };
        let (form, early) = tokio::try_join!(Form::read(request, begun), hearing)?;
        let order = Order::read(&form, &self.headers, &self.shared.models, self.caller.clone())?;
        if let Some((asked, answer)) = early
            && asked == order.leg_query()
        {
            return Ok(Taken::Heard(order, answer?));
        }
        let parcel = self.parcel(&order, record, form.into_file()?);
        match choose(&parcel.spool, self.hint(), self.shared.config.files.cut_from).await {
            Way::Cut(expected) => Ok(Taken::Long(order, Box::new(parcel), Cutting { expected, ..Cutting::default() })),
            Way::Whole => {
                let answer = deliver_whole(self.shared, record, parcel, &mut self.epoch).await?;
                Ok(Taken::Heard(order, answer))
            }
        }
    }

    /// Gets a short file heard with what the form says before it; returns what was asked of the node, too. Fields that
    /// follow may change that.
    async fn hear_early(
        &mut self,
        record: &mut Record,
        begins: oneshot::Receiver<Form>,
    ) -> Option<(String, Result<Answer, Failure>)> {
        let form = begins.await.ok()?;
        let order = Order::read(&form, &self.headers, &self.shared.models, self.caller.clone()).ok()?;
        let spool = form.file()?.clone();
        let way = choose(&spool, self.hint(), self.shared.config.files.cut_from).await;
        if way != Way::Whole || spool.growth().length == 0 {
            return None;
        }
        let parcel = self.parcel(&order, record, spool);
        let answer = deliver_whole(self.shared, record, parcel, &mut self.epoch).await;
        Some((order.leg_query(), answer))
    }

    fn parcel(&self, order: &Order, record: &Record, spool: Spool) -> Parcel {
        let wanted = order.asked.request(self.shared, record.session(), Work::File, None);
        Parcel { wanted, query: order.leg_query(), content_type: ANY_TYPE.to_owned(), spool }
    }

    /// A form is longer than its file, if only by a few lines.
    fn hint(&self) -> Hint {
        let length = self.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Hint { format: None, bytes: length.and_then(|length| length.parse().ok()) }
    }
}
