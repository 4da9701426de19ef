//! Admission: a stream is placed and its first leg open before the caller is answered.

use std::sync::Arc;

use scheduler::{Placement, Request};
use session::{Begun, CloseReason, Session};

use super::Pump;
use super::ear::{layout, silence};
use super::wake::Wake;
use crate::app::Shared;
use crate::callers::listen::{Extension, Listen, Problem};
use crate::delivery::Failure;
use crate::record::Record;

/// The outcome of [`admit`].
pub(crate) enum Admitted {
    /// A leg is open: the caller may have its 101.
    Open(Box<Pump>),
    /// No leg could be opened.
    Refused(Problem),
}

/// Places a stream and opens its first leg.
pub(crate) async fn admit(shared: Arc<Shared>, wanted: Request, listen: &Listen, record: Record) -> Admitted {
    match shared.placer.place(&wanted, record.trace(), &record.counting()).await {
        Ok(placements) => open_first(shared, wanted, listen, record, placements).await,
        Err(failure) => {
            record.end(failure.reason);
            Admitted::Refused(failure.into())
        }
    }
}

/// Opens the first leg on the best placement that takes it.
pub(super) async fn open_first(
    shared: Arc<Shared>,
    wanted: Request,
    listen: &Listen,
    record: Record,
    placements: Vec<Placement>,
) -> Admitted {
    let now = shared.now();
    let (_, seed) = wanted.session.0.as_u64_pair();
    let parking = (listen.extension != Extension::Plain).then(|| shared.parking.config().parking());
    let earlier = listen.goes_on.map(|goes_on| goes_on.earlier);
    let limits = shared.config.stream.clone();
    let begun = Begun { placements, layout: layout(listen.format), limits, seed, parking, earlier };
    let mut session = Session::begin(begun, now);
    session.silence_with(silence(listen.format));
    let mut pump = Box::new(Pump::new(shared, session, wanted, listen, (record, now)));
    loop {
        if let Some(reason) = pump.act() {
            pump.record.end(reason);
            return Admitted::Refused(Failure::no_node(reason).into());
        }
        if pump.session.serving().is_some() {
            return Admitted::Open(pump);
        }
        let answered = match pump.pending().await {
            Some(Wake::Opened(opened)) => pump.opened(*opened),
            Some(other) => {
                pump.take(other);
                Ok(())
            }
            None => Err("no node was found".to_owned()),
        };
        if let Err(text) = answered {
            let problem = Problem::new(CloseReason::BadRequest, text);
            pump.record.end(problem.reason);
            return Admitted::Refused(problem);
        }
    }
}
