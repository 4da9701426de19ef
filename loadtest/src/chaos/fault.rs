//! What can go wrong: every fault has a name, something it is put into, and a promise that callers were given.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::caller::Loss;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `kill -9` of an engine and its agent, as when a host dies.
    KillNode,
    /// `SIGSTOP` of both, as when a host hangs.
    StopNode,
    /// `SIGTERM` of both: what is open goes on until it ends or the engine's patience does.
    DrainNode,
    /// An operator's `drain`, and an `undrain` when it is over.
    Drain,
    /// The cloud says that it will take the host away, and does: `kill -9` when the time is over.
    SpotNotice,
    /// Every connection to an engine is reset.
    ResetLinks,
    /// Every connection to an engine is reset in the middle of something.
    TearLinks,
    /// Nothing reaches an engine.
    CutUp,
    /// Nothing comes from an engine.
    CutDown,
    /// Neither.
    Partition,
    /// A link is far slower than the audio.
    SlowLink,
    /// `kill -9` of an agent alone.
    KillAgent,
    /// `SIGSTOP` of an agent alone.
    StopAgent,
    /// `kill -9` of a router.
    KillRouter,
    /// `SIGSTOP` of a router.
    StopRouter,
    /// `kill -9` of Redis, which comes back empty.
    KillRedis,
    /// `SIGSTOP` of Redis.
    StopRedis,
    /// Redis answers `READONLY`, as a master that has become a replica does.
    ReadonlyRedis,
    /// Redis comes back and answers `LOADING` for a while.
    LoadingRedis,
    /// `kill -9` of a proxy.
    KillProxy,
    /// Another proxy in the place of one that hands its listener over and ends when its streams do.
    RollProxy,
}

/// What a fault is put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Node,
    Router,
    Redis,
    Proxy,
}

/// What callers were promised of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// They notice nothing but a pause.
    NothingLost,
    /// Streams may end, and words that were not final then are lost.
    MayEnd,
}

impl Fault {
    pub(super) const fn target(self) -> Target {
        match self {
            Self::KillNode | Self::StopNode | Self::DrainNode | Self::KillAgent | Self::StopAgent => Target::Node,
            Self::Drain | Self::SpotNotice => Target::Node,
            Self::ResetLinks | Self::TearLinks | Self::CutUp | Self::CutDown | Self::Partition | Self::SlowLink => {
                Target::Node
            }
            Self::KillRouter | Self::StopRouter => Target::Router,
            Self::KillRedis | Self::StopRedis | Self::ReadonlyRedis | Self::LoadingRedis => Target::Redis,
            Self::KillProxy | Self::RollProxy => Target::Proxy,
        }
    }

    /// Tells whether it stands in the way of audio, and not only of those who place it.
    pub(super) const fn is_on_the_way(self) -> bool {
        match self.target() {
            Target::Node => !matches!(self, Self::KillAgent | Self::StopAgent),
            Target::Proxy => true,
            Target::Router | Target::Redis => false,
        }
    }

    /// Tells whether streams are told to leave in time.
    pub(super) const fn is_planned(self) -> bool {
        matches!(self, Self::Drain | Self::SpotNotice)
    }

    pub(super) const fn is_of_redis(self) -> bool {
        matches!(self.target(), Target::Redis)
    }

    /// Returns what callers were promised that do this when they lose their connections.
    #[must_use]
    pub const fn promise(self, loss: Loss) -> Promise {
        match (self.target(), loss) {
            (Target::Proxy, Loss::End) if !matches!(self, Self::RollProxy) => Promise::MayEnd,
            (Target::Node | Target::Router | Target::Redis | Target::Proxy, Loss::End | Loss::Resume) => {
                Promise::NothingLost
            }
        }
    }

    /// Names it as scenarios do.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillNode => "kill_node",
            Self::StopNode => "stop_node",
            Self::DrainNode => "drain_node",
            Self::Drain => "drain",
            Self::SpotNotice => "spot_notice",
            Self::ResetLinks => "reset_links",
            Self::TearLinks => "tear_links",
            Self::CutUp => "cut_up",
            Self::CutDown => "cut_down",
            Self::Partition => "partition",
            Self::SlowLink => "slow_link",
            Self::KillAgent => "kill_agent",
            Self::StopAgent => "stop_agent",
            Self::KillRouter => "kill_router",
            Self::StopRouter => "stop_router",
            Self::KillRedis => "kill_redis",
            Self::StopRedis => "stop_redis",
            Self::ReadonlyRedis => "readonly_redis",
            Self::LoadingRedis => "loading_redis",
            Self::KillProxy => "kill_proxy",
            Self::RollProxy => "roll_proxy",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
