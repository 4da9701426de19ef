//! Who is let in: what every request of `/v1/listen` must pass before anything is heard, in the order of its cost.

use std::time::Instant;

use axum::http::HeaderMap;
use uuid::Uuid;

use crate::engine::Engine;
use crate::fence::{Leg, LegId, Replaced};
use crate::query::Options;
use crate::refusal::Refusal;
use crate::slots::Slot;
use crate::synthetic::Door;

/// The session's id, when a proxy opens a leg; it becomes the request's id.
pub(crate) const SESSION: &str = "x-crosspoint-session";
const EPOCH: &str = "x-crosspoint-epoch";
const LEASE: &str = "x-crosspoint-lease";

/// A request that may be heard.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// What it asks for.
    pub(crate) options: Options,
    /// Its room in the engine.
    pub(crate) slot: Slot,
    /// Its place among the legs of its session, when it is one.
    pub(crate) leg: Option<Leg>,
    /// What makes its voice differ from others.
    pub(crate) seed: u64,
}

/// Lets a request in, or says why not.
///
/// # Errors
/// Fails when the request makes no sense, came too late, or finds no free slot.
pub(crate) async fn admit(
    engine: &Engine,
    request_id: Uuid,
    headers: &HeaderMap,
    query: &[(String, String)],
) -> Result<Admitted, Refusal> {
    if engine.draining() {
        return Err(Refusal::Draining);
    }
    let options = Options::read(query)?;
    let id = leg_id(headers)?;
    if engine.doors.knock() == Door::Shut {
        return Err(Refusal::Full(engine.slots.total()));
    }
    let leg = id.map(|id| engine.fences.open(id, Instant::now())).transpose()?;
    let (leg, slot) = take_slot(engine, leg).await?;
    tracing::debug!(%request_id, leg = ?id, lease = ?headers.get(LEASE), "request admitted");
    Ok(Admitted { options, slot, leg, seed: seed(request_id, id) })
}

async fn take_slot(engine: &Engine, leg: Option<Leg>) -> Result<(Option<Leg>, Slot), Refusal> {
    let replaces = leg.as_ref().is_some_and(|leg| leg.replaced() == Replaced::Live);
    let slot = match engine.slots.take() {
        Some(slot) => Some(slot),
        None if replaces => engine.slots.take_over().await,
        None => None,
    };
    match slot {
        Some(slot) => Ok((leg, slot)),
        None => {
            // The leg never lived: a proxy may try the same epoch again.
            leg.into_iter().for_each(Leg::withdraw);
            Err(Refusal::Full(engine.slots.total()))
        }
    }
}

fn leg_id(headers: &HeaderMap) -> Result<Option<LegId>, Refusal> {
    let session = read::<Uuid>(headers, SESSION, "a UUID")?;
    let epoch = read::<u32>(headers, EPOCH, "a whole number")?;
    Ok(session.zip(epoch).map(|(session, epoch)| LegId { session, epoch }))
}

fn read<T: std::str::FromStr>(
    headers: &HeaderMap,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, Refusal> {
    let wrong = || Refusal::Header { name, expected };
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().ok().and_then(|text| text.parse().ok()).map(Some).ok_or_else(wrong)
}

fn seed(request_id: Uuid, leg: Option<LegId>) -> u64 {
    let (high, low) = request_id.as_u64_pair();
    let epoch = leg.map_or(0, |leg| u64::from(leg.epoch));
    high ^ low.rotate_left(17) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
