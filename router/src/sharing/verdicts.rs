//! Shares how legs to nodes went: what proxies told this router goes to the others, what they were told comes back, within a
//! second. Nodes that never failed are not spoken of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::Shutdown;
use scheduler::NodeId;
use store::{Place, StoreAway, Teller, Verdict, Verdicts};
use tracing::debug;

use super::ticks;
use crate::core::Core;
use crate::metrics;

/// How often this router tells and listens.
const EVERY: Duration = Duration::from_millis(250);
/// Legs of one verdict that are believed: more would only say the same.
const BELIEVED: u32 = 32;

/// How legs went since the others were told.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<BTreeMap<NodeId, Verdict>>);

impl Heard {
    fn note(&self, node: &NodeId, opened: u32, failed: u32) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Verdict { node: node.clone(), opened: 0, failed: 0 };
        let verdict = heard.entry(node.clone()).or_insert_with(fresh);
        verdict.opened = verdict.opened.saturating_add(opened);
        verdict.failed = verdict.failed.saturating_add(failed);
    }

    fn take(&self) -> Vec<Verdict> {
        let heard = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_values().filter(|verdict| verdict.failed > 0).collect()
    }
}

impl Core {
    /// Notes that a leg opened on a node.
    pub(crate) fn leg_opened(&self, node: &NodeId) {
        self.note(node, 1, 0);
    }

    /// Notes that a leg failed or was lost on a node.
    pub(crate) fn leg_failed(&self, node: &NodeId) {
        self.note(node, 0, 1);
    }

    fn note(&self, node: &NodeId, opened: u32, failed: u32) {
        // A name that no node has would stay for ever.
        if self.view().node(node).is_some() {
            self.heard.note(node, opened, failed);
            self.believe(&Verdict { node: node.clone(), opened, failed });
        }
    }

    fn believe(&self, verdict: &Verdict) {
        let (now, mut fleet) = (self.now(), self.fleet_mut());
        (0..verdict.opened.min(BELIEVED)).for_each(|_| fleet.note_opened(&verdict.node, now));
        (0..verdict.failed.min(BELIEVED)).for_each(|_| fleet.note_failed(&verdict.node, now));
    }
}

/// Tells and listens until the drain begins.
pub(crate) async fn share(core: Arc<Core>, verdicts: Arc<dyn Verdicts>, shutdown: Shutdown) {
    let (mut ticks, mut place, me) = (ticks(EVERY), Place::default(), Teller(rand::random()));
    loop {
        tokio::select! {
            () = shutdown.begun() => return,
            _ = ticks.tick() => {}
        }
        if let Err(away) = look(&core, verdicts.as_ref(), &mut place, me).await {
            metrics::store_failed("verdicts");
            debug!(%away, "verdicts not shared");
        }
    }
}

async fn look(core: &Core, verdicts: &dyn Verdicts, place: &mut Place, me: Teller) -> Result<(), StoreAway> {
    let heard = core.heard.take();
    if !heard.is_empty() {
        verdicts.tell(me, &heard, core.now()).await?;
    }
    let (told, next) = verdicts.told_since(place, me, core.now()).await?;
    *place = next;
    for verdict in &told {
        core.believe(verdict);
    }
    Ok(())
}
