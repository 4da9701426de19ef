//! Engines that speak `/v1/audio/transcriptions`: speaches, vLLM, whisper.cpp and their like. They tell whether they are
//! well, and most tell their models; how many files they hear at once nobody knows but their operator.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, Url};
use scheduler::{ModelName, NodeState};
use serde::Deserialize;
use tokio::time::Instant;

use super::vllm::Vllm;
use super::{Figures, Health, Pages, ProbeError, Server};

/// Time between two looks at the list of models: some servers search their disk for it.
const LIST_INTERVAL: Duration = Duration::from_secs(5);
/// Models listed and not wanted that an error shows.
const SHOWN: usize = 5;

/// The pages of such an engine.
#[derive(Debug)]
pub(crate) struct OpenAi {
    /// Status 200 says that it is well.
    pub(crate) health: Url,
    /// Its list of models.
    pub(crate) models: Url,
    /// File with its key, where it wants one.
    pub(crate) key: Option<PathBuf>,
    /// Files that it hears at the same time.
    pub(crate) slots: NonZeroU32,
    /// The models that it shall serve, and what it calls them; whatever it lists when empty.
    pub(crate) wanted: BTreeMap<ModelName, ModelName>,
    /// What it served when it was last asked, and when that was.
    pub(crate) listed: Option<(Instant, BTreeMap<ModelName, ModelName>)>,
    /// What it tells of its load, where it is vLLM.
    pub(crate) vllm: Option<Vllm>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
}

impl OpenAi {
    /// Looks at both pages; at the list of models every 5 s only.
    pub(super) async fn look(&mut self, pages: &Pages) -> Result<(NodeState, Figures), ProbeError> {
        let health = pages.get(&self.health).await?;
        let state = serde_json::from_slice::<Health>(&health).unwrap_or_default().state()?;
        let models = match &self.listed {
            Some((at, models)) if at.elapsed() < LIST_INTERVAL => models.clone(),
            Some(_) | None => self.list(pages).await?,
        };
        let slots = self.slots.get();
        let load = match &mut self.vllm {
            Some(vllm) => vllm.load(pages).await,
            None => None,
        };
        let figures = Figures {
            server: Some(if load.is_some() { Server::Vllm } else { Server::Openai }),
            slots,
            soft_slots: Some(slots),
            used: load.map(|load| load.running.min(slots)),
            queue_depth: load.map_or(0, |load| load.waiting),
            chunk_latency_p95: load.map_or(Duration::ZERO, |load| load.latency),
            models: Some(models),
            ..Figures::default()
        };
        Ok((state, figures))
    }

    async fn list(&mut self, pages: &Pages) -> Result<BTreeMap<ModelName, ModelName>, ProbeError> {
        self.listed = None;
        let key = self.read_key().await?;
        let sign = |request: RequestBuilder| match &key {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let models = match pages.get_with(&self.models, sign).await {
            Ok(page) => self.served(&page)?,
            // whisper.cpp has one model and no list.
            Err(ProbeError::Status { status, .. }) if has_no_list(status) => self.wanted.clone(),
            Err(error) => return Err(error),
        };
        self.listed = Some((Instant::now(), models.clone()));
        Ok(models)
    }

    async fn read_key(&self) -> Result<Option<String>, ProbeError> {
        let Some(file) = &self.key else { return Ok(None) };
        let unreadable = |error| ProbeError::Key { file: file.clone(), error };
        let key = tokio::fs::read_to_string(file).await.map_err(unreadable)?;
        Ok(Some(key.trim().to_owned()))
    }

    /// Of the models that it shall serve, those that it lists.
    fn served(&self, page: &[u8]) -> Result<BTreeMap<ModelName, ModelName>, ProbeError> {
        let List { data } = serde_json::from_slice(page).map_err(|_| ProbeError::NoList(self.models.clone()))?;
        let listed: Vec<ModelName> = data.iter().filter_map(|item| item.id.parse().ok()).collect();
        if self.wanted.is_empty() {
            return Ok(listed.into_iter().map(|model| (model.clone(), model)).collect());
        }
        let mut served = self.wanted.clone();
        served.retain(|_, theirs| listed.contains(theirs));
        if served.is_empty() {
            let names = |models: &mut dyn Iterator<Item = &ModelName>| {
                models.take(SHOWN).map(ModelName::as_str).collect::<Vec<_>>().join(", ")
            };
            let (wanted, listed) = (names(&mut self.wanted.values()), names(&mut listed.iter()));
            return Err(ProbeError::NoModel { wanted, listed });
        }
        Ok(served)
    }
}

fn has_no_list(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(wanted: &[(&str, &str)]) -> OpenAi {
        let url = Url::parse("http://gpu:8000/v1/models").unwrap();
        let pair = |(ours, theirs): &(&str, &str)| (ours.parse().unwrap(), theirs.parse().unwrap());
        OpenAi {
            health: url.clone(),
            models: url,
            key: None,
            slots: NonZeroU32::MIN,
            wanted: wanted.iter().map(pair).collect(),
            listed: None,
            vllm: None,
        }
    }

    const PAGE: &[u8] =
        br#"{"object":"list","data":[{"id":"Systran/faster-whisper-small"},{"id":"no name"},{"id":"b"}]}"#;

    #[test]
    fn of_the_models_that_are_wanted_those_that_are_listed_are_served() {
        let served = engine(&[("small", "Systran/faster-whisper-small"), ("large", "x")]).served(PAGE).unwrap();
        let names: Vec<_> = served.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect();
        assert_eq!(names, [("small", "Systran/faster-whisper-small")]);
        assert_eq!(engine(&[]).served(PAGE).unwrap().len(), 2, "whatever has a name");
    }

    #[test]
    fn an_engine_without_any_of_the_models_is_told_what_it_has() {
        let error = engine(&[("large", "x")]).served(PAGE).unwrap_err().to_string();
        let expected = "expected one of x among the models that the engine lists, \
                        got Systran/faster-whisper-small, b";
        assert_eq!(error, expected);
        assert!(matches!(engine(&[]).served(b"<html>"), Err(ProbeError::NoList(_))));
    }
}
