//! One leg of a file or of a chunk: the same to whoever asks, whichever API the node's engine speaks.

use scheduler::{EngineApi, ModelName, Placement};
use store::Secret;

use super::{Freight, Heard};
use crate::app::Shared;
use crate::engines::listen::send_file;
use crate::engines::openai::Errand;
use crate::engines::{LegHeaders, OpenError};
use crate::transcript::Transcript;

/// A leg to one node.
pub(super) struct Leg<'a> {
    pub(super) shared: &'a Shared,
    pub(super) placement: &'a Placement,
    /// The model as callers' requests name it.
    pub(super) model: &'a ModelName,
    /// The query, as an engine of `/v1/listen` takes it.
    pub(super) query: &'a str,
    pub(super) headers: LegHeaders,
}

impl Leg<'_> {
    /// Sends a file or a chunk, and returns what the engine heard. Dropping this breaks the connection, and with it the
    /// node's work; how long it may take is up to who waits.
    pub(super) async fn send(&self, freight: &Freight) -> Result<Heard, OpenError> {
        match self.placement.api {
            EngineApi::Listen => self.send_listen(freight).await.map(Heard::Written),
            EngineApi::OpenAi => self.send_form(freight).await.map(Heard::Words),
        }
    }

    async fn send_listen(&self, freight: &Freight) -> Result<Vec<u8>, OpenError> {
        let url = format!("http://{}/v1/listen?{}", self.placement.address, self.query);
        send_file(&self.shared.http, &url, &self.headers, (freight.content_type(), freight.body())).await
    }

    async fn send_form(&self, freight: &Freight) -> Result<Transcript, OpenError> {
        let key = self.engine_key().await?;
        let Self { placement, model, query, .. } = *self;
        let errand = Errand { placement, model, query, key: key.as_ref().map(Secret::expose) };
        errand.run(&self.shared.http, &self.headers, freight).await
    }

    /// Reads the key of the pool's engines, where they have one: it may change at any time.
    async fn engine_key(&self) -> Result<Option<Secret>, OpenError> {
        let pool = &self.placement.pool;
        let Some(file) = self.shared.config.engine_keys.get(pool) else { return Ok(None) };
        let unreadable = |error| {
            let file = file.display();
            OpenError::TryAnother(format!("cannot read {file}, the engine key of pool {pool}: {error}"))
        };
        let key = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
        Ok(Some(Secret::new(key.trim())))
    }
}
