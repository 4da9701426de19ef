//! Legs of one session: a leg is heard only while no newer one exists, so that audio replayed after a failover is
//! never transcribed twice by this engine.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long the epochs of an ended session are remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How many ended sessions are remembered at most; the oldest go first.
const MOST: usize = 65_536;

/// Who opens a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LegId {
    /// The caller's session.
    pub(crate) session: Uuid,
    /// Counts the session's legs, on whatever node.
    pub(crate) epoch: u32,
}

/// Says that a leg came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("session {session} was already opened with epoch {seen}, open it with a higher epoch than that, not {epoch}")]
pub(crate) struct Stale {
    session: Uuid,
    epoch: u32,
    seen: u32,
}

/// Every session heard, or ended within ten minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fences(Arc<Mutex<Sessions>>);

#[derive(Debug, Default)]
struct Sessions {
    seen: HashMap<Uuid, Seen>,
    /// When which session ended, oldest first.
    ended: VecDeque<(Instant, Uuid)>,
}

#[derive(Debug)]
struct Seen {
    epoch: u32,
    /// The newest leg, while it lives.
    live: Option<CancellationToken>,
    ended: Option<Instant>,
}

/// A leg that holds its place until it is dropped or fenced.
#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    fences: Fences,
    fenced: CancellationToken,
    /// What was known before this leg, to be restored when it does not open after all.
    before: Option<u32>,
    replaced: Replaced,
}

/// Whether a leg took the place of one that was live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// An older leg of this session was live here, and ends now.
    Live,
    /// There was none.
    Nothing,
}

impl Fences {
    /// Opens a leg and fences the session's older one.
    ///
    /// # Errors
    /// Fails when the session was opened with this or a higher epoch before.
    pub(crate) fn open(&self, id: LegId, now: Instant) -> Result<Leg, Stale> {
        let fenced = CancellationToken::new();
        let mut sessions = self.sessions();
        sessions.forget(now);
        let (before, older) = sessions.advance(id, &fenced)?;
        drop(sessions);
        let replaced = older.map_or(Replaced::Nothing, |older| {
            older.cancel();
            Replaced::Live
        });
        Ok(Leg { id, fences: self.clone(), fenced, before, replaced })
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn advance(
        &mut self,
        id: LegId,
        fenced: &CancellationToken,
    ) -> Result<(Option<u32>, Option<CancellationToken>), Stale> {
        let fresh = Seen { epoch: id.epoch, live: Some(fenced.clone()), ended: None };
        match self.seen.entry(id.session) {
            Entry::Vacant(entry) => {
                entry.insert(fresh);
                Ok((None, None))
            }
            Entry::Occupied(entry) if entry.get().epoch >= id.epoch => {
                Err(Stale { session: id.session, epoch: id.epoch, seen: entry.get().epoch })
            }
            Entry::Occupied(mut entry) => {
                let old = entry.insert(fresh);
                Ok((Some(old.epoch), old.live))
            }
        }
    }

    /// Forgets sessions that ended long ago, and the oldest when there are too many.
    fn forget(&mut self, now: Instant) {
        while let Some((ended, session)) = self.ended.front().copied() {
            if now.duration_since(ended) < REMEMBERED && self.ended.len() <= MOST {
                return;
            }
            self.ended.pop_front();
            if self.seen.get(&session).is_some_and(|seen| seen.ended == Some(ended)) {
                self.seen.remove(&session);
            }
        }
    }

    fn end(&mut self, id: LegId, now: Instant) {
        if let Some(seen) = self.seen.get_mut(&id.session).filter(|seen| seen.epoch == id.epoch) {
            seen.live = None;
            seen.ended = Some(now);
            self.ended.push_back((now, id.session));
        }
    }
}

impl Leg {
    /// Is cancelled when a newer leg of the session opens.
    pub(crate) fn fenced(&self) -> CancellationToken {
        self.fenced.clone()
    }

    /// Tells whether an older leg was live here.
    pub(crate) const fn replaced(&self) -> Replaced {
        self.replaced
    }

    /// Undoes the opening: the same epoch may be tried again.
    pub(crate) fn withdraw(self) {
        let now = Instant::now();
        let mut sessions = self.fences.sessions();
        match self.before {
            Some(epoch) => {
                sessions.end(self.id, now);
                if let Some(seen) = sessions.seen.get_mut(&self.id.session).filter(|seen| seen.epoch == self.id.epoch) {
                    seen.epoch = epoch;
                }
            }
            None if sessions.seen.get(&self.id.session).is_some_and(|seen| seen.epoch == self.id.epoch) => {
                sessions.seen.remove(&self.id.session);
            }
            None => {}
        }
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        self.fences.sessions().end(self.id, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(epoch: u32) -> LegId {
        LegId { session: Uuid::from_u128(7), epoch }
    }

    #[test]
    fn a_newer_leg_ends_the_older_one() {
        let (fences, now) = (Fences::default(), Instant::now());
        let older = fences.open(leg(1), now).expect("the first");
        let newer = fences.open(leg(2), now).expect("newer");
        assert!(older.fenced().is_cancelled() && !newer.fenced().is_cancelled());
        assert_eq!(newer.replaced(), Replaced::Live);
    }

    #[test]
    fn an_epoch_is_refused_for_ten_minutes_after_the_end() {
        let (fences, now) = (Fences::default(), Instant::now());
        drop(fences.open(leg(2), now).expect("the first"));
        assert!(fences.open(leg(2), now).is_err());
        assert!(fences.open(leg(1), now + Duration::from_secs(500)).is_err());
        assert!(fences.open(leg(1), now + Duration::from_secs(700)).is_ok());
    }

    #[test]
    fn a_withdrawn_leg_may_be_tried_again() {
        let (fences, now) = (Fences::default(), Instant::now());
        fences.open(leg(1), now).expect("the first").withdraw();
        assert!(fences.open(leg(1), now).is_ok());
        fences.open(leg(5), now).expect("newer").withdraw();
        assert!(fences.open(leg(1), now).is_err());
        assert!(fences.open(leg(4), now).is_ok());
    }

    #[test]
    fn an_old_leg_that_ends_late_does_not_end_the_newer_one() {
        let (fences, now) = (Fences::default(), Instant::now());
        let older = fences.open(leg(1), now).expect("the first");
        let _newer = fences.open(leg(2), now).expect("newer");
        drop(older);
        assert!(fences.open(leg(2), now + Duration::from_secs(700)).is_err());
    }
}
