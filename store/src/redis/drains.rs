//! Operators' orders in Redis: one hash, merged by one script.

use async_trait::async_trait;
use redis::Script;
use scheduler::{NodeId, Timestamp};

use super::{Redis, milliseconds};
use crate::StoreAway;
use crate::drains::{DRAIN_LIFE, DRAINS, DrainOrder, DrainOrders, Drains, Wanted};

const KEY: &str = "crosspoint:{drains}";
const DRAINED: &str = "drained";
const SERVING: &str = "serving";

#[derive(Debug)]
pub(super) struct Scripts {
    exchange: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { exchange: Script::new(include_str!("drains.lua")) }
    }
}

fn word(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Drained => DRAINED,
        Wanted::Serving => SERVING,
    }
}

/// Reads what anybody may have written.
fn read(fields: &[Vec<u8>]) -> Option<(NodeId, DrainOrder)> {
    let text = |field: &'_ [u8]| String::from_utf8(field.to_vec()).ok();
    let [node, order] = fields else { return None };
    let order = text(order)?;
    let (number, word) = order.split_once(' ')?;
    let wanted = match word {
        DRAINED => Wanted::Drained,
        SERVING => Wanted::Serving,
        _ => return None,
    };
    Some((text(node)?.parse().ok()?, DrainOrder { number: number.parse().ok()?, wanted }))
}

#[async_trait]
impl Drains for Redis {
    async fn exchange(&self, orders: &DrainOrders, _now: Timestamp) -> Result<DrainOrders, StoreAway> {
        let mut script = self.drains.exchange.key(KEY);
        script.arg(milliseconds(DRAIN_LIFE)).arg(DRAINS);
        for (node, order) in orders {
            script.arg(node.as_str()).arg(order.number).arg(word(order.wanted));
        }
        let known: Vec<Vec<u8>> = self.run(&script).await?;
        Ok(known.chunks(2).filter_map(read).collect())
    }
}
