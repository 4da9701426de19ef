//! The state machine of a stream: `ADMIT → LIVE ⇄ SUSPECT → SWITCH → CATCHUP → LIVE → CLOSED`, and `WAIT` where no node is
//! to be had.
//!
//! It is told what the caller sends and what nodes say, and says in [`Action`]s what to do about nodes. Audio that is not
//! final yet, and some before it, is kept; a leg is sent what it has not been sent yet, so that a new one gets the replay by
//! itself. A leg that broke is replaced; one that is only suspect gets a rival, and the first of them to show progress serves.
//!
//! * `caller`: what the caller sends. `results`: what the caller is told. `joining`: how a leg goes on from the one before.
//! * `sense`: what of it is nonsense. `poison`: audio that ends nodes. `nodes`: legs opened, lost and adopted. `clock`: what
//!   time alone brings about. `moving`: planned moves. `units`: containers. `parked`: a caller that may come back.

mod caller;
mod clock;
mod joining;
mod moving;
mod nodes;
mod parked;
mod phase;
mod poison;
mod results;
mod sense;
mod speech;
mod units;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use scheduler::{NodeId, Placement, Timestamp};

use crate::absence::{Earlier, Parking};
use crate::asked::Asked;
use crate::close::CloseReason;
use crate::events::{Action, Cause, Control, Layout, Limits, Told, Usage};
use crate::leg::Leg;
use crate::owed::Owed;
use crate::pauses::{Noticed, Pauses};
use crate::prospects::Prospects;
use crate::ring::Ring;
use crate::timeline::Timeline;
use crate::track::Track;
use crate::units::Unit;
pub use moving::MoveEnd;
use moving::Moving;
use parked::Presence;
use phase::{Caller, Cover, Search, State};
use poison::Poison;
use speech::Moments;
use units::Gaps;

/// Audio of unknown format is taken to be 16 kHz, 16-bit, mono.
const GUESSED_BYTES_PER_SECOND: u64 = 32_000;
/// A node owes an answer to this many seconds of audio, and to control messages.
const OWED_SECONDS: u64 = 2;
/// The shortest pause in which a cut is safe, in milliseconds.
const PAUSE: u64 = 200;
/// Of the bytes that may be kept, audio that cannot be cut may have this share.
const OPAQUE_SHARE: usize = 5;

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The router's placements.
    pub placements: Vec<Placement>,
    /// How the audio can be cut.
    pub layout: Layout,
    /// How long it waits for what.
    pub limits: Limits,
    /// Anything that differs between sessions: those that wait together do not ask together.
    pub seed: u64,
    /// What is kept for a caller that comes back; none: the session ends when its connection does.
    pub parking: Option<Parking>,
    /// Where it goes on that of another session; raw audio only.
    pub earlier: Option<Earlier>,
}

/// Something to send on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Audio.
    Audio(Bytes),
    /// Pieces of a container, one after the other; a leg's first one is its header, or needs one before it.
    Units(Vec<(Unit, Bytes)>),
    /// A control message, as it came.
    Control(Control, Bytes),
}

/// One stream's life.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    layout: Layout,
    timeline: Timeline,
    /// None for audio of unknown format.
    bytes_per_second: Option<u64>,
    seed: u64,
    state: State,
    prospects: Prospects,
    search: Search,
    /// The last reason for which no node was found.
    refusal: CloseReason,
    current: Option<Leg>,
    rival: Option<Leg>,
    node: Option<Placement>,
    epoch: u32,
    losses: u32,
    suspicion: Option<Cause>,
    rival_after: Timestamp,
    moving: Option<Moving>,
    ring: Ring,
    cover: Cover,
    pauses: Pauses,
    gaps: Gaps,
    tracks: Vec<Track>,
    moments: Moments,
    asked: Asked,
    caller: Caller,
    presence: Presence,
    parking: Option<Parking>,
    /// The first sample that it was sent.
    begins: u64,
    /// Bytes before this position are not paid for.
    paid: u64,
    /// Results of another session that it may still be told of.
    recalls: usize,
    opened_at: Option<Timestamp>,
    caller_at: Timestamp,
    fin_at: Timestamp,
    full_since: Option<Timestamp>,
    owed: Owed,
    nonsense: u32,
    poison: Poison,
    silence: u8,
    silenced: Duration,
    usage: Usage,
    actions: VecDeque<Action>,
    told: VecDeque<Told>,
}

impl Session {
    /// Begins; the first action opens a leg, or asks for a node.
    #[must_use]
    pub fn begin(begun: Begun, now: Timestamp) -> Self {
        let Begun { placements, layout, limits, seed, parking, earlier } = begun;
        let bytes_per_second = match layout {
            Layout::Frames { rate, bytes } => Some(u64::from(rate.get()) * u64::from(bytes.get())),
            Layout::Units { .. } | Layout::Opaque => None,
        };
        let layout = keepable(layout, bytes_per_second, &limits);
        let timeline = Timeline::of(layout);
        let owes = bytes_per_second.unwrap_or(GUESSED_BYTES_PER_SECOND).saturating_mul(OWED_SECONDS);
        let mut session = Self {
            limits,
            layout,
            timeline,
            bytes_per_second,
            seed,
            state: State::Admitting,
            prospects: Prospects::new(placements, now),
            search: Search::Idle,
            refusal: CloseReason::NoCapacity,
            current: None,
            rival: None,
            node: None,
            epoch: 0,
            losses: 0,
            suspicion: None,
            rival_after: now,
            moving: None,
            ring: Ring::new(layout),
            cover: Cover::Whole,
            pauses: Pauses::new(0, timeline.millis(PAUSE)),
            gaps: Gaps::default(),
            tracks: vec![Track::new(0)],
            moments: Moments::default(),
            asked: Asked::default(),
            caller: Caller::Speaking,
            presence: Presence::Here { since: now },
            parking,
            begins: 0,
            paid: 0,
            recalls: 0,
            opened_at: None,
            caller_at: now,
            fin_at: now,
            full_since: None,
            owed: Owed::nothing(owes),
            nonsense: 0,
            poison: Poison::default(),
            silence: 0,
            silenced: Duration::ZERO,
            usage: Usage::default(),
            actions: VecDeque::new(),
            told: VecDeque::new(),
        };
        if let Some(earlier) = earlier {
            session.go_on_from(earlier);
        }
        session.seek(now);
        session
    }

    /// Takes the next thing to do, if there is any.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes the next thing to tell the caller that is not simply passed on.
    pub fn next_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Returns the highest leg number so far.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Returns the number of the leg that serves.
    #[must_use]
    pub fn serving(&self) -> Option<u32> {
        self.current.as_ref().map(|leg| leg.epoch)
    }

    /// Returns the node that serves, or served last.
    #[must_use]
    pub fn node(&self) -> Option<&Placement> {
        self.node.as_ref()
    }

    /// Returns the nodes that failed this session lately.
    #[must_use]
    pub fn failed(&self, now: Timestamp) -> BTreeSet<NodeId> {
        self.prospects.failed(now)
    }

    /// Keeps this much audio from now on, at most, and asks for final results after so much without one: memory is short, or
    /// no longer.
    pub fn limit(&mut self, (ring, unfinished): (Duration, Duration)) {
        (self.limits.ring, self.limits.unfinished) = (ring, unfinished);
    }

    /// Returns how many bytes are kept for a replay.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Returns how much audio the leg that serves has yet to be sent.
    #[must_use]
    pub fn to_replay(&self) -> Duration {
        let unsent = self.current.as_ref().map_or(0, |leg| self.ring.end().saturating_sub(leg.sent));
        if let Layout::Units { .. } = self.layout {
            return self.units_to_replay();
        }
        let rate = self.bytes_per_second.unwrap_or(GUESSED_BYTES_PER_SECOND);
        Duration::from_micros(unsent.saturating_mul(1_000_000) / rate.max(1))
    }

    /// Returns why the session ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed(reason) => Some(reason),
            State::Admitting | State::Serving => None,
        }
    }

    /// Returns what was used until `now`; what is replayed is not counted again.
    #[must_use]
    pub fn usage(&self, now: Timestamp) -> Usage {
        let micros = |rate| self.usage.bytes_in.saturating_mul(1_000_000) / rate;
        let audio =
            self.bytes_per_second.map_or_else(|| self.audio_heard(), |rate| Duration::from_micros(micros(rate)));
        let slot = self.opened_at.map_or(Duration::ZERO, |opened| now.since(opened));
        Usage { audio, slot, ..self.usage }
    }

    /// Notes what the shell hears in the caller's audio, of which it has heard so many samples.
    pub fn noticed(&mut self, noticed: impl Iterator<Item = Noticed>, heard: u64) {
        self.gaps = Gaps::Noticed;
        noticed.for_each(|noticed| self.pauses.note(noticed));
        self.pauses.heard(heard);
    }

    /// Ends the session for a reason that only the shell can see. The first reason stays.
    pub fn end(&mut self, reason: CloseReason) {
        if self.ended().is_none() {
            self.stop_moving(MoveEnd::Needless);
            self.state = State::Closed(reason);
            self.cover = Cover::Gone;
            self.ring.clear();
            self.search = Search::Idle;
            (self.current, self.rival) = (None, None);
            self.actions.push_back(Action::End(reason));
        }
    }

    /// Returns up to where everything is final, in samples.
    fn fin(&self) -> u64 {
        self.tracks.iter().map(Track::fin).min().unwrap_or(0)
    }

    fn leg(&mut self, epoch: u32) -> Option<&mut Leg> {
        [&mut self.current, &mut self.rival].into_iter().flatten().find(|leg| leg.epoch == epoch)
    }

    fn is_serving(&self, epoch: u32) -> bool {
        self.serving() == Some(epoch)
    }

    /// Lets go of audio that no leg will be sent again.
    fn trim(&mut self) {
        if self.layout == Layout::Opaque || self.cover == Cover::Gone {
            return;
        }
        let (pauses, timeline) = (&self.pauses, self.timeline);
        let kept = self.tracks.iter().map(|track| track.keep_from(pauses, timeline)).min().unwrap_or(0);
        let unsent = [&self.current, &self.rival].into_iter().flatten().map(|leg| self.ring.frame(leg.sent)).min();
        let (_, position) = self.ring.begin(unsent.map_or(kept, |unsent| kept.min(unsent)));
        self.ring.trim(position);
    }
}

/// Takes audio for uncuttable that is too much to keep enough of.
fn keepable(layout: Layout, bytes_per_second: Option<u64>, limits: &Limits) -> Layout {
    let enough = bytes_per_second.unwrap_or(0).saturating_mul(limits.unfinished.as_secs());
    if enough > limits.ring_bytes as u64 { Layout::Opaque } else { layout }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
