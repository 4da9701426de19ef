//! One transcription: the form is read to its end, the file delivered, and the words written as they were asked for. A
//! short file goes to a node while the form is read, if what must be known for that came before it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use scheduler::rules::Service;
use scheduler::{SessionId, Work};
use session::CloseReason;
use store::{Caller, Scope};
use tokio::sync::oneshot;

use super::answer::{Problem, found};
use super::events;
use super::form::Form;
use super::order::{Manner, Order};
use super::render::render;
use crate::app::Shared;
use crate::callers::{authorization, peer, tell_caveat};
use crate::delivery::{Answer, Cutting, Failure, Hint, Parcel, Spool, Way, choose, deliver_cut, deliver_whole};
use crate::keys::unless_revoked;
use crate::quota::write_allowance;
use crate::record::Record;

const NO_KEY: &str =
    "You didn't provide an API key: send it in an Authorization header (Authorization: Bearer YOUR_KEY).";

/// What an upload is sent on as: engines look at the bytes themselves, and callers' types are often wrong.
const ANY_TYPE: &str = "application/octet-stream";

/// Tells whose key a request brings, where it may do `scope`.
pub(super) fn caller(
    shared: &Shared,
    request: &Request,
    scope: Scope,
) -> impl Future<Output = Result<Caller, Problem>> {
    let (key, peer) = (authorization(request.headers()), peer(request));
    async move {
        let key = key.ok_or_else(|| Problem::new(CloseReason::Unauthorised, NO_KEY))?;
        Ok(shared.keys.check(&key, peer, scope).await?)
    }
}

/// Serves one file.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    session: SessionId,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let caller = caller(shared, &request, Scope::Transcribe).await?;
    let mut record = shared.admit(session, request.headers(), &caller, Work::File).await?;
    let allowance = record.allowance();
    let (headers, peer) = (request.headers().clone(), peer(&request));
    let reading = Reading { shared, caller: caller.clone(), headers, peer, epoch: 0 };
    // Boxed: it is much larger than everything around it.
    let taking = Box::pin(reading.take(&mut record, request));
    let mut response = match unless_revoked(&caller, taking).await {
        Ok(Taken::Heard(order, answer)) => {
            let answered = written(&mut record, &order, &answer);
            ended(record, answered)
        }
        Ok(Taken::Long(order, parcel, cutting)) if order.manner == Manner::Events => {
            events::follow(order, (Arc::clone(shared), record), (*parcel, cutting)).await
        }
        Ok(Taken::Long(order, parcel, cutting)) => {
            let cut = unless_revoked(&caller, deliver_cut(shared, &mut record, *parcel, cutting)).await;
            let answered = cut.map_err(Problem::from).and_then(|answer| written(&mut record, &order, &answer));
            ended(record, answered)
        }
        Err(problem) => ended(record, Err(problem)),
    };
    write_allowance(allowance, response.headers_mut());
    Ok(response)
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
    if order.format.has_times() {
        tell_caveat(response.headers_mut(), heard.timing);
    }
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
    peer: IpAddr,
    /// The last that was used for a leg.
    epoch: u32,
}

impl Reading<'_> {
    /// Reads the form, and gets a short file heard: while it comes in, if the model came before it.
    async fn take(mut self, record: &mut Record, request: Request) -> Result<Taken, Problem> {
        let (begun, begins) = oneshot::channel();
        let spools = self.shared.spools.clone();
        let hearing = async { Ok(self.hear_early(record, begins).await) };
        let (form, early) = tokio::try_join!(Form::read(request, &spools, begun), hearing)?;
        let order = self.order(&form)?;
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
        let spool = form.file()?.clone();
        record.receiving(&spool);
        let order = self.order(&form).ok()?;
        let way = choose(&spool, self.hint(), self.shared.config.files.cut_from).await;
        if way != Way::Whole || spool.growth().length == 0 {
            return None;
        }
        let parcel = self.parcel(&order, record, spool);
        let answer = deliver_whole(self.shared, record, parcel, &mut self.epoch).await;
        Some((order.leg_query(), answer))
    }

    fn order(&self, form: &Form) -> Result<Order, Problem> {
        let mut order = Order::read(form, &self.headers, &self.shared.models.load(), self.caller.clone())?;
        self.shared.facts.add(&mut order.asked.facts, Service::Transcriptions, &self.headers, self.peer);
        Ok(order)
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
