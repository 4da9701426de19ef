//! The least that a placement can cost: a gRPC server that gives everybody the same reply.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;

use proto::v1::placement_server::{Placement, PlacementServer};
use proto::v1::{CostsReply, CostsRequest, Place, PlaceReply, PlaceRequest, ScoreTerms, SessionOrder, SessionUpdate};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Placements in a reply: one and two to fall back on, as routers give.
const PLACEMENTS: usize = 3;

/// The echo could not be served.
#[derive(Debug, Error)]
pub enum EchoError {
    /// There is no port to listen on.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The server broke.
    #[error("cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// A server that places everybody on the same node.
#[derive(Debug)]
pub struct Echo {
    listener: TcpListener,
}

impl Echo {
    /// Takes a free port of this machine.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn listen() -> Result<Self, EchoError> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await? })
    }

    /// Returns where it listens.
    ///
    /// # Errors
    /// Fails when the system does not say.
    pub fn address(&self) -> Result<SocketAddr, EchoError> {
        Ok(self.listener.local_addr()?)
    }

    /// Answers, for ever.
    ///
    /// # Errors
    /// Fails when the server breaks.
    pub async fn serve(self) -> Result<(), EchoError> {
        let incoming = TcpListenerStream::new(self.listener);
        let server = Server::builder().tcp_nodelay(true).add_service(PlacementServer::new(Door(reply())));
        Ok(server.serve_with_incoming(incoming).await?)
    }
}

struct Door(PlaceReply);

#[tonic::async_trait]
impl Placement for Door {
    type SessionsStream = Pin<Box<dyn Stream<Item = Result<SessionOrder, Status>> + Send>>;

    async fn place(&self, _request: Request<PlaceRequest>) -> Result<Response<PlaceReply>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    /// Hears what callers give back, and orders nothing.
    async fn sessions(
        &self,
        request: Request<Streaming<SessionUpdate>>,
    ) -> Result<Response<Self::SessionsStream>, Status> {
        Ok(Response::new(Box::pin(request.into_inner().filter_map(|_update| None))))
    }

    async fn costs(&self, _request: Request<CostsRequest>) -> Result<Response<CostsReply>, Status> {
        Err(Status::unimplemented("an echo keeps no costs"))
    }
}

/// A reply as long as a router's.
fn reply() -> PlaceReply {
    let terms = ScoreTerms { gpu: 10_000, egress: 3_000, latency: 500, risk: 20, congestion: 700, errors: 0 };
    let place = Place {
        node: "coreweave-1-node-00001".to_owned(),
        pool: "coreweave-1".to_owned(),
        address: "10.0.0.1:8090".to_owned(),
        terms: Some(terms),
        ..Place::default()
    };
    PlaceReply { placements: vec![place; PLACEMENTS], fleet_version: 1_000, ..PlaceReply::default() }
}
