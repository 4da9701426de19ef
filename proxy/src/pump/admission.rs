//! Admission: a stream is placed and its first leg open before the caller is answered.

use std::sync::Arc;

use scheduler::{Placement, Request};
use session::{Action, CloseReason, Session};

use super::Pump;
use crate::app::Shared;
use crate::callers::listen::{Listen, Problem};
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
    let (session, mut action) =
        Session::begin(placements, listen.bytes_per_second(), shared.config.stream.clone(), now);
    let mut pump = Box::new(Pump::new(shared, session, wanted, listen, (record, now)));
    loop {
        match action {
            Action::End(reason) => {
                pump.record.end(reason);
                return Admitted::Refused(Failure::no_node(reason).into());
            }
            Action::Replay => return Admitted::Open(pump),
            Action::Ask => action = pump.ask_now().await,
            Action::Open { epoch, placement } => match pump.open_now(epoch, placement).await {
                Ok(None) => return Admitted::Open(pump),
                Ok(Some(next)) => action = next,
                Err(text) => {
                    let problem = Problem::new(CloseReason::BadRequest, text);
                    pump.record.end(problem.reason);
                    return Admitted::Refused(problem);
                }
            },
        }
    }
}

impl Pump {
    async fn ask_now(&mut self) -> Action {
        let answer = self.asking().await;
        self.session.placed(answer)
    }

    async fn open_now(&mut self, epoch: u32, placement: Placement) -> Result<Option<Action>, String> {
        let opened = self.opening(epoch, placement).await;
        self.opened(opened)
    }
}
