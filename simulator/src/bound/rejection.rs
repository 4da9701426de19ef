//! The fewest sessions that a given capacity must turn away, by someone who knows the future: scan the arrivals and, whenever
//! too many speak at once, drop the one that would speak longest. Intervals packed on equal slots are totally unimodular, so
//! this greedy count is the optimum (Faigle and Nawijn, Discrete Applied Mathematics 58, 1995).

use std::collections::BTreeSet;

use scheduler::Timestamp;

use crate::workload::Session;

/// Counts the sessions that must be dropped when `capacity` says how many may speak at a time: steps of (from, slots), by
/// time. A session that was accepted and is dropped later counts too: the optimum would not have taken it.
#[must_use]
pub fn fewest_rejections(sessions: &[Session], capacity: &[(Timestamp, u32)]) -> u64 {
    let mut live: BTreeSet<(Timestamp, usize)> = BTreeSet::new();
    let mut steps = capacity.iter().copied().peekable();
    let (mut slots, mut dropped) = (0, 0);
    for (index, session) in sessions.iter().enumerate() {
        while let Some((at, level)) = steps.next_if(|(at, _)| *at <= session.at) {
            slots = level;
            dropped += shed(&mut live, at, slots);
        }
        live.insert((session.at + session.length, index));
        dropped += shed(&mut live, session.at, slots);
    }
    for (at, level) in steps {
        dropped += shed(&mut live, at, level);
    }
    dropped
}

/// Forgets who has ended and drops who would speak longest until the rest fits.
fn shed(live: &mut BTreeSet<(Timestamp, usize)>, now: Timestamp, slots: u32) -> u64 {
    while live.first().is_some_and(|(end, _)| *end <= now) {
        live.pop_first();
    }
    let mut dropped = 0;
    while live.len() > slots as usize {
        live.pop_last();
        dropped += 1;
    }
    dropped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(seconds))
    }

    fn session((from, length): (u64, u64)) -> Session {
        Session { at: at(from), length: Duration::from_secs(length), tenant: 0 }
    }

    /// Tries every set of sessions.
    fn by_exhaustion(sessions: &[Session], slots: u32) -> u64 {
        let fits = |kept: u32| {
            let kept = |index: usize| kept & (1 << index) != 0;
            sessions.iter().all(|moment| {
                let speaks = |(index, other): &(usize, &Session)| {
                    kept(*index) && other.at <= moment.at && moment.at < other.at + other.length
                };
                sessions.iter().enumerate().filter(speaks).count() <= slots as usize
            })
        };
        let kept = (0..1_u32 << sessions.len()).filter(|kept| fits(*kept)).map(u32::count_ones).max().unwrap_or(0);
        sessions.len() as u64 - u64::from(kept)
    }

    #[test]
    fn the_long_session_goes_when_two_short_ones_fit_in_its_place() {
        let sessions = [(0, 100), (10, 20), (40, 20)].map(session);
        assert_eq!(fewest_rejections(&sessions, &[(at(0), 1)]), 1);
    }

    #[test]
    fn a_loss_of_capacity_drops_who_is_there() {
        let sessions = [(0, 100), (0, 50)].map(session);
        assert_eq!(fewest_rejections(&sessions, &[(at(0), 2), (at(60), 0)]), 1);
    }

    proptest! {
        #[test]
        fn nobody_does_better(
            mut drawn in prop::collection::vec((0..20_u64, 1..15_u64), 0..9), slots in 1..4_u32,
        ) {
            drawn.sort_unstable();
            let sessions: Vec<_> = drawn.into_iter().map(session).collect();
            prop_assert_eq!(fewest_rejections(&sessions, &[(at(0), slots)]), by_exhaustion(&sessions, slots));
        }
    }
}
