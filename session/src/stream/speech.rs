//! Starts of speech and ends of utterances: each is told once, though two legs may hear it.

/// Two legs that place a moment within so many milliseconds mean the same.
pub(super) const SAME: u64 = 500;

/// A kind of moment, and the last one that the caller was told of: by which leg, and where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    told: Option<(u32, u64)>,
}

/// The moments that a caller may be told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    pub(super) start: Moment,
    pub(super) end: Moment,
}

impl Moment {
    /// Takes a moment that the leg of this epoch heard and tells whether it is news. `same` is [`SAME`] in samples.
    pub(super) fn is_news(&mut self, epoch: u32, at: u64, same: u64) -> bool {
        let repeats = self.told.is_some_and(|(leg, told)| leg != epoch && at <= told + same);
        if !repeats {
            self.told = Some((epoch, at));
        }
        !repeats
    }
}
