//! One transcription: the form is read to its end, the file delivered, and the words written as they were asked for.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Response, header};
use scheduler::rules::Service;
use scheduler::{SessionId, Work};
use session::CloseReason;
use store::{Caller, Scope};

use super::answer::{Problem, found};
use super::form::Form;
use super::order::{Manner, Order};
use super::render::render;
use crate::app::Shared;
use crate::callers::{authorization, peer, tell_caveat};
use crate::delivery::{Parcel, deliver};
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
    let transcribing = transcribe(shared, &mut record, caller.clone(), request);
    let transcribed = unless_revoked(&caller, transcribing).await;
    record.end(transcribed.as_ref().map_or_else(|problem| problem.reason, |_| CloseReason::Completed));
    let mut response = transcribed.unwrap_or_else(|problem| problem.answer());
    write_allowance(allowance, response.headers_mut());
    Ok(response)
}

async fn transcribe(
    shared: &Shared,
    record: &mut Record,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let headers: HeaderMap = request.headers().clone();
    let peer = peer(&request);
    let form = Form::read(request).await?;
    let mut order = Order::read(&form, &headers, &shared.models, caller)?;
    shared.facts.add(&mut order.asked.facts, Service::Transcriptions, &headers, peer);
    let wanted = order.asked.request(shared, record.session(), Work::File, None);
    let content_type = ANY_TYPE.to_owned();
    let parcel = Parcel { wanted, query: order.leg_query(), content_type, spool: form.into_file()? };
    let answer = deliver(shared, record, parcel).await?;
    let heard = answer.transcript()?;
    let (content_type, body) = render(&order, &heard);
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
