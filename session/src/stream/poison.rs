//! Audio that ends one engine after the other: where two nodes were lost over the same moment, that moment is taken for what ended
//! them, and is silence from then on. A stream that goes on losing nodes ends, so that its audio does not walk through the fleet.

use std::time::Duration;

use scheduler::NodeId;

use super::Session;
use crate::events::{Cause, Layout};
use crate::leg::Leg;

/// Nodes that were lost had heard equally far, but for so many milliseconds, if it was for what they heard.
const SAME: u64 = 1_000;
/// What ends an engine lies so many milliseconds beyond what it has shown that it heard, at most.
const MOST: u64 = 3_000;

/// A stream has so many moments silenced, at most.
const TIMES: usize = 3;

/// What is known of audio that ends engines.
#[derive(Debug, Default)]
pub(super) struct Poison {
    /// What the last nodes were lost over, as far as it may be the same.
    deaths: Vec<Death>,
    /// Samples that were silenced.
    pub(super) silenced: Vec<(u64, u64)>,
}

/// Samples that a node was sent and had not shown that it heard when it was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Death {
    node: NodeId,
    from: u64,
    to: u64,
    evidence: Evidence,
}

/// What a loss tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Evidence {
    /// The node had shown that it heard: two such are enough.
    Strong,
    /// It had shown nothing, so it may have been lost over anything: three are enough.
    Weak,
}

impl Poison {
    /// Notes a loss, and returns what is to be silenced now.
    fn note(&mut self, death: Death, same: u64, most: u64) -> Option<(u64, u64)> {
        let is_near = |other: &Death| other.node != death.node && other.from.abs_diff(death.from) <= same;
        self.deaths.retain(is_near);
        self.deaths.push(death);
        let strong = self.deaths.iter().filter(|death| death.evidence == Evidence::Strong).count();
        if (strong < 2 && self.deaths.len() < 3) || self.silenced.len() >= TIMES {
            return None;
        }
        let from = self.deaths.iter().map(|death| death.from).max()?;
        let to = self.deaths.iter().map(|death| death.to).min()?.min(from.saturating_add(most));
        (from < to).then(|| {
            self.deaths.clear();
            self.silenced.push((from, to));
            (from, to)
        })
    }
}

impl Session {
    /// Silences audio with this byte, which depends on its encoding; with 0 unless told otherwise.
    pub fn silence_with(&mut self, byte: u8) {
        self.silence = byte;
    }

    /// Returns how much audio was silenced since it was asked last, because it ended engines.
    pub fn take_silenced(&mut self) -> Duration {
        std::mem::take(&mut self.silenced)
    }

    /// Notes how far a node that serves had come when it was lost.
    pub(super) fn note_death(&mut self, leg: &Leg, cause: Cause) {
        let is_broken = match cause {
            Cause::Lost => true,
            Cause::Unanswered | Cause::Behind | Cause::Nonsense => false,
        };
        // What a container's units say cannot be silenced.
        if !is_broken || !matches!(self.layout, Layout::Frames { .. }) {
            return;
        }
        let evidence = if leg.heard > leg.base { Evidence::Strong } else { Evidence::Weak };
        let (node, from, to) = (leg.placement.node.clone(), leg.heard, self.ring.frame(leg.sent));
        let (same, most) = (self.timeline.millis(SAME), self.timeline.millis(MOST));
        if let Some((from, to)) = self.poison.note(Death { node, from, to, evidence }, same, most) {
            self.ring.fill((self.ring.at_frame(from), self.ring.at_frame(to)), self.silence);
            self.silenced += self.timeline.time(to - from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(node: &str, from: u64, to: u64, evidence: Evidence) -> Death {
        Death { node: node.parse().unwrap(), from, to, evidence }
    }

    fn note(deaths: &[Death]) -> Vec<Option<(u64, u64)>> {
        let mut poison = Poison::default();
        deaths.iter().map(|death| poison.note(death.clone(), 1_000, 3_000)).collect()
    }

    use Evidence::{Strong, Weak};

    #[test]
    fn two_nodes_lost_over_the_same_moment_have_it_silenced() {
        let first = death("a", 10_000, 10_900, Strong);
        for (second, silenced) in [
            (death("b", 10_200, 25_000, Strong), Some((10_200, 10_900))),
            (death("b", 9_600, 25_000, Strong), Some((10_000, 10_900))),
            (death("b", 10_200, 25_000, Weak), None),
            (death("a", 10_200, 25_000, Strong), None),
            (death("b", 8_900, 25_000, Strong), None),
            (death("b", 9_900, 10_000, Strong), None),
        ] {
            assert_eq!(note(&[first.clone(), second.clone()]), [None, silenced], "{second:?}");
        }
        let both = [death("a", 0, 90_000, Strong), death("b", 0, 80_000, Strong)];
        assert_eq!(note(&both), [None, Some((0, 3_000))]);
    }

    #[test]
    fn of_nodes_that_had_shown_nothing_it_takes_three() {
        let deaths = ["a", "b", "c"].map(|node| death(node, 5_000, 25_000, Weak));
        assert_eq!(note(&deaths), [None, None, Some((5_000, 8_000))]);
    }

    #[test]
    fn no_more_than_three_moments_of_a_stream_are_silenced() {
        let moments = (0..5).map(|moment| moment * 10_000);
        let deaths: Vec<_> = moments.flat_map(|at| ["a", "b"].map(|node| death(node, at, at + 500, Strong))).collect();
        assert_eq!(note(&deaths).into_iter().flatten().count(), TIMES);
    }
}
