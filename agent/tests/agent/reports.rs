//! What a router hears from an agent, and when.

use std::time::Duration;

use crate::support::{Agent, DEADLINE, FakeEngine, FakeRouter, Manners, Outcome, between, nobody};
use crosspoint_agent::{Config, GpuSource};
use scheduler::NodeState;

/// Short enough for a test that counts reports.
const OFTEN: Duration = Duration::from_millis(100);
/// Long enough that only a change can cause a second report.
const RARELY: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_report_says_what_the_engine_can_do() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    engine.serve(1);
    let _agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    let report = router.report_with(|report| report.state == NodeState::Serving).await?;
    assert_eq!((report.node.as_str(), report.pool.as_str()), ("aws-1", "aws"));
    assert_eq!(report.address, engine.address.to_string());
    assert_eq!((report.hard_slots, report.soft_slots, report.used_slots, report.queue_depth), (4, 3, 1, 2));
    assert_eq!((report.realtime_factor, report.engine_pid), (0.25, Some(4711)));
    assert!(report.gpus.is_empty());
    Ok(())
}

#[tokio::test]
async fn reports_come_each_interval_and_count_up() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let _agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    let first = router.report_with(|report| report.state == NodeState::Serving).await?;
    let began = tokio::time::Instant::now();
    for step in 1..=5 {
        assert_eq!(router.report().await?.sequence, first.sequence + step);
    }
    assert!(began.elapsed() >= OFTEN * 3, "five reports took {:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_slot_taken_is_reported_at_once() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let _agent = Agent::start(&between(engine.address, &[&router], RARELY)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    engine.serve(3);
    assert_eq!(router.report().await?.used_slots, 3);
    Ok(())
}

#[tokio::test]
async fn the_router_may_order_another_interval() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(100)).await?);
    let _agent = Agent::start(&between(engine.address, &[&router], RARELY)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    for _ in 0..3 {
        router.report().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_engine_that_comes_later_is_starting_until_then() -> Outcome {
    let address = nobody().await?;
    let mut router = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let _agent = Agent::start(&between(address, &[&router], RARELY)?)?;
    let report = router.report().await?;
    assert_eq!((report.state, report.hard_slots), (NodeState::Starting, 0));
    let _engine = FakeEngine::start(address.port()).await?;
    let report = router.report_with(|report| report.state != NodeState::Starting).await?;
    assert_eq!((report.state, report.hard_slots), (NodeState::Serving, 4));
    Ok(())
}

#[tokio::test]
async fn an_engine_that_dies_is_failing_until_it_is_back() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let address = engine.address;
    let _agent = Agent::start(&between(address, &[&router], RARELY)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    drop(engine);
    assert_eq!(router.report().await?.state, NodeState::Failing);
    let _engine = FakeEngine::start(address.port()).await?;
    assert_eq!(router.report().await?.state, NodeState::Serving);
    Ok(())
}

#[tokio::test]
async fn a_router_that_restarts_hears_the_node_again() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let port = router.address.port();
    let _agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    let before = router.report().await?.sequence;
    drop(router);
    let mut router = FakeRouter::start(port, Manners::Accepts(0)).await?;
    assert!(router.report().await?.sequence > before);
    Ok(())
}

#[tokio::test]
async fn the_next_router_hears_the_node_when_the_first_dies() -> Outcome {
    let engine = FakeEngine::start(0).await?;
    let mut first = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let mut second = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let _agent = Agent::start(&between(engine.address, &[&first, &second], OFTEN)?)?;
    let before = first.report().await?.sequence;
    assert_eq!(second.calls(), 0, "one router at a time");
    drop(first);
    assert!(second.report().await?.sequence > before);
    Ok(())
}

#[tokio::test]
async fn a_router_that_hangs_is_left_within_seconds() -> Outcome {
    let engine = FakeEngine::start(0).await?;
    let mut first = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let mut second = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let _agent = Agent::start(&between(engine.address, &[&first, &second], OFTEN)?)?;
    first.report().await?;
    let _frozen = first.freeze();
    let began = tokio::time::Instant::now();
    second.report().await?;
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_router_that_refuses_the_pool_is_asked_again() -> Outcome {
    let (engine, router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Refuses("no such pool")).await?);
    let port = router.address.port();
    let _agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    let mut polls = tokio::time::interval(Duration::from_millis(5));
    let refused = async {
        while router.calls() == 0 {
            polls.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await?;
    drop(router);
    let mut mended = FakeRouter::start(port, Manners::Accepts(0)).await?;
    mended.report().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_drains_says_so_last() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let agent = Agent::start(&between(engine.address, &[&router], RARELY)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    agent.drain().await?;
    assert_eq!(router.report().await?.state, NodeState::Draining);
    Ok(())
}

#[tokio::test]
async fn an_agent_without_any_router_still_ends() -> Outcome {
    let engine = FakeEngine::start(0).await?;
    let routers = vec![format!("http://{}", nobody().await?)];
    let agent = Agent::start(&Config { routers, ..between(engine.address, &[], OFTEN)? })?;
    agent.drain().await
}

#[tokio::test]
async fn a_host_without_nvidia_library_reports_no_gpus() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let nvml_library = Some("/nonexistent/libnvidia-ml.so.1".into());
    let config = Config { gpus: GpuSource::Nvml, nvml_library, ..between(engine.address, &[&router], OFTEN)? };
    let _agent = Agent::start(&config)?;
    assert!(router.report_with(|report| report.state == NodeState::Serving).await?.gpus.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_simulated_card_follows_the_engine() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let _agent = Agent::start(&Config { gpus: GpuSource::Simulated, ..between(engine.address, &[&router], OFTEN)? })?;
    let idle = router.report_with(|report| report.state == NodeState::Serving).await?;
    engine.serve(4);
    let full = router.report_with(|report| report.used_slots == 4).await?;
    let utilisation = |report: &scheduler::Report| report.gpus.first().map(|gpu| gpu.utilisation.get());
    assert!(utilisation(&idle) < Some(0.1) && utilisation(&full) > Some(0.8), "{idle:?} {full:?}");
    Ok(())
}

#[tokio::test]
async fn the_agent_is_ready_and_counts_once_a_router_takes_its_reports() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let metrics = Some("127.0.0.1:0".parse()?);
    let config = Config { metrics, gpus: GpuSource::Simulated, ..between(engine.address, &[&router], OFTEN)? };
    let agent = Agent::start(&config)?;
    let address = agent.metrics.ok_or("expected a metrics listener")?;
    for _ in 0..3 {
        router.report().await?;
    }
    let page = reqwest::get(format!("http://{address}/metrics")).await?.text().await?;
    for sample in [
        "crosspoint_agent_reports_total{outcome=\"sent\"}",
        "crosspoint_agent_router_connected ",
        "crosspoint_agent_gpus ",
        "crosspoint_agent_gpu_memory_total_bytes{gpu=\"0\"} 16106127360",
    ] {
        assert!(page.contains(sample), "{sample} in {page}");
    }
    assert_eq!(reqwest::get(format!("http://{address}/readyz")).await?.status(), 200);
    Ok(())
}
