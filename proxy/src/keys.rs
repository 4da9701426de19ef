//! Who a caller is and what it may do: by a key of the store, or by a token that an issuer signed.
//!
//! * `tokens`: JWTs, checked as RFC 8725 says. `issuers`: the configuration, and the issuers' public keys. `crypto`: the two
//!   algorithms there are.

mod crypto;
mod issuers;
mod tokens;

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use session::CloseReason;
use store::{Caller, KEY_REFRESH, KeyError, Keyring, Limits, Scope, Secret, UnixTime, is_lent, key_id};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use crate::delivery::Failure;
use crate::metrics;

pub use issuers::{IssuerConfig, IssuerKeyError, JwtConfig};
pub(crate) use tokens::Tokens;

/// What opens this proxy.
pub(crate) struct Keys {
    keyring: Keyring,
    tokens: Tokens,
    defaults: ArcSwap<Limits>,
    alive: DropGuard,
}

impl Keys {
    /// Accepts what the keyring knows, and tokens; what sets no limits of its own has the default ones.
    pub(crate) fn new(keyring: Keyring, tokens: Tokens, defaults: Limits) -> Self {
        let defaults = ArcSwap::from_pointee(defaults);
        Self { keyring, tokens, defaults, alive: CancellationToken::new().drop_guard() }
    }

    /// Changes the default limits; sessions that were admitted stay.
    pub(crate) fn set_defaults(&self, defaults: Limits) {
        self.defaults.store(Arc::new(defaults));
    }

    /// Returns what is cancelled when nobody needs these keys any more.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.alive.token().clone()
    }

    /// Tells who presented `key` from address `peer`, where it may do `scope`.
    pub(crate) async fn check(&self, key: &Secret, peer: IpAddr, scope: Scope) -> Result<Caller, KeyError> {
        let checked = match self.tokens.check(key, UnixTime::now()) {
            Some(checked) => checked.map_err(|refusal| {
                debug!(why = %refusal, "token refused");
                refusal.into()
            }),
            None => self.keyring.check(key, peer).await,
        };
        let caller = checked.and_then(|caller| caller.allowed(scope)).inspect_err(metrics::key_refused)?;
        Ok(Caller { limits: caller.limits.or(**self.defaults.load()), ..caller })
    }
}

/// How long a token that was lent is good.
const LENT: Duration = Duration::from_secs(60);

impl Keys {
    /// Makes a token for the caller with `key`, good once and for `wanted`, or for a minute where that is longer; tells both.
    /// Who has only a token cannot make another.
    pub(crate) async fn lend(
        &self,
        key: &Secret,
        peer: IpAddr,
        wanted: Duration,
    ) -> Result<(Secret, Duration), KeyError> {
        if is_lent(key) || key_id(key).is_none() {
            return Err(KeyError::NotLendable).inspect_err(metrics::key_refused);
        }
        let caller = self.check(key, peer, Scope::Listen).await?;
        let life = wanted.min(LENT);
        Ok((self.keyring.lend(&caller, life).await?, life))
    }
}

/// Does work for a caller, unless its key is revoked meanwhile. A token that expires is no reason: it was good when the work
/// was asked for, and the work has an end.
pub(crate) async fn unless_revoked<T, E: From<Failure>>(
    caller: &Caller,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        done = work => done,
        () = caller.standing.clone().revoked() => {
            let reason = CloseReason::KeyRevoked;
            Err(Failure::new(reason, reason.close_text()).into())
        }
    }
}

/// Keeps watching the store for revocations as long as anybody holds the keys: sessions that are drained have keys too.
pub(crate) async fn follow(keys: Weak<Keys>, gone: CancellationToken) {
    let mut ticks = interval(KEY_REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = gone.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let Some(keys) = keys.upgrade() else { return };
        if let Err(away) = keys.keyring.refresh().await {
            metrics::keys_unwatched();
            debug!(%away, "revocations cannot be seen now");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use store::Embedded;

    use super::*;

    #[tokio::test]
    async fn a_key_without_limits_of_its_own_has_the_default_ones() {
        let secret = Secret::new("k");
        let keyring = Keyring::new(Arc::new(Embedded::new())).with_dev_key(&secret, "dev".parse().unwrap());
        let defaults = Limits { concurrent: Some(2), ..Limits::default() };
        let keys = Keys::new(keyring, Tokens::default(), defaults);
        let caller = keys.check(&secret, Ipv4Addr::LOCALHOST.into(), Scope::Listen).await.unwrap();
        assert_eq!(caller.limits, defaults);
    }
}
