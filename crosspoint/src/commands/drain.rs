//! `crosspoint drain` and `crosspoint undrain`.

use std::time::Duration;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::{Admin, AdminArgs, Drained, Node, Nodes};
use crate::words;

/// How often a node is looked at.
const LOOK: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
A drained node gets no new sessions, from any router, until `crosspoint undrain`: a restart of its agent changes nothing.
Streams that are there move to other nodes within half a minute or so, and nobody who speaks notices. Files end where they
are, and so do streams for which no other node has a slot.

Examples:
  crosspoint drain gcp-europe-west4-1
  crosspoint drain gcp-europe-west4-1 --wait      until it has no sessions: then its machine may go
  crosspoint undrain gcp-europe-west4-1";

const UNDRAIN_EXAMPLES: &str = "\
Examples:
  crosspoint undrain gcp-europe-west4-1
  crosspoint nodes --json | jq -r '.nodes[] | select(.drained).node' | xargs -n 1 crosspoint undrain";

/// The arguments of `crosspoint drain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The node, as `crosspoint nodes` lists it
    node: String,
    /// Wait until the node has no sessions
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The arguments of `crosspoint undrain`.
#[derive(Debug, clap::Args)]
#[command(after_help = UNDRAIN_EXAMPLES)]
pub(crate) struct UndrainArgs {
    /// The node, as `crosspoint nodes` lists it
    node: String,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.post(&path(&self.node, "drain"), &json!({})).await?;
        if self.wait {
            empty(&admin, &self.node).await?;
        }
        self.admin.show(&admin, answer, |drained: &Drained| match self.wait {
            true => format!("node {} has no sessions", self.node),
            false => drained.words(),
        })
    }
}

impl UndrainArgs {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.post(&path(&self.node, "undrain"), &json!({})).await?;
        self.admin.show(&admin, answer, |Drained { node, changed, state, .. }| match (changed, state.as_deref()) {
            (false, _) => format!("node {node} was not drained"),
            (true, Some("serving")) => format!("node {node} takes new sessions again"),
            (true, Some(state)) => format!("node {node} is drained no longer; its agent says that it is {state}"),
            (true, None) => format!("node {node} is drained no longer; it does not report"),
        })
    }
}

impl Drained {
    fn words(&self) -> String {
        let Self { node, changed, .. } = self;
        let takes = if *changed { "takes no new sessions" } else { "took no new sessions before" };
        match self.used_slots.max(self.leases) {
            0 => format!("node {node} {takes}, and has none"),
            sessions => {
                let go_on = words::count(sessions as usize, "session");
                format!("node {node} {takes}; {go_on} there: `crosspoint drain {node} --wait` waits for the end")
            }
        }
    }
}

/// Names of nodes may have slashes in them.
fn path(node: &str, verb: &str) -> String {
    let safe: String = form_urlencoded::byte_serialize(node.as_bytes()).collect();
    format!("/v1/nodes/{}/{verb}", safe.replace('+', "%20"))
}

/// Waits until a node has no sessions, and shows how many there are where somebody watches.
async fn empty(admin: &Admin, node: &str) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner()).with_message("looking");
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Nodes { nodes } = admin.read(admin.get("/v1/nodes").await?)?;
        let Some(found) = nodes.into_iter().find(|known| known.node == node) else {
            bail!("node {node} is gone: no router has heard of it for a long time");
        };
        let Node { silent, drained, used_slots, leases, .. } = found;
        if !drained {
            bail!("node {node} is no longer drained: somebody took the order back");
        }
        if silent {
            bail!("node {node} is silent: whether sessions go on there, its agent would have to say");
        }
        match used_slots.max(leases) {
            0 => return Ok(()),
            left => bar.set_message(format!("{} on {node}", words::count(left as usize, "session"))),
        }
        bar.tick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_the_path() {
        assert_eq!(path("gcp/zone:1", "drain"), "/v1/nodes/gcp%2Fzone%3A1/drain");
        assert_eq!(path("a b?", "undrain"), "/v1/nodes/a%20b%3F/undrain");
    }
}
