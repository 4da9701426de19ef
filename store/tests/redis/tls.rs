//! A Redis that speaks TLS only, under an authority of this test's own.

use std::time::Duration;

use crosspoint_store::{BadRedis, Claim, Leases, Redis, RedisServers};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use scheduler::Timestamp;
use serde_json::json;

use super::process::{PATIENCE, Process, free_address, until};
use crate::slot;

#[tokio::test]
async fn a_redis_over_tls_is_trusted_by_its_authority_alone() {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([address.to_string()]).unwrap().signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, chain) = (write("ca.pem", authority.pem()), write("chain.pem", certificate.pem()));
    let key = write("key.pem", key.serialize_pem());
    let tls = ["--port", "0", "--tls-port", "6379", "--tls-auth-clients", "no", "--requirepass", "hunter2"];
    let files = ["--tls-cert-file", &chain, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let Some(_server) = Process::start(address, &[tls.as_slice(), &files].concat()) else { return };

    let url = format!("rediss://:hunter2@{address}:6379");
    let servers = |value| serde_json::from_value::<RedisServers>(value).unwrap();
    let trusting = Redis::new(&servers(json!({ "url": url, "ca": ca })), PATIENCE).unwrap();
    until("claim over TLS", async || trusting.claim(&slot(1), 1, Timestamp::ZERO).await == Ok(Claim::Held)).await;

    let wary = Redis::new(&servers(json!(url)), Duration::from_secs(5)).unwrap();
    let refused = wary.claim(&slot(1), 1, Timestamp::ZERO).await.unwrap_err();
    assert!(refused.0.contains("certificate") && !refused.0.contains("hunter2"), "{refused}");

    let nowhere = servers(json!({ "url": url, "ca": "/nowhere/ca.pem" }));
    let error = Redis::new(&nowhere, PATIENCE).unwrap_err();
    assert!(matches!(error, BadRedis::Ca { .. }) && error.to_string().contains("/nowhere/ca.pem"), "{error}");
}
