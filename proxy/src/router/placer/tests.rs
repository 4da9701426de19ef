//! Routers that hang, die, know nothing and come back.

use std::net::SocketAddr;

use proto::v1::placement_server::{Placement as Door, PlacementServer};
use proto::v1::session_update::Update;
use proto::v1::{
    CostsReply, CostsRequest, Ended, Place, PlaceReply, Refusal, RefusalKind, Released, SessionOrder, SessionUpdate,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Response, Status, Streaming};

use super::*;

/// What a router does when it is asked.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Places(&'static str),
    /// Places when it has been asked for the second time.
    PlacesLate(&'static str),
    Refuses(RefusalKind),
    Hangs,
}

#[derive(Clone)]
struct Router(Manner, Arc<AtomicUsize>);

#[tonic::async_trait]
impl Door for Router {
    type SessionsStream = ReceiverStream<Result<SessionOrder, Status>>;

    async fn place(&self, _: tonic::Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        self.1.fetch_add(1, Ordering::Relaxed);
        while matches!(self.0, Manner::PlacesLate(_)) && self.1.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        let reply = match self.0 {
            Manner::Places(node) | Manner::PlacesLate(node) => {
                let place = Place { node: node.to_owned(), pool: "p".to_owned(), ..Place::default() };
                PlaceReply { placements: vec![place], ..PlaceReply::default() }
            }
            Manner::Refuses(kind) => {
                let refusal = Refusal { kind: kind.into(), retry_after_milliseconds: 2000, text: String::new() };
                PlaceReply { refusal: Some(refusal), ..PlaceReply::default() }
            }
            Manner::Hangs => std::future::pending().await,
        };
        Ok(Response::new(reply))
    }

    async fn costs(&self, _: tonic::Request<CostsRequest>) -> Result<Response<CostsReply>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }

    async fn sessions(
        &self,
        _: tonic::Request<Streaming<SessionUpdate>>,
    ) -> Result<Response<Self::SessionsStream>, Status> {
        Err(Status::unimplemented("nobody asks here"))
    }
}

/// Starts a router and returns its address, and how often it was asked.
async fn router(manner: Manner, shutdown: &Shutdown) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let (address, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::default());
    let server = Server::builder().add_service(PlacementServer::new(Router(manner, Arc::clone(&asked))));
    let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
    shutdown.spawn("router", async move { serving.await.unwrap() });
    (address, asked)
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn request() -> Request {
    Request {
        session: SessionId::from_random(1),
        tenant: "t".parse().unwrap(),
        key: Some("k1".parse().unwrap()),
        file: None,
        model: "m".parse().unwrap(),
        work: scheduler::Work::Stream,
        class: scheduler::Class::New,
        priority: Priority::Live,
        pools: None,
        residency: None,
        compliance: [].into(),
        max_cost: None,
        latency_limit: Duration::from_millis(300),
        audio_bytes_per_second: 32_000,
        exclude: [].into(),
        prefer: None,
        facts: scheduler::rules::Facts::default(),
    }
}

fn placer(routers: &[&String]) -> Placer {
    let routers: Vec<_> = routers.iter().map(|&router| router.clone()).collect();
    Placer::new(&routers, Duration::from_secs(20)).unwrap()
}

async fn placed(placer: &Placer) -> Result<String, CloseReason> {
    place(placer, &Counting::new(None, Reporter::default())).await
}

async fn place(placer: &Placer, counting: &Counting) -> Result<String, CloseReason> {
    let placed = placer.place(&request(), Trace::begin(), counting).await.map_err(|failure| failure.reason);
    placed.map(|placements| placements[0].node.to_string())
}

#[tokio::test]
async fn a_router_that_hangs_costs_one_session_a_moment_and_the_next_nothing() {
    let shutdown = Shutdown::new();
    let (hanging, asked) = router(Manner::Hangs, &shutdown).await;
    let (living, _) = router(Manner::Places("b"), &shutdown).await;
    let placer = placer(&[&hanging, &living]);
    for _ in 0..5 {
        assert_eq!(placed(&placer).await, Ok("b".to_owned()));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the router that answered last is asked first");
    shutdown.cut().await;
}

#[tokio::test]
async fn a_router_that_is_gone_is_passed_over_and_found_again() {
    let shutdown = Shutdown::new();
    let gone = nobody().await;
    let (living, asked) = router(Manner::Places("b"), &shutdown).await;
    assert_eq!(placed(&placer(&[&gone, &living])).await, Ok("b".to_owned()));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    shutdown.cut().await;
}

#[tokio::test]
async fn a_router_that_knows_of_no_node_has_not_the_last_word() {
    let shutdown = Shutdown::new();
    let (cold, _) = router(Manner::Refuses(RefusalKind::NoLiveNode), &shutdown).await;
    let (full, _) = router(Manner::Refuses(RefusalKind::Full), &shutdown).await;
    let (living, asked) = router(Manner::Places("b"), &shutdown).await;
    assert_eq!(placed(&placer(&[&cold, &living])).await, Ok("b".to_owned()));
    assert_eq!(placed(&placer(&[&cold])).await, Err(CloseReason::NoLiveNode));
    assert_eq!(placed(&placer(&[&full, &living])).await, Err(CloseReason::NoCapacity));
    assert_eq!(asked.load(Ordering::Relaxed), 1, "full is full for everybody");
    shutdown.cut().await;
}

#[tokio::test]
async fn a_session_counts_once_however_many_routers_were_asked_and_not_when_it_is_refused() {
    let shutdown = Shutdown::new();
    let (hanging, _) = router(Manner::Hangs, &shutdown).await;
    let (full, _) = router(Manner::Refuses(RefusalKind::Full), &shutdown).await;
    let (living, _) = router(Manner::Places("b"), &shutdown).await;
    let reporter = Reporter::default();
    let counting = Counting::new(Some(1), reporter.clone());
    let session = request().session;
    let ended = || {
        reporter.ended(session, Ended { session: session.to_string(), ..Ended::default() });
        match reporter.next() {
            Some(Update::Ended(ended)) => ended.counted.map(|counted| counted.key),
            other => panic!("{other:?}"),
        }
    };
    reporter.may_count(session);
    assert_eq!(place(&placer(&[&full]), &counting).await, Err(CloseReason::NoCapacity));
    assert_eq!(ended(), None);
    reporter.may_count(session);
    assert_eq!(place(&placer(&[&hanging, &living]), &counting).await, Ok("b".to_owned()));
    assert_eq!([ended(), ended()], [Some("k1".to_owned()), None]);
    assert_eq!(place(&placer(&[&living]), &counting).await, Ok("b".to_owned()));
    assert_eq!(ended(), None, "who has gone by the time it is placed counts no more");
    shutdown.cut().await;
}

#[tokio::test]
async fn what_a_router_promises_too_late_is_given_back() {
    let shutdown = Shutdown::new();
    let (late, asked) = router(Manner::PlacesLate("a"), &shutdown).await;
    let (living, _) = router(Manner::Places("b"), &shutdown).await;
    let reporter = Reporter::default();
    let counting = Counting::new(None, reporter.clone());
    assert_eq!(place(&placer(&[&late, &living]), &counting).await, Ok("b".to_owned()));
    asked.store(2, Ordering::Relaxed);
    let telling = async {
        loop {
            match reporter.next() {
                Some(update) => return update,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let told = timeout(Duration::from_secs(10), telling).await.expect("the slot is given back");
    let released = Released { session: request().session.to_string(), node: "a".to_owned() };
    assert_eq!(told, Update::Released(released));
    shutdown.cut().await;
}

#[tokio::test]
async fn without_any_router_a_session_waits_a_second_and_is_told() {
    let gone = nobody().await;
    assert_eq!(placed(&placer(&[&gone])).await, Err(CloseReason::RouterAway));
    assert_eq!(placed(&placer(&[])).await, Err(CloseReason::RouterAway));
}

#[tokio::test]
async fn a_router_address_without_its_scheme_is_refused() {
    for wrong in ["127.0.0.1:7400", "nonsense", "", "https://127.0.0.1:7400"] {
        let error = Placer::new(&[wrong.to_owned()], Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().ends_with(&format!("got {wrong:?}")), "{error}");
    }
    assert!(Placer::new(&["http://127.0.0.1:7400".to_owned()], Duration::from_secs(1)).is_ok());
}
