//! What may be made of a file, and what was left out of it. Apart from the decoder because these are the rules that bombs
//! meet.

use std::time::Duration;

use super::Failure;
use super::sound::Sound;
use crate::error::AudioError;
use crate::sniff::Container;
use crate::stream::MAX_DURATION;

/// The most bytes of sound, at 16 bits in one channel, that a byte of a file may hold.
pub(super) const RATIO: u64 = 200;
/// What any file may hold, however small it is: silence packs well.
pub(super) const GRACE: Duration = Duration::from_secs(5 * 60);
/// The most packets that a byte of a file may hold: none has less than a byte, but tables may promise them.
const PACKETS_PER_BYTE: u64 = 1;

/// What may be made of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) limit: Duration,
    file_len: u64,
    packets: u64,
}

/// Packets that could not be decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage {
    pub(super) packets: u64,
    first: Option<String>,
}

impl Budget {
    /// Starts with a file of so many bytes.
    pub(super) const fn new(file_len: u64) -> Self {
        Self { limit: MAX_DURATION, file_len, packets: 0 }
    }

    /// Counts a packet, of whatever track.
    pub(super) fn count_packet(&mut self) -> Result<(), Failure> {
        self.packets += 1;
        if self.packets > self.file_len.saturating_mul(PACKETS_PER_BYTE) {
            return Err(Failure::Damaged("it promises more packets than it has bytes".to_owned()));
        }
        Ok(())
    }

    /// Looks at what was heard so far.
    pub(super) fn check(&self, container: Container, sound: &Sound) -> Result<(), AudioError> {
        let heard = sound.heard();
        if heard > self.limit {
            return Err(AudioError::TooLong { limit: self.limit });
        }
        if heard > GRACE && sound.bytes_heard() > self.file_len.saturating_mul(RATIO) {
            return Err(AudioError::Inflated { container, times: RATIO });
        }
        Ok(())
    }
}

impl Damage {
    /// Counts a packet that was left out.
    pub(super) fn count(&mut self, problem: String) {
        self.packets += 1;
        self.first.get_or_insert(problem);
    }

    /// Says why there was nothing to hear.
    pub(super) fn explain(&self, container: Container) -> AudioError {
        self.first.clone().map_or(AudioError::Empty, |problem| AudioError::Corrupt { container, problem })
    }
}
