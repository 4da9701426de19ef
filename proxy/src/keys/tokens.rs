//! Tokens (JWTs), checked as RFC 8725 says: the key decides the algorithm, and only keys that are configured count, whatever
//! a token says of keys elsewhere (`jku`, `x5u`, `jwk`).

use std::collections::BTreeSet;
use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::Error;
use jsonwebtoken::{Header, Validation, decode, decode_header};
use scheduler::{PoolName, Residency, TenantId};
use serde::Deserialize;
use serde_json::{Map, Value};
use store::{Caller, Grants, KeyError, Secret, Standing, UnixTime};
use tokio::time::Instant;

use super::crypto;
use super::issuers::{IssuerConfig, IssuerKey, IssuerKeyError, JwtConfig, check_names, read_keys};

/// How far two clocks may differ. A stream whose token expires goes on for as long.
const LEEWAY: Duration = Duration::from_secs(30);
/// The longest life of a token.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// The longest token, in bytes.
const LONGEST_TEXT: usize = 8 << 10;

/// Whose tokens open this proxy.
#[derive(Default)]
pub(crate) struct Tokens {
    audience: String,
    issuers: Vec<Issuer>,
}

struct Issuer {
    config: IssuerConfig,
    keys: Vec<IssuerKey>,
}

/// Why a token opens nothing. It is for logs: who presents it learns less.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is longer than {LONGEST_TEXT} bytes")]
    TooLong,
    #[error("it is no token: {0}")]
    Malformed(Error),
    #[error("its header says crit, and nothing critical is understood here")]
    Critical,
    #[error("its typ is not what its issuer's must be")]
    Type,
    #[error("nobody of that name issues tokens here")]
    Issuer,
    #[error("its issuer has no key of that name")]
    Key,
    #[error("it does not hold: {0}")]
    Untrue(Error),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("it lives for more than 15 min")]
    TooLongLived,
    #[error("its claim {0} is missing or makes no sense")]
    Claim(String),
    #[error("it wants audio to stay elsewhere than its issuer may grant")]
    Residency,
}

impl From<Refusal> for KeyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Expired => Self::Expired,
            Refusal::TooLong
            | Refusal::Malformed(_)
            | Refusal::Critical
            | Refusal::Type
            | Refusal::Issuer
            | Refusal::Key
            | Refusal::Untrue(_)
            | Refusal::Early
            | Refusal::TooLongLived
            | Refusal::Claim(_)
            | Refusal::Residency => Self::Unknown,
        }
    }
}

/// What a token says of its issuer, before anything of it is believed.
#[derive(Deserialize)]
struct Alleged {
    iss: String,
}

/// What a token says, once it is known who said it.
#[derive(Deserialize)]
struct Claims {
    exp: u64,
    iat: Option<u64>,
    nbf: Option<u64>,
    scope: Option<String>,
    pools: Option<BTreeSet<PoolName>>,
    residency: Option<Residency>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Tokens {
    /// Reads the public keys of every issuer.
    ///
    /// # Errors
    /// Fails on a file that cannot be read or that holds a key that cannot be used, and on issuers that are not told apart.
    pub(crate) async fn read(config: Option<&JwtConfig>) -> Result<Self, IssuerKeyError> {
        let Some(config) = config else { return Ok(Self::default()) };
        crypto::install();
        check_names(&config.issuers)?;
        let mut issuers = Vec::new();
        for issuer in &config.issuers {
            issuers.push(Issuer { keys: read_keys(issuer).await?, config: issuer.clone() });
        }
        Ok(Self { audience: config.audience.clone(), issuers })
    }

    /// Tells whose token this is; nothing where it is no token, or where nobody issues any.
    pub(super) fn check(&self, token: &Secret, now: UnixTime) -> Option<Result<Caller, Refusal>> {
        let looks_like_one = token.expose().bytes().filter(|byte| *byte == b'.').count() == 2;
        (looks_like_one && !self.issuers.is_empty()).then(|| self.caller(token.expose(), now))
    }

    fn caller(&self, token: &str, now: UnixTime) -> Result<Caller, Refusal> {
        if token.len() > LONGEST_TEXT {
            return Err(Refusal::TooLong);
        }
        let header = decode_header(token).map_err(Refusal::Malformed)?;
        let alleged: Alleged = insecure_decode_claims(token).map_err(Refusal::Malformed)?;
        let issuer = self.issuers.iter().find(|issuer| issuer.config.issuer == alleged.iss).ok_or(Refusal::Issuer)?;
        let key = issuer.key(&header)?;
        let decoded = decode::<Claims>(token, &key.key, &self.validation(issuer, key));
        let claims = decoded.map_err(Refusal::Untrue)?.claims;
        let left = claims.left(now)?;
        issuer.grant(claims, Standing::until(Instant::now() + left))
    }

    /// What the library checks; times are checked here, against a clock that can be told.
    fn validation(&self, issuer: &Issuer, key: &IssuerKey) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.validate_exp = false;
        validation.set_audience(&[&self.audience]);
        validation.set_issuer(&[&issuer.config.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }
}

impl Claims {
    /// Tells how long the token still holds, leeway included.
    fn left(&self, now: UnixTime) -> Result<Duration, Refusal> {
        let expires = UnixTime(self.exp);
        let left = expires.after(LEEWAY).since(now);
        if left.is_zero() {
            return Err(Refusal::Expired);
        }
        if [self.nbf, self.iat].into_iter().flatten().any(|at| UnixTime(at) > now.after(LEEWAY)) {
            return Err(Refusal::Early);
        }
        let life = self.iat.map(|issued| expires.since(UnixTime(issued)));
        if left > LONGEST + 2 * LEEWAY || life.is_some_and(|life| life > LONGEST) {
            return Err(Refusal::TooLongLived);
        }
        Ok(left)
    }
}

impl Issuer {
    fn key(&self, header: &Header) -> Result<&IssuerKey, Refusal> {
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        let short = |typ: &str| typ.to_ascii_lowercase().trim_start_matches("application/").to_owned();
        if header.typ.as_deref().map(short) != Some(short(&self.config.typ)) {
            return Err(Refusal::Type);
        }
        // A name is compared and never looked up anywhere: what it says is not interpreted.
        let named = |key: &&IssuerKey| key.kid.is_none() || key.kid == header.kid;
        self.keys.iter().find(named).ok_or(Refusal::Key)
    }

    fn grant(&self, claims: Claims, standing: Standing) -> Result<Caller, Refusal> {
        let bad = |claim: &str| Refusal::Claim(claim.chars().take(64).collect());
        let claim = &self.config.tenant_claim;
        let tenant = claims.others.get(claim).and_then(Value::as_str).ok_or_else(|| bad(claim))?;
        let tenant: TenantId = tenant.parse().map_err(|_| bad(claim))?;
        let key = format!("jwt:{}:{tenant}", self.config.name).parse().map_err(|_| bad(claim))?;
        let told = |name: &String| Some((name.clone(), claims.others.get(name)?.as_str()?.to_owned()));
        let told = self.config.claims.iter().filter_map(told).collect();
        let caller = Caller::granted(tenant, key, narrow(self.config.grants(), claims)?, standing);
        Ok(Caller { claims: told, ..caller })
    }
}

/// A token may narrow what its issuer grants, never widen.
fn narrow(mut grants: Grants, claims: Claims) -> Result<Grants, Refusal> {
    if let Some(scope) = claims.scope {
        grants.scopes.retain(|granted| scope.split(' ').any(|said| said == granted.label()));
    }
    grants.pools = match (grants.pools, claims.pools) {
        (Some(granted), Some(said)) => Some(granted.intersection(&said).cloned().collect()),
        (granted, said) => granted.or(said),
    };
    grants.residency = match (grants.residency, claims.residency) {
        (Some(granted), Some(said)) if granted != said => return Err(Refusal::Residency),
        (granted, said) => granted.or(said),
    };
    Ok(grants)
}

#[cfg(test)]
mod tests;
