//! What a record of usage costs: the slot's share of its node's price for as long as it was held, and egress for every byte sent
//! there. Each is rounded half up to a millionth of a dollar, once for each part of a session.

use std::time::Duration;

use proto::v1::{self, UsageRecord};
use scheduler::{KeyId, MicroDollars, PoolName, Price, SessionId, Work};
use store::{Amounts, Charge, Day};

use crate::ledger::Used;

/// Says which field of a record cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {field}: {value:?}")]
pub(super) struct BadRecord {
    field: &'static str,
    value: String,
}

const MICROSECONDS_AN_HOUR: u128 = 3_600_000_000;
const BYTES_A_GIGABYTE: u128 = 1_000_000_000;

/// Understands a record and prices it. A pool that is not configured here has no known price of egress, which is then nothing.
pub(super) fn priced(
    record: UsageRecord,
    price_of: impl Fn(&PoolName) -> Option<Price>,
) -> Result<(Charge, Used), BadRecord> {
    let pool: PoolName = name("pool", &record.pool)?;
    let egress_gb = price_of(&pool).map_or(MicroDollars::ZERO, |price| price.egress_gb);
    let amounts = Amounts {
        audio: Duration::from_micros(record.audio_microseconds),
        slot: Duration::from_micros(record.slot_microseconds),
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        gpu: share(MicroDollars(record.slot_hour_microdollars), record.slot_microseconds, MICROSECONDS_AN_HOUR),
        egress: share(egress_gb, record.bytes_in, BYTES_A_GIGABYTE),
        sessions: 0,
    };
    let session: SessionId = name("session", &record.session)?;
    let charge = Charge {
        session,
        part: record.part,
        key: name::<KeyId>("key", &record.key)?,
        pool: pool.clone(),
        model: name("model", &record.model)?,
        day: Day::of_seconds(record.at_seconds),
        amounts,
    };
    let used = Used {
        session,
        part: record.part,
        tenant: name("tenant", &record.tenant)?,
        model: charge.model.clone(),
        work: if record.work() == v1::Work::File { Work::File } else { Work::Stream },
        node: name("node", &record.node)?,
        pool,
        amounts,
        ended: record.ended,
    };
    Ok((charge, used))
}

fn name<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<T, BadRecord> {
    text.parse().map_err(|_| BadRecord { field, value: text.chars().take(100).collect() })
}

/// Returns `part` of what `whole` costs.
fn share(price: MicroDollars, part: u64, whole: u128) -> MicroDollars {
    let price = u128::try_from(price.0).unwrap_or(0);
    let cost = (price * u128::from(part) + whole / 2) / whole;
    MicroDollars(i64::try_from(cost).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> UsageRecord {
        UsageRecord {
            session: SessionId::from_random(1).to_string(),
            part: 1,
            sequence: 1,
            tenant: "dev".to_owned(),
            key: "k".to_owned(),
            model: "m".to_owned(),
            work: v1::Work::File.into(),
            node: "aws-1".to_owned(),
            pool: "aws".to_owned(),
            slot_hour_microdollars: 36_000,
            at_seconds: 1_795_132_800,
            slot_microseconds: 100_000_000,
            bytes_in: 1_000_000_000,
            ..UsageRecord::default()
        }
    }

    fn aws(pool: &PoolName) -> Option<Price> {
        let price = Price { node_hour: MicroDollars(360_000), egress_gb: MicroDollars(90_000) };
        (pool.as_str() == "aws").then_some(price)
    }

    #[test]
    fn a_slot_costs_its_time_and_a_byte_its_egress() {
        let (charge, used) = priced(record(), aws).unwrap();
        let cost = |charge: &Charge| (charge.amounts.gpu, charge.amounts.egress);
        assert_eq!(cost(&charge), (MicroDollars(1_000), MicroDollars(90_000)));
        assert_eq!((charge.day.to_string().as_str(), used.work), ("2026-11-20", Work::File));
        let (elsewhere, _) = priced(UsageRecord { pool: "unknown".to_owned(), ..record() }, aws).unwrap();
        assert_eq!(cost(&elsewhere), (MicroDollars(1_000), MicroDollars::ZERO));
    }

    #[test]
    fn half_a_micro_dollar_is_one_and_less_is_none() {
        let shares = [49_999, 50_000, 149_999, 150_000].map(|part| share(MicroDollars(10), part, 1_000_000));
        assert_eq!(shares.map(|cost| cost.0), [0, 1, 1, 2]);
        assert_eq!(share(MicroDollars(i64::MAX), u64::MAX, 1), MicroDollars(i64::MAX));
        assert_eq!(share(MicroDollars(-1), 10, 1), MicroDollars::ZERO);
    }

    #[test]
    fn a_record_that_makes_no_sense_is_refused_with_the_field() {
        let told = |record| priced(record, aws).unwrap_err().to_string();
        assert_eq!(told(UsageRecord { session: "7".to_owned(), ..record() }), "bad session: \"7\"");
        assert_eq!(told(UsageRecord { key: String::new(), ..record() }), "bad key: \"\"");
        assert_eq!(told(UsageRecord { pool: "a|b".to_owned(), ..record() }), "bad pool: \"a|b\"");
    }
}
