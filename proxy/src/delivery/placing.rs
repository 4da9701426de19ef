//! Placements of files. A caller may go away while a router decides, and then nobody knows of the slot that it promises:
//! so the question is always asked to its end, and a promise that nobody waits for is given back.

use scheduler::{Placement, Request};
use session::CloseReason;
use tokio::sync::oneshot;

use super::Failure;
use crate::app::Shared;
use crate::router::{Counting, Reporter};
use crate::trace::Trace;

/// The first of these placements holds a slot.
struct Promise {
    reporter: Reporter,
    request: Request,
    placements: Vec<Placement>,
}

impl Promise {
    /// Takes the placements over; their slot is to be given back by whoever has them now.
    fn keep(mut self) -> Vec<Placement> {
        std::mem::take(&mut self.placements)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(first) = self.placements.first() {
            self.reporter.released(self.request.session, &first.node);
        }
    }
}

/// Asks for placements.
pub(super) async fn place(
    shared: &Shared,
    request: Request,
    trace: Trace,
    counting: Counting,
) -> Result<Vec<Placement>, Failure> {
    let (tell, told) = oneshot::channel();
    let (placer, reporter) = (shared.placer.clone(), shared.reporter.clone());
    shared.shutdown.spawn("placement", async move {
        let placed = placer.place(&request, trace, &counting).await;
        let _nobody_waits = tell.send(placed.map(|placements| Promise { reporter, request, placements }));
    });
    told.await.map_err(|_cut| Failure::no_node(CloseReason::Draining))?.map(Promise::keep)
}
