//! Issuers of tokens: what the configuration says of them, and their public keys.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use scheduler::{KeyId, PoolName, Residency};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Grants, Limits, Scope};

/// Bytes of an uncompressed point of P-256.
const P256_BYTES: usize = 65;
/// Bytes of a public key of Ed25519.
const ED25519_BYTES: usize = 32;

/// Tokens (JWTs) that open this proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// What a token's `aud` must hold.
    pub audience: String,
    /// Who may sign tokens.
    pub issuers: Vec<IssuerConfig>,
}

/// Who may sign tokens, and what they grant at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// A short name for logs and bills: its callers use the key `jwt:NAME:TENANT`.
    pub name: String,
    /// What a token's `iss` must be.
    pub issuer: String,
    /// A file with its public keys: one in PEM, or a JWK set. Only Ed25519 and P-256, each for its own algorithm.
    pub keys: PathBuf,
    /// What a token's `typ` must be.
    #[serde(default = "jwt")]
    pub typ: String,
    /// The claim that names the tenant.
    #[serde(default = "tenant")]
    pub tenant_claim: String,
    /// Claims that rules may look at. They may be logged by routers: name none that holds a secret.
    #[serde(default)]
    pub claims: BTreeSet<String>,
    /// What its tokens may be used for; the claim `scope` narrows it.
    #[serde(default = "every_scope")]
    pub scopes: BTreeSet<Scope>,
    /// The only pools that may serve them; every pool when absent. The claim `pools` narrows it.
    #[serde(default)]
    pub pools: Option<BTreeSet<PoolName>>,
    /// Where their audio must stay. The claim `residency` may say it where this does not.
    #[serde(default)]
    pub residency: Option<Residency>,
    /// How much each tenant may use.
    #[serde(default)]
    pub limits: Limits,
}

fn jwt() -> String {
    "JWT".to_owned()
}

fn tenant() -> String {
    "tenant".to_owned()
}

fn every_scope() -> BTreeSet<Scope> {
    Scope::ALL.into()
}

impl IssuerConfig {
    /// Returns what its tokens grant at most.
    pub(super) fn grants(&self) -> Grants {
        let Self { scopes, pools, residency, limits, .. } = self.clone();
        Grants { scopes, pools, residency, limits }
    }
}

/// Why the public keys of an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerKeyError {
    /// The file cannot be read.
    #[error("cannot read {}, the public keys of issuer {issuer}: {cause}", path.display())]
    Unreadable {
        /// Whose keys.
        issuer: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// It holds no key that can be used.
    #[error(
        "expected a public key of Ed25519 or P-256 in PEM, or a JWK set of such keys with a kid each, in {}, the keys of issuer {issuer}",
        path.display()
    )]
    Unusable {
        /// Whose keys.
        issuer: String,
        /// The file.
        path: PathBuf,
    },
    /// Its callers' keys could be taken for another's.
    #[error("expected a name of its own for issuer {issuer}, of letters, digits, '.', '_', '/' and '-', got {name:?}")]
    Name {
        /// Whose name.
        issuer: String,
        /// The name.
        name: String,
    },
    /// Nobody would read the second entry.
    #[error("issuer {0} is listed twice: write one entry")]
    Twice(String),
}

/// Checks that no issuer's tokens or callers can be taken for another's.
pub(super) fn check_names(issuers: &[IssuerConfig]) -> Result<(), IssuerKeyError> {
    let (mut names, mut known) = (BTreeSet::new(), BTreeSet::new());
    for IssuerConfig { name, issuer, .. } in issuers {
        // A colon ends the name in `jwt:NAME:TENANT`.
        if name.contains(':') || name.parse::<KeyId>().is_err() || !names.insert(name) {
            return Err(IssuerKeyError::Name { issuer: issuer.clone(), name: name.clone() });
        }
        if !known.insert(issuer) {
            return Err(IssuerKeyError::Twice(issuer.clone()));
        }
    }
    Ok(())
}

/// One public key, and the one algorithm that it is for.
pub(super) struct IssuerKey {
    /// Its name; a lone key in PEM has none and answers to every name.
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Reads an issuer's file of public keys.
pub(super) async fn read_keys(config: &IssuerConfig) -> Result<Vec<IssuerKey>, IssuerKeyError> {
    let (issuer, path) = (config.name.clone(), config.keys.clone());
    let bytes = match tokio::fs::read(&path).await {
        Ok(bytes) => bytes,
        Err(cause) => return Err(IssuerKeyError::Unreadable { issuer, path, cause }),
    };
    keys_in(&bytes).ok_or(IssuerKeyError::Unusable { issuer, path })
}

/// Understands a file; nothing where any key in it cannot be used, for a key that is passed over is missed too late.
fn keys_in(bytes: &[u8]) -> Option<Vec<IssuerKey>> {
    if let Ok(set) = serde_json::from_slice::<JwkSet>(bytes) {
        let keys: Option<Vec<_>> = set.keys.iter().map(of_set).collect();
        return keys.filter(|keys| !keys.is_empty());
    }
    let ed = DecodingKey::from_ed_pem(bytes).ok().and_then(|key| sound(None, Algorithm::EdDSA, key));
    let key = ed.or_else(|| DecodingKey::from_ec_pem(bytes).ok().and_then(|key| sound(None, Algorithm::ES256, key)))?;
    Some(vec![key])
}

fn of_set(jwk: &Jwk) -> Option<IssuerKey> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let said = jwk.common.key_algorithm.map(|said| said.to_string());
    if said.is_some_and(|said| said != format!("{algorithm:?}")) {
        return None;
    }
    sound(Some(jwk.common.key_id.clone()?), algorithm, DecodingKey::from_jwk(jwk).ok()?)
}

fn sound(kid: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Option<IssuerKey> {
    let expected = if algorithm == Algorithm::EdDSA { ED25519_BYTES } else { P256_BYTES };
    let sound = key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == expected);
    sound.then_some(IssuerKey { kid, algorithm, key })
}
