//! A proxy with a certificate hands both of its ports over. Alone in its file, because a process has one page of metrics.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crosspoint_proxy::edge::TlsConfig;
use crosspoint_proxy::{App, Config, UsageJournal};
use process::Shutdown;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use scheduler::Models;
use store::{Embedded, Keyring, StoreConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A certificate, and who trusts it.
struct Identity {
    tls: TlsConfig,
    connector: TlsConnector,
}

fn identity(folder: &Path) -> Outcome<Identity> {
    let issued = rcgen::generate_simple_self_signed(["proxy.test".to_owned()])?;
    let (certificate, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, issued.cert.pem())?;
    std::fs::write(&key, issued.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone())?;
    let caller = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = TlsConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), certificate, key };
    Ok(Identity { tls, connector: TlsConnector::from(Arc::new(caller)) })
}

async fn app(folder: &Path, (listen, metrics): (SocketAddr, SocketAddr), tls: &TlsConfig) -> Outcome<App> {
    let handover = Some(folder.join("proxy.sock"));
    let config = Config { listen, metrics, tls: Some(tls.clone()), handover, ..Config::default() };
    let usage = UsageJournal::open(&StoreConfig::default())?;
    let store = Arc::new(Embedded::new());
    Ok(config.build(Models::default(), Keyring::new(store.clone()), store, usage).await?)
}

fn run(app: App) -> Shutdown {
    let shutdown = Shutdown::new();
    shutdown.spawn("proxy", app.run(shutdown.clone()));
    shutdown
}

async fn ask(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<String> {
    io.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    io.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn both_ports_and_that_of_the_metrics_go_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let Identity { mut tls, connector } = identity(folder.path()).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let old = app(folder.path(), (any, any), &tls).await.unwrap();
    let (plain, secure, metrics) = (old.address(), old.tls_address().unwrap(), old.metrics_address());
    let mut serving = run(old);
    tls.listen = secure;
    for _restart in 0..5 {
        // These wait in the kernel's queues, or at the old process without a word, while the next one starts.
        let mut waiting = Vec::new();
        for _caller in 0..20 {
            waiting.push((TcpStream::connect(plain).await.unwrap(), TcpStream::connect(secure).await.unwrap()));
        }
        let next = app(folder.path(), (plain, metrics), &tls).await.unwrap();
        assert_eq!((next.address(), next.tls_address(), next.metrics_address()), (plain, Some(secure), metrics));
        let old = std::mem::replace(&mut serving, run(next));
        old.begun().await;
        for (plain, secure) in waiting {
            let name = ServerName::try_from("proxy.test").unwrap();
            let secured = connector.connect(name, secure).await.unwrap();
            for answer in [ask(plain).await.unwrap(), ask(secured).await.unwrap()] {
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
        assert_eq!(old.drain(Duration::from_secs(20)).await, 0);
    }
    assert!(ask(TcpStream::connect(metrics).await.unwrap()).await.unwrap().starts_with("HTTP/1.1 200"));
}
