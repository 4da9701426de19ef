//! `NodeReport` ⇄ [`Report`].

use std::time::Duration;

use scheduler::{Gpu, NodeState, Notice, NoticeKind, Ratio, Report};

use super::engine::{api_from_wire, api_to_wire};
use super::{BadMessage, name};
use crate::v1;

/// Reads a report from the wire and forces impossible values into range.
///
/// # Errors
/// Fails on names that cannot be names and on an unknown state.
pub fn report_from_wire(wire: v1::NodeReport) -> Result<Report, BadMessage> {
    let state = state_from_wire(wire.state)?;
    let models = wire.models.iter().map(|model| name("models", model)).collect::<Result<_, _>>()?;
    let pair = |(ours, theirs): (String, String)| Ok((name("models", &ours)?, name("engine_models", &theirs)?));
    let report = Report {
        node: name("node", &wire.node)?,
        pool: name("pool", &wire.pool)?,
        address: wire.address,
        state,
        models,
        api: api_from_wire(wire.api)?,
        engine_models: wire.engine_models.into_iter().map(pair).collect::<Result<_, BadMessage>>()?,
        soft_slots: wire.soft_slots,
        hard_slots: wire.hard_slots,
        used_slots: wire.used_slots,
        queue_depth: wire.queue_depth,
        chunk_latency_p95: Duration::from_micros(wire.chunk_latency_p95_microseconds),
        realtime_factor: wire.realtime_factor,
        gpus: wire.gpus.into_iter().map(gpu_from_wire).collect(),
        sequence: wire.sequence,
        engine_pid: wire.engine_pid,
        reason: wire.reason,
        notice: wire.notice.and_then(notice_from_wire),
    };
    Ok(report.sane())
}

/// Writes a report for the wire.
#[must_use]
pub fn report_to_wire(report: &Report) -> v1::NodeReport {
    v1::NodeReport {
        node: report.node.to_string(),
        pool: report.pool.to_string(),
        address: report.address.clone(),
        state: state_to_wire(report.state).into(),
        models: report.models.iter().map(ToString::to_string).collect(),
        api: api_to_wire(report.api).into(),
        engine_models: report
            .engine_models
            .iter()
            .map(|(ours, theirs)| (ours.to_string(), theirs.to_string()))
            .collect(),
        soft_slots: report.soft_slots,
        hard_slots: report.hard_slots,
        used_slots: report.used_slots,
        queue_depth: report.queue_depth,
        chunk_latency_p95_microseconds: u64::try_from(report.chunk_latency_p95.as_micros()).unwrap_or(u64::MAX),
        realtime_factor: report.realtime_factor,
        gpus: report.gpus.iter().map(gpu_to_wire).collect(),
        sequence: report.sequence,
        engine_pid: report.engine_pid,
        reason: report.reason.clone(),
        notice: report.notice.as_ref().map(notice_to_wire),
    }
}

fn state_from_wire(state: i32) -> Result<NodeState, BadMessage> {
    match v1::NodeState::try_from(state) {
        Ok(v1::NodeState::Starting) => Ok(NodeState::Starting),
        Ok(v1::NodeState::Serving) => Ok(NodeState::Serving),
        Ok(v1::NodeState::Draining) => Ok(NodeState::Draining),
        Ok(v1::NodeState::Failing) => Ok(NodeState::Failing),
        Ok(v1::NodeState::Unspecified) | Err(_) => {
            Err(BadMessage::new("state", &format!("expected a node state, got {state}")))
        }
    }
}

fn state_to_wire(state: NodeState) -> v1::NodeState {
    match state {
        NodeState::Starting => v1::NodeState::Starting,
        NodeState::Serving => v1::NodeState::Serving,
        NodeState::Draining => v1::NodeState::Draining,
        NodeState::Failing => v1::NodeState::Failing,
    }
}

/// A kind of a newer agent is passed over: the state beside it says what to do.
fn notice_from_wire(wire: v1::Notice) -> Option<Notice> {
    let kind = match v1::NoticeKind::try_from(wire.kind) {
        Ok(v1::NoticeKind::Rebalance) => NoticeKind::Rebalance,
        Ok(v1::NoticeKind::Preemption) => NoticeKind::Preemption,
        Ok(v1::NoticeKind::Maintenance) => NoticeKind::Maintenance,
        Ok(v1::NoticeKind::Unspecified) | Err(_) => return None,
    };
    Some(Notice { kind, left: wire.left_milliseconds.map(Duration::from_millis) })
}

fn notice_to_wire(notice: &Notice) -> v1::Notice {
    let kind = match notice.kind {
        NoticeKind::Rebalance => v1::NoticeKind::Rebalance,
        NoticeKind::Preemption => v1::NoticeKind::Preemption,
        NoticeKind::Maintenance => v1::NoticeKind::Maintenance,
    };
    let milliseconds = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    v1::Notice { kind: kind.into(), left_milliseconds: notice.left.map(milliseconds) }
}

fn gpu_from_wire(wire: v1::Gpu) -> Gpu {
    Gpu {
        name: wire.name,
        utilisation: Ratio::clamped(wire.utilisation),
        memory_used_bytes: wire.memory_used_bytes,
        memory_total_bytes: wire.memory_total_bytes,
        temperature_celsius: wire.temperature_celsius,
        power_milliwatts: wire.power_milliwatts,
    }
}

fn gpu_to_wire(gpu: &Gpu) -> v1::Gpu {
    v1::Gpu {
        name: gpu.name.clone(),
        utilisation: gpu.utilisation.get(),
        memory_used_bytes: gpu.memory_used_bytes,
        memory_total_bytes: gpu.memory_total_bytes,
        temperature_celsius: gpu.temperature_celsius,
        power_milliwatts: gpu.power_milliwatts,
    }
}

#[cfg(test)]
mod tests {
    use scheduler::EngineApi;

    use super::*;

    fn wire() -> v1::NodeReport {
        v1::NodeReport {
            node: "aws-1".to_owned(),
            pool: "aws".to_owned(),
            address: "127.0.0.1:9000".to_owned(),
            state: v1::NodeState::Serving.into(),
            models: vec!["sphinx-en-us".to_owned()],
            api: v1::EngineApi::Openai.into(),
            engine_models: [("sphinx-en-us".to_owned(), "Systran/faster-whisper-small".to_owned())].into(),
            soft_slots: 4,
            hard_slots: 5,
            used_slots: 1,
            chunk_latency_p95_microseconds: 40_000,
            gpus: vec![v1::Gpu { name: "T4".to_owned(), utilisation: 0.5, ..v1::Gpu::default() }],
            sequence: 7,
            reason: Some("spot".to_owned()),
            notice: Some(v1::Notice { kind: v1::NoticeKind::Preemption.into(), left_milliseconds: Some(119_000) }),
            ..v1::NodeReport::default()
        }
    }

    #[test]
    fn a_report_survives_the_wire() {
        let report = report_from_wire(wire()).unwrap();
        assert_eq!(report_to_wire(&report), wire());
    }

    #[test]
    fn an_agent_that_knows_no_other_api_speaks_listen() {
        let old = v1::NodeReport { api: 0, ..wire() };
        assert_eq!(report_from_wire(old).unwrap().api, EngineApi::Listen);
    }

    #[test]
    fn a_notice_of_a_kind_that_is_not_known_is_none() {
        let newer = v1::NodeReport { notice: Some(v1::Notice { kind: 99, left_milliseconds: None }), ..wire() };
        assert_eq!(report_from_wire(newer).unwrap().notice, None);
    }

    #[test]
    fn a_report_that_lies_is_forced_into_range() {
        let lie = v1::NodeReport { hard_slots: 1_000_000_000, realtime_factor: f32::NAN, ..wire() };
        let report = report_from_wire(lie).unwrap();
        assert_eq!((report.hard_slots, report.realtime_factor), (10_000, 0.0));
    }

    #[test]
    fn a_bad_name_is_refused_with_its_field_and_value() {
        let bad = v1::NodeReport { node: "a b".to_owned(), ..wire() };
        assert!(report_from_wire(bad).unwrap_err().to_string().starts_with("bad node: expected 1 to 128"));
    }
}
