//! Which fault has to answer for what: faults and streams, laid over each other in time.

use std::time::Duration;

use tokio::time::Instant;

use super::crowd::Call;
use super::inject::{Injected, Touched};

/// How long after a fault results count for its gap.
const SEQUEL: Duration = Duration::from_secs(30);
/// A fault that is not on the way is not asked for a gap so soon after one that was.
const SHADOW: Duration = SEQUEL;
/// A call that cannot be opened is laid at a fault that was over so lately.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Everything that happened.
pub(super) struct Judged<'a> {
    pub(super) calls: &'a [Call],
    /// In the order in which they were put in.
    pub(super) faults: &'a [Injected],
    pub(super) began: Instant,
}

impl Judged<'_> {
    /// Lists the faults that touched a stream, in order.
    pub(super) fn touching<'a>(&'a self, call: &'a Call) -> impl DoubleEndedIterator<Item = &'a Injected> {
        self.faults.iter().filter(|fault| (call.began..=call.ended).contains(&fault.at) && fault.touches(call))
    }

    /// Returns the fault that answers for what went wrong with a stream, if any does.
    pub(super) fn culprit<'a>(&'a self, call: &'a Call) -> Option<&'a Injected> {
        if call.session.is_none() {
            let lately = |fault: &&Injected| fault.at <= call.ended && call.began <= fault.over + AFTERMATH;
            return self.faults.iter().rev().find(lately);
        }
        let on_the_way = self.touching(call).rfind(|fault| fault.fault.is_on_the_way());
        on_the_way.or_else(|| self.touching(call).next_back())
    }

    /// Returns how long a stream heard nothing new because of a fault; nothing where another one is to be asked.
    pub(super) fn gap(&self, call: &Call, fault: &Injected) -> Option<Duration> {
        let on_the_way = || self.touching(call).filter(|other| other.fault.is_on_the_way());
        let shadowed = |other: &Injected| other.at < fault.at && fault.at < other.over + SHADOW;
        if !fault.fault.is_on_the_way() && on_the_way().any(shadowed) {
            return None;
        }
        let next = on_the_way().map(|other| other.at).find(|at| *at > fault.at);
        let end = next.unwrap_or(call.ended).min(fault.at + SEQUEL);
        let after = call.progress.iter().filter(|progress| (fault.at..=end).contains(&progress.at));
        let latest = after.map(|progress| progress.took).max()?;
        Some(latest.saturating_sub(call.usual()))
    }
}

impl Injected {
    fn touches(&self, call: &Call) -> bool {
        match &self.touched {
            Touched::Sessions(sessions) => call.session.as_ref().is_some_and(|session| sessions.contains(session)),
            Touched::Proxy(proxy) => *proxy == call.proxy,
            Touched::Everybody => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use audio::coded::{Script, Tally};

    use super::super::crowd::Progress;
    use super::super::fault::Fault;
    use super::*;

    fn at(began: Instant, millis: u64) -> Instant {
        began + Duration::from_millis(millis)
    }

    /// A stream of a minute with a result every second, which takes 50 ms but where it is said otherwise.
    fn call(began: Instant, late: &[(u64, u64)]) -> Call {
        let took = |second| late.iter().find(|(at, _)| *at == second).map_or(50, |(_, took)| *took);
        let progress =
            (1..60).map(|second| Progress { at: at(began, second * 1_000), took: Duration::from_millis(took(second)) });
        Call {
            script: Script { session: 1, words: 9 },
            session: Some("a".to_owned()),
            proxy: 1,
            began,
            ended: at(began, 60_000),
            tally: Tally::default(),
            progress: progress.collect(),
            error: None,
        }
    }

    fn fault(fault: Fault, at: Instant, touched: Touched) -> Injected {
        let (over, knocks) = (at + Duration::from_secs(4), super::super::Knocks::default());
        Injected { fault, target: "x".to_owned(), at, over, touched, departures: None, knocks }
    }

    fn sessions(name: &str) -> Touched {
        Touched::Sessions([name.to_owned()].into())
    }

    #[test]
    fn a_gap_is_what_came_later_than_usual_before_the_next_fault() {
        let began = Instant::now();
        let calls = [call(began, &[(5, 900), (12, 1_250), (31, 2_050), (58, 9_000)])];
        let faults = [
            fault(Fault::KillNode, at(began, 10_500), sessions("a")),
            fault(Fault::StopNode, at(began, 11_000), sessions("b")),
            fault(Fault::KillRouter, at(began, 12_500), Touched::Everybody),
            fault(Fault::ResetLinks, at(began, 27_500), sessions("a")),
        ];
        let judged = Judged { calls: &calls, faults: &faults, began };
        let gap = |fault: usize| judged.gap(&calls[0], &faults[fault]).map(|gap| gap.as_millis());
        assert_eq!((gap(0), gap(2), gap(3)), (Some(1_200), None, Some(2_000)));
        assert_eq!(judged.touching(&calls[0]).count(), 3);
    }

    #[test]
    fn what_went_wrong_is_laid_at_the_last_fault_on_the_way() {
        let began = Instant::now();
        let calls = [call(began, &[])];
        let faults = [
            fault(Fault::KillNode, at(began, 1_000), sessions("a")),
            fault(Fault::KillRouter, at(began, 2_000), Touched::Everybody),
            fault(Fault::KillNode, at(began, 61_000), sessions("a")),
        ];
        let culprit = |faults: &[Injected], call: &Call| {
            let judged = Judged { calls: &calls, faults, began };
            judged.culprit(call).map(|fault| fault.fault)
        };
        assert_eq!(culprit(&faults, &calls[0]), Some(Fault::KillNode));
        assert_eq!(culprit(&faults[1..], &calls[0]), Some(Fault::KillRouter));
        assert_eq!(culprit(&faults[2..], &calls[0]), None);
        let refused = Call { session: None, began: at(began, 68_000), ended: at(began, 68_100), ..calls[0].clone() };
        assert_eq!(culprit(&faults, &refused), Some(Fault::KillNode));
    }
}
