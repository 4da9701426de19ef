//! Two routers on one Redis: one fleet, one set of leases, and neither needs the other or Redis to go on.

use uuid::Uuid;

use proto::v1::RefusalKind;

use crate::support::child::{Child, kill};
use crate::support::redis::Redis;
use crate::support::router::{Node, Router};
use crate::support::until;

/// Two routers, and a node of one slot that reports to the first as long as it lives.
struct Pair {
    redis: Redis,
    first: Router,
    second: Router,
    node: Node,
    _child: Child,
}

impl Pair {
    /// Starts everything and waits until both routers know the node; nothing where there is no Redis.
    async fn start() -> anyhow::Result<Option<Self>> {
        let Some(redis) = Redis::start().await? else { return Ok(None) };
        let (first, second) = (Router::start(&redis.url()).await?, Router::start(&redis.url()).await?);
        let (child, node) = first.node("only", &second).await?;
        first.serving(&node).await?;
        second.serving(&node).await?;
        Ok(Some(Self { redis, first, second, node, _child: child }))
    }

    fn held(&self) -> Result<String, RefusalKind> {
        Ok(self.node.name.clone())
    }
}

#[tokio::test]
async fn two_routers_on_one_redis_are_one_service() -> anyhow::Result<()> {
    let Some(pair) = Pair::start().await? else { return Ok(()) };
    let Pair { first, second, node, .. } = &pair;
    let [one, two] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    assert_eq!(second.place(one).await?, pair.held(), "a node that it has never spoken to");
    // The first router knows of no session there, and is stopped by the lease.
    assert_eq!(first.place(two).await?, Err(RefusalKind::Full));
    assert_eq!((first.leases(node).await?, second.leases(node).await?), (1, 1));
    second.end(one, node).await?;
    assert_eq!(first.leases(node).await?, 0);
    assert_eq!(first.place(two).await?, pair.held());
    Ok(())
}

#[tokio::test]
async fn without_redis_both_go_on_and_with_it_leases_are_written_again() -> anyhow::Result<()> {
    let Some(mut pair) = Pair::start().await? else { return Ok(()) };
    let [one, two] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    assert_eq!(pair.first.place(one).await?, pair.held());

    pair.redis.kill().await?;
    let Pair { first, second, node, .. } = &pair;
    assert_eq!(second.place(two).await?, pair.held(), "without a lease the node decides");
    // Each router remembers its own promises for 3 s; so long without a word a node would be silent, if it could speak.
    for router in [first, second] {
        until("place without a lease", async || Ok(router.place(two).await?.ok())).await?;
    }
    second.serving(node).await?;
    let away = "redis is away, going on without it";
    until("word of both routers", async || {
        Ok((first.log().contains(away) && second.log().contains(away)).then_some(()))
    })
    .await?;
    assert_eq!((first.leases(node).await?, second.leases(node).await?), (0, 0));

    pair.redis.start_again().await?;
    let Pair { first, second, node, .. } = &pair;
    // As a proxy does every 5 s.
    until("lease written again", async || {
        first.renew(one, node).await?;
        Ok((second.leases(node).await? == 1).then_some(()))
    })
    .await?;
    second.serving(node).await?;
    assert_eq!(second.place(two).await?, Err(RefusalKind::Full));
    Ok(())
}

#[tokio::test]
async fn a_router_that_is_killed_leaves_the_other_with_everything() -> anyhow::Result<()> {
    let Some(pair) = Pair::start().await? else { return Ok(()) };
    let Pair { first, second, node, .. } = &pair;
    let [one, two] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    assert_eq!(first.place(one).await?, pair.held());
    kill(first.pid()).await?;
    assert_eq!(second.leases(node).await?, 1, "the lease outlives the router that claimed it");
    assert_eq!(second.place(two).await?, Err(RefusalKind::Full));
    second.end(one, node).await?;
    until("report to the other router", async || {
        let hears = second.log().contains("node reports node=only");
        Ok(hears.then_some(()))
    })
    .await?;
    assert_eq!(second.place(two).await?, pair.held());
    Ok(())
}

#[tokio::test]
async fn one_router_plans_and_the_other_takes_over_when_it_is_killed() -> anyhow::Result<()> {
    let Some(pair) = Pair::start().await? else { return Ok(()) };
    let Pair { first, second, .. } = &pair;
    let agreed = until("a plan that both show", async || {
        let (one, two) = (first.planned("aws-us-west-2").await?, second.planned("aws-us-west-2").await?);
        Ok(one.filter(|one| two.as_ref() == Some(one)))
    })
    .await?;
    let plans = |router: &Router| router.log().matches("this router plans").count();
    assert_eq!(plans(first) + plans(second), 1, "exactly one leads");
    let (leader, other) = if agreed.0 == first.name() { (first, second) } else { (second, first) };
    assert_eq!(agreed.0, leader.name());
    assert!((2..=4).contains(&agreed.1), "{} nodes where 4 are wanted to start with and 2 at least", agreed.1);
    kill(leader.pid()).await?;
    until("plan of the other router", async || {
        Ok(other.planned("aws-us-west-2").await?.filter(|(leader, _)| leader == other.name()))
    })
    .await?;
    assert!(other.log().contains("resumed=true"), "it goes on with what the first had learned");
    Ok(())
}
