//! Every route with the keys of two tenants: what opens it, and what it never tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use scheduler::Residency;
use store::{Embedded, Grants, KeyIndex, KeyOrder, KeyRecord, Scope, Secret, UnixTime};

use super::bench::{Answer, Bench, form, request};

/// The routes that need a key, and what it must grant.
const ROUTES: [(&str, &str, Scope); 4] = [
    ("GET", "/v1/models", Scope::Models),
    ("GET", "/v1/models/whisper-1", Scope::Models),
    ("POST", "/v1/listen?model=whisper-1", Scope::Transcribe),
    ("POST", "/v1/audio/transcriptions", Scope::Transcribe),
];
const TENANTS: [&str; 2] = ["alpha-tenant", "beta-tenant"];

/// The keys of two tenants, one for every set of one scope, and one for no scope at all.
struct Keys {
    index: Arc<Embedded>,
    made: Vec<(KeyRecord, Secret)>,
}

impl Keys {
    async fn make(residency: Option<&str>) -> Self {
        let (index, mut made) = (Arc::new(Embedded::new()), Vec::new());
        for tenant in TENANTS {
            let sets = Scope::ALL.map(|scope| BTreeSet::from([scope])).into_iter().chain([BTreeSet::new()]);
            for scopes in sets {
                let residency = residency.map(|residency| Residency(residency.to_owned()));
                let order = KeyOrder {
                    environment: "test".parse().unwrap(),
                    tenant: tenant.parse().unwrap(),
                    label: format!("{tenant}-label"),
                    grants: Grants { scopes, residency, ..Grants::everything() },
                    expires: None,
                };
                let (record, key) = order.fill(UnixTime::now()).unwrap();
                index.write(std::slice::from_ref(&record)).await.unwrap();
                made.push((record, key));
            }
        }
        Self { index, made }
    }

    /// Checks that an answer names no tenant and no key.
    fn are_untold(&self, answer: &Answer) {
        let told = format!("{} {:?}", answer.text, answer.headers);
        for (record, key) in &self.made {
            let secret = key.expose().split('_').nth(3).unwrap();
            for word in [record.tenant.as_str(), record.id.as_str(), &record.label, secret] {
                assert!(!told.contains(word), "{word} in {told}");
            }
        }
    }
}

fn with_key(method: &str, path: &str, key: &str) -> Request<Body> {
    let body = if path.ends_with("transcriptions") {
        form(&[("model", "whisper-1"), ("file", "RIFF")])
    } else {
        "RIFF".into()
    };
    let mut request = request(method, path, body);
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}")).unwrap());
    if path.starts_with("/v1/listen") {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    }
    request
}

fn forbidden(path: &str) -> String {
    let code = "insufficient_permissions";
    if path.starts_with("/v1/listen") { code.to_uppercase() } else { code.to_owned() }
}

/// The code of a refusal, in the words of the route's API.
fn code(path: &str, answer: &Answer) -> String {
    let body = answer.json();
    let code = if path.starts_with("/v1/listen") { &body["err_code"] } else { &body["error"]["code"] };
    code.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_route_opens_with_its_scope_alone_and_tells_of_no_tenant() {
    let keys = Keys::make(None).await;
    let bench = Bench::with_keys(Arc::clone(&keys.index)).await;
    for (method, path, scope) in ROUTES {
        for (record, key) in &keys.made {
            let answer = bench.send(with_key(method, path, key.expose())).await;
            let is_open = record.grants.scopes.contains(&scope);
            let expected = if is_open { (200, String::new()) } else { (403, forbidden(path)) };
            assert_eq!((answer.status, code(path, &answer)), expected, "{path}: {}", answer.text);
            keys.are_untold(&answer);
        }
    }
    let heard = keys.made.iter().filter(|(record, _)| record.grants.scopes.contains(&Scope::Transcribe)).count();
    assert_eq!(bench.heard().len(), 2 * heard, "who may not is not served and not heard");
}

#[tokio::test]
async fn no_route_opens_with_what_one_tenant_knows_of_another() {
    let keys = Keys::make(None).await;
    let bench = Bench::with_keys(Arc::clone(&keys.index)).await;
    for (method, path, scope) in ROUTES {
        let able: Vec<_> = keys.made.iter().filter(|(record, _)| record.grants.scopes.contains(&scope)).collect();
        let [(one, key), (other, _)] = able.as_slice() else { panic!("each tenant has one") };
        // With another's id the checksum is wrong; with none of it, or the id alone, there is no key at all.
        let stolen = key.expose().replace(one.id.as_str(), other.id.as_str());
        for text in [stolen.as_str(), other.id.as_str(), "x", &key.expose()[..50]] {
            let answer = bench.send(with_key(method, path, text)).await;
            let expected = if path.starts_with("/v1/listen") { "INVALID_AUTH" } else { "invalid_api_key" };
            assert_eq!((answer.status, code(path, &answer).as_str()), (401, expected), "{path} with {text}");
            keys.are_untold(&answer);
        }
    }
    assert!(bench.heard().is_empty());
}

#[tokio::test]
async fn a_token_is_lent_on_a_key_and_not_on_a_token() {
    let keys = Keys::make(None).await;
    let bench = Bench::with_keys(Arc::clone(&keys.index)).await;
    let able = |scope| keys.made.iter().find(|(record, _)| record.grants.scopes.contains(&scope)).unwrap().1.expose();
    let grant = async |key: &str, body: &str| {
        let mut request = with_key("POST", "/v1/auth/grant", key);
        *request.body_mut() = Body::from(body.to_owned());
        bench.send(request).await
    };
    let answer = grant(able(Scope::Listen), r#"{"ttl_seconds":300}"#).await;
    assert_eq!((answer.status, &answer.json()["expires_in"]), (200, &60.into()), "{}", answer.text);
    keys.are_untold(&answer);
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(grant(&token, "").await.status, 403, "a token lends nothing");
    let listen = bench.send(with_key("POST", "/v1/listen", &token)).await;
    assert_eq!(listen.status, 403, "it opens what its key opens, and no files");
    assert_eq!(bench.send(with_key("POST", "/v1/listen", &token)).await.status, 401, "and only once");
    assert_eq!(grant(able(Scope::Listen), "").await.json()["expires_in"], 30);
    assert_eq!(grant(able(Scope::Models), "").await.status, 403);
    assert_eq!(grant("k", "").await.status, 403, "nor on the dev key");
    for body in ["7", "{\"ttl_seconds\":0}", "{\"ttl_seconds\":3601}", "x"] {
        assert_eq!(grant(able(Scope::Listen), body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_header_narrows_what_a_key_allows_and_never_widens_it() {
    let keys = Keys::make(Some("eu")).await;
    let bench = Bench::with_keys(Arc::clone(&keys.index)).await;
    let (_, key) = keys.made.iter().find(|(record, _)| record.grants.scopes.contains(&Scope::Transcribe)).unwrap();
    for (method, path, _) in ROUTES.into_iter().filter(|(_, _, scope)| *scope == Scope::Transcribe) {
        for (wanted, status) in [("us", 403), ("EU", 403), ("eu", 200)] {
            let mut request = with_key(method, path, key.expose());
            request.headers_mut().insert("x-crosspoint-residency", HeaderValue::from_static(wanted));
            let answer = bench.send(request).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text);
            assert_eq!(status == 403, answer.text.contains("the key keeps audio in eu"), "{}", answer.text);
        }
    }
}
