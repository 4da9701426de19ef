//! Affinity, verdicts and operators' orders in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use scheduler::{SessionId, Timestamp};

use super::Embedded;
use crate::StoreAway;
use crate::affinity::{AFFINITY_LIFE, Affinity, LONGEST_SESSION, LastLeg};
use crate::drains::{DrainOrders, Drains, merge_drains};
use crate::verdicts::{Place, Teller, VERDICT_LIFE, VERDICTS, Verdict, Verdicts};

/// Sessions whose last leg is remembered; beyond that those go that are forgotten soonest.
const SESSIONS: usize = 100_000;

/// What is remembered of sessions and nodes.
#[derive(Debug, Default)]
pub(super) struct Hints {
    legs: Mutex<HashMap<SessionId, (LastLeg, Timestamp)>>,
    told: Mutex<Told>,
    drains: Mutex<DrainOrders>,
}

#[derive(Debug, Default)]
struct Told {
    last: u64,
    verdicts: VecDeque<(u64, Teller, Timestamp, Verdict)>,
}

impl Hints {
    fn legs(&self) -> MutexGuard<'_, HashMap<SessionId, (LastLeg, Timestamp)>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Affinity for Embedded {
    async fn remember(&self, session: SessionId, leg: &LastLeg, now: Timestamp) -> Result<(), StoreAway> {
        let mut legs = self.hints.legs();
        if legs.len() >= SESSIONS {
            legs.retain(|_, (_, until)| *until > now);
        }
        if legs.len() < SESSIONS || legs.contains_key(&session) {
            legs.insert(session, (leg.clone(), now + LONGEST_SESSION));
        }
        Ok(())
    }

    async fn let_go(&self, session: SessionId, now: Timestamp) -> Result<(), StoreAway> {
        if let Some((_, until)) = self.hints.legs().get_mut(&session) {
            *until = now + AFFINITY_LIFE;
        }
        Ok(())
    }

    async fn last_leg(&self, session: SessionId, now: Timestamp) -> Result<Option<LastLeg>, StoreAway> {
        let legs = self.hints.legs();
        Ok(legs.get(&session).filter(|(_, until)| *until > now).map(|(leg, _)| leg.clone()))
    }
}

#[async_trait]
impl Verdicts for Embedded {
    async fn tell(&self, teller: Teller, verdicts: &[Verdict], now: Timestamp) -> Result<(), StoreAway> {
        let mut told = self.hints.told();
        for verdict in verdicts {
            told.last += 1;
            let number = told.last;
            told.verdicts.push_back((number, teller, now, verdict.clone()));
        }
        let over = told.verdicts.len().saturating_sub(VERDICTS);
        told.verdicts.drain(..over);
        Ok(())
    }

    async fn told_since(
        &self,
        place: &Place,
        listener: Teller,
        now: Timestamp,
    ) -> Result<(Vec<Verdict>, Place), StoreAway> {
        let (told, since) = (self.hints.told(), place.0.parse().unwrap_or(0));
        let news = told
            .verdicts
            .iter()
            .filter(|(number, teller, at, _)| *number > since && *teller != listener && now.since(*at) < VERDICT_LIFE);
        Ok((news.map(|(.., verdict)| verdict.clone()).collect(), Place(told.last.to_string())))
    }
}

#[async_trait]
impl Drains for Embedded {
    async fn exchange(&self, orders: &DrainOrders, _now: Timestamp) -> Result<DrainOrders, StoreAway> {
        let mut known = self.hints.drains.lock().unwrap_or_else(PoisonError::into_inner);
        merge_drains(&mut known, orders);
        Ok(known.clone())
    }
}
