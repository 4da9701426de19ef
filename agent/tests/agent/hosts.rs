//! What an agent makes of engines of other makers, of clouds, of cards and of routers that want to know who it is.

use std::time::Duration;

use crate::support::{Agent, FakeEngine, FakeRouter, Manners, Outcome, Pages, between, nobody};
use crosspoint_agent::{CloudConfig, Config, EngineConfig, NoticesConfig, ServerConfig, State, What};
use scheduler::{EngineApi, NodeState, NoticeKind};

/// Short enough for a test.
const OFTEN: Duration = Duration::from_millis(100);
/// Long enough that only a change can cause a second report.
const RARELY: Duration = Duration::from_secs(60);

const HEALTHY: &str = r#"{"system_health":"Healthy","active_batch_requests":0,"active_stream_requests":3,"active_listen_v2_stream_requests":0}"#;
const DEEPGRAM: &str = "# TYPE engine_estimated_stream_capacity gauge\nengine_estimated_stream_capacity 40\n\
    engine_active_requests{kind=\"batch\"} 1\nengine_active_requests{kind=\"stream\"} 3\n\
    engine_active_requests{kind=\"tts\"} 0\nengine_max_active_requests 0\n";

#[tokio::test]
async fn deepgram_is_known_by_its_pages() -> Outcome {
    let pages = Pages::start(&[("/v1/status", HEALTHY), ("/metrics", DEEPGRAM)]).await?;
    let mut router = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let engine =
        EngineConfig { url: pages.url(), metrics: Some(format!("{}/metrics", pages.url())), ..EngineConfig::default() };
    let _agent = Agent::start(&Config { engine, ..between(pages.address, &[&router], RARELY)? })?;
    let report = router.report_with(|report| report.state == NodeState::Serving).await?;
    assert_eq!((report.soft_slots, report.hard_slots, report.used_slots), (40, 46, 4));
    pages.write("/v1/status", &HEALTHY.replace("Healthy", "Degraded"));
    let report = router.report().await?;
    assert_eq!(report.reason.as_deref(), Some("Deepgram's system_health is Degraded"));
    pages.write("/v1/status", &HEALTHY.replace("Healthy", "Critical"));
    let report = router.report().await?;
    assert_eq!(
        (report.state, report.reason.as_deref()),
        (NodeState::Failing, Some("Deepgram's system_health is Critical"))
    );
    Ok(())
}

#[tokio::test]
async fn deepgram_without_metrics_needs_the_operators_word() -> Outcome {
    let pages = Pages::start(&[("/v1/status", HEALTHY)]).await?;
    let mut router = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let mut engine =
        EngineConfig { url: pages.url(), metrics: Some(format!("{}/metrics", pages.url())), ..EngineConfig::default() };
    let agent = Agent::start(&Config { engine: engine.clone(), ..between(pages.address, &[&router], RARELY)? })?;
    let says = |word: &'static str| {
        move |report: &scheduler::Report| report.reason.as_ref().is_some_and(|why| why.contains(word))
    };
    let report = router.report_with(says("set engine.slots")).await?;
    assert_eq!(report.state, NodeState::Starting);
    drop(agent);
    engine.slots = std::num::NonZeroU32::new(12);
    let _agent = Agent::start(&Config { engine, ..between(pages.address, &[&router], RARELY)? })?;
    let report = router.report_with(|report| report.state == NodeState::Serving).await?;
    assert_eq!((report.hard_slots, report.used_slots), (12, 3));
    Ok(())
}

#[tokio::test]
async fn vllm_tells_its_load_and_triton_what_waits() -> Outcome {
    let load = "vllm:num_requests_running{engine=\"0\",model_name=\"w\"} 2.0\n\
        vllm:num_requests_waiting{engine=\"0\",model_name=\"w\"} 5.0\n\
        nv_inference_pending_request_count{model=\"w\",version=\"1\"} 7\nnv_inference_exec_count{model=\"w\",version=\"1\"} 900\n";
    let models = r#"{"object":"list","data":[{"id":"w","object":"model"}]}"#;
    let pages = Pages::start(&[
        ("/health", ""),
        ("/v1/models", models),
        ("/metrics", load),
        ("/v2/health/ready", ""),
        ("/v2/models/w/ready", ""),
    ])
    .await?;
    for (api, server, used, waits) in
        [(EngineApi::OpenAi, ServerConfig::Auto, 2, 5), (EngineApi::OpenAi, ServerConfig::Triton, 0, 7)]
    {
        let mut router = FakeRouter::start(0, Manners::Accepts(0)).await?;
        let slots = std::num::NonZeroU32::new(8);
        let metrics = Some(format!("{}/metrics", pages.url()));
        let engine = EngineConfig { url: pages.url(), api, server, slots, metrics, ..EngineConfig::default() };
        let models = "w".parse().into_iter().collect();
        let _agent = Agent::start(&Config { engine, models, ..between(pages.address, &[&router], RARELY)? })?;
        let report = router.report_with(|report| report.state == NodeState::Serving).await?;
        assert_eq!((report.hard_slots, report.used_slots, report.queue_depth), (8, used, waits), "{server:?}");
    }
    Ok(())
}

#[tokio::test]
async fn amazons_notice_reaches_the_router_with_its_deadline() -> Outcome {
    let (engine, cloud) = (FakeEngine::start(0).await?, Pages::start(&[("/latest/api/token", "t0ken")]).await?);
    let mut router = FakeRouter::start(0, Manners::Accepts(0)).await?;
    let notices = NoticesConfig { cloud: CloudConfig::Aws, url: Some(cloud.url()), ..NoticesConfig::default() };
    let _agent = Agent::start(&Config { notices, ..between(engine.address, &[&router], RARELY)? })?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    let advice = "/latest/meta-data/events/recommendations/rebalance";
    cloud.write(advice, r#"{"noticeTime": "2020-10-27T08:22:00Z"}"#);
    let told = router.report_with(|report| report.notice.is_some()).await?;
    assert_eq!((told.state, told.notice.map(|notice| notice.kind)), (NodeState::Serving, Some(NoticeKind::Rebalance)));
    let at = humantime::format_rfc3339_seconds(std::time::SystemTime::now() + Duration::from_secs(120));
    cloud.write("/latest/meta-data/spot/instance-action", &format!(r#"{{"action": "terminate", "time": "{at}"}}"#));
    let told = router.report_with(|report| report.state == NodeState::Draining).await?;
    let notice = told.notice.ok_or("expected a notice")?;
    assert_eq!(notice.kind, NoticeKind::Preemption);
    let left = notice.left.ok_or("expected a deadline")?;
    assert!(left > Duration::from_secs(60) && left <= Duration::from_secs(120), "{left:?}");
    assert_eq!(told.reason, Some(format!("AWS will terminate this host at {at}")));
    Ok(())
}

#[tokio::test]
async fn googles_notice_reaches_the_router_and_may_be_withdrawn() -> Outcome {
    let base = "/computeMetadata/v1/instance";
    let (preempted, maintenance) = (format!("{base}/preempted"), format!("{base}/maintenance-event"));
    let cloud = Pages::start(&[(&preempted, "FALSE"), (&maintenance, "NONE")]).await?;
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let notices = NoticesConfig { cloud: CloudConfig::Gcp, url: Some(cloud.url()), ..NoticesConfig::default() };
    let _agent = Agent::start(&Config { notices, ..between(engine.address, &[&router], RARELY)? })?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    cloud.write(&maintenance, "TERMINATE_ON_HOST_MAINTENANCE");
    let told = router.report_with(|report| report.state == NodeState::Draining).await?;
    assert_eq!(told.notice.map(|notice| notice.kind), Some(NoticeKind::Maintenance));
    cloud.write(&maintenance, "NONE");
    let told = router.report_with(|report| report.state == NodeState::Serving).await?;
    assert_eq!((told.notice, told.reason), (None, None));
    cloud.write(&preempted, "TRUE");
    let told = router.report_with(|report| report.state == NodeState::Draining).await?;
    let left = told.notice.and_then(|notice| notice.left).ok_or("expected a deadline")?;
    assert!(left > Duration::from_secs(1) && left <= Duration::from_secs(30), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn a_metadata_server_that_is_not_there_harms_nothing() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let url = Some(format!("http://{}", nobody().await?));
    let notices = NoticesConfig { cloud: CloudConfig::Aws, url, ..NoticesConfig::default() };
    let _agent = Agent::start(&Config { notices, ..between(engine.address, &[&router], OFTEN)? })?;
    assert_eq!(router.report_with(|report| report.state == NodeState::Serving).await?.notice, None);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_drains_waits_for_streams_and_goes_on_reporting() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    engine.serve(2);
    let agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    agent.shutdown.begin();
    for used in [2, 2, 2] {
        let report = router.report_with(|report| report.state == NodeState::Draining).await?;
        assert_eq!((report.used_slots, report.reason.as_deref()), (used, Some("its agent was told to end")));
    }
    engine.serve(0);
    agent.drain().await
}

#[tokio::test]
async fn a_router_that_restarts_hears_of_a_drain_too() -> Outcome {
    let (engine, mut router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    engine.serve(1);
    let port = router.address.port();
    let agent = Agent::start(&between(engine.address, &[&router], OFTEN)?)?;
    router.report_with(|report| report.state == NodeState::Serving).await?;
    agent.shutdown.begin();
    router.report_with(|report| report.state == NodeState::Draining).await?;
    drop(router);
    let mut router = FakeRouter::start(port, Manners::Accepts(0)).await?;
    assert_eq!(router.report().await?.state, NodeState::Draining);
    engine.serve(0);
    agent.drain().await
}

#[tokio::test]
async fn an_agent_whose_token_is_wrong_is_told_so_and_comes_in_once_it_is_right() -> Outcome {
    let engine = FakeEngine::start(0).await?;
    let mut router = FakeRouter::start(0, Manners::WantsToken("the-right-token-of-20")).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, "a-wrong-token")?;
    let config = Config { token_file: Some(file.clone()), ..between(engine.address, &[&router], OFTEN)? };
    let check = config.check().await?;
    let refused = check.findings.iter().find(|finding| finding.what == What::Router).ok_or("a router")?;
    assert_eq!(refused.state, State::Missing);
    assert!(refused.text.ends_with("refuses: the agent's token is not one of this router's"), "{}", refused.text);
    let _agent = Agent::start(&config)?;
    std::fs::write(&file, "the-right-token-of-20\n")?;
    assert_eq!(router.report_with(|report| report.state == NodeState::Serving).await?.node.as_str(), "aws-1");
    Ok(())
}

#[tokio::test]
async fn a_check_finds_what_is_there_and_registers_no_node() -> Outcome {
    let (engine, router) = (FakeEngine::start(0).await?, FakeRouter::start(0, Manners::Accepts(0)).await?);
    let config = between(engine.address, &[&router], OFTEN)?;
    let check = config.check().await?;
    let expected = format!(
        "gpus     off      none: switched off\n\
         engine   ok       crosspoint at http://{}: serving, 0 of 4 slots in use\n\
         models   ok       sphinx-en-us\nslots    ok       4, of which 3 are served well; 0 in use\n\
         token    off      none is sent: routers that want one need token_file\n\
         router   ok       http://{}/ would take the reports of aws-1 for pool aws\n\
         notices  off      nobody is asked: this machine is not known to be AWS's or Google's\nnothing is missing",
        engine.address, router.address
    );
    assert_eq!(check.to_string(), expected);
    assert!(check.is_complete());
    assert_eq!(router.calls(), 0, "no report was made");
    Ok(())
}

#[tokio::test]
async fn a_check_names_everything_that_is_missing() -> Outcome {
    let config = Config {
        routers: vec![format!("http://{}", nobody().await?)],
        gpus: crosspoint_agent::GpuSource::Nvml,
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".into()),
        token_file: Some("/nonexistent/token".into()),
        ..between(nobody().await?, &[], OFTEN)?
    };
    let check = config.check().await?;
    let missing: Vec<_> =
        check.findings.iter().filter(|finding| finding.state == State::Missing).map(|finding| finding.what).collect();
    assert_eq!(missing, [What::Gpus, What::Engine, What::Models, What::Slots, What::Token, What::Router]);
    let json = serde_json::to_value(&check)?;
    assert_eq!(
        json["findings"][0]["text"],
        "none: no NVIDIA library (/nonexistent/libnvidia-ml.so.1); without cards, set gpus: none"
    );
    assert_eq!(json["report"]["state"], "starting");
    Ok(())
}
