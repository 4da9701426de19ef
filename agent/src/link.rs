//! Which router hears the reports. One at a time does; when it goes away the next is tried, again and again, with growing
//! waits. An agent never gives up: a router that comes back finds its nodes within seconds.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use process::ShutdownToken;
use process::health::Readiness;
use proto::convert::report_to_wire;
use proto::v1::Accepted;
use proto::v1::node_order::Order;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::Endpoint;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::config::{LONGEST_INTERVAL, SHORTEST_INTERVAL};
use crate::engine::Engine;
use crate::gauges::Outcome;
use crate::reporter::Reporter;
use crate::stream::{Ended, Stream};
use crate::token::Token;

/// A router that refused is asked again after this: its configuration may have been mended.
const AFTER_REFUSAL: Duration = Duration::from_secs(5);
/// A stream that was accepted for so long was a good one: the next waits start small again.
const GOOD_STREAM: Duration = Duration::from_secs(1);

/// Where the agent stands with its routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None was reached yet.
    Trying,
    /// This one takes the reports.
    Accepted {
        /// Its URL.
        router: String,
    },
    /// This one does not want them.
    Refused {
        /// Its URL.
        router: String,
        /// What it said.
        message: String,
    },
    /// This one is not there.
    Unreachable {
        /// Its URL.
        router: String,
        /// What the network said.
        reason: String,
    },
}

/// What the rest of the process learns from the link.
#[derive(Debug)]
pub(crate) struct Signs {
    /// Where the agent stands with its routers.
    pub(crate) standing: watch::Sender<Standing>,
    /// Ready once a router took a report.
    pub(crate) readiness: Readiness,
}

/// Who may hear the reports.
#[derive(Clone, Debug)]
pub(crate) struct Routers {
    /// In the order they are tried.
    pub(crate) list: Arc<[Endpoint]>,
    /// What they want from agents.
    pub(crate) token: Token,
    /// Time between reports, until one orders another.
    pub(crate) interval: Duration,
}

/// When an agent ends.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Cancelled when the node takes no more sessions.
    pub(crate) drain: ShutdownToken,
    /// Cancelled when its sessions are over.
    pub(crate) over: ShutdownToken,
}

/// The agent's side of the conversation with its routers.
#[derive(Debug)]
pub(crate) struct Link {
    routers: Arc<[Endpoint]>,
    token: Token,
    interval: Duration,
    engine: watch::Receiver<Engine>,
    reporter: Reporter,
    signs: Signs,
    complaints: Complaints,
    accepted: Option<Instant>,
    backoff: Backoff,
    dice: SmallRng,
}

/// What was already logged since a router last took the reports, so that rare lines stay rare.
#[derive(Debug, Default)]
struct Complaints {
    unreachable: bool,
    refused: Option<String>,
}

/// How many routers did not take the reports since one did, or since the last wait.
#[derive(Debug, Default)]
struct Round {
    tried: usize,
    longest: Duration,
}

impl Round {
    /// Returns how long to wait before the next of `routers` is tried: not at all before all of them were.
    fn wait(&mut self, wait: Duration, routers: usize) -> Duration {
        self.tried += 1;
        self.longest = self.longest.max(wait);
        if self.tried < routers {
            return Duration::ZERO;
        }
        std::mem::take(self).longest
    }
}

impl Link {
    /// Makes a link that has reached nobody yet.
    pub(crate) fn new(routers: Routers, engine: watch::Receiver<Engine>, reporter: Reporter, signs: Signs) -> Self {
        let mut seed = DefaultHasher::new();
        (&reporter.identity().node, std::process::id()).hash(&mut seed);
        Self {
            routers: routers.list,
            token: routers.token,
            interval: routers.interval,
            engine,
            reporter,
            signs,
            complaints: Complaints::default(),
            accepted: None,
            backoff: Backoff::default(),
            dice: SmallRng::seed_from_u64(seed.finish()),
        }
    }

    /// Reports until the node's work is over. A router that goes away is followed by the next at once; only when none of the
    /// list takes the reports is there a wait.
    pub(crate) async fn keep_reporting(mut self, ends: Ends) {
        let routers = Arc::clone(&self.routers);
        let mut round = Round::default();
        for router in routers.iter().cycle() {
            let ended = self.report_to(router, &ends).await;
            self.reporter.gauges().disconnected();
            // A router that leaves when all is over is nothing to complain of.
            if ends.over.is_cancelled() {
                return;
            }
            if self.was_good() {
                round = Round::default();
                self.backoff.reset();
            }
            let wait = match ended {
                Ended::Drained => return,
                Ended::Refused(message) => self.note_refused(router, message),
                Ended::Lost(reason) => self.note_lost(router, reason),
            };
            tokio::select! {
                () = ends.over.cancelled() => return,
                () = sleep(round.wait(wait, routers.len())) => {}
            }
        }
    }

    async fn report_to(&mut self, router: &Endpoint, ends: &Ends) -> Ended {
        self.reporter.forget();
        if ends.drain.is_cancelled() {
            self.reporter.drain();
        }
        let first = self.reporter.report(&self.engine.borrow_and_update());
        let opened = tokio::select! {
            () = ends.over.cancelled() => return Ended::Drained,
            opened = Stream::open(router, &self.token, report_to_wire(&first)) => opened,
        };
        match opened {
            Ok(stream) => {
                self.reporter.note_sent(&first);
                self.reporter.gauges().report(Outcome::Sent);
                self.converse(router, stream, ends).await
            }
            Err(ended) => ended,
        }
    }

    /// Reports once per interval and at once on an urgent change, until the stream ends.
    async fn converse(&mut self, router: &Endpoint, mut stream: Stream, ends: &Ends) -> Ended {
        let mut interval = self.interval;
        let mut said = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = ends.over.cancelled() => {
                    self.reporter.drain();
                    let farewell = self.reporter.report(&self.engine.borrow());
                    stream.close(report_to_wire(&farewell)).await;
                    return Ended::Drained;
                }
                () = ends.drain.cancelled(), if self.reporter.is_open() => {
                    self.reporter.drain();
                    said = self.say(&stream);
                }
                order = stream.order() => match order {
                    Ok(Order::Accepted(accepted)) => interval = self.note_accepted(router, accepted),
                    Err(ended) => return ended,
                },
                () = self.reporter.noticed() => said = self.say(&stream),
                changed = self.engine.changed() => match changed {
                    Ok(()) if self.reporter.is_urgent(&self.engine.borrow_and_update()) => said = self.say(&stream),
                    Ok(()) => {}
                    Err(_) => return Ended::Drained,
                },
                () = sleep_until(said + interval) => said = self.say(&stream),
            }
        }
    }

    /// Tells whether the stream that just ended was a good one.
    fn was_good(&self) -> bool {
        self.accepted.is_some_and(|since| since.elapsed() >= GOOD_STREAM)
    }

    fn say(&mut self, stream: &Stream) -> Instant {
        let report = self.reporter.report(&self.engine.borrow_and_update());
        let outcome = stream.offer(report_to_wire(&report));
        self.reporter.gauges().report(outcome);
        match outcome {
            Outcome::Sent => self.reporter.note_sent(&report),
            Outcome::Skipped | Outcome::Refused => debug!(sequence = report.sequence, "report skipped"),
        }
        Instant::now()
    }

    /// Notes that a router takes the reports; returns the interval it wants.
    fn note_accepted(&mut self, router: &Endpoint, accepted: Accepted) -> Duration {
        self.accepted.get_or_insert_with(Instant::now);
        self.complaints = Complaints::default();
        self.reporter.gauges().connected();
        self.signs.readiness.ready();
        let interval = match accepted.report_interval_milliseconds {
            0 => self.interval,
            wanted => Duration::from_millis(wanted.into()).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
        };
        info!(router = %router.uri(), ?interval, "router takes this node's reports");
        self.stand(Standing::Accepted { router: router.uri().to_string() });
        interval
    }

    /// Notes that a router refuses the reports; returns how long to wait.
    fn note_refused(&mut self, router: &Endpoint, message: String) -> Duration {
        self.accepted = None;
        self.reporter.gauges().report(Outcome::Refused);
        if self.complaints.refused.as_ref() != Some(&message) {
            warn!(router = %router.uri(), %message, "router refuses this node's reports");
            self.complaints.refused = Some(message.clone());
        }
        self.stand(Standing::Refused { router: router.uri().to_string(), message });
        AFTER_REFUSAL
    }

    /// Notes that a router is not there; returns how long to wait.
    fn note_lost(&mut self, router: &Endpoint, reason: String) -> Duration {
        self.accepted = None;
        let wait = self.backoff.after_failure(&mut self.dice);
        if std::mem::replace(&mut self.complaints.unreachable, true) {
            debug!(router = %router.uri(), reason, ?wait, "router still cannot be reached");
        } else {
            warn!(router = %router.uri(), reason, "router cannot be reached, trying on");
        }
        self.stand(Standing::Unreachable { router: router.uri().to_string(), reason });
        wait
    }

    fn stand(&self, standing: Standing) {
        self.signs.standing.send_replace(standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_router_is_tried_at_once_and_the_first_again_after_the_longest_wait() {
        let (mut round, short) = (Round::default(), Duration::from_millis(70));
        let waits: Vec<_> = [AFTER_REFUSAL, short, short, short].into_iter().map(|wait| round.wait(wait, 2)).collect();
        assert_eq!(waits, [Duration::ZERO, AFTER_REFUSAL, Duration::ZERO, short]);
        assert_eq!(Round::default().wait(short, 1), short);
    }
}
