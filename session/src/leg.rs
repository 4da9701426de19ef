//! One connection to a node, as far as the session must know: what it was sent, what it has shown it heard, and how its
//! results go on from those of the leg before.

use bytes::Bytes;
use scheduler::{Placement, Timestamp};

use crate::absence::Merged;
use crate::events::Said;
use crate::health::Health;
use crate::replies::Replies;
use crate::sense::Sense;

/// An open leg. Positions are bytes, or samples, of the session.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) epoch: u32,
    pub(crate) placement: Placement,
    /// The first sample that it was sent.
    pub(crate) base: u64,
    /// The byte up to which it was sent everything.
    pub(crate) sent: u64,
    /// The sample up to which it has shown that it heard.
    pub(crate) heard: u64,
    /// The number of the next question that it is sent.
    pub(crate) question: u64,
    /// Every `Finalize` that it was sent, and how far they were answered.
    pub(crate) replies: Replies,
    /// How often it answered settings.
    pub(crate) configured: usize,
    pub(crate) manner: Manner,
    /// How it was joined, where it was.
    pub(crate) merged: Merged,
    /// Results that wait until it is clear how they go on from those before, with what came between them.
    pub(crate) held: Vec<(Said, Bytes)>,
    pub(crate) health: Health,
    pub(crate) sense: Sense,
}

/// How a leg's results reach the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As they are: it has heard everything from the beginning, and nothing was told before.
    Verbatim,
    /// With the session's times, less what the caller has; each channel may be joined already.
    Joined(Vec<Join>),
}

/// Whether a channel of a leg is joined to what was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Not before the leg has heard beyond it.
    Awaited,
    /// Its positions are this far off.
    Done(i64),
}

impl Leg {
    /// A leg that has just opened and is sent everything from a sample, and its first byte, on.
    pub(crate) fn new(epoch: u32, placement: Placement, (base, sent): (u64, u64), now: Timestamp) -> Self {
        Self {
            epoch,
            placement,
            base,
            sent,
            heard: base,
            question: 0,
            replies: Replies::default(),
            configured: 0,
            manner: Manner::Verbatim,
            merged: Merged::Seam,
            held: Vec::new(),
            health: Health::new(now),
            sense: Sense::default(),
        }
    }

    /// Tells how a channel is joined.
    pub(crate) fn join(&self, channel: usize) -> Join {
        match &self.manner {
            Manner::Verbatim => Join::Done(0),
            Manner::Joined(joins) => joins.get(channel).copied().unwrap_or(Join::Awaited),
        }
    }

    /// Notes how far off a channel is.
    pub(crate) fn joined(&mut self, channel: usize, shift: i64) {
        if let Manner::Joined(joins) = &mut self.manner {
            if joins.len() <= channel {
                joins.resize(channel + 1, Join::Awaited);
            }
            joins[channel] = Join::Done(shift);
        }
    }
}
