//! What passes a link, when, and what does not.

use std::num::NonZeroU32;

use super::*;

const HELLO: &[u8] = b"GET /v1/listen HTTP/1.1\r\nX-Crosspoint-Session: abc\r\n\r\n";

/// A caller and an engine with a link between them.
async fn connected(weather: Weather) -> (Link, TcpStream, TcpStream) {
    let engine = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let link = Link::open(weather, 1).await.unwrap();
    link.lead_to(engine.local_addr().unwrap());
    let mut caller = TcpStream::connect(link.address()).await.unwrap();
    caller.write_all(HELLO).await.unwrap();
    let (mut engine, _) = engine.accept().await.unwrap();
    engine.read_exact(&mut [0; HELLO.len()]).await.unwrap();
    (link, caller, engine)
}

#[tokio::test]
async fn what_is_sent_arrives_both_ways_and_ends_as_it_ended() {
    let (link, mut caller, mut engine) = connected(Weather::default()).await;
    assert_eq!(link.sessions(), ["abc"]);
    assert_eq!(link.legs(), HashMap::from([("abc".to_owned(), 1)]));
    engine.write_all(b"back").await.unwrap();
    drop(engine);
    let mut heard = Vec::new();
    caller.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"back");
}

#[tokio::test]
async fn a_link_without_an_engine_resets_who_calls() {
    let link = Link::open(Weather::default(), 1).await.unwrap();
    let mut caller = TcpStream::connect(link.address()).await.unwrap();
    assert_eq!(caller.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_is_seen_by_both_sides() {
    let (link, mut caller, mut engine) = connected(Weather::default()).await;
    link.reset();
    for socket in [&mut caller, &mut engine] {
        assert_eq!(socket.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    assert_eq!(link.legs().len(), 1);
}

#[tokio::test]
async fn a_torn_connection_carries_no_more_than_it_may() {
    let (link, mut caller, mut engine) = connected(Weather::default()).await;
    link.tear(&mut SmallRng::seed_from_u64(1), 0);
    caller.write_all(b"more").await.unwrap();
    assert_eq!(engine.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn one_way_is_cut_and_what_was_sent_arrives_when_it_opens() {
    let (link, mut caller, mut engine) = connected(Weather::default()).await;
    link.change(|weather| weather.cut = Cut::Up);
    caller.write_all(b"up").await.unwrap();
    engine.write_all(b"down").await.unwrap();
    let mut heard = [0; 4];
    caller.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"down");
    assert!(engine.try_read(&mut heard).is_err());
    link.change(|weather| weather.cut = Cut::Nowhere);
    engine.read_exact(&mut heard[..2]).await.unwrap();
    assert_eq!(&heard[..2], b"up");
}

#[tokio::test]
async fn nothing_arrives_before_its_time() {
    let delay = Duration::from_millis(30);
    let (_link, mut caller, mut engine) = connected(Weather { delay, ..Weather::default() }).await;
    let sent = Instant::now();
    caller.write_all(b"late").await.unwrap();
    engine.read_exact(&mut [0; 4]).await.unwrap();
    assert!(sent.elapsed() >= delay);
}

#[tokio::test]
async fn nothing_is_faster_than_the_rate() {
    let rate = NonZeroU32::new(1_000);
    let (link, mut caller, mut engine) = connected(Weather { rate, ..Weather::default() }).await;
    let sent = Instant::now();
    caller.write_all(&[7; 50]).await.unwrap();
    engine.read_exact(&mut [0; 50]).await.unwrap();
    assert!(sent.elapsed() >= Duration::from_millis(50));
    link.change(|weather| weather.rate = None);
    caller.write_all(&[7; 50_000]).await.unwrap();
    engine.read_exact(&mut [0; 50_000]).await.unwrap();
}

#[test]
fn what_is_held_holds_all_behind_it() {
    let (delay, held_for) = (Duration::from_millis(100), Duration::from_millis(300));
    let shared = Shared {
        weather: watch::Sender::new(Weather { delay, held: 1.0, held_for, ..Weather::default() }),
        target: Mutex::default(),
        connections: Mutex::default(),
        legs: Mutex::default(),
        left: Mutex::default(),
        seeds: AtomicU64::new(0),
    };
    let connection = Connection { session: Mutex::default(), reset: Notify::new(), left: AtomicI64::new(UNTORN) };
    let mut pipe = Pipe { shared: &shared, connection: &connection, way: Way::Up, dice: SmallRng::seed_from_u64(1) };
    let now = Instant::now();
    let held = pipe.arrival(now);
    assert!(held >= now + delay + held_for);
    shared.weather.send_modify(|weather| weather.held = 0.0);
    assert_eq!(pipe.arrival(held), held);
}
