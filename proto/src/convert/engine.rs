//! Which API an engine speaks, on the wire.

use scheduler::EngineApi;

use super::BadMessage;
use crate::v1;

/// Reads an API; agents and routers that do not know the field mean the first one.
pub(super) fn api_from_wire(api: i32) -> Result<EngineApi, BadMessage> {
    match v1::EngineApi::try_from(api) {
        Ok(v1::EngineApi::Unspecified | v1::EngineApi::Listen) => Ok(EngineApi::Listen),
        Ok(v1::EngineApi::Openai) => Ok(EngineApi::OpenAi),
        Err(_) => Err(BadMessage::new("api", &format!("expected an engine's API, got {api}"))),
    }
}

/// Writes an API.
pub(super) fn api_to_wire(api: EngineApi) -> v1::EngineApi {
    match api {
        EngineApi::Listen => v1::EngineApi::Listen,
        EngineApi::OpenAi => v1::EngineApi::Openai,
    }
}
