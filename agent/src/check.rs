//! The self-check: what the agent found, and what it misses. At start it is a line in the log and no error, since an agent waits
//! for whatever is missing; asked for (`crosspoint agent --check`), it looks at everything once and judges.

mod line;

use std::fmt;
use std::time::Duration;

use proto::v1::CheckRequest;
use scheduler::{Gpu, NodeState, Report};
use serde::Serialize;
use tokio::time::timeout;

use crate::config::Config;
use crate::engine::{Engine, Probe, Server};
use crate::error::AgentError;
use crate::gauges::Gauges;
use crate::gpus::Gpus;
use crate::link::{Routers, Standing};
use crate::notices::{Ear, Source};
use crate::reporter::{Identity, Reporter};
use crate::stream::{self, Ended};

pub(crate) use line::look_around;

/// How long engine and routers may take before they are called missing.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that an agent of a configuration finds.
#[derive(Clone, Debug, Serialize)]
pub struct SelfCheck {
    /// What was looked at, and what was there.
    pub findings: Vec<Finding>,
    /// What the agent would report now.
    pub report: Report,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub what: What,
    /// Whether it was there.
    pub state: State,
    /// What was found, or what is missing and why, for people.
    pub text: String,
}

/// What an agent looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The cards and their driver.
    Gpus,
    /// The engine: whose it is and how it is.
    Engine,
    /// What it can serve.
    Models,
    /// How much it can serve.
    Slots,
    /// The token for routers.
    Token,
    /// A router of the list.
    Router,
    /// The cloud's metadata server.
    Notices,
}

/// Whether something was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is there and well.
    Ok,
    /// It is not there, or not well.
    Missing,
    /// It is not wanted.
    Off,
}

impl What {
    const fn label(self) -> &'static str {
        match self {
            Self::Gpus => "gpus",
            Self::Engine => "engine",
            Self::Models => "models",
            Self::Slots => "slots",
            Self::Token => "token",
            Self::Router => "router",
            Self::Notices => "notices",
        }
    }
}

impl State {
    const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Off => "off",
        }
    }
}

impl Config {
    /// Looks at everything once.
    ///
    /// # Errors
    /// Fails on a configuration that cannot work, as [`Config::build`] does. What is missing is no error.
    pub async fn check(&self) -> Result<SelfCheck, AgentError> {
        let (identity, routers, notices) = (self.identity()?, self.routers()?, Source::of(&self.notices)?);
        let probe = Probe::new(self.engine_kinds()?)?;
        let gpus = Gpus::open(self, &identity.node)?;
        let (engine, cards, routers, token, cloud) = tokio::join!(
            probe.first_look(),
            gpus.first_look().describe(),
            routers_found(&routers, &identity),
            token_found(&routers),
            notices_found(notices.as_ref()),
        );
        let (_ear, heard) = Ear::new();
        let report = Reporter::new(identity, gpus, heard, Gauges::default()).report(&engine);
        let found = |what, found: Result<String, String>| Finding::of(what, found);
        let mut findings = vec![
            self.gpus_found(cards),
            found(
                What::Engine,
                engine_found(&engine).map(|text| format!("{} at {}: {text}", named(&engine), self.engine.url)),
            ),
            found(What::Models, models_found(&engine, &report)),
            found(What::Slots, slots_found(&engine, &report)),
            token,
        ];
        findings.extend(routers);
        findings.push(cloud);
        Ok(SelfCheck { findings, report })
    }

    fn gpus_found(&self, cards: Result<String, String>) -> Finding {
        match self.gpus {
            crate::GpuSource::Nvml => {
                Finding::of(What::Gpus, cards.map_err(|why| format!("{why}; without cards, set gpus: none")))
            }
            crate::GpuSource::Simulated | crate::GpuSource::None => {
                let text = match cards {
                    Ok(text) | Err(text) => text,
                };
                Finding { what: What::Gpus, state: State::Off, text }
            }
        }
    }
}

impl Finding {
    fn of(what: What, found: Result<String, String>) -> Self {
        match found {
            Ok(text) => Self { what, state: State::Ok, text },
            Err(text) => Self { what, state: State::Missing, text },
        }
    }
}

impl SelfCheck {
    /// Tells whether nothing is missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|finding| finding.state != State::Missing)
    }
}

/// One line for each finding, then one for each card.
impl fmt::Display for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, state, text } in &self.findings {
            writeln!(f, "{:<8} {:<8} {text}", what.label(), state.label())?;
        }
        for (index, gpu) in self.report.gpus.iter().enumerate() {
            let Gpu { name, utilisation, temperature_celsius, .. } = gpu;
            let gibibytes = |bytes: u64| bytes as f64 / f64::from(1_u32 << 30);
            let (used, total) = (gibibytes(gpu.memory_used_bytes), gibibytes(gpu.memory_total_bytes));
            let (busy, watts) = (utilisation.get() * 100.0, f64::from(gpu.power_milliwatts) / 1000.0);
            writeln!(
                f,
                "gpu {index:<4} {name}: {busy:.0} % busy, {used:.1} of {total:.1} GiB, {temperature_celsius} °C, {watts:.0} W"
            )?;
        }
        let verdict = if self.is_complete() {
            "nothing is missing"
        } else {
            "something is missing: the agent would start and wait for it"
        };
        f.write_str(verdict)
    }
}

async fn routers_found(routers: &Routers, identity: &Identity) -> Vec<Finding> {
    let mut findings = Vec::new();
    for router in routers.list.iter() {
        let (node, pool) = (identity.node.to_string(), identity.pool.to_string());
        let asked = timeout(PATIENCE, stream::check(router, &routers.token, CheckRequest { node, pool })).await;
        let router = router.uri().to_string();
        let found = match asked {
            Ok(Ok(())) => {
                Ok(format!("{router} would take the reports of {} for pool {}", identity.node, identity.pool))
            }
            Ok(Err(Ended::Refused(message))) => router_found(&Standing::Refused { router, message }),
            Ok(Err(Ended::Lost(reason))) => router_found(&Standing::Unreachable { router, reason }),
            Ok(Err(Ended::Drained)) | Err(_) => Err(format!("{router} did not answer within {PATIENCE:?}")),
        };
        findings.push(Finding::of(What::Router, found));
    }
    findings
}

async fn token_found(routers: &Routers) -> Finding {
    let Some(file) = routers.token.file() else {
        let text = "none is sent: routers that want one need token_file".to_owned();
        return Finding { what: What::Token, state: State::Off, text };
    };
    let read = routers.token.sign(()).await.map(|_| format!("read from {}", file.display()));
    Finding::of(What::Token, read.map_err(|error| error.to_string()))
}

async fn notices_found(source: Option<&Source>) -> Finding {
    let Some(source) = source else {
        let text = "nobody is asked: this machine is not known to be AWS's or Google's".to_owned();
        return Finding { what: What::Notices, state: State::Off, text };
    };
    Finding::of(What::Notices, source.check().await.map(|()| source.describe()))
}

fn named(engine: &Engine) -> &'static str {
    engine.figures.server.map_or("engine", Server::name)
}

fn models_found(engine: &Engine, report: &Report) -> Result<String, String> {
    engine_answers(engine)?;
    let models = report.models.iter().map(scheduler::ModelName::as_str).collect::<Vec<_>>().join(", ");
    if models.is_empty() { Err("none: set models".to_owned()) } else { Ok(models) }
}

fn slots_found(engine: &Engine, report: &Report) -> Result<String, String> {
    engine_answers(engine)?;
    let Report { soft_slots, hard_slots, used_slots, .. } = report;
    let used = engine
        .figures
        .used
        .map_or_else(|| "nobody tells how many are in use".to_owned(), |_| format!("{used_slots} in use"));
    let text = format!("{hard_slots}, of which {soft_slots} are served well; {used}");
    if *hard_slots == 0 { Err(format!("none in service ({text})")) } else { Ok(text) }
}

fn engine_answers(engine: &Engine) -> Result<(), String> {
    engine.problem.as_ref().map_or(Ok(()), |_| Err("not known: the engine does not answer".to_owned()))
}

fn engine_found(engine: &Engine) -> Result<String, String> {
    match &engine.problem {
        Some(problem) => Err(problem.clone()),
        None => {
            let state = match engine.state {
                NodeState::Starting => "starting",
                NodeState::Serving => "serving",
                NodeState::Draining => "draining",
                NodeState::Failing => "failing",
            };
            let used = engine.figures.used.unwrap_or_default();
            Ok(format!("{state}, {used} of {} slots in use", engine.figures.slots))
        }
    }
}

fn router_found(standing: &Standing) -> Result<String, String> {
    match standing {
        Standing::Trying => Err(format!("no router answered within {PATIENCE:?}")),
        Standing::Accepted { router } => Ok(format!("{router} takes the reports")),
        Standing::Refused { router, message } => Err(format!("{router} refuses: {message}")),
        Standing::Unreachable { router, reason } => Err(format!("{router} cannot be reached: {reason}")),
    }
}
