//! TLS as callers meet it: handshakes, their deadline, and certificates that change.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::edge::{CertificateError, Certificates, Tls, TlsConfig};

type Issued = rcgen::CertifiedKey<rcgen::KeyPair>;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// A folder with a certificate and its key.
struct Folder(TempDir);

impl Folder {
    fn new() -> (Self, Issued) {
        let (folder, issued) = (Self(TempDir::new().unwrap()), issue());
        folder.put(&issued.cert.pem(), &issued.signing_key.serialize_pem());
        (folder, issued)
    }

    fn config(&self) -> TlsConfig {
        let (certificate, key) = (self.0.path().join("chain.pem"), self.0.path().join("key.pem"));
        TlsConfig { listen: PEER, certificate, key }
    }

    fn put(&self, certificate: &str, key: &str) {
        let config = self.config();
        std::fs::write(config.certificate, certificate).unwrap();
        std::fs::write(config.key, key).unwrap();
    }

    async fn read(&self) -> Certificates {
        Certificates::read(&self.config()).await.unwrap()
    }
}

fn issue() -> Issued {
    rcgen::generate_simple_self_signed(["proxy.test".to_owned()]).unwrap()
}

/// Makes a caller that trusts one certificate and offers one protocol.
fn trusting(issued: &Issued, version: &'static SupportedProtocolVersion, protocol: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(issued.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// Comes in by the second way.
fn connect_to(edge: &mut Edge, tls: &Tls) -> DuplexStream {
    let (caller, socket) = duplex(ROOM);
    let seat = edge.seats.take(PEER.ip(), Instant::now()).unwrap();
    edge.host.shake_hands(tls.clone(), socket, PEER, (seat, edge.lanes.next().enter().0));
    caller
}

async fn shake_hands(edge: &mut Edge, tls: &Tls, caller: &TlsConnector) -> io::Result<TlsStream<DuplexStream>> {
    caller.connect(ServerName::try_from("proxy.test").unwrap(), connect_to(edge, tls)).await
}

/// Tells whether a new caller who trusts only `issued` gets an answer.
async fn shows(edge: &mut Edge, tls: &Tls, issued: &Issued) -> bool {
    let Ok(mut caller) = shake_hands(edge, tls, &trusting(issued, &TLS13, "http/1.1")).await else { return false };
    caller.write_all(GET).await.unwrap();
    let mut answer = String::new();
    caller.read_to_string(&mut answer).await.unwrap();
    answer.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn both_versions_of_tls_lead_to_the_routes() {
    let (folder, issued) = Folder::new();
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&folder.read().await).unwrap());
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut caller = shake_hands(&mut edge, &tls, &trusting(&issued, version, "http/1.1")).await.unwrap();
        let spoken = caller.get_ref().1;
        assert_eq!((spoken.protocol_version(), spoken.alpn_protocol()), (Some(number), Some(&b"http/1.1"[..])));
        caller.write_all(GET).await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert_eq!(statuses(&answer), [200], "and the end is told, not torn");
    }
}

#[tokio::test]
async fn a_stream_is_upgraded_inside_tls() {
    let (folder, issued) = Folder::new();
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&folder.read().await).unwrap());
    let mut caller = shake_hands(&mut edge, &tls, &trusting(&issued, &TLS13, "http/1.1")).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    caller.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(caller.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    caller.write_all(b"_: \n!").await.unwrap();
    let mut echo = [0; 5];
    caller.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"_: \n!");
}

#[tokio::test]
async fn http_in_clear_and_other_protocols_are_hung_up_on() {
    let (folder, issued) = Folder::new();
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&folder.read().await).unwrap());
    assert!(shake_hands(&mut edge, &tls, &trusting(&issued, &TLS13, "h2")).await.is_err());
    let answer = exchange(connect_to(&mut edge, &tls), GET).await;
    assert!(!answer.contains("HTTP/"), "{answer:?}");
    edge.seats.take(PEER.ip(), Instant::now()).unwrap();
}

/// Writes `bytes` one after the other, with a pause after each.
async fn drip(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        writer.write_u8(*byte).await?;
        sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drags_on_ends_after_five_seconds() {
    let (folder, _) = Folder::new();
    let limits = Limits { connections: NonZeroUsize::MIN, ..Limits::default() };
    let (mut edge, tls) = (edge(limits), Tls::new(&folder.read().await).unwrap());
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 40]].concat();
    for bytes in [&[][..], &hello] {
        let (since, caller) = (Instant::now(), connect_to(&mut edge, &tls));
        let (mut reader, mut writer) = tokio::io::split(caller);
        let mut answer = Vec::new();
        let (_, read) = tokio::join!(drip(&mut writer, bytes), async {
            reader.read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(since.elapsed().as_secs())
        });
        assert_eq!((answer.len(), read.unwrap()), (0, 5));
    }
    sleep(Duration::from_secs(1)).await;
    assert!(edge.seats.take(PEER.ip(), Instant::now()).is_ok(), "its seat is free again");
}

#[tokio::test]
async fn a_new_certificate_is_for_new_handshakes() {
    let (folder, old) = Folder::new();
    let mut certificates = folder.read().await;
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&certificates).unwrap());
    let mut open = shake_hands(&mut edge, &tls, &trusting(&old, &TLS13, "http/1.1")).await.unwrap();
    let new = issue();
    folder.put(&new.cert.pem(), &new.signing_key.serialize_pem());
    certificates.look().await;
    assert!(shows(&mut edge, &tls, &new).await);
    assert!(!shows(&mut edge, &tls, &old).await);
    open.write_all(GET).await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert_eq!(statuses(&answer), [200]);
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_every_two_seconds() {
    let (folder, _) = Folder::new();
    let certificates = folder.read().await;
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&certificates).unwrap());
    edge.host.shutdown.spawn("certificates", certificates.follow(edge.host.shutdown.clone()));
    let new = issue();
    folder.put(&new.cert.pem(), &new.signing_key.serialize_pem());
    let since = Instant::now();
    while !shows(&mut edge, &tls, &new).await {
        assert!(since.elapsed() < Duration::from_secs(60), "never shown");
        sleep(Duration::from_millis(500)).await;
    }
    assert!(since.elapsed() >= Duration::from_secs(2));
    assert_eq!(edge.host.shutdown.drain(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn a_pair_that_makes_no_sense_leaves_the_last_good_one() {
    let (folder, old) = Folder::new();
    let mut certificates = folder.read().await;
    let (mut edge, tls) = (edge(Limits::default()), Tls::new(&certificates).unwrap());
    let new = issue();
    let (certificate, key) = (new.cert.pem(), new.signing_key.serialize_pem());
    let not_whole = certificate.trim_end().len();
    for written in (0..not_whole).step_by(29).chain([not_whole - 1]) {
        folder.put(&certificate[..written], &key);
        certificates.look().await;
    }
    folder.put(&certificate, &old.signing_key.serialize_pem());
    certificates.look().await;
    folder.put(&certificate, &key[..key.len() / 2]);
    certificates.look().await;
    std::fs::remove_file(folder.config().key).unwrap();
    certificates.look().await;
    assert!(shows(&mut edge, &tls, &old).await);
    folder.put(&certificate, &key);
    certificates.look().await;
    assert!(shows(&mut edge, &tls, &new).await);
}

async fn refused(config: &TlsConfig) -> String {
    let read: Result<_, CertificateError> = Certificates::read(config).await;
    read.err().unwrap().to_string()
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_named() {
    let (folder, issued) = Folder::new();
    let config = folder.config();
    let (certificate, key) = (config.certificate.display(), config.key.display());
    folder.put(&issued.cert.pem(), "nothing");
    assert_eq!(refused(&config).await, format!("expected a private key in whole PEM sections in {key}"));
    folder.put("", &issued.signing_key.serialize_pem());
    assert_eq!(refused(&config).await, format!("expected certificates in whole PEM sections in {certificate}"));
    folder.put(&issued.cert.pem(), &issue().signing_key.serialize_pem());
    let mismatch = refused(&config).await;
    assert!(mismatch.starts_with(&format!("cannot use {certificate} with the key {key}: ")), "{mismatch}");
    let nowhere = TlsConfig { key: Path::new("/nowhere/key.pem").to_owned(), ..config.clone() };
    let why = "No such file or directory (os error 2)";
    assert_eq!(refused(&nowhere).await, format!("cannot read /nowhere/key.pem, the TLS key: {why}"));
}
