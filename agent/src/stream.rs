//! One stream of reports to one router: opened, kept, ended. A slow reader gets fewer reports, never old ones.

use std::time::Duration;

use proto::v1::agents_client::AgentsClient;
use proto::v1::node_order::Order;
use proto::v1::{CheckRequest, NodeOrder, NodeReport};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::engine::innermost;
use crate::gauges::Outcome;
use crate::token::Token;

/// A router that takes longer to take the connection is not there.
const CONNECT_DEADLINE: Duration = Duration::from_secs(1);
/// A router that takes longer to answer the call is not there.
const OPEN_DEADLINE: Duration = Duration::from_secs(3);
/// A silent connection is asked for a sign of life this often, ...
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// ... and given up when none comes: a router that died without a word is noticed within 2.5 s.
const KEEP_ALIVE_DEADLINE: Duration = Duration::from_millis(1500);
/// How long the farewell may take to be heard.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(1);

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The agent drains; the router was told.
    Drained,
    /// The router does not take this node's reports, and says why.
    Refused(String),
    /// The router went away, or was never there.
    Lost(String),
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    reports: mpsc::Sender<NodeReport>,
    orders: Streaming<NodeOrder>,
}

impl Stream {
    /// Opens a stream to a router, with the first report under way.
    ///
    /// # Errors
    /// Fails with how it ended: the router is not there, or does not want the report.
    pub(crate) async fn open(router: &Endpoint, token: &Token, first: NodeReport) -> Result<Self, Ended> {
        let channel = lively(router.clone()).connect().await.map_err(|error| Ended::Lost(innermost(&error)))?;
        let (reports, queue) = mpsc::channel(1);
        // The queue is empty, there is room for one.
        let _ = reports.try_send(first);
        let mut client = AgentsClient::new(channel);
        let call = token.sign(ReceiverStream::new(queue)).await.map_err(|error| Ended::Refused(error.to_string()))?;
        match timeout(OPEN_DEADLINE, client.report(call)).await {
            Ok(Ok(response)) => Ok(Self { reports, orders: response.into_inner() }),
            Ok(Err(status)) => Err(ended(&status)),
            Err(_) => Err(Ended::Lost(format!("no answer to the call within {OPEN_DEADLINE:?}"))),
        }
    }

    /// Hands over a report, unless the one before is still waiting.
    pub(crate) fn offer(&self, report: NodeReport) -> Outcome {
        self.reports.try_send(report).map_or(Outcome::Skipped, |()| Outcome::Sent)
    }

    /// Waits for the router's next order.
    ///
    /// # Errors
    /// Fails with how the stream ended.
    pub(crate) async fn order(&mut self) -> Result<Order, Ended> {
        loop {
            match self.orders.message().await {
                // An order of a newer router is no reason to leave it.
                Ok(Some(NodeOrder { order: None })) => {}
                Ok(Some(NodeOrder { order: Some(order) })) => return Ok(order),
                Ok(None) => return Err(Ended::Lost("the router ended the stream".to_owned())),
                Err(status) => return Err(ended(&status)),
            }
        }
    }

    /// Says a last report and waits for the router to have heard it, for 1 s at most.
    pub(crate) async fn close(self, farewell: NodeReport) {
        let Self { reports, mut orders } = self;
        let heard = async {
            if reports.send(farewell).await.is_ok() {
                drop(reports);
                while let Ok(Some(_)) = orders.message().await {}
            }
        };
        // A router that does not listen will notice the silence.
        let _ = timeout(FAREWELL_DEADLINE, heard).await;
    }
}

/// Asks a router whether it would take the reports of a node.
///
/// # Errors
/// Fails with how it ended: the router is not there, or would not.
pub(crate) async fn check(router: &Endpoint, token: &Token, node: CheckRequest) -> Result<(), Ended> {
    let channel = lively(router.clone()).connect().await.map_err(|error| Ended::Lost(innermost(&error)))?;
    let call = token.sign(node).await.map_err(|error| Ended::Refused(error.to_string()))?;
    match timeout(OPEN_DEADLINE, AgentsClient::new(channel).check(call)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(ended(&status)),
        Err(_) => Err(Ended::Lost(format!("no answer to the call within {OPEN_DEADLINE:?}"))),
    }
}

fn lively(router: Endpoint) -> Endpoint {
    router
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .keep_alive_while_idle(true)
}

/// Tells "not you" from "not now": the first does not change by asking again at once.
fn ended(status: &Status) -> Ended {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unauthenticated
        | Code::Unimplemented => Ended::Refused(status.message().to_owned()),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Ended::Lost(innermost(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_names_a_fault_refuses_and_one_that_breaks_is_lost() {
        assert_eq!(ended(&Status::invalid_argument("no pool")), Ended::Refused("no pool".to_owned()));
        assert!(matches!(ended(&Status::unavailable("restarting")), Ended::Lost(why) if why.contains("restarting")));
    }
}
