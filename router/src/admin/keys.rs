//! Keys over the admin API: made, listed, revoked. A key's text is in the answer to its making and nowhere else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use humantime::format_rfc3339_seconds;
use scheduler::{KeyId, Pool, PoolName, Residency, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Grants, KeyOrder, KeyRecord, Limits, Scope, UnixTime};

use super::routes::Routes;
use super::{Nothing, problem};
use crate::core::Core;
use crate::keys::{Extent, KeysError, Registry, Spread};

/// The longest label, in characters.
const LABEL: usize = 100;
/// The longest life of a key: ten years.
const LIFE: u64 = 10 * 366 * 24 * 3600;
const NO_STORE: &str = "no proxy would know a key of this router: set store.redis, the same for routers and proxies";

/// What the routes share.
#[derive(Clone)]
struct Door {
    core: Arc<Core>,
    registry: Option<Arc<Registry>>,
}

/// Builds the routes; without a registry each says why.
pub(super) fn routes(core: Arc<Core>, registry: Option<Arc<Registry>>) -> Routes<()> {
    Routes::new()
        .get("/v1/keys", list)
        .post("/v1/keys", create)
        .post("/v1/keys/{key}/revoke", revoke)
        .with_state(Door { core, registry })
}

/// What somebody wants of a new key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    tenant: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    scopes: BTreeSet<Scope>,
    #[serde(default)]
    pools: BTreeSet<String>,
    residency: Option<String>,
    #[serde(default)]
    limits: Limits,
    expires_in_seconds: Option<u64>,
}

impl Wanted {
    fn order(self, pools: &[Pool]) -> Result<KeyOrder, String> {
        let tenant: TenantId = self.tenant.parse().map_err(|error| format!("bad tenant: {error}"))?;
        if self.label.chars().count() > LABEL || self.label.chars().any(char::is_control) {
            return Err(format!("expected a label of at most {LABEL} characters in one line, got {:?}", self.label));
        }
        let environment = self.environment.map(|name| name.parse().map_err(|error| format!("{error}"))).transpose()?;
        let scopes = if self.scopes.is_empty() { Scope::ALL.into() } else { self.scopes };
        let grants = Grants {
            scopes,
            pools: known_pools(self.pools, pools)?,
            residency: self.residency.map(|residency| known_residency(residency, pools)).transpose()?,
            limits: self.limits,
        };
        let expires = self.expires_in_seconds.map(expiry).transpose()?;
        Ok(KeyOrder { environment: environment.unwrap_or_default(), tenant, label: self.label, grants, expires })
    }
}

fn known_pools(wanted: BTreeSet<String>, pools: &[Pool]) -> Result<Option<BTreeSet<PoolName>>, String> {
    let find = |name: String| {
        let known = pools.iter().find(|pool| pool.name.as_str() == name).map(|pool| pool.name.clone());
        known.ok_or_else(|| {
            let names: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).collect();
            format!("no pool is called {name:?}; configured pools: {}", names.join(", "))
        })
    };
    let found = wanted.into_iter().map(find).collect::<Result<BTreeSet<_>, _>>()?;
    Ok((!found.is_empty()).then_some(found))
}

fn known_residency(wanted: String, pools: &[Pool]) -> Result<Residency, String> {
    let places: BTreeSet<_> = pools.iter().map(|pool| pool.residency.0.as_str()).collect();
    if places.contains(wanted.as_str()) {
        return Ok(Residency(wanted));
    }
    let places: Vec<_> = places.into_iter().collect();
    Err(format!("no pool keeps audio in {wanted:?}; pools keep it in: {}", places.join(", ")))
}

fn expiry(seconds: u64) -> Result<UnixTime, String> {
    if (1..=LIFE).contains(&seconds) {
        Ok(UnixTime::now().after(Duration::from_secs(seconds)))
    } else {
        Err(format!("expected a life of 1 to {LIFE} seconds, got {seconds}"))
    }
}

/// A key as it may be shown.
#[derive(Serialize)]
struct KeyView {
    id: KeyId,
    tenant: TenantId,
    label: String,
    state: &'static str,
    scopes: BTreeSet<Scope>,
    pools: Option<BTreeSet<PoolName>>,
    residency: Option<Residency>,
    limits: Limits,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl KeyView {
    fn new(record: KeyRecord, now: UnixTime) -> Self {
        let Grants { scopes, pools, residency, limits } = record.grants;
        let state = match (record.revoked, record.expires) {
            (Some(_), _) => "revoked",
            (None, Some(expires)) if expires <= now => "expired",
            (None, _) => "active",
        };
        Self {
            id: record.id,
            tenant: record.tenant,
            label: record.label,
            state,
            scopes,
            pools,
            residency,
            limits,
            created_at: written(record.created),
            expires_at: record.expires.map(written),
            revoked_at: record.revoked.map(written),
        }
    }
}

fn written(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.0.min(LAST)));
    format_rfc3339_seconds(time.unwrap_or(SystemTime::UNIX_EPOCH)).to_string()
}

/// The last second of the year 9999, the last that can be written.
const LAST: u64 = 253_402_300_799;

fn told(spread: Spread) -> &'static str {
    match spread {
        Spread::Done => "now",
        Spread::Later => "when the store is back",
    }
}

async fn create(State(door): State<Door>, wanted: Result<Json<Wanted>, JsonRejection>) -> Response {
    let Some(registry) = &door.registry else { return problem(StatusCode::CONFLICT, NO_STORE) };
    let wanted = match wanted {
        Ok(Json(wanted)) => wanted,
        Err(rejection) => return problem(StatusCode::BAD_REQUEST, rejection.body_text()),
    };
    let order = wanted.order(door.core.view().pools());
    let order = match order {
        Ok(order) => order,
        Err(text) => return problem(StatusCode::BAD_REQUEST, text),
    };
    match registry.create(order).await {
        Ok((record, key, spread)) => {
            let body = json!({
                "key": key.expose(),
                "record": KeyView::new(record, UnixTime::now()),
                "proxies_know": told(spread),
            });
            let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            (StatusCode::CREATED, no_store, Json(body)).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn list(State(door): State<Door>) -> Response {
    let Some(registry) = &door.registry else { return problem(StatusCode::CONFLICT, NO_STORE) };
    let (records, extent) = registry.list().await;
    let now = UnixTime::now();
    let views: Vec<_> = records.into_iter().map(|record| KeyView::new(record, now)).collect();
    let complete = match extent {
        Extent::Every => true,
        Extent::Own => false,
    };
    Json(json!({ "keys": views, "complete": complete })).into_response()
}

async fn revoke(
    State(door): State<Door>,
    Path(text): Path<String>,
    nothing: Result<Json<Nothing>, JsonRejection>,
) -> Response {
    let Some(registry) = &door.registry else { return problem(StatusCode::CONFLICT, NO_STORE) };
    if let Err(rejection) = nothing {
        return problem(StatusCode::BAD_REQUEST, rejection.body_text());
    }
    let id: KeyId = match text.parse() {
        Ok(id) => id,
        Err(error) => return problem(StatusCode::BAD_REQUEST, format!("bad id of a key: {error}")),
    };
    match registry.revoke(&id).await {
        Ok((record, spread)) => {
            let view = KeyView::new(record, UnixTime::now());
            Json(json!({ "record": view, "proxies_know": told(spread) })).into_response()
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &KeysError) -> Response {
    let status = match error {
        KeysError::Unknown(_) => StatusCode::NOT_FOUND,
        KeysError::TooMany => StatusCode::CONFLICT,
        KeysError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
        KeysError::Journal(_) | KeysError::Name(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, error.to_string())
}
