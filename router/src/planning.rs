//! The planning: one router of all works out every ten seconds how many nodes each pool should have, and publishes it; the
//! others read it and stand by.
//!
//! * `situation`: the fleet and the demand, as the planner sees them. `starts`: how sessions began lately, for its demand.
//! * `board`: the last plan, for the admin API and the metrics of every router.
//!
//! Nothing is launched or ended by it yet: a plan says what should be.

mod board;
mod situation;
mod starts;

use std::sync::Arc;
use std::time::Duration;

use process::Shutdown;
use scheduler::Timestamp;
use scheduler::plan::{Memory, Plan, Planner, PlannerConfig, Scaler};
use serde::{Deserialize, Serialize};
use store::{Lock, Publication, StoreAway, Task, Token, Turn};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

pub(crate) use board::{Board, Shown};
pub(crate) use starts::Starts;

use crate::core::Core;
use crate::metrics;
use situation::Watcher;

/// How often the lock is taken again, and the plan of another router read.
const LOOK: Duration = Duration::from_secs(2);
/// Time between two plans.
const PLAN: Duration = Duration::from_secs(10);
/// A router that has just started waits this long for agents to report before it plans.
const SETTLE: Duration = Duration::from_secs(5);
/// How plans are written today; others are ignored.
const VERSION: u32 = 1;

/// What is published.
#[derive(Serialize, Deserialize)]
struct Body<L, P, M> {
    version: u32,
    leader: L,
    plan: P,
    memory: M,
}

type ReadBody = Body<String, Plan, Memory>;

/// This router's part in the planning.
pub(crate) struct Planning {
    core: Arc<Core>,
    lock: Arc<dyn Lock>,
    config: PlannerConfig,
    /// How this router is known to the others.
    name: String,
    /// Its name with what no other process has.
    holder: String,
    turn: Option<Leading>,
    began: Timestamp,
}

/// What a leader has and others have not.
struct Leading {
    token: Token,
    planner: Planner,
    watcher: Watcher,
    due: Timestamp,
}

impl Planning {
    /// Prepares to plan; `name` is what people are told who leads.
    pub(crate) fn new(core: Arc<Core>, lock: Arc<dyn Lock>, name: String) -> Self {
        let holder = format!("{name}#{:016x}", rand::random::<u64>());
        let began = core.now();
        let config = core.law().planner.clone();
        Self { core, lock, config, name, holder, turn: None, began }
    }

    /// Plans, or stands by, until the drain begins.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.begun() => break,
                _ = ticks.tick() => {}
            }
            if let Err(away) = self.look().await {
                metrics::store_failed("plan");
                debug!(%away, "no word on who plans");
            }
        }
        if self.turn.is_some() && self.lock.resign(Task::Planner, &self.holder, self.core.now()).await.is_err() {
            debug!("lock not given back, it will expire");
        }
    }

    async fn look(&mut self) -> Result<(), StoreAway> {
        match self.lock.lead(Task::Planner, &self.holder, self.core.now()).await? {
            Turn::Leading(token) => self.lead(token).await,
            Turn::Following => self.follow().await,
        }
    }

    async fn follow(&mut self) -> Result<(), StoreAway> {
        if self.turn.take().is_some() {
            warn!("another router plans now");
        }
        metrics::leading(0.0);
        self.read().await?;
        Ok(())
    }

    /// Reads what was published, shows it, and returns what its planner had learned.
    async fn read(&self) -> Result<Option<Memory>, StoreAway> {
        let now = self.core.now();
        let Some(published) = self.lock.published(Task::Planner, now).await? else { return Ok(None) };
        let body = serde_json::from_str::<ReadBody>(&published.text).ok().filter(|body| body.version == VERSION);
        let Some(Body { leader, plan, memory, .. }) = body else { return Ok(None) };
        self.core.board().show(Shown { leader, plan, planned_at: now - published.age });
        Ok(Some(memory))
    }

    /// Goes on with the configuration that is in force now.
    fn keep_to_the_law(&mut self) {
        let law = self.core.law();
        if self.config == law.planner {
            return;
        }
        self.config.clone_from(&law.planner);
        if let Some(leading) = &mut self.turn {
            leading.planner = Planner::resume(self.config.clone(), leading.planner.memory().clone());
        }
    }

    async fn lead(&mut self, token: Token) -> Result<(), StoreAway> {
        self.keep_to_the_law();
        // With another number this router did not lead for a while, and somebody else may have learned more.
        let leading = match self.turn.take().filter(|leading| leading.token == token) {
            Some(leading) => leading,
            None => self.begin(token).await?,
        };
        metrics::leading(1.0);
        let leading = self.turn.insert(leading);
        let now = self.core.now();
        if now < leading.due {
            return Ok(());
        }
        leading.due = now + PLAN;
        let situation = leading.watcher.look(&self.core, now);
        for event in leading.watcher.events() {
            leading.planner.observe(&event, now);
        }
        let plan = leading.planner.plan(&situation, now);
        let body = Body { version: VERSION, leader: &self.name, plan: &plan, memory: leading.planner.memory() };
        let text = serde_json::to_string(&body).map_err(|error| StoreAway(error.to_string()))?;
        self.core.board().show(Shown { leader: self.name.clone(), plan, planned_at: now });
        match self.lock.publish(Task::Planner, token, &text, now).await? {
            Publication::Written => metrics::planned("published"),
            Publication::Fenced => {
                metrics::planned("fenced");
                warn!("another router plans now, this plan counts for nothing");
                self.turn = None;
            }
        }
        Ok(())
    }

    /// Takes over, with what the last leader had learned.
    async fn begin(&self, token: Token) -> Result<Leading, StoreAway> {
        let memory = self.read().await?;
        info!(router = %self.name, token = token.0, resumed = memory.is_some(), "this router plans");
        let planner = match memory {
            Some(memory) => Planner::resume(self.config.clone(), memory),
            None => Planner::new(self.config.clone()),
        };
        Ok(Leading { token, planner, watcher: Watcher::default(), due: self.began + SETTLE })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use scheduler::plan::Why;
    use scheduler::{Link, LinkMode, Market, MicroDollars, Pool, Price, Provider, Residency, Tier};
    use store::Embedded;
    use tokio::time::{Instant, sleep_until};

    use super::*;
    use crate::config::Policy;

    fn pool() -> Pool {
        Pool {
            name: "aws".parse().unwrap(),
            provider: Provider::Aws,
            region: "us-west-2".parse().unwrap(),
            tier: Tier::Overflow,
            market: Market::OnDemand,
            price: Price { node_hour: MicroDollars(526_000), egress_gb: MicroDollars(90_000) },
            residency: Residency("us".to_owned()),
            compliance: BTreeSet::new(),
            link: Link { mode: LinkMode::Public, round_trip: Duration::from_millis(15), bandwidth: None },
            scaling: Some(scheduler::plan::Scaling::default()),
            endpoint: None,
        }
    }

    /// A router that plans as soon as it may.
    struct One {
        core: Arc<Core>,
        shutdown: Shutdown,
    }

    impl One {
        fn start(store: &Arc<Embedded>, name: &str) -> Self {
            let policy = Policy { pools: vec![pool()], ..Policy::default() };
            let core = Arc::new(Core::new(&policy, store, None));
            let shutdown = Shutdown::new();
            let planning = Planning::new(Arc::clone(&core), store.clone(), name.to_owned());
            shutdown.spawn("planning", planning.run(shutdown.clone()));
            Self { core, shutdown }
        }

        /// Returns who made the plan that it shows, how many nodes that wants, and why.
        fn shows(&self) -> Option<(String, u32, Why)> {
            let shown = self.core.board().read()?;
            Some((shown.leader.clone(), shown.plan.pools[0].wanted, shown.plan.pools[0].why))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_plans_for_all_and_the_next_goes_on_with_what_it_learned() {
        let began = Instant::now();
        let at = |seconds: u64| sleep_until(began + Duration::from_millis(seconds * 1000 + 100));
        let store = Arc::new(Embedded::new());
        let first = One::start(&store, "first");
        at(1).await;
        let second = One::start(&store, "second");
        at(4).await;
        assert_eq!((first.shows(), second.shows()), (None, None), "agents may still come");
        at(9).await;
        let start = Some(("first".to_owned(), 4, Why::Start));
        assert_eq!((first.shows(), second.shows()), (start.clone(), start));
        first.shutdown.begin();
        at(19).await;
        let next = Some(("second".to_owned(), 2, Why::Minimum));
        assert_eq!(second.shows(), next, "the number to start with was planned once");
    }
}
