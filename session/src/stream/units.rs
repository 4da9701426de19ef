//! Containers: the caller's stream as pieces that the shell cuts, on the clock that their headers tell. Nobody listens to
//! what is in them, so what a node says tells where the caller paused.

use std::num::NonZeroU32;
use std::time::Duration;

use scheduler::Timestamp;

use super::phase::Cover;
use super::{OWED_SECONDS, Outgoing, PAUSE, Session, keepable};
use crate::close::CloseReason;
use crate::events::Layout;
use crate::merge::Placed;
use crate::pauses::{Noticed, Pauses};
use crate::ring::Ring;
use crate::timeline::Timeline;
use crate::track::Track;
use crate::units::{Failover, Unit};

/// Who knows where the caller pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Gaps {
    /// The nodes: their words have gaps between them.
    #[default]
    Told,
    /// The shell, which listens.
    Noticed,
}

impl Session {
    /// Notes that the caller's audio is a container that can be cut, before any of it was kept; raw audio inside lasts
    /// so many bytes a second. Tells whether it shall be cut: not where too little of it could be kept.
    pub fn cuts_into_units(&mut self, rate: NonZeroU32, preroll: u64, bytes_per_second: Option<u64>) -> bool {
        let layout = keepable(Layout::Units { rate, preroll }, bytes_per_second, &self.limits);
        if layout == Layout::Opaque || self.layout != Layout::Opaque || self.ring.end() > 0 {
            return false;
        }
        (self.layout, self.timeline, self.ring) = (layout, Timeline::of(layout), Ring::new(layout));
        self.pauses = Pauses::new(0, self.timeline.millis(PAUSE));
        self.owed.count_in(u64::from(rate.get()) * OWED_SECONDS);
        true
    }

    /// Takes bytes from the caller that are being cut: what they hold comes as units.
    pub fn caller_sent(&mut self, bytes: usize, now: Timestamp) {
        if self.listens() {
            self.caller_at = now;
            self.usage.bytes_in += bytes as u64;
        }
    }

    /// Takes a unit of the caller's audio. Legs are sent it by [`Session::next_for`].
    pub fn caller_unit(&mut self, unit: Unit, bytes: &[u8], now: Timestamp) {
        if !self.listens() || self.cover == Cover::Gone {
            return;
        }
        self.owed.add_audio(unit.samples as usize, now);
        self.ring.push_unit(unit, bytes);
        self.ask_for_results(now);
        self.note_room(now);
    }

    /// Notes that the caller's audio, though cut so far, cannot be cut any further: what the leg that serves has not been
    /// sent of it is returned, it gets the rest as it comes, and no other leg can take its place.
    pub fn stop_cutting(&mut self, now: Timestamp) -> Vec<Outgoing> {
        let Some(epoch) = self.serving() else {
            self.end(CloseReason::BadAudio);
            return Vec::new();
        };
        self.acquit(now);
        self.usage.audio = self.audio_heard();
        self.layout = Layout::Opaque;
        let rest = std::iter::from_fn(|| self.next_for(epoch, now)).collect();
        self.cover = Cover::Gone;
        self.ring.pass(0);
        rest
    }

    /// Returns how well the stream survives the loss of its node, as far as is known; nothing once it is over.
    #[must_use]
    pub fn failover(&self) -> Option<Failover> {
        match (self.cover, self.layout) {
            _ if self.ended().is_some() => None,
            (Cover::Whole, Layout::Frames { .. } | Layout::Units { .. }) => Some(Failover::Full),
            (Cover::Whole, Layout::Opaque) => Some(Failover::Limited),
            (Cover::Gone, _) => Some(Failover::None),
        }
    }

    /// Returns the first sample that is kept for a leg.
    #[must_use]
    pub fn kept_from(&self) -> u64 {
        self.ring.frame(self.ring.base())
    }

    /// Returns how much audio came, as far as that is known without its rate in bytes.
    pub(super) fn audio_heard(&self) -> Duration {
        match self.layout {
            Layout::Units { .. } => self.timeline.time(self.ring.frame(self.ring.end())),
            Layout::Frames { .. } | Layout::Opaque => self.usage.audio,
        }
    }

    pub(super) fn units_to_replay(&self) -> Duration {
        let sent = self.current.as_ref().map_or_else(|| self.ring.end(), |leg| leg.sent);
        let samples = self.ring.frame(self.ring.end()).saturating_sub(self.ring.frame(sent));
        self.timeline.time(samples)
    }

    /// Counts what a leg that has heard so far has yet to hear: in bytes, or in samples of units.
    pub(super) fn beyond(&self, heard: u64) -> usize {
        let end = self.ring.end();
        let beyond = match self.layout {
            Layout::Units { .. } => self.ring.frame(end).saturating_sub(heard),
            Layout::Frames { .. } | Layout::Opaque => end.saturating_sub(self.ring.at_frame(heard)),
        };
        usize::try_from(beyond).unwrap_or(usize::MAX)
    }

    /// Tells whether no more audio can be kept.
    pub(super) fn is_full(&self) -> bool {
        match self.layout {
            Layout::Units { .. } => {
                let kept = self.ring.frame(self.ring.end()).saturating_sub(self.kept_from());
                self.ring.bytes() >= self.limits.ring_bytes || self.timeline.time(kept) >= self.limits.ring
            }
            Layout::Frames { .. } | Layout::Opaque => self.ring.bytes() >= self.most_bytes(),
        }
    }

    /// Tells whether nobody speaks in what came last, as far as is known.
    pub(super) fn is_pause(&self) -> bool {
        match (self.gaps, self.layout, &self.current) {
            (Gaps::Told, Layout::Units { .. }, Some(leg)) => {
                let last = self.tracks.iter().filter_map(Track::last).max().unwrap_or(0);
                leg.heard >= last.saturating_add(self.timeline.millis(PAUSE))
            }
            _ => self.pauses.is_pause(),
        }
    }

    /// Notes where nobody spoke between the words of a final result that ends at `end`.
    pub(super) fn note_gaps(&mut self, words: &[Placed], end: u64) {
        let Layout::Units { .. } = self.layout else { return };
        if self.gaps == Gaps::Noticed || self.tracks.len() > 1 {
            return;
        }
        for word in words {
            self.pauses.note(Noticed::Speech(word.start));
            self.pauses.note(Noticed::Silence(word.end));
        }
        self.pauses.heard(end);
    }
}
