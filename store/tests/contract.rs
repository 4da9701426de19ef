//! The contract that every backend keeps.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crosspoint_store::{Claim, Embedded, KeyError, Keys, LEASE_LIFE, Leases, Secret};
use scheduler::{NodeId, SessionId, Timestamp};

const NOW: Timestamp = Timestamp::ZERO;

fn node() -> NodeId {
    "aws-1".parse().unwrap()
}

fn session(number: u128) -> SessionId {
    SessionId::from_random(number)
}

async fn a_node_is_never_promised_beyond_its_slots(store: &dyn Leases) {
    assert_eq!(store.claim(&node(), session(1), 2, NOW).await, Ok(Claim::Held));
    assert_eq!(store.claim(&node(), session(2), 2, NOW).await, Ok(Claim::Held));
    assert_eq!(store.claim(&node(), session(3), 2, NOW).await, Ok(Claim::Full));
    assert_eq!(store.claim(&node(), session(2), 2, NOW).await, Ok(Claim::Held), "a claim is idempotent");
    store.release(&node(), session(1)).await.unwrap();
    store.release(&node(), session(1)).await.unwrap();
    assert_eq!(store.claim(&node(), session(3), 2, NOW).await, Ok(Claim::Held));
    assert_eq!(store.count(&node(), NOW).await, Ok(2));
}

async fn a_lease_that_nobody_renews_ends_after_its_life(store: &dyn Leases) {
    store.claim(&node(), session(1), 1, NOW).await.unwrap();
    let later = NOW + LEASE_LIFE - Duration::from_secs(1);
    assert_eq!(store.claim(&node(), session(2), 1, later).await, Ok(Claim::Full));
    store.renew(&node(), session(1), later).await.unwrap();
    assert_eq!(store.claim(&node(), session(2), 1, NOW + LEASE_LIFE).await, Ok(Claim::Full));
    assert_eq!(store.claim(&node(), session(2), 1, later + LEASE_LIFE).await, Ok(Claim::Held));
}

#[tokio::test]
async fn embedded_leases_keep_the_contract() {
    a_node_is_never_promised_beyond_its_slots(&Embedded::new()).await;
    a_lease_that_nobody_renews_ends_after_its_life(&Embedded::new()).await;
}

#[tokio::test]
async fn a_dev_key_opens_on_loopback_only() {
    let store = Embedded::new().with_dev_key(&Secret::new("right"), "dev".parse().unwrap());
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let away = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(store.check(&Secret::new("right"), home).await.unwrap().tenant.as_str(), "dev");
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    assert!(store.check(&Secret::new("right"), mapped).await.is_ok(), "as a socket on [::] shows it");
    assert_eq!(store.check(&Secret::new("wrong"), home).await, Err(KeyError::Unknown));
    assert_eq!(store.check(&Secret::new("right"), away).await, Err(KeyError::NotLoopback(away)));
    assert_eq!(Embedded::new().check(&Secret::new("right"), home).await, Err(KeyError::Unknown));
}

#[test]
fn a_secret_shows_only_its_length() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "[7]");
}
