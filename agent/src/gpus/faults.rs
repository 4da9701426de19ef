//! Faults that take a card out of service. NVIDIA's driver tells of every fault with an XID; most mean that the card must be
//! reset or replaced, a few only that a program went wrong on it.

use std::collections::BTreeSet;

/// XIDs of a program's own faults, after which the card is as good as before: those that NVIDIA's device plugin for Kubernetes
/// passes over (graphics exception, page fault, stopped channel, cleanup, video processor, context switch time-out).
const OF_PROGRAMS: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// What went wrong with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The driver's number for it; none where it has none.
    Xid(Option<u64>),
    /// An error in memory that could not be corrected.
    Ecc,
}

impl Fault {
    /// Tells whether the card is out of service from now on.
    pub(crate) fn is_of_card(self, ignored: &BTreeSet<u64>) -> bool {
        match self {
            Self::Xid(Some(xid)) => !OF_PROGRAMS.contains(&xid) && !ignored.contains(&xid),
            Self::Xid(None) | Self::Ecc => true,
        }
    }

    /// Returns it as a label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Xid(_) => "xid",
            Self::Ecc => "ecc",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Xid(Some(xid)) => match meaning(*xid) {
                Some(meaning) => write!(f, "XID {xid} ({meaning})"),
                None => write!(f, "XID {xid}"),
            },
            Self::Xid(None) => write!(f, "an unknown XID"),
            Self::Ecc => write!(f, "an uncorrectable memory error"),
        }
    }
}

/// The commonest, as NVIDIA's list of XID errors names them.
const fn meaning(xid: u64) -> Option<&'static str> {
    Some(match xid {
        13 => "graphics engine exception",
        31 => "memory page fault",
        43 => "GPU stopped processing",
        45 => "preemptive cleanup",
        48 => "double bit ECC error",
        61 | 62 => "internal micro-controller error",
        63 => "memory row remapped",
        64 => "memory row could not be remapped",
        68 => "video processor exception",
        74 => "NVLink error",
        79 => "GPU has fallen off the bus",
        92 => "high rate of single-bit ECC errors",
        94 => "contained ECC error",
        95 => "uncontained ECC error",
        109 => "context switch time-out",
        119 => "GSP RPC time-out",
        120 => "GSP error",
        140 => "unrecovered ECC error",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_crashed_leaves_its_card_in_service() {
        for xid in OF_PROGRAMS {
            assert!(!Fault::Xid(Some(xid)).is_of_card(&BTreeSet::new()), "{xid}");
        }
        for fault in [Fault::Xid(Some(48)), Fault::Xid(Some(79)), Fault::Xid(None), Fault::Xid(Some(9999)), Fault::Ecc]
        {
            assert!(fault.is_of_card(&BTreeSet::new()), "{fault}");
        }
        assert!(!Fault::Xid(Some(63)).is_of_card(&BTreeSet::from([63])), "the operator may say more");
    }

    #[test]
    fn a_fault_is_told_with_its_meaning_where_it_is_known() {
        assert_eq!(Fault::Xid(Some(79)).to_string(), "XID 79 (GPU has fallen off the bus)");
        assert_eq!(Fault::Xid(Some(9999)).to_string(), "XID 9999");
    }
}
