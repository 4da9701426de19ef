//! What a link is like: how late, how slow, how closed.

use std::num::NonZeroU32;
use std::time::Duration;

use scheduler::units::duration;
use serde::Deserialize;

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weather {
    /// Time that everything takes, each way.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// More time, at most; nothing overtakes.
    #[serde(with = "duration")]
    pub jitter: Duration,
    /// Share of chunks that are held, with all behind them, as a retransmission would.
    pub held: f64,
    /// How long they are held.
    #[serde(with = "duration")]
    pub held_for: Duration,
    /// Bytes a second, each way.
    pub rate: Option<NonZeroU32>,
    /// Which ways are closed.
    #[serde(skip)]
    pub(in crate::chaos) cut: Cut,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            held: 0.0,
            held_for: Duration::from_millis(300),
            rate: None,
            cut: Cut::Nowhere,
        }
    }
}

/// Which ways of a link are closed. What is sent meanwhile arrives when they open again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::chaos) enum Cut {
    #[default]
    Nowhere,
    /// Towards the engine.
    Up,
    /// From the engine.
    Down,
    Both,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Way {
    Up,
    Down,
}

impl Cut {
    pub(super) const fn closes(self, way: Way) -> bool {
        match (self, way) {
            (Self::Nowhere, _) | (Self::Up, Way::Down) | (Self::Down, Way::Up) => false,
            (Self::Both, _) | (Self::Up, Way::Up) | (Self::Down, Way::Down) => true,
        }
    }
}
