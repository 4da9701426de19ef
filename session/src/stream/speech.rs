//! Starts of speech: each is told once, though two legs may hear it.

use std::time::Duration;

use crate::events::Verdict;

/// Two legs that place the start of speech within this mean the same speech.
const SAME_SPEECH: Duration = Duration::from_millis(500);

/// The last start of speech that the caller was told of, and the leg that heard it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Speech {
    told: Option<(u32, Duration)>,
}

impl Speech {
    /// Takes a start of speech that the leg of this epoch heard; what an earlier leg was heard to say is not told again.
    pub(super) fn started(&mut self, epoch: u32, at: Duration) -> Verdict {
        let repeats = self.told.is_some_and(|(leg, told)| leg != epoch && at <= told + SAME_SPEECH);
        if repeats {
            return Verdict::Drop;
        }
        self.told = Some((epoch, at));
        Verdict::Relay
    }
}
