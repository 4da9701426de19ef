//! Putting faults in and taking them out again, one every few seconds, never two into one process.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::ChaosError;
use super::fault::{Fault, Target};
use super::knock::{Knocker, Knocks};
use super::link::{Cut, Link};
use super::planned::Departures;
use super::scenario::{Dose, Scenario};
use super::stage::{Node, Part, Proxy, Redis, Router, Stage, Word};
use crate::kernel::{Process, Signal};

/// Bytes that a torn connection still carries, at most.
const TEAR_WITHIN: i64 = 64 << 10;
/// What a slow link carries, in bytes a second: a quarter of 16-bit audio at 16 kHz.
const SLOW: u32 = 8_000;
/// How long what was mended is left alone: a restarted node must be heard of and filled.
const REST: Duration = Duration::from_secs(4);

/// A fault that was put in.
#[derive(Clone, Debug)]
pub(super) struct Injected {
    pub(super) fault: Fault,
    /// What it was put into.
    pub(super) target: String,
    pub(super) at: Instant,
    /// When all was well again.
    pub(super) over: Instant,
    pub(super) touched: Touched,
    /// Who left, where streams were told to.
    pub(super) departures: Option<Departures>,
    /// Who connected meanwhile.
    pub(super) knocks: Knocks,
}

/// Whom a fault touched.
#[derive(Clone, Debug)]
pub(super) enum Touched {
    /// Sessions with a leg on the link or the node.
    Sessions(HashSet<String>),
    /// Callers of one proxy.
    Proxy(usize),
    /// Everybody, but not on the way of their audio.
    Everybody,
}

/// Puts faults in until it is dropped.
pub(super) struct Injector {
    stage: Arc<Stage>,
    scenario: Scenario,
    dice: SmallRng,
    running: JoinSet<Result<Injected, ChaosError>>,
    pub(super) done: Vec<Injected>,
}

impl Injector {
    pub(super) fn new(stage: &Arc<Stage>, scenario: &Scenario, dice: SmallRng) -> Self {
        let (stage, scenario) = (Arc::clone(stage), scenario.clone());
        Self { stage, scenario, dice, running: JoinSet::new(), done: Vec::new() }
    }

    /// Puts one fault in, if there is something whole to put it into.
    pub(super) fn strike(&mut self) -> Result<(), ChaosError> {
        self.collect()?;
        if self.running.len() >= usize::from(self.scenario.at_once.get()) {
            return Ok(());
        }
        let doses: Vec<(Fault, Dose)> = self.scenario.faults.iter().map(|(fault, dose)| (*fault, *dose)).collect();
        let Ok(&(fault, dose)) = doses.choose_weighted(&mut self.dice, |(_, dose)| dose.weight) else { return Ok(()) };
        if let Some(victim) = self.stage.victim(fault.target(), &mut self.dice) {
            let dice = SmallRng::seed_from_u64(self.dice.random());
            self.running.spawn(victim.suffer((fault, dose.lasts), dice));
        }
        Ok(())
    }

    /// Counts those that are over.
    fn collect(&mut self) -> Result<(), ChaosError> {
        while let Some(over) = self.running.try_join_next() {
            self.done.push(over.map_err(|_| ChaosError::Interrupted)??);
        }
        Ok(())
    }

    /// Waits until all is well and returns what was put in, in order.
    pub(super) async fn finish(mut self) -> Result<Vec<Injected>, ChaosError> {
        while let Some(over) = self.running.join_next().await {
            self.done.push(over.map_err(|_| ChaosError::Interrupted)??);
        }
        self.done.sort_by_key(|injected| injected.at);
        Ok(self.done)
    }
}

/// What a fault is put into; it is nobody else's meanwhile.
enum Victim {
    Node(OwnedMutexGuard<Node>),
    Router(usize, OwnedMutexGuard<Router>),
    Redis(OwnedMutexGuard<Redis>),
    Proxy(usize, OwnedMutexGuard<Proxy>),
}

impl Stage {
    /// Finds something that is whole; one of each kind, if there are several, is always left alone.
    fn victim(&self, target: Target, dice: &mut SmallRng) -> Option<Victim> {
        match target {
            Target::Node => free(&self.nodes, dice).map(|(_, node)| Victim::Node(node)),
            Target::Router => free(&self.routers, dice).map(|(number, router)| Victim::Router(number, router)),
            Target::Proxy => free(&self.proxies, dice).map(|(number, proxy)| Victim::Proxy(number, proxy)),
            Target::Redis => Arc::clone(self.redis.as_ref()?).try_lock_owned().ok().map(Victim::Redis),
        }
    }
}

fn free<T>(all: &[Arc<Mutex<T>>], dice: &mut SmallRng) -> Option<(usize, OwnedMutexGuard<T>)> {
    let mut whole: Vec<_> =
        all.iter().cloned().enumerate().filter_map(|(at, one)| Some((at, one.try_lock_owned().ok()?))).collect();
    if whole.len() < 2 && all.len() > 1 {
        return None;
    }
    whole.shuffle(dice);
    whole.pop()
}

impl Victim {
    async fn suffer(self, (fault, lasts): (Fault, Duration), mut dice: SmallRng) -> Result<Injected, ChaosError> {
        let (target, touched, at) = (self.name(), self.touched(fault), Instant::now());
        let mut knocks = Knocks::default();
        let kept = match self {
            Self::Node(mut node) => {
                on_node(&mut node, (fault, lasts), &mut dice).await?;
                Self::Node(node)
            }
            Self::Router(number, mut router) => {
                on_router(&mut router, fault, lasts).await?;
                Self::Router(number, router)
            }
            Self::Redis(mut redis) => {
                on_redis(&mut redis, fault, lasts).await?;
                Self::Redis(redis)
            }
            Self::Proxy(number, mut proxy) => {
                knocks = on_proxy(&mut proxy, fault, lasts).await?;
                Self::Proxy(number, proxy)
            }
        };
        let over = Instant::now();
        sleep(REST).await;
        let departures = kept.departures(fault, (at, at + lasts));
        drop(kept);
        Ok(Injected { fault, target, at, over, touched, departures, knocks })
    }

    fn name(&self) -> String {
        match self {
            Self::Node(node) => node.name().to_owned(),
            Self::Router(number, _) => format!("router-{number}"),
            Self::Redis(_) => "redis".to_owned(),
            Self::Proxy(number, _) => format!("proxy-{number}"),
        }
    }

    fn departures(&self, fault: Fault, (from, deadline): (Instant, Instant)) -> Option<Departures> {
        match self {
            Self::Node(node) if fault.is_planned() => Some(Departures { deadline, left: node.link().left_since(from) }),
            Self::Node(_) | Self::Router(..) | Self::Redis(_) | Self::Proxy(..) => None,
        }
    }

    fn touched(&self, fault: Fault) -> Touched {
        match self {
            Self::Node(node) if fault.is_on_the_way() => {
                Touched::Sessions(node.link().sessions().into_iter().collect())
            }
            Self::Proxy(number, _) => Touched::Proxy(*number),
            Self::Node(_) | Self::Router(..) | Self::Redis(_) => Touched::Everybody,
        }
    }
}

async fn on_node(node: &mut Node, (fault, lasts): (Fault, Duration), dice: &mut SmallRng) -> Result<(), ChaosError> {
    let link = node.link();
    match fault {
        Fault::KillNode => die(node, Part::Whole, lasts).await?,
        Fault::KillAgent => die(node, Part::Agent, lasts).await?,
        Fault::StopNode => hang(node, Part::Whole, lasts).await?,
        Fault::StopAgent => hang(node, Part::Agent, lasts).await?,
        Fault::DrainNode => end(node, lasts).await?,
        Fault::Drain => drain(node, lasts).await?,
        Fault::SpotNotice => take_away(node, lasts).await?,
        Fault::ResetLinks => link.reset(),
        Fault::TearLinks => {
            link.tear(dice, TEAR_WITHIN);
            sleep(lasts).await;
        }
        Fault::CutUp => cut(&link, Cut::Up, lasts).await,
        Fault::CutDown => cut(&link, Cut::Down, lasts).await,
        Fault::Partition => cut(&link, Cut::Both, lasts).await,
        Fault::SlowLink => {
            link.change(|weather| weather.rate = NonZeroU32::new(SLOW));
            sleep(lasts).await;
            link.change(|weather| weather.rate = None);
        }
        Fault::KillRouter | Fault::StopRouter | Fault::KillProxy | Fault::RollProxy => {}
        Fault::KillRedis | Fault::StopRedis | Fault::ReadonlyRedis | Fault::LoadingRedis => {}
    }
    Ok(())
}

async fn drain(node: &Node, lasts: Duration) -> Result<(), ChaosError> {
    node.order("drain").await?;
    sleep(lasts).await;
    node.order("undrain").await
}

async fn take_away(node: &mut Node, lasts: Duration) -> Result<(), ChaosError> {
    node.metadata().say(Word::TakenAway);
    sleep(lasts).await;
    node.metadata().say(Word::Nothing);
    die(node, Part::Whole, REST).await
}

async fn end(node: &mut Node, lasts: Duration) -> Result<(), ChaosError> {
    node.drain().await?;
    sleep(lasts).await;
    node.start_again(Part::Whole).await
}

async fn die(node: &mut Node, part: Part, lasts: Duration) -> Result<(), ChaosError> {
    node.kill(part).await?;
    sleep(lasts).await;
    node.start_again(part).await
}

async fn hang(node: &Node, part: Part, lasts: Duration) -> Result<(), ChaosError> {
    node.signal(part, Signal::Stop)?;
    sleep(lasts).await;
    node.signal(part, Signal::GoOn)
}

async fn cut(link: &Link, cut: Cut, lasts: Duration) {
    link.change(|weather| weather.cut = cut);
    sleep(lasts).await;
    link.change(|weather| weather.cut = Cut::Nowhere);
}

async fn on_router(router: &mut Router, fault: Fault, lasts: Duration) -> Result<(), ChaosError> {
    if fault == Fault::StopRouter {
        return pause(router.process(), lasts).await;
    }
    router.kill().await?;
    sleep(lasts).await;
    router.start_again().await
}

async fn on_proxy(proxy: &mut Proxy, fault: Fault, lasts: Duration) -> Result<Knocks, ChaosError> {
    if fault == Fault::RollProxy {
        let knocker = Knocker::at(proxy.address());
        proxy.roll().await?;
        sleep(lasts).await;
        return knocker.stop().await;
    }
    proxy.kill().await?;
    sleep(lasts).await;
    proxy.start_again().await?;
    Ok(Knocks::default())
}

async fn on_redis(redis: &mut Redis, fault: Fault, lasts: Duration) -> Result<(), ChaosError> {
    if fault == Fault::StopRedis {
        return pause(redis.process(), lasts).await;
    }
    if fault == Fault::ReadonlyRedis {
        // A master that nobody is.
        redis.order(&["REPLICAOF", "127.0.0.1", "1"]).await?;
        sleep(lasts).await;
        return redis.order(&["REPLICAOF", "NO", "ONE"]).await;
    }
    if fault == Fault::LoadingRedis {
        return redis.load_slowly().await;
    }
    redis.kill().await?;
    sleep(lasts).await;
    redis.start_empty().await
}

async fn pause(process: Option<Process>, lasts: Duration) -> Result<(), ChaosError> {
    let Some(process) = process else { return Ok(()) };
    process.signal(Signal::Stop)?;
    sleep(lasts).await;
    Ok(process.signal(Signal::GoOn)?)
}
