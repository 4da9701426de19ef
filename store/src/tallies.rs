//! Quotas in one process's memory: those of the embedded backend, and what a proxy goes by while the store is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use scheduler::{KeyId, Timestamp};

use crate::Limits;
use crate::gcra::{Gcra, Rate};
use crate::quotas::{Admission, Admitting, Allowance, Exceeded, Used};

/// Keys that are remembered; those that owe nothing are forgotten first.
const KEYS: usize = 10_000;
const DAY: u64 = 24 * 3600;

/// What keys have used, as far as this process knows.
#[derive(Debug, Default)]
pub struct Tallies {
    keys: Mutex<HashMap<KeyId, Tally>>,
    began: OnceLock<Beginning>,
}

/// When time was first told, on both clocks: days are the wall clock's, everything else is not.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    now: Timestamp,
    since_1970: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sessions: Gcra,
    uploads: Gcra,
    day: u64,
    audio: Duration,
}

impl Tally {
    fn admit(&mut self, limits: &Limits, upload_bytes: u64, at: Moment) -> Admission {
        let sessions = limits.sessions_per_minute.map(|limit| Rate::per_minute(limit.into()));
        let uploads = limits.upload_bytes_per_minute.map(Rate::per_minute);
        let waits = [
            (Exceeded::Sessions, sessions.map_or(Duration::ZERO, |rate| self.sessions.wait(rate, 1, at.now))),
            (Exceeded::Uploads, uploads.map_or(Duration::ZERO, |rate| self.uploads.wait(rate, upload_bytes, at.now))),
            (Exceeded::Audio, limits.audio_minutes_per_day.map_or(Duration::ZERO, |limit| self.audio_wait(limit, at))),
        ];
        if let Some((by, wait)) = waits.into_iter().find(|(_, wait)| !wait.is_zero()) {
            return Admission::Refused { by, wait };
        }
        if let Some(rate) = sessions {
            self.sessions.charge(rate, 1, at.now);
        }
        self.charge(limits, Used { upload_bytes, ..Used::default() }, at);
        Admission::Admitted
    }

    fn charge(&mut self, limits: &Limits, used: Used, at: Moment) {
        if let Some(limit) = limits.upload_bytes_per_minute {
            self.uploads.charge(Rate::per_minute(limit), used.upload_bytes, at.now);
        }
        if self.day != at.day {
            (self.day, self.audio) = (at.day, Duration::ZERO);
        }
        self.audio += used.audio;
    }

    fn audio_wait(&self, minutes: u32, at: Moment) -> Duration {
        let spent = self.day == at.day && self.audio >= Duration::from_secs(60) * minutes;
        if spent || minutes == 0 { at.day_left } else { Duration::ZERO }
    }

    fn owes_nothing(&self, at: Moment) -> bool {
        let rates = self.sessions.unpaid(at.now) + self.uploads.unpaid(at.now);
        rates.is_zero() && (self.day != at.day || self.audio.is_zero())
    }
}

/// A time on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: Timestamp,
    day: u64,
    day_left: Duration,
}

impl Tallies {
    /// As [`Quotas::admit`](crate::Quotas::admit).
    pub fn admit(&self, key: &KeyId, limits: &Limits, upload_bytes: u64, now: Timestamp) -> Admitting {
        let at = self.moment(now);
        let mut keys = self.keys();
        let tally = tally(&mut keys, key, at);
        let admission = tally.admit(limits, upload_bytes, at);
        Admitting { admission, allowance: Allowance::of(limits, tally.sessions.unpaid(now)) }
    }

    /// As [`Quotas::charge`](crate::Quotas::charge).
    pub fn charge(&self, key: &KeyId, limits: &Limits, used: Used, now: Timestamp) {
        let at = self.moment(now);
        tally(&mut self.keys(), key, at).charge(limits, used, at);
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Tally>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self, now: Timestamp) -> Moment {
        let began = self.began.get_or_init(|| {
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Beginning { now, since_1970 }
        });
        let wall = began.since_1970 + now.since(began.now);
        let (day, second) = (wall.as_secs() / DAY, wall.as_secs() % DAY);
        Moment { now, day, day_left: Duration::from_secs(DAY - second) }
    }
}

/// Finds a key's tally. Who is forgotten for want of room may have a burst again.
fn tally<'a>(keys: &'a mut HashMap<KeyId, Tally>, key: &KeyId, at: Moment) -> &'a mut Tally {
    if keys.len() >= KEYS && !keys.contains_key(key) {
        keys.retain(|_, tally| !tally.owes_nothing(at));
        if keys.len() >= KEYS
            && let Some(any) = keys.keys().next().cloned()
        {
            keys.remove(&any);
        }
    }
    keys.entry(key.clone()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_keys_are_remembered_than_there_is_room_for() {
        let (tallies, now) = (Tallies::default(), Timestamp::at(Duration::from_secs(9)));
        let limits = Limits { sessions_per_minute: Some(1), ..Limits::default() };
        for number in 0..KEYS + 10 {
            tallies.admit(&format!("k{number}").parse().unwrap(), &limits, 0, now);
        }
        assert_eq!(tallies.keys().len(), KEYS);
        let later = now + Duration::from_secs(60);
        tallies.admit(&"late".parse().unwrap(), &limits, 0, later);
        assert_eq!(tallies.keys().len(), 1, "those that owe nothing are forgotten");
    }
}
