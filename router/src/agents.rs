//! The door for agents: a stream of reports up, orders down.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use proto::convert::report_from_wire;
use proto::v1::agents_server::Agents;
use proto::v1::{Accepted, CheckReply, CheckRequest, NodeOrder, NodeReport, node_order};
use scheduler::{NodeId, PoolName};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::core::Core;
use crate::metrics;
use crate::tokens::Tokens;

/// Orders that may wait for an agent.
const ORDERS: usize = 16;

pub(crate) struct AgentsDoor {
    pub(crate) core: Arc<Core>,
    pub(crate) tokens: Tokens,
    pub(crate) shutdown: process::Shutdown,
    pub(crate) report_interval: std::time::Duration,
}

#[tonic::async_trait]
impl Agents for AgentsDoor {
    type ReportStream = ReceiverStream<Result<NodeOrder, Status>>;

    async fn report(&self, request: Request<Streaming<NodeReport>>) -> Result<Response<Self::ReportStream>, Status> {
        self.admit(&request).await?;
        let reports = request.into_inner();
        let (orders, receiver) = mpsc::channel(ORDERS);
        let interval = u32::try_from(self.report_interval.as_millis()).unwrap_or(u32::MAX);
        let accepted = node_order::Order::Accepted(Accepted { report_interval_milliseconds: interval });
        // The channel was made just now and has room.
        let _ = orders.try_send(Ok(NodeOrder { order: Some(accepted) }));
        let core = Arc::clone(&self.core);
        let shutdown = self.shutdown.clone();
        self.shutdown.spawn("agent reports", async move {
            let _connected = metrics::AgentConnected::new();
            tokio::select! {
                () = shutdown.begun() => {}
                refused = take(&core, reports) => if let Err(status) = refused {
                    metrics::report_refused();
                    warn!(message = status.message(), "agent's report refused");
                    let _ = orders.send(Err(status)).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckReply>, Status> {
        self.admit(&request).await?;
        let CheckRequest { node, pool } = request.into_inner();
        name::<NodeId>(&node)?;
        let pool = name::<PoolName>(&pool)?;
        self.core.view().known(&pool).map_err(|unknown| Status::invalid_argument(unknown.to_string()))?;
        Ok(Response::new(CheckReply {}))
    }
}

impl AgentsDoor {
    async fn admit<T>(&self, call: &Request<T>) -> Result<(), Status> {
        self.tokens.admit(call.metadata()).await.inspect_err(|status| {
            metrics::report_refused();
            warn!(from = ?call.remote_addr(), message = status.message(), "agent not let in");
        })
    }
}

fn name<T: FromStr<Err: Display>>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: T::Err| Status::invalid_argument(error.to_string()))
}

/// Takes reports until the agent goes away, or says something that cannot be taken.
async fn take(core: &Core, mut reports: Streaming<NodeReport>) -> Result<(), Status> {
    let mut known = None;
    loop {
        let report = match reports.message().await {
            Ok(Some(report)) => report_from_wire(report)?,
            Ok(None) | Err(_) => break,
        };
        let (node, pool) = (report.node.clone(), report.pool.clone());
        core.take(report).map_err(|unknown| Status::invalid_argument(unknown.to_string()))?;
        metrics::report_taken();
        if known.is_none() {
            info!(%node, %pool, "node reports");
            known = Some(node);
        }
    }
    if let Some(node) = known {
        info!(%node, "node's report stream ended");
    }
    Ok(())
}
