//! What opens, and every attack of RFC 8725 that does not.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;
use store::Scope;
use tempfile::TempDir;

use super::*;
use crate::callers::{Asked, Wishes};
use scheduler::rules::Facts;
use store::{End, Limits};

const NOW: UnixTime = UnixTime(1_800_000_000);
const ISSUER: &str = "https://auth.example";

/// An issuer with both kinds of keys, and a proxy that knows their public halves.
struct Bench {
    tokens: Tokens,
    ed: Ed25519KeyPair,
    ec: EcdsaKeyPair,
    _directory: TempDir,
}

fn config(keys: PathBuf) -> JwtConfig {
    let issuer = IssuerConfig {
        name: "web".to_owned(),
        issuer: ISSUER.to_owned(),
        keys,
        typ: "JWT".to_owned(),
        tenant_claim: "org".to_owned(),
        claims: ["plan".to_owned()].into(),
        scopes: [Scope::Listen, Scope::Transcribe].into(),
        pools: None,
        residency: None,
        limits: Limits::default(),
    };
    JwtConfig { audience: "crosspoint".to_owned(), issuers: vec![issuer] }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn read(content: &str) -> (Result<Tokens, IssuerKeyError>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    std::fs::write(&path, content).unwrap();
    (Tokens::read(Some(&config(path))).await, directory)
}

/// Writes an Ed25519 public key as OpenSSL does.
fn pem(key: &Ed25519KeyPair) -> String {
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [head.as_slice(), key.public_key().as_ref()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

impl Bench {
    async fn new() -> Self {
        let dice = SystemRandom::new();
        let ed = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&dice).unwrap().as_ref()).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &dice).unwrap();
        let ec = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &dice).unwrap();
        let point = ec.public_key().as_ref();
        let set = json!({ "keys": [
            { "kid": "ed", "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": encode(ed.public_key()) },
            { "kid": "ec", "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..]) },
        ]});
        let (tokens, _directory) = read(&set.to_string()).await;
        Self { tokens: tokens.unwrap(), ed, ec, _directory }
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match header["kid"].as_str() {
            Some("ec") => self.ec.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Some(_) | None => self.ed.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encode(signature))
    }

    fn check(&self, token: &str) -> Result<Caller, Refusal> {
        self.tokens.check(&Secret::new(token), NOW).expect("it looks like a token")
    }

    fn with_header(&self, header: &Value) -> Result<Caller, Refusal> {
        self.check(&self.signed(header, &claims()))
    }

    fn with_claims(&self, claims: &Value) -> Result<Caller, Refusal> {
        self.check(&self.signed(&header(), claims))
    }
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": "ed" })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "crosspoint", "exp": NOW.0 + 600, "org": "acme" })
}

/// Puts other fields in the place of some.
fn but(mut value: Value, fields: &Value) -> Value {
    for (name, field) in fields.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

fn why(checked: Result<Caller, Refusal>) -> String {
    checked.unwrap_err().to_string()
}

#[tokio::test]
async fn both_kinds_of_keys_open() {
    let bench = Bench::new().await;
    for header in [header(), json!({ "alg": "ES256", "typ": "application/jwt", "kid": "ec" })] {
        let caller = bench.with_header(&header).unwrap();
        assert_eq!((caller.tenant.as_str(), caller.key.as_str()), ("acme", "jwt:web:acme"));
        assert_eq!(caller.scopes, [Scope::Listen, Scope::Transcribe].into());
    }
    let many = but(claims(), &json!({ "aud": ["other", "crosspoint"] }));
    assert!(bench.with_claims(&many).is_ok());
}

#[tokio::test]
async fn a_key_in_pem_opens_whatever_the_token_calls_it() {
    let bench = Bench::new().await;
    let (tokens, _directory) = read(&pem(&bench.ed)).await;
    let bench = Bench { tokens: tokens.unwrap(), ..bench };
    assert!(bench.with_header(&header()).is_ok());
    assert!(bench.with_header(&json!({ "alg": "EdDSA", "typ": "JWT" })).is_ok());
    assert_eq!(
        why(bench.with_header(&but(header(), &json!({ "alg": "ES256" })))),
        "it does not hold: InvalidAlgorithm"
    );
}

#[tokio::test]
async fn no_algorithm_but_the_keys_own_is_taken() {
    let bench = Bench::new().await;
    for alg in ["none", "None", "nOnE", ""] {
        let unsigned = bench.signed(&but(header(), &json!({ "alg": alg })), &claims());
        assert!(why(bench.check(&unsigned)).starts_with("it is no token"), "{alg}");
        let (message, _) = unsigned.rsplit_once('.').unwrap();
        assert!(why(bench.check(&format!("{message}."))).starts_with("it is no token"), "{alg}");
    }
    for alg in ["HS256", "RS256", "PS256", "ES384", "ES256"] {
        let refused = why(bench.with_header(&but(header(), &json!({ "alg": alg }))));
        assert_eq!(refused, "it does not hold: InvalidAlgorithm", "{alg}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let bench = Bench::new().await;
    let (tokens, _directory) = read(&pem(&bench.ed)).await;
    let bench = Bench { tokens: tokens.unwrap(), ..bench };
    for secret in [pem(&bench.ed).into_bytes(), bench.ed.public_key().as_ref().to_vec()] {
        let header = but(header(), &json!({ "alg": "HS256" }));
        let message = format!("{}.{}", encode(header.to_string()), encode(claims().to_string()));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let token = format!("{message}.{}", encode(ring::hmac::sign(&key, message.as_bytes())));
        assert_eq!(why(bench.check(&token)), "it does not hold: InvalidAlgorithm");
    }
}

#[tokio::test]
async fn a_key_that_a_token_brings_or_points_to_is_not_looked_at() {
    let (bench, stranger) = (Bench::new().await, Bench::new().await);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(stranger.ed.public_key()) });
    for more in
        [json!({ "jwk": jwk }), json!({ "jku": "https://evil.example" }), json!({ "x5u": "https://evil.example" })]
    {
        let token = stranger.signed(&but(header(), &more), &claims());
        assert_eq!(why(bench.check(&token)), "it does not hold: InvalidSignature", "{more}");
        assert!(bench.with_header(&but(header(), &more)).is_ok(), "the right key opens all the same");
    }
}

#[tokio::test]
async fn the_name_of_a_key_is_compared_and_never_interpreted() {
    let bench = Bench::new().await;
    for kid in ["../../../../dev/null", "ed' OR '1'='1", "ed\u{0}", "/etc/passwd", "", "ED", "$(id)", "ec"] {
        let refused = why(bench.check(&bench.signed(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }), &claims())));
        let expected =
            if kid == "ec" { "it does not hold: InvalidAlgorithm" } else { "its issuer has no key of that name" };
        assert_eq!(refused, expected, "{kid}");
    }
    assert_eq!(why(bench.with_header(&json!({ "alg": "EdDSA", "typ": "JWT" }))), "its issuer has no key of that name");
}

#[tokio::test]
async fn issuer_audience_type_and_times_must_be_right() {
    let bench = Bench::new().await;
    for (fields, expected) in [
        (json!({ "iss": "https://evil.example" }), "nobody of that name issues tokens here"),
        (json!({ "aud": "another service" }), "it does not hold: InvalidAudience"),
        (json!({ "aud": null }), "it does not hold: Missing required claim: aud"),
        (json!({ "exp": NOW.0 - 30 }), "it has expired"),
        (json!({ "exp": NOW.0 + 16 * 60 + 1 }), "it lives for more than 15 min"),
        (json!({ "exp": NOW.0 + 300, "iat": NOW.0 - 601 }), "it lives for more than 15 min"),
        (json!({ "nbf": NOW.0 + 31 }), "it is not valid yet"),
        (json!({ "iat": NOW.0 + 31 }), "it is not valid yet"),
        (json!({ "org": 7 }), "its claim org is missing or makes no sense"),
        (json!({ "org": "two words" }), "its claim org is missing or makes no sense"),
    ] {
        assert_eq!(why(bench.with_claims(&but(claims(), &fields))), expected, "{fields}");
    }
    for fields in [json!({ "exp": "never" }), json!({ "exp": -1 }), json!({ "exp": null }), json!({ "nbf": "now" })] {
        assert!(why(bench.with_claims(&but(claims(), &fields))).starts_with("it does not hold: "), "{fields}");
    }
    for typ in [json!("at+jwt"), json!("JWE"), json!(""), json!(null)] {
        let refused = why(bench.with_header(&but(header(), &json!({ "typ": typ }))));
        assert_eq!(refused, "its typ is not what its issuer's must be", "{typ}");
    }
    let critical = but(header(), &json!({ "crit": ["b64"], "b64": false }));
    assert_eq!(why(bench.with_header(&critical)), "its header says crit, and nothing critical is understood here");
    for clock in [json!({ "exp": NOW.0 - 29 }), json!({ "nbf": NOW.0 + 30 })] {
        assert!(bench.with_claims(&but(claims(), &clock)).is_ok(), "30 s of leeway: {clock}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_holds_for_half_a_minute_after_its_end() {
    let bench = Bench::new().await;
    let caller = bench.with_claims(&but(claims(), &json!({ "exp": NOW.0 + 60 }))).unwrap();
    let began = Instant::now();
    assert_eq!(caller.standing.ended().await, End::Expired);
    assert_eq!(began.elapsed().as_secs(), 90);
}

#[tokio::test]
async fn a_token_narrows_and_never_widens() {
    let mut bench = Bench::new().await;
    let granted = |name: &str| [name.parse::<PoolName>().unwrap()].into();
    let config = &mut bench.tokens.issuers[0].config;
    config.pools = Some(["aws".parse().unwrap(), "gcp".parse().unwrap()].into());
    config.residency = Some(Residency("eu".to_owned()));
    let said = json!({ "scope": "listen models admin", "pools": ["gcp", "azure"], "residency": "eu" });
    let caller = bench.with_claims(&but(claims(), &said)).unwrap();
    assert_eq!(caller.scopes, [Scope::Listen].into());
    assert_eq!(caller.pools, Some(granted("gcp")));
    let elsewhere = but(claims(), &json!({ "residency": "us" }));
    assert_eq!(bench.with_claims(&elsewhere), Err(Refusal::Residency));
    let nothing = but(claims(), &json!({ "scope": "" }));
    assert_eq!(bench.with_claims(&nothing).unwrap().scopes, [].into());
}

#[tokio::test]
async fn only_the_claims_that_the_issuer_names_are_told_to_rules() {
    let bench = Bench::new().await;
    let said = json!({ "plan": "gold", "mail": "a@example.org", "level": 3 });
    let caller = bench.with_claims(&but(claims(), &said)).unwrap();
    assert_eq!(caller.claims, [("plan".to_owned(), "gold".to_owned())].into());
    let asked = Asked::new(caller, "m".parse().unwrap(), Wishes::default(), Facts::default()).unwrap();
    assert_eq!(asked.facts.claims, [("plan".to_owned(), "gold".to_owned())].into());
}

#[tokio::test]
async fn a_file_without_a_usable_key_stops_the_start() {
    let short = json!({ "keys": [{ "kid": "a", "kty": "OKP", "crv": "Ed25519", "x": "AAAA" }] }).to_string();
    let nameless = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": encode([0; 32]) }] }).to_string();
    let secret = json!({ "keys": [{ "kid": "a", "kty": "oct", "k": "AAAA" }] }).to_string();
    for content in ["", "{}", r#"{"keys":[]}"#, "-----BEGIN PUBLIC KEY-----", &short, &nameless, &secret] {
        let (read, _directory) = read(content).await;
        assert!(matches!(read, Err(IssuerKeyError::Unusable { .. })), "{content}");
    }
    let missing = Tokens::read(Some(&config("/nowhere/keys.pem".into()))).await.err().unwrap();
    let expected =
        "cannot read /nowhere/keys.pem, the public keys of issuer web: No such file or directory (os error 2)";
    assert_eq!(missing.to_string(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_token_that_was_changed_anywhere_opens_nothing(at: prop::sample::Index, byte in "[0-9A-Za-z_.-]") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new().await;
            let token = bench.signed(&header(), &claims());
            // The last letter of each part has bits that mean nothing.
            let ends: Vec<_> = token.match_indices('.').map(|(dot, _)| dot - 1).chain([token.len() - 1]).collect();
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &byte);
            if changed != token && !ends.contains(&at) {
                let checked = bench.tokens.check(&Secret::new(changed), NOW);
                prop_assert!(checked.is_none_or(|checked| checked.is_err()));
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn issuers_that_could_be_taken_for_each_other_are_refused() {
    let issuer = |name: &str, issuer: &str| {
        let known = config(PathBuf::from("unread")).issuers.remove(0);
        IssuerConfig { name: name.to_owned(), issuer: issuer.to_owned(), ..known }
    };
    for (issuers, problem) in [
        (vec![issuer("web:eu", "a")], "expected a name of its own for issuer a"),
        (vec![issuer("two words", "a")], "expected a name of its own for issuer a"),
        (vec![issuer("web", "a"), issuer("web", "b")], "expected a name of its own for issuer b"),
        (vec![issuer("web", "a"), issuer("app", "a")], "issuer a is listed twice"),
        (vec![issuer("web", "a"), issuer("app", "b")], "cannot read unread"),
    ] {
        let read = Tokens::read(Some(&JwtConfig { audience: "crosspoint".to_owned(), issuers })).await;
        let error = read.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with(problem), "{error}");
    }
}
