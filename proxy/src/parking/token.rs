//! What a caller shows to go on with its stream: which stream, whose, and what was asked for, sealed with HMAC-SHA-256
//! (RFC 2104) so that nobody else can write it. It is no key: who shows it must have the key as well.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::hmac::{HMAC_SHA256, Key, sign, verify};
use scheduler::{KeyId, SessionId, TenantId};
use serde::{Deserialize, Serialize};
use store::Caller;

/// What is sealed begins with this, so that no other use of the secret seals the same.
const PURPOSE: &[u8] = b"crosspoint resume 1\0";
/// A longer query does not fit into a token, for that comes back in a query: such a stream can be resumed at its own proxy only.
const LONGEST_QUERY: usize = 4 << 10;
/// A longer text is no token of ours.
const LONGEST: usize = 8 << 10;

/// A stream, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    /// The first session of the stream.
    pub(crate) stream: SessionId,
    tenant: TenantId,
    key: KeyId,
    /// What was asked for, where it is short enough.
    pub(crate) query: Option<String>,
}

impl Ticket {
    /// Names a stream of a caller that asked for `query`.
    pub(crate) fn new(stream: SessionId, caller: &Caller, query: String) -> Self {
        let query = Some(query).filter(|query| query.len() <= LONGEST_QUERY);
        Self { stream, tenant: caller.tenant.clone(), key: caller.key.clone(), query }
    }

    /// Tells whether it is this caller's.
    pub(crate) fn is_of(&self, caller: &Caller) -> bool {
        self.tenant == caller.tenant && self.key == caller.key
    }
}

/// Writes tokens, and knows its own.
pub(crate) struct Seal(Key);

impl Seal {
    /// Seals with a secret.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Key::new(HMAC_SHA256, secret))
    }

    /// Seals with a secret that nobody knows.
    pub(crate) fn random() -> Self {
        Self::new(&rand::random::<[u8; 32]>())
    }

    /// Writes a token.
    pub(super) fn issue(&self, ticket: &Ticket) -> String {
        // A struct of texts can always be written.
        let sealed = serde_json::to_vec(ticket).unwrap_or_default();
        let tag = sign(&self.0, &[PURPOSE, &sealed].concat());
        format!("{}.{}", BASE64.encode(&sealed), BASE64.encode(tag))
    }

    /// Reads a token; nothing of one that was not sealed here.
    pub(super) fn read(&self, token: &str) -> Option<Ticket> {
        let (sealed, tag) = token.split_once('.').filter(|_| token.len() <= LONGEST)?;
        let (sealed, tag) = (BASE64.decode(sealed).ok()?, BASE64.decode(tag).ok()?);
        verify(&self.0, &[PURPOSE, &sealed].concat(), &tag).ok()?;
        serde_json::from_slice(&sealed).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(tenant: &str) -> Caller {
        Caller::unlimited(tenant.parse().unwrap(), KeyId::dev())
    }

    fn ticket(query: &str) -> Ticket {
        Ticket::new(SessionId::from_random(1), &caller("acme"), query.to_owned())
    }

    #[test]
    fn a_token_comes_back_as_it_was_and_names_its_owner() {
        let seal = Seal::new(&[7; 32]);
        let written = ticket("model=nova-3&ack=1");
        let read = Seal::new(&[7; 32]).read(&seal.issue(&written)).unwrap();
        assert_eq!(read, written);
        assert!(read.is_of(&caller("acme")) && !read.is_of(&caller("other")));
        assert_eq!(Seal::random().read(&seal.issue(&written)), None);
    }

    #[test]
    fn a_query_that_would_not_fit_stays_behind() {
        assert_eq!(ticket(&"k".repeat(5 << 10)).query, None);
        let token = Seal::random().issue(&ticket(&"k".repeat(LONGEST_QUERY)));
        assert!(token.len() < LONGEST, "{}", token.len());
    }

    proptest! {
        #[test]
        fn a_token_with_another_byte_is_none(at in 0_usize..1_000, byte in any::<u8>()) {
            let seal = Seal::new(&[7; 32]);
            let token = seal.issue(&ticket("a=b"));
            let mut bytes = token.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte % 128;
            let changed = String::from_utf8(bytes).unwrap();
            // The last digit of a text in base 64 has bits to spare: those are refused, too.
            prop_assert_eq!(seal.read(&changed).is_some(), changed == token);
        }

        #[test]
        fn no_text_is_a_token_by_chance(text in ".{0,200}") {
            prop_assert_eq!(Seal::new(&[7; 32]).read(&text), None);
        }
    }
}
