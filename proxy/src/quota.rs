//! Quotas, asked before a session is placed: how fast new ones and uploads may come, and how much audio a day. While the store
//! is away this proxy goes by what it knows itself, at one and a half times its share. Audio that was heard is charged in the
//! background; nothing here is asked per audio chunk.

mod refusal;
mod spending;

use std::num::NonZeroU32;
use std::sync::Arc;

use scheduler::{Timestamp, Work};
use session::Usage;
use store::{Admission, Admitting, Allowance, Caller, Quotas, Tallies, Used};
use tracing::debug;

use crate::delivery::Failure;
use crate::metrics;

pub(crate) use refusal::{Limited, retry_after, write_allowance};
pub(crate) use spending::Bill;
use spending::Spending;

/// What admits sessions by what their keys have used.
pub(crate) struct Quota {
    store: Arc<dyn Quotas>,
    local: Tallies,
    proxies: NonZeroU32,
    spending: Spending,
}

impl Quota {
    /// Starts with nothing used.
    pub(crate) fn new(store: Arc<dyn Quotas>, proxies: NonZeroU32) -> Self {
        Self { store, local: Tallies::default(), proxies, spending: Spending::default() }
    }

    /// Admits a session with an upload of `upload_bytes`, so far as known, and says where its key stands.
    pub(crate) async fn admit(
        &self,
        caller: &Caller,
        upload_bytes: u64,
        now: Timestamp,
    ) -> Result<Option<Allowance>, Failure> {
        if !caller.limits.are_counted() {
            return Ok(None);
        }
        let Admitting { admission, allowance } = self.ask(caller, upload_bytes, now).await;
        match admission {
            Admission::Admitted => Ok(allowance),
            Admission::Refused { by, wait } => Err(refusal::refusal(&caller.limits, by, wait, allowance)),
        }
    }

    async fn ask(&self, caller: &Caller, upload_bytes: u64, now: Timestamp) -> Admitting {
        let share = caller.limits.share(self.proxies);
        match self.store.admit(&caller.key, &caller.limits, upload_bytes, now).await {
            Ok(admitting) => {
                if admitting.admission == Admission::Admitted {
                    // So that nobody has a burst anew when the store goes away.
                    self.local.admit(&caller.key, &share, upload_bytes, now);
                }
                admitting
            }
            Err(away) => {
                metrics::quota_alone();
                debug!(%away, "admitting by what this proxy knows");
                self.local.admit(&caller.key, &share, upload_bytes, now)
            }
        }
    }

    /// Charges what sessions have used since this was last called; what the store does not take stays for the next time.
    async fn charge_all(&self, now: Timestamp) {
        for (key, (limits, used)) in self.spending.take() {
            match self.store.charge(&key, &limits, used, now).await {
                Ok(()) => self.local.charge(&key, &limits.share(self.proxies), used, now),
                Err(away) => {
                    debug!(%away, %key, "use not charged yet");
                    self.spending.add(&key, &limits, used);
                }
            }
        }
    }
}

/// Says what an upload and its audio came to, beyond what was paid for on admission.
pub(crate) fn used(usage: &Usage, work: Work, paid_bytes: u64) -> Used {
    let upload_bytes = match work {
        Work::Stream => 0,
        Work::File => usage.bytes_in.saturating_sub(paid_bytes),
    };
    Used { upload_bytes, audio: usage.audio }
}

#[cfg(test)]
mod tests;
