//! Nodes that their streams shall leave, why, and how fast: an operator drained one and it can wait, or its cloud takes it
//! away and it cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use scheduler::{FleetView, NodeId, NodeState, NoticeKind, Report, Timestamp};

use super::super::Core;

/// All streams of a drained node are asked to leave it within so long.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// How long a stream on a drained node may look for another one; if it is still there then it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Streams on a node that is taken away are asked so long before that at the latest: each takes a few seconds.
const IN_TIME: Duration = Duration::from_secs(10);
/// The longest over which they are spread: the longest notice of a preemption, less that.
const GONE_WITHIN: Duration = Duration::from_secs(110);
/// The least time that a stream is given: a node may be there yet when its time is over.
const LEAST: Duration = Duration::from_secs(5);
/// A stream that is still on such a node after so long is asked again.
const REMINDED: Duration = Duration::from_secs(15);

/// Why the streams of a node leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// An operator, or its agent, said that it takes no more.
    Drained,
    /// It is taken away.
    TakenAway {
        /// When.
        at: Timestamp,
    },
}

impl Leaving {
    /// Reads a report: a node that serves is left by nobody.
    fn of(report: &Report, reported_at: Timestamp) -> Option<Self> {
        if report.state != NodeState::Draining {
            return None;
        }
        let goes = report.notice.as_ref().filter(|notice| match notice.kind {
            NoticeKind::Preemption | NoticeKind::Maintenance => true,
            NoticeKind::Rebalance => false,
        });
        let left = goes.and_then(|notice| notice.left);
        Some(left.map_or(Self::Drained, |left| Self::TakenAway { at: reported_at + left }))
    }

    /// Names it, for metrics and logs.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Drained => "drained",
            Self::TakenAway { .. } => "taken_away",
        }
    }

    /// Says how many of the streams that were not asked yet are asked now, in one of many turns a second apart: all have been
    /// asked `streams / (deadline - 10 s)` a second.
    pub(super) fn budget(self, unasked: usize, all: usize, now: Timestamp) -> usize {
        let (streams, within) = match self {
            Self::Drained => (all, DRAINED_WITHIN),
            Self::TakenAway { at } => (unasked, at.since(now).saturating_sub(IN_TIME).min(GONE_WITHIN)),
        };
        streams.div_ceil(usize::try_from(within.as_secs()).unwrap_or(usize::MAX).max(1))
    }

    /// Returns how long a stream has from now on.
    pub(super) fn left(self, now: Timestamp) -> Duration {
        match self {
            Self::Drained => PATIENCE,
            Self::TakenAway { at } => at.since(now).max(LEAST),
        }
    }

    /// Returns after what time a stream that is still there is asked again.
    pub(super) fn reminded_after(self) -> Duration {
        match self {
            Self::Drained => PATIENCE,
            Self::TakenAway { .. } => REMINDED,
        }
    }
}

impl Core {
    /// Lists the nodes whose streams shall leave them.
    pub(super) fn leaving(&self) -> BTreeMap<NodeId, Leaving> {
        leaving(&self.view())
    }
}

/// A node that an operator drained counts as draining in the view, whatever its agent says.
fn leaving(view: &FleetView) -> BTreeMap<NodeId, Leaving> {
    let left =
        |node: scheduler::Node<'_>| Some((node.report.node.clone(), Leaving::of(node.report, node.reported_at)?));
    view.nodes().filter_map(left).collect()
}

#[cfg(test)]
mod tests {
    use scheduler::Notice;

    use super::*;
    use crate::core::testing::report;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::at(Duration::from_secs(1_000 + seconds))
    }

    fn notice(kind: NoticeKind, left: Option<u64>, state: NodeState) -> Option<Leaving> {
        let notice = Some(Notice { kind, left: left.map(Duration::from_secs) });
        Leaving::of(&Report { notice, state, ..report("a-1", "a") }, at(0))
    }

    #[test]
    fn a_node_that_is_taken_away_is_left_by_then_and_one_that_serves_is_not_left() {
        let taken = Some(Leaving::TakenAway { at: at(120) });
        assert_eq!(notice(NoticeKind::Preemption, Some(120), NodeState::Draining), taken);
        assert_eq!(notice(NoticeKind::Maintenance, None, NodeState::Draining), Some(Leaving::Drained));
        assert_eq!(notice(NoticeKind::Rebalance, Some(120), NodeState::Draining), Some(Leaving::Drained));
        assert_eq!(notice(NoticeKind::Rebalance, None, NodeState::Serving), None);
    }

    #[test]
    fn streams_are_spread_over_the_time_that_is_left_less_ten_seconds() {
        let taken = |seconds| Leaving::TakenAway { at: at(seconds) };
        assert_eq!(taken(120).budget(220, 220, at(0)), 2);
        assert_eq!(taken(30).budget(200, 200, at(0)), 10);
        assert_eq!(taken(30).budget(10, 200, at(19)), 10, "the last ones at the last second");
        assert_eq!(taken(30).budget(50, 50, at(25)), 50, "there is no time to spread them");
        assert_eq!(taken(86_400).budget(220, 220, at(0)), 2, "a host that is stopped tomorrow is left today");
        assert_eq!(Leaving::Drained.budget(3, 90, at(0)), 3);
        let left = [0, 100, 130].map(|second| taken(120).left(at(second)).as_secs());
        assert_eq!(left, [120, 20, 5]);
    }
}
