//! What a stream knows whose caller's connection is lost, or that another session began.

use std::time::Duration;

/// How long what is kept of a stream whose caller's connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parking {
    /// Its leg, which goes on hearing what was sent.
    pub leg: Duration,
    /// Everything else: what is not final yet, and where it stands.
    pub keep: Duration,
}

/// What another session did for the same stream, before its proxy was lost. Positions are samples of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Audio before it is not sent again: the stream goes on here.
    pub from: u64,
    /// Audio before it was accepted, and is not paid for again; of it, no more than a ring holds.
    pub received: u64,
}

/// How far a stream is, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Audio before it was accepted.
    pub received: u64,
    /// Audio before it is final.
    pub settled: u64,
}

/// How the results of a leg were made to go on from those of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Merged {
    /// Cut in a pause.
    #[default]
    Seam,
    /// By the words.
    Aligned,
    /// By time alone.
    Time,
}
