//! Asks the routers, in order, for placements.

use std::time::{Duration, Instant};

use proto::convert::{decision_from_reply, request_to_wire};
use proto::v1::PlaceRequest;
use proto::v1::placement_client::PlacementClient;
use scheduler::{Placement, Request};
use session::CloseReason;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tracing::warn;

use crate::metrics;
use crate::trace::{TRACEPARENT, Trace};

/// A router's connection must be made within this time.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a caller waits for a slot when all are taken. A router that is gone is noticed sooner, by its connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says that a router's address is none.
#[derive(Debug, thiserror::Error)]
#[error("expected a router address such as http://127.0.0.1:7400, got {0:?}")]
pub struct RouterAddressError(String);

/// The routers, each with a connection that is made when it is first used.
#[derive(Clone, Debug)]
pub(crate) struct Placer {
    channels: Vec<Channel>,
    timeout: Duration,
}

impl Placer {
    /// Prepares a connection to each router.
    pub(crate) fn new(routers: &[String], timeout: Duration) -> Result<Self, RouterAddressError> {
        let channels = routers.iter().map(|router| channel(router)).collect::<Result<_, _>>()?;
        Ok(Self { channels, timeout })
    }

    /// Returns the connections, for the stream of session updates.
    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// Asks for placements: the first router that answers decides.
    pub(crate) async fn place(&self, request: &Request, trace: Trace) -> Result<Vec<Placement>, CloseReason> {
        for channel in &self.channels {
            let began = Instant::now();
            let mut client = PlacementClient::new(channel.clone());
            let asked = tokio::time::timeout(self.timeout + PATIENCE, client.place(asking(request, trace))).await;
            let reply = match asked {
                Ok(Ok(reply)) => reply.into_inner(),
                Ok(Err(status)) => {
                    warn!(code = ?status.code(), message = status.message(), "router did not place a session");
                    continue;
                }
                Err(_elapsed) => {
                    warn!(
                        timeout_ms = (self.timeout + PATIENCE).as_millis(),
                        "router took too long to place a session"
                    );
                    continue;
                }
            };
            metrics::placed(began.elapsed());
            return match decision_from_reply(reply) {
                Ok(decision) => decision.map_err(|(refusal, _)| refusal.into()),
                Err(bad) => {
                    warn!(error = %bad, "router's answer makes no sense");
                    continue;
                }
            };
        }
        Err(CloseReason::RouterAway)
    }
}

fn asking(request: &Request, trace: Trace) -> tonic::Request<PlaceRequest> {
    let mut wire = request_to_wire(request);
    wire.patience_milliseconds = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
    let mut asking = tonic::Request::new(wire);
    if let Ok(trace) = MetadataValue::try_from(trace.to_string()) {
        asking.metadata_mut().insert(TRACEPARENT, trace);
    }
    asking
}

fn channel(router: &str) -> Result<Channel, RouterAddressError> {
    let wrong = || RouterAddressError(router.to_owned());
    let endpoint = Endpoint::from_shared(router.to_owned()).map_err(|_| wrong())?;
    // `host:port` parses too, but names no way to get there.
    if endpoint.uri().scheme_str() != Some("http") {
        return Err(wrong());
    }
    Ok(endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_router_address_without_its_scheme_is_refused() {
        for wrong in ["127.0.0.1:7400", "nonsense", "", "https://127.0.0.1:7400"] {
            let error = Placer::new(&[wrong.to_owned()], Duration::from_secs(1)).unwrap_err();
            assert!(error.to_string().ends_with(&format!("got {wrong:?}")), "{error}");
        }
        assert!(Placer::new(&["http://127.0.0.1:7400".to_owned()], Duration::from_secs(1)).is_ok());
    }
}
