//! `GET /v1/listen?resume=TOKEN`: a stream goes on over a new connection, with the same key. Where its session waits for its
//! caller it is found; where that was lost with its proxy, a new session goes on from what the caller says it has.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, Uri};
use form_urlencoded::parse;
use hyper_util::rt::TokioIo;
use scheduler::SessionId;
use session::{CloseReason, Earlier};
use store::{Caller, Standing};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::stream::{Handshake, open};
use super::{Extension, Listen, Problem};
use crate::app::Shared;
use crate::callers::peer;
use crate::metrics::{Resume, resumed};
use crate::parking::{Found, Return, Ticket};
use crate::wire::caller_socket;

/// What is said of every token that leads nowhere, whosever it is.
const UNKNOWN: &str = "there is no such stream to go on with: open a new one";

/// A wish to go on with a stream. What the caller does not say is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    token: String,
    /// The number of the last final result that it has.
    last_seq: u64,
    /// The first sample that it can send again.
    from: u64,
    /// What it was last told was received, in samples.
    received: u64,
}

/// Where a new session goes on with the stream of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoesOn {
    /// The first session of the stream.
    pub(crate) stream: SessionId,
    /// The number of the last final result that the caller has.
    pub(crate) last_seq: u64,
    /// What was done before.
    pub(crate) earlier: Earlier,
}

/// Reads the wish to go on with a stream, if there is one.
pub(super) fn asked(uri: &Uri) -> Option<Asked> {
    let mut asked = None;
    let mut rest = Asked::default();
    for (name, value) in parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "resume" => asked = Some(value.into_owned()),
            "last_seq" => rest.last_seq = value.parse().unwrap_or(0),
            "from" => rest.from = value.parse().unwrap_or(0),
            "received" => rest.received = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    asked.map(|token| Asked { token, ..rest })
}

/// Lets a caller go on with its stream.
pub(super) async fn serve(
    shared: Arc<Shared>,
    session: SessionId,
    mut request: Request,
    asked: Asked,
) -> Result<Response<Body>, Problem> {
    let (handshake, caller) = Handshake::check(&shared, request.headers(), peer(&request)).await?;
    let ticket = shared.parking.read(&asked.token).filter(|ticket| ticket.is_of(&caller)).ok_or_else(unknown)?;
    match shared.parking.find(ticket.stream, asked.last_seq) {
        Found::Here(session, door) => {
            let upgrade = hyper::upgrade::on(&mut request);
            let standing = caller.standing.clone();
            shared.shutdown.spawn("return", come_back(upgrade, door, (asked.last_seq, standing)));
            Ok(handshake.switching(session))
        }
        Found::Over => Err(unknown()),
        Found::Elsewhere => {
            let listen = go_on(&shared, &request, caller, (&ticket, &asked))?;
            info!(%session, stream = %ticket.stream, from = asked.from, "a stream goes on as a new session");
            let opened = open(shared, session, request, (handshake, listen)).await;
            opened.inspect(|_| resumed(Resume::TakenOver))
        }
    }
}

fn unknown() -> Problem {
    resumed(Resume::Unknown);
    Problem::new(CloseReason::NothingToResume, UNKNOWN)
}

/// Reads again what was asked for at first; what the key and its headers allow today is what counts.
fn go_on(
    shared: &Shared,
    request: &Request,
    caller: Caller,
    (ticket, asked): (&Ticket, &Asked),
) -> Result<Listen, Problem> {
    let query = ticket.query.as_deref().ok_or_else(unknown)?;
    let uri: Uri = format!("/v1/listen?{query}").parse().map_err(|_| unknown())?;
    let mut listen = Listen::read(&uri, request.headers(), &shared.models.load(), caller)?;
    if listen.extension == Extension::Plain || listen.format.is_none() {
        return Err(unknown());
    }
    let earlier = Earlier { from: asked.from, received: asked.received };
    listen.goes_on = Some(GoesOn { stream: ticket.stream, last_seq: asked.last_seq, earlier });
    Ok(listen)
}

/// Brings a caller's new connection to its session.
async fn come_back(
    upgrade: hyper::upgrade::OnUpgrade,
    door: mpsc::Sender<Return>,
    (last_seq, standing): (u64, Standing),
) {
    match upgrade.await {
        Ok(upgraded) => {
            let socket = caller_socket(TokioIo::new(upgraded));
            if let Err(mpsc::error::SendError(Return { mut socket, .. })) =
                door.send(Return { socket, last_seq, standing }).await
            {
                // It ended in this moment: the caller finds out what came of it by asking again.
                let reason = CloseReason::Draining;
                socket.leave(&relay::Close::new(reason.close_code(), UNKNOWN)).await;
            }
        }
        Err(error) => debug!(%error, "caller left before the upgrade"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_go_on_is_told_from_all_others() {
        let read = |query: &str| asked(&format!("/v1/listen?{query}").parse().unwrap());
        assert_eq!(read("model=nova-3&from=7"), None);
        let expected = Asked { token: "a.b".to_owned(), last_seq: 3, from: 7, received: 0 };
        assert_eq!(read("last_seq=3&from=7&resume=a.b&received=x"), Some(expected));
    }
}
