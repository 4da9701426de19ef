//! Reading an engine's pages: plain GETs over a connection that stays open, each with a deadline and a bound.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};

use super::{ProbeError, innermost};
use crate::error::AgentError;

/// An engine that takes longer for a page counts as failing.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest page that is read, in bytes.
pub(super) const LONGEST_PAGE: usize = 1 << 20;

/// Reads pages.
#[derive(Clone, Debug)]
pub(super) struct Pages(Client);

impl Pages {
    /// Makes a reader with no connection yet.
    ///
    /// # Errors
    /// Fails when there is no HTTP client to be had.
    pub(super) fn new() -> Result<Self, AgentError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(AgentError::Client)?;
        Ok(Self(client))
    }

    /// Reads a page.
    ///
    /// # Errors
    /// Fails when it does not come within a second, with another status than 200, or too long.
    pub(super) async fn get(&self, url: &Url) -> Result<Vec<u8>, ProbeError> {
        self.get_with(url, |request| request).await
    }

    /// Reads a page of text; what is no UTF-8 is replaced.
    ///
    /// # Errors
    /// Fails as [`Pages::get`] does.
    pub(super) async fn text(&self, url: &Url) -> Result<String, ProbeError> {
        Ok(match String::from_utf8(self.get(url).await?) {
            Ok(text) => text,
            Err(bytes) => String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
        })
    }

    /// Reads a page with a request that `sign` completes.
    ///
    /// # Errors
    /// Fails as [`Pages::get`] does.
    pub(super) async fn get_with(
        &self,
        url: &Url,
        sign: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Vec<u8>, ProbeError> {
        let unreachable = |error: reqwest::Error| ProbeError::Unreachable {
            url: url.clone(),
            reason: innermost(&error.without_url()),
        };
        let response = sign(self.0.get(url.clone())).send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {
                body(response).await.map_err(unreachable)?.ok_or_else(|| ProbeError::TooLong(url.clone()))
            }
            status => Err(ProbeError::Status { url: url.clone(), status }),
        }
    }
}

/// Reads a body to its end; nothing when it is too long.
async fn body(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > LONGEST_PAGE {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
