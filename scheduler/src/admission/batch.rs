//! Batch chunks yield: which of them give up their slot when a stream needs it.

use crate::ids::{NodeId, SessionId, TenantId};
use crate::units::Timestamp;

/// A slot that a batch chunk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLease {
    /// The chunk.
    pub session: SessionId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where it runs.
    pub node: NodeId,
    /// When it was placed.
    pub since: Timestamp,
}

/// Names the batch leases on `node` to revoke so that `slots` become free: the youngest first, since the least work is lost
/// with them. Fewer are named when there are fewer.
#[must_use]
pub fn to_revoke<'a>(leases: impl IntoIterator<Item = &'a BatchLease>, node: &NodeId, slots: u32) -> Vec<SessionId> {
    let mut there: Vec<&BatchLease> = leases.into_iter().filter(|lease| lease.node == *node).collect();
    there.sort_by(|a, b| b.since.cmp(&a.since).then(a.session.cmp(&b.session)));
    there.into_iter().take(slots as usize).map(|lease| lease.session).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::noon;

    #[test]
    fn the_youngest_chunks_of_that_node_yield() {
        let lease = |number: u128, node: &str, age: u64| BatchLease {
            session: SessionId::from_random(number),
            tenant: "t".parse().unwrap(),
            node: node.parse().unwrap(),
            since: noon() - Duration::from_secs(age),
        };
        let leases = [lease(1, "a", 20), lease(2, "a", 3), lease(3, "b", 1), lease(4, "a", 9)];
        let names = |numbers: &[u128]| numbers.iter().map(|number| SessionId::from_random(*number)).collect::<Vec<_>>();
        let node = "a".parse().unwrap();
        assert_eq!(to_revoke(&leases, &node, 2), names(&[2, 4]));
        assert_eq!(to_revoke(&leases, &node, 9), names(&[2, 4, 1]));
        assert_eq!(to_revoke(&leases, &node, 0), names(&[]));
    }
}
