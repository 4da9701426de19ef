//! `PlaceRequest` and `PlaceReply` ⇄ [`Request`] and [`Decision`].

use std::time::Duration;

use scheduler::{
    Class, Compliance, Decision, MicroDollars, Placement, Priority, Refusal, Request, Residency, ScoreTerms, SessionId,
    Work,
};

use super::engine::{api_from_wire, api_to_wire};
use super::{BadMessage, name};
use crate::v1;

/// Reads a request from the wire.
///
/// # Errors
/// Fails on names that cannot be names, and on unknown work or class.
pub fn request_from_wire(wire: v1::PlaceRequest) -> Result<Request, BadMessage> {
    let work = match v1::Work::try_from(wire.work) {
        Ok(v1::Work::Stream) => Work::Stream,
        Ok(v1::Work::File) => Work::File,
        Ok(v1::Work::Unspecified) | Err(_) => return Err(BadMessage::new("work", &wire.work)),
    };
    let class = match v1::Class::try_from(wire.class) {
        Ok(v1::Class::New) => Class::New,
        Ok(v1::Class::Failover) => Class::Failover,
        Ok(v1::Class::Unspecified) | Err(_) => return Err(BadMessage::new("class", &wire.class)),
    };
    let priority = match (v1::Priority::try_from(wire.priority), work) {
        (Ok(v1::Priority::Live), _) | (Ok(v1::Priority::Unspecified), Work::Stream) => Priority::Live,
        (Ok(v1::Priority::Interactive), _) | (Ok(v1::Priority::Unspecified), Work::File) => Priority::Interactive,
        (Ok(v1::Priority::Batch), _) => Priority::Batch,
        (Err(_), _) => return Err(BadMessage::new("priority", &wire.priority)),
    };
    Ok(Request {
        session: name::<SessionId>("session", &wire.session)?,
        tenant: name("tenant", &wire.tenant)?,
        key: (!wire.key.is_empty()).then(|| name("key", &wire.key)).transpose()?,
        file: wire.file.map(|file| name("file", &file)).transpose()?,
        model: name("model", &wire.model)?,
        work,
        class,
        priority,
        pools: wire.pools.map(|pools| pools.names.iter().map(|pool| name("pool", pool)).collect()).transpose()?,
        residency: wire.residency.map(Residency),
        compliance: wire.compliance.into_iter().map(Compliance).collect(),
        max_cost: wire.max_cost_microdollars.map(MicroDollars),
        latency_limit: Duration::from_millis(wire.latency_limit_milliseconds.into()),
        audio_bytes_per_second: wire.audio_bytes_per_second,
        exclude: wire.exclude.iter().map(|node| name("exclude", node)).collect::<Result<_, _>>()?,
        prefer: None,
    })
}

/// Writes a request for the wire.
#[must_use]
pub fn request_to_wire(request: &Request) -> v1::PlaceRequest {
    let work = match request.work {
        Work::Stream => v1::Work::Stream,
        Work::File => v1::Work::File,
    };
    let class = match request.class {
        Class::New => v1::Class::New,
        Class::Failover => v1::Class::Failover,
    };
    v1::PlaceRequest {
        session: request.session.to_string(),
        tenant: request.tenant.to_string(),
        key: request.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        file: request.file.map(|file| file.to_string()),
        pools: request.pools.as_ref().map(|pools| v1::Pools { names: pools.iter().map(ToString::to_string).collect() }),
        priority: priority_to_wire(request.priority).into(),
        concurrent_limit: None,
        patience_milliseconds: 0,
        model: request.model.to_string(),
        work: work.into(),
        class: class.into(),
        residency: request.residency.as_ref().map(|residency| residency.0.clone()),
        compliance: request.compliance.iter().map(|regime| regime.0.clone()).collect(),
        max_cost_microdollars: request.max_cost.map(|cost| cost.0),
        latency_limit_milliseconds: u32::try_from(request.latency_limit.as_millis()).unwrap_or(u32::MAX),
        audio_bytes_per_second: request.audio_bytes_per_second,
        exclude: request.exclude.iter().map(ToString::to_string).collect(),
        dry_run: false,
    }
}

fn priority_to_wire(priority: Priority) -> v1::Priority {
    match priority {
        Priority::Live => v1::Priority::Live,
        Priority::Interactive => v1::Priority::Interactive,
        Priority::Batch => v1::Priority::Batch,
    }
}

/// Writes a decision for the wire; `leases` are those of the placements, in their order.
#[must_use]
pub fn reply_from_decision(decision: &Decision, lease: &str, retry_after: Duration) -> v1::PlaceReply {
    let placements = decision.placements.iter().enumerate().map(|(rank, placement)| v1::Place {
        node: placement.node.to_string(),
        pool: placement.pool.to_string(),
        address: placement.address.clone(),
        terms: Some(terms_to_wire(&placement.terms)),
        lease: if rank == 0 { lease.to_owned() } else { String::new() },
        api: api_to_wire(placement.api).into(),
        engine_model: placement.engine_model.as_ref().map(ToString::to_string).unwrap_or_default(),
    });
    let rejected = decision.rejected.iter().map(|group| v1::Rejected {
        pool: group.pool.to_string(),
        example: group.example.as_ref().map(ToString::to_string),
        nodes: group.nodes,
        label: group.why.label().to_owned(),
        text: group.why.to_string(),
    });
    let refusal = decision.refusal.map(|refusal| v1::Refusal {
        kind: refusal_to_wire(refusal).into(),
        retry_after_milliseconds: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
    });
    v1::PlaceReply {
        placements: placements.collect(),
        refusal,
        rejected: rejected.collect(),
        fleet_version: decision.fleet_version,
    }
}

/// Reads what a proxy needs of a reply: the placements, or why there are none and when to ask again.
///
/// # Errors
/// Fails on names that cannot be names, and on a reply that holds neither.
pub fn decision_from_reply(wire: v1::PlaceReply) -> Result<Result<Vec<Placement>, (Refusal, Duration)>, BadMessage> {
    if let Some(refusal) = wire.refusal {
        let retry_after = Duration::from_millis(refusal.retry_after_milliseconds.into());
        return Ok(Err((refusal_from_wire(refusal.kind)?, retry_after)));
    }
    let placements = wire.placements.into_iter().map(|place| {
        Ok(Placement {
            node: name("node", &place.node)?,
            pool: name("pool", &place.pool)?,
            address: place.address,
            terms: terms_from_wire(place.terms.unwrap_or_default()),
            api: api_from_wire(place.api)?,
            engine_model: (!place.engine_model.is_empty())
                .then(|| name("engine_model", &place.engine_model))
                .transpose()?,
        })
    });
    let placements = placements.collect::<Result<Vec<_>, BadMessage>>()?;
    if placements.is_empty() {
        return Err(BadMessage::new("placements", &"neither placements nor a refusal"));
    }
    Ok(Ok(placements))
}

fn terms_to_wire(terms: &ScoreTerms) -> v1::ScoreTerms {
    v1::ScoreTerms {
        gpu: terms.gpu.0,
        egress: terms.egress.0,
        latency: terms.latency.0,
        risk: terms.risk.0,
        congestion: terms.congestion.0,
        errors: terms.errors.0,
    }
}

fn terms_from_wire(wire: v1::ScoreTerms) -> ScoreTerms {
    ScoreTerms {
        gpu: MicroDollars(wire.gpu),
        egress: MicroDollars(wire.egress),
        latency: MicroDollars(wire.latency),
        risk: MicroDollars(wire.risk),
        congestion: MicroDollars(wire.congestion),
        errors: MicroDollars(wire.errors),
    }
}

fn refusal_to_wire(refusal: Refusal) -> v1::RefusalKind {
    match refusal {
        Refusal::NotAllowed => v1::RefusalKind::NotAllowed,
        Refusal::Full => v1::RefusalKind::Full,
        Refusal::NoLiveNode => v1::RefusalKind::NoLiveNode,
        Refusal::FilesOnly => v1::RefusalKind::FilesOnly,
    }
}

fn refusal_from_wire(kind: i32) -> Result<Refusal, BadMessage> {
    match v1::RefusalKind::try_from(kind) {
        Ok(v1::RefusalKind::NotAllowed) => Ok(Refusal::NotAllowed),
        Ok(v1::RefusalKind::Full) => Ok(Refusal::Full),
        Ok(v1::RefusalKind::NoLiveNode) => Ok(Refusal::NoLiveNode),
        Ok(v1::RefusalKind::FilesOnly) => Ok(Refusal::FilesOnly),
        Ok(v1::RefusalKind::Unspecified) | Err(_) => Err(BadMessage::new("refusal", &kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            key: Some("k1".parse().unwrap()),
            file: Some(SessionId::from_random(9)),
            priority: Priority::Batch,
            pools: Some(["aws".parse().unwrap()].into()),
            session: SessionId::from_random(7),
            tenant: "dev".parse().unwrap(),
            model: "sphinx-en-us".parse().unwrap(),
            work: Work::Stream,
            class: Class::Failover,
            residency: Some(Residency("eu".to_owned())),
            compliance: [Compliance("hipaa".to_owned())].into(),
            max_cost: Some(MicroDollars(20_000)),
            latency_limit: Duration::from_millis(300),
            audio_bytes_per_second: 32_000,
            exclude: ["aws-1".parse().unwrap()].into(),
            prefer: None,
        }
    }

    #[test]
    fn a_request_survives_the_wire() {
        assert_eq!(request_from_wire(request_to_wire(&request())).unwrap(), request());
    }

    #[test]
    fn an_empty_request_is_refused() {
        assert!(request_from_wire(v1::PlaceRequest::default()).is_err());
    }

    #[test]
    fn a_placement_keeps_what_its_engine_speaks() {
        let offered = Placement {
            node: "gpu-1".parse().unwrap(),
            pool: "aws".parse().unwrap(),
            address: "10.0.0.1:8000".to_owned(),
            terms: ScoreTerms::default(),
            api: scheduler::EngineApi::OpenAi,
            engine_model: Some("Systran/faster-whisper-small".parse().unwrap()),
        };
        let decision = Decision {
            placements: vec![offered.clone()],
            refusal: None,
            rejected: Vec::new(),
            fleet_version: 1,
            seat: None,
        };
        let reply = reply_from_decision(&decision, "", Duration::ZERO);
        assert_eq!(decision_from_reply(reply).unwrap(), Ok(vec![offered]));
    }

    #[test]
    fn an_empty_reply_is_refused() {
        assert!(decision_from_reply(v1::PlaceReply::default()).is_err());
    }
}
