//! A key's text: `cp_<environment>_<id>_<secret>_<checksum>`. The prefix lets scanners find leaks, the checksum turns typos away
//! without a lookup, and nobody guesses 178 random bits.

use std::str::FromStr;

use rand::Rng;
use scheduler::{BadName, KeyId};

use super::Secret;

/// What every key begins with.
const PRODUCT: &str = "cp";
/// The environment of tokens.
const LENT: &str = "lent";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters and digits of an id: 71 bits, so that two keys never share one.
const ID: usize = 12;
/// Letters and digits of a secret: 178 bits.
const SECRET: usize = 30;
/// Letters and digits of a CRC-32.
const CHECKSUM: usize = 6;

/// What a key is for, as it stands in the key itself: `live`, `test`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment(String);

/// Says that a text names no environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an environment of 1 to 16 small letters and digits such as live, and not \"lent\", got {0:?}")]
pub struct BadEnvironment(String);

impl FromStr for Environment {
    type Err = BadEnvironment;

    fn from_str(text: &str) -> Result<Self, BadEnvironment> {
        if is_environment(text) && text != LENT {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadEnvironment(text.chars().take(32).collect()))
        }
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self("live".to_owned())
    }
}

impl Environment {
    /// Stands in the tokens that are lent on a key, and in no key.
    pub(crate) fn lent() -> Self {
        Self(LENT.to_owned())
    }
}

/// Tells whether a text is a token that was lent on a key, or would be if it were right.
#[must_use]
pub fn is_lent(key: &Secret) -> bool {
    key.expose().strip_prefix(PRODUCT).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.split('_').next())
        == Some(LENT)
}

fn is_environment(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Makes a new key: the id that may be shown, and the whole text, which is shown once.
pub(crate) fn generate(environment: &Environment, dice: &mut impl Rng) -> Result<(KeyId, Secret), BadName> {
    let id = random(dice, ID);
    let body = format!("{PRODUCT}_{}_{id}_{}", environment.0, random(dice, SECRET));
    Ok((id.parse()?, Secret::new(format!("{body}_{}", checksum(&body)))))
}

/// Finds the id in a key's text; none where the text is no key, a typo included.
#[must_use]
pub fn key_id(key: &Secret) -> Option<KeyId> {
    let (body, sum) = key.expose().rsplit_once('_')?;
    let [product, environment, id, secret] = body.split('_').collect::<Vec<_>>().try_into().ok()?;
    let is_key = product == PRODUCT
        && is_environment(environment)
        && is_random(id, ID)
        && is_random(secret, SECRET)
        && sum == checksum(body);
    if is_key { id.parse().ok() } else { None }
}

fn random(dice: &mut impl Rng, length: usize) -> String {
    (0..length).map(|_| char::from(DIGITS[dice.random_range(0..DIGITS.len())])).collect()
}

fn is_random(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Writes the CRC-32 of a text in base 62.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut sum = [b'0'; CHECKSUM];
    for digit in sum.iter_mut().rev() {
        *digit = DIGITS[rest % DIGITS.len()];
        rest /= DIGITS.len();
    }
    sum.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn make(seed: u64) -> (KeyId, String) {
        let (id, key) = generate(&Environment::default(), &mut StdRng::seed_from_u64(seed)).unwrap();
        (id, key.expose().to_owned())
    }

    #[test]
    fn a_key_is_what_the_documents_say() {
        let (id, key) = make(1);
        let parts: Vec<_> = key.split('_').collect();
        assert_eq!(parts[..3], ["cp", "live", id.as_str()]);
        assert_eq!((parts[2].len(), parts[3].len(), parts[4].len()), (12, 30, 6));
        // 62^30 > 2^160.
        assert!(30.0 * 62.0_f64.log2() >= 160.0);
    }

    #[test]
    fn an_environment_is_a_short_word() {
        assert!("test2".parse::<Environment>().is_ok());
        for wrong in ["", "lent", "Live", "a_b", "seventeen-letters", "averyveryverylongone"] {
            let error = wrong.parse::<Environment>().unwrap_err();
            assert!(error.to_string().ends_with(&format!("got {wrong:?}")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_key_tells_its_id(seed: u64) {
            let (id, key) = make(seed);
            prop_assert_eq!(key_id(&Secret::new(key)), Some(id));
        }

        #[test]
        fn one_wrong_letter_is_noticed(seed: u64, at in 0_usize..57, letter in "[0-9A-Za-z_]") {
            let (_, mut key) = make(seed);
            let right = key[at..=at].to_owned();
            key.replace_range(at..=at, &letter);
            prop_assert_eq!(key_id(&Secret::new(key)).is_some(), right == letter);
        }

        #[test]
        fn two_letters_that_changed_places_are_noticed(seed: u64, at in 8_usize..56) {
            let (_, key) = make(seed);
            let mut swapped = key.clone().into_bytes();
            swapped.swap(at, at + 1);
            let swapped = String::from_utf8(swapped).unwrap();
            prop_assert_eq!(key_id(&Secret::new(swapped.as_str())).is_some(), swapped == key);
        }

        #[test]
        fn no_text_is_a_reason_to_panic(text: String) {
            prop_assert_eq!(key_id(&Secret::new(text)), None);
        }
    }
}
