//! What every caller API asks for, whatever its own words: a model for a tenant, and wishes that narrow the choice.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use scheduler::rules::Facts;
use scheduler::{Class, Compliance, MicroDollars, ModelName, Priority, Residency, SessionId, Work};
use store::Caller;

use crate::app::Shared;

/// A container's audio is taken to be 16 kHz, 16-bit, mono where its rate decides anything before it was read.
const GUESSED_BYTES_PER_SECOND: u64 = 32_000;

/// What a caller may narrow: never widen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) residency: Option<Residency>,
    pub(crate) compliance: BTreeSet<Compliance>,
    pub(crate) max_cost: Option<MicroDollars>,
}

/// Says that a wish makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected dollars per hour for max-cost, such as 0.02, got {0:?}")]
pub(crate) struct BadWish(String);

impl Wishes {
    /// Reads the headers `x-crosspoint-residency`, `-compliance` and `-max-cost`; where one is missing, what `extra`
    /// has under the same name.
    pub(crate) fn read<'a>(headers: &HeaderMap, extra: impl Fn(&str) -> Option<&'a str>) -> Result<Self, BadWish> {
        let wish = |name: &str| {
            let header = headers.get(format!("x-crosspoint-{name}")).and_then(|value| value.to_str().ok());
            header.or_else(|| extra(name)).filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let compliance = wish("compliance").unwrap_or_default();
        let compliance = compliance.split(',').filter(|item| !item.is_empty());
        Ok(Self {
            residency: wish("residency").map(Residency),
            compliance: compliance.map(|item| Compliance(item.to_owned())).collect(),
            max_cost: wish("max-cost").map(max_cost).transpose()?,
        })
    }
}

impl Wishes {
    /// Writes each as `name:value`, as `extra` has it.
    pub(crate) fn extras(&self) -> impl Iterator<Item = String> {
        let residency = self.residency.iter().map(|Residency(place)| format!("residency:{place}"));
        let compliance = self.compliance.iter().map(|Compliance(name)| name.as_str()).collect::<Vec<_>>().join(",");
        let compliance = Some(format!("compliance:{compliance}")).filter(|_| !self.compliance.is_empty());
        let cost = self.max_cost.map(|cost| format!("max-cost:{}", cost.dollars()));
        residency.chain(compliance).chain(cost).collect::<Vec<_>>().into_iter()
    }
}

fn max_cost(text: String) -> Result<MicroDollars, BadWish> {
    match text.parse::<f64>() {
        Ok(dollars) if (0.0..1e6).contains(&dollars) => Ok(MicroDollars::from_dollars(dollars)),
        Ok(_) | Err(_) => Err(BadWish(text)),
    }
}

/// Says that a caller wants more than its key allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key keeps audio in {granted}, and the request wants it in {wanted}: ask for {granted}, or for nothing")]
pub(crate) struct Widened {
    granted: String,
    wanted: String,
}

/// Who asks for which model, and what narrows the choice.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) model: ModelName,
    pub(crate) wishes: Wishes,
    /// What rules may look at.
    pub(crate) facts: Facts,
}

impl Asked {
    /// Binds the wishes to what the key allows: they may narrow it, never widen.
    pub(crate) fn new(caller: Caller, model: ModelName, wishes: Wishes, mut facts: Facts) -> Result<Self, Widened> {
        caller.claims.iter().for_each(|(claim, value)| facts.note_claim(claim, value));
        match (&caller.residency, &wishes.residency) {
            (Some(Residency(granted)), Some(Residency(wanted))) if granted != wanted => {
                Err(Widened { granted: granted.clone(), wanted: wanted.chars().take(64).collect() })
            }
            _ => Ok(Self { caller, model, wishes, facts }),
        }
    }

    /// Writes what a session needs in the router's terms. `bytes_per_second` is the rate of the audio, where known.
    pub(crate) fn request(
        &self,
        shared: &Shared,
        session: SessionId,
        work: Work,
        bytes_per_second: Option<u64>,
    ) -> scheduler::Request {
        scheduler::Request {
            session,
            tenant: self.caller.tenant.clone(),
            key: Some(self.caller.key.clone()),
            file: None,
            model: self.model.clone(),
            work,
            class: Class::New,
            priority: match work {
                Work::Stream => Priority::Live,
                Work::File => Priority::Interactive,
            },
            pools: self.caller.pools.clone(),
            residency: self.caller.residency.clone().or_else(|| self.wishes.residency.clone()),
            compliance: self.wishes.compliance.clone(),
            max_cost: self.wishes.max_cost,
            latency_limit: shared.config.latency_limit,
            audio_bytes_per_second: bytes_per_second.unwrap_or(GUESSED_BYTES_PER_SECOND),
            exclude: [].into(),
            prefer: None,
            facts: self.facts.clone(),
        }
    }
}
