//! A proxy with a certificate: both of its ports lead to the same routes. Alone in its file, because a process has one
//! page of metrics.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crosspoint_proxy::edge::TlsConfig;
use crosspoint_proxy::{Config, UsageJournal};
use process::Shutdown;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use scheduler::Models;
use store::{Embedded, Keyring, StoreConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    io.write_all(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    io.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn both_ports_lead_to_the_same_routes() {
    let folder = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(["proxy.test".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, issued.cert.pem()).unwrap();
    std::fs::write(&key, issued.signing_key.serialize_pem()).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let tls = Some(TlsConfig { listen: any, certificate, key });
    let config = Config { listen: any, metrics: any, tls, ..Config::default() };
    let usage = UsageJournal::open(&StoreConfig::default()).unwrap();
    let store = Arc::new(Embedded::new());
    let app = config.build(Models::default(), Keyring::new(store.clone()), store, usage).await.unwrap();
    let (plain, secure) = (app.address(), app.tls_address().unwrap());
    let shutdown = Shutdown::new();
    shutdown.spawn("proxy", app.run(shutdown.clone()));

    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let caller = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("proxy.test").unwrap();
    let socket = TcpStream::connect(secure).await.unwrap();
    let secured = TlsConnector::from(Arc::new(caller)).connect(name, socket).await.unwrap();
    let over_tls = ask(secured).await.unwrap();
    let in_clear = ask(TcpStream::connect(plain).await.unwrap()).await.unwrap();
    for answer in [over_tls, in_clear] {
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("x-request-id"), "{answer}");
    }
    assert_eq!(shutdown.drain(Duration::from_secs(5)).await, 0);
}
