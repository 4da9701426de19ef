//! Costs: totals of the ledger, summed up by what somebody wants to know. Every sum is of the same integers, so all of them agree.

use std::collections::BTreeMap;
use std::time::SystemTime;

use proto::v1::{CostsReply, CostsRequest, CostsTotal};
use serde::Deserialize;
use store::{Amounts, BadDay, Day, Period, Total};
use tonic::Status;

use crate::billing::Billing;

/// Days before today that are looked at where nobody says since when.
const USUAL: u32 = 30;

/// What costs are summed up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    Key,
    Pool,
    Day,
    Model,
}

impl By {
    /// Returns what a total belongs to.
    fn name(self, total: &Total) -> String {
        match self {
            Self::Key => total.key.to_string(),
            Self::Pool => total.pool.to_string(),
            Self::Day => total.day.to_string(),
            Self::Model => total.model.to_string(),
        }
    }
}

/// Sums totals up, in order of their names.
pub(crate) fn sums(totals: &[Total], by: By) -> BTreeMap<String, Amounts> {
    let mut sums = BTreeMap::new();
    for total in totals {
        let sum: &mut Amounts = sums.entry(by.name(total)).or_default();
        *sum = *sum + total.amounts;
    }
    sums
}

/// Reads since when until today; an empty text is 30 days ago.
pub(crate) fn period(since: &str) -> Result<Period, BadDay> {
    let until = Day::of(SystemTime::now());
    let since = if since.is_empty() { until.before(USUAL) } else { since.parse()? };
    Ok(Period { since, until, key: None })
}

/// Answers a proxy that asks on behalf of a key.
pub(crate) async fn of_key(billing: &Billing, request: &CostsRequest) -> Result<CostsReply, Status> {
    let key = request.key.parse().map_err(|bad| Status::invalid_argument(format!("bad key: {bad}")))?;
    let period = period(&request.since).map_err(|bad| Status::invalid_argument(format!("bad since: {bad}")))?;
    let period = Period { key: Some(key), ..period };
    let totals = billing.totals(&period).await.map_err(|away| Status::unavailable(away.to_string()))?;
    Ok(CostsReply {
        since: period.since.to_string(),
        until: period.until.to_string(),
        totals: totals.iter().map(to_wire).collect(),
    })
}

fn to_wire(total: &Total) -> CostsTotal {
    let [audio_microseconds, slot_microseconds, bytes_in, bytes_out, _, _, sessions] = total.amounts.into();
    CostsTotal {
        day: total.day.to_string(),
        pool: total.pool.to_string(),
        model: total.model.to_string(),
        sessions,
        audio_microseconds,
        slot_microseconds,
        bytes_in,
        bytes_out,
        gpu_microdollars: total.amounts.gpu.0,
        egress_microdollars: total.amounts.egress.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_today_and_begins_a_month_before_unless_it_is_said() {
        let today = Day::of(SystemTime::now());
        assert!(period("").is_ok_and(|period| period.since >= today.before(USUAL) && period.until >= today));
        assert!(period("2026-11-01").is_ok_and(|period| period.since.to_string() == "2026-11-01"));
        assert_eq!(period("11/01").unwrap_err().to_string(), "expected a day such as 2026-11-20, got \"11/01\"");
    }
}
