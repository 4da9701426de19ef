//! What routers share beside slots: how many sessions a key has, which node a session was on, and which nodes fail.

use proto::v1::session_update::Update;
use proto::v1::{Counted, Ended, Failed, Opened, PlaceRequest, RefusalKind, Renewal};
use uuid::Uuid;

use crate::support::child::{Child, kill};
use crate::support::redis::Redis;
use crate::support::router::{Node, Router, asking};
use crate::support::until;

/// Two routers on one Redis, and two nodes of eight slots in one pool.
struct Shared {
    redis: Redis,
    first: Router,
    second: Router,
    nodes: Vec<Node>,
    _children: Vec<Child>,
}

impl Shared {
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(redis) = Redis::start().await? else { return Ok(None) };
        let (first, second) = (Router::start(&redis.url()).await?, Router::start(&redis.url()).await?);
        let (mut nodes, mut children) = (Vec::new(), Vec::new());
        for name in ["one", "two"] {
            let (child, node) = first.node_of(name, "8", &second).await?;
            first.serving(&node).await?;
            second.serving(&node).await?;
            nodes.push(node);
            children.push(child);
        }
        Ok(Some(Self { redis, first, second, nodes, _children: children }))
    }
}

fn counted(session: Uuid) -> Counted {
    Counted { key: "k1".to_owned(), session: session.to_string() }
}

/// Asks for a session of a key that may have two at one time.
fn limited(session: Uuid) -> PlaceRequest {
    PlaceRequest { key: "k1".to_owned(), concurrent_limit: Some(2), ..asking(session) }
}

#[tokio::test]
async fn a_key_has_no_more_sessions_than_it_may_on_all_routers_together() -> anyhow::Result<()> {
    let Some(mut shared) = Shared::start().await? else { return Ok(()) };
    let sessions: Vec<_> = (1..=20).map(Uuid::from_u128).collect();
    let asked = sessions.iter().enumerate().map(async |(number, session)| {
        let router = if number % 2 == 0 { &shared.first } else { &shared.second };
        router.place_as(limited(*session)).await
    });
    let answers: Vec<_> = futures_util::future::join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let placed: Vec<_> = sessions.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).collect();
    assert_eq!(placed.len(), 2, "{answers:?}");
    assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|kind| *kind == RefusalKind::OverLimit));

    // The chunks of a file that runs are the file; a session that moves is not new; another key is not asked.
    let (running, late) = (*placed[0].0, Uuid::from_u128(99));
    let chunk = PlaceRequest { file: Some(running.to_string()), ..limited(Uuid::from_u128(50)) };
    assert!(shared.second.place_as(chunk).await?.is_ok());
    assert!(shared.second.place_as(PlaceRequest { key: "k2".to_owned(), ..limited(late) }).await?.is_ok());

    // Redis forgets; what still runs is renewed, and counts again.
    shared.redis.kill().await?;
    shared.redis.start_again().await?;
    let renewal = Renewal { held: vec![], counted: placed.iter().map(|(session, _)| counted(**session)).collect() };
    until("renewed count", async || {
        shared.second.tell(Update::Renewal(renewal.clone())).await?;
        Ok((shared.first.place_as(limited(late)).await? == Err(RefusalKind::OverLimit)).then_some(()))
    })
    .await?;

    let ended = Ended { session: running.to_string(), counted: Some(counted(running)), ..Ended::default() };
    shared.second.tell(Update::Ended(ended)).await?;
    assert!(shared.first.place_as(limited(late)).await?.is_ok(), "what ended at one router is free at the other");
    Ok(())
}

#[tokio::test]
async fn a_claim_is_undone_where_no_node_takes_the_session() -> anyhow::Result<()> {
    let Some(shared) = Shared::start().await? else { return Ok(()) };
    let nowhere = |number| PlaceRequest { model: "nobody-has-it".to_owned(), ..limited(Uuid::from_u128(number)) };
    for number in 1..5 {
        assert_eq!(shared.first.place_as(nowhere(number)).await?, Err(RefusalKind::NoLiveNode));
    }
    assert!(shared.second.place_as(limited(Uuid::from_u128(9))).await?.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_session_that_comes_back_finds_its_node_by_any_router() -> anyhow::Result<()> {
    let Some(shared) = Shared::start().await? else { return Ok(()) };
    for number in 1..=4 {
        let session = Uuid::from_u128(number);
        let node = shared.nodes[usize::try_from(number)? % 2].name.clone();
        let opened = Opened { session: session.to_string(), node: node.clone(), epoch: 1, file: None };
        shared.first.tell(Update::Opened(opened)).await?;
        let ended = Ended { session: session.to_string(), node: Some(node.clone()), ..Ended::default() };
        shared.first.tell(Update::Ended(ended)).await?;
        assert_eq!(shared.second.place_as(asking(session)).await?, Ok(node), "session {number}");
    }
    let failed = PlaceRequest { exclude: vec!["two".to_owned()], ..asking(Uuid::from_u128(1)) };
    assert_eq!(shared.second.place_as(failed).await?, Ok("one".to_owned()), "a node that failed it is not preferred");
    kill(shared.first.pid()).await?;
    let third = Router::start(&shared.redis.url()).await?;
    third.serving(&shared.nodes[0]).await?;
    assert_eq!(
        third.place_as(asking(Uuid::from_u128(3))).await?,
        Ok("two".to_owned()),
        "by one that was just started too"
    );
    Ok(())
}

#[tokio::test]
async fn a_node_that_fails_at_one_router_is_avoided_by_the_other() -> anyhow::Result<()> {
    let Some(shared) = Shared::start().await? else { return Ok(()) };
    for number in 1..=3 {
        let session = Uuid::from_u128(number).to_string();
        let failed = Failed { session, node: "one".to_owned(), cause: "connection refused".to_owned(), file: None };
        shared.first.tell(Update::Failed(failed)).await?;
    }
    until("verdict at the other router", async || {
        let view = shared.second.serving(&shared.nodes[0]).await?;
        Ok(view["error_share"].as_f64().filter(|share| *share > 0.3))
    })
    .await?;
    // A node that just began is opened with the next tick.
    until("open node", async || {
        let dry = PlaceRequest { dry_run: true, ..asking(Uuid::from_u128(9)) };
        Ok((shared.second.place_as(dry).await? == Ok("two".to_owned())).then_some(()))
    })
    .await?;
    // More of them would make it doubt that the node has room: the other router is taken to place as many there.
    for number in 10..12 {
        assert_eq!(shared.second.place_as(asking(Uuid::from_u128(number))).await?, Ok("two".to_owned()));
    }
    Ok(())
}
