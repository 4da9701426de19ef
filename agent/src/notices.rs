//! What the cloud says of this host: that it will be taken away, or stopped. Said seconds to minutes before, and only to
//! whoever asks on the host itself.
//!
//! * [`aws`]: asked every 5 s. [`gcp`]: asked once, and answers when something changes.
//!
//! Kubernetes and clouds built on it say it with a SIGTERM, which is a drain.

mod aws;
mod gcp;

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use scheduler::NoticeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::plain_url;
use crate::engine::innermost;
use crate::error::AgentError;
use crate::gauges;

/// Where a machine says who made it.
const MAKER: &str = "/sys/class/dmi/id/sys_vendor";
/// A metadata server is on the host itself: it answers at once or is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where notices come from, and what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NoticesConfig {
    /// Whose metadata server is asked.
    pub cloud: CloudConfig,
    /// Base URL of the metadata server; the cloud's own when absent.
    pub url: Option<String>,
    /// What a recommendation to rebalance means.
    pub rebalance: OnRebalance,
    /// Time from Google's word that the host is preempted to its end: 30 s, or 2 min where the machine was made so.
    #[serde(with = "scheduler::units::duration")]
    #[schemars(with = "String")]
    pub gcp_warning: Duration,
}

/// Whose metadata server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudConfig {
    /// That of the machine's maker, as its firmware names it; nobody's on other machines.
    #[default]
    Auto,
    /// Amazon's.
    Aws,
    /// Google's.
    Gcp,
    /// Nobody's.
    None,
}

/// What a node does that is likelier than others to be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRebalance {
    /// Says so and serves on.
    #[default]
    Tell,
    /// Takes no more sessions.
    Drain,
}

impl Default for NoticesConfig {
    fn default() -> Self {
        Self {
            cloud: CloudConfig::default(),
            url: None,
            rebalance: OnRebalance::default(),
            gcp_warning: Duration::from_secs(30),
        }
    }
}

/// A notice as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What for.
    pub(crate) kind: NoticeKind,
    /// When the host goes, where that is known.
    pub(crate) deadline: Option<Instant>,
    /// The cloud's words, for people.
    pub(crate) text: String,
}

impl Heard {
    /// Returns it as a report tells it.
    pub(crate) fn notice(&self, now: Instant) -> scheduler::Notice {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
        scheduler::Notice { kind: self.kind, left }
    }

    /// Tells whether the node takes no more sessions.
    pub(crate) fn drains(&self, rebalance: OnRebalance) -> bool {
        match self.kind {
            NoticeKind::Preemption | NoticeKind::Maintenance => true,
            NoticeKind::Rebalance => rebalance == OnRebalance::Drain,
        }
    }
}

/// What was heard last of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notices {
    preemption: Option<Heard>,
    maintenance: Option<Heard>,
    rebalance: Option<Heard>,
}

impl Notices {
    /// Returns the gravest.
    pub(crate) fn gravest(&self) -> Option<&Heard> {
        self.preemption.as_ref().or(self.maintenance.as_ref()).or(self.rebalance.as_ref())
    }

    fn slot(&mut self, kind: NoticeKind) -> &mut Option<Heard> {
        match kind {
            NoticeKind::Preemption => &mut self.preemption,
            NoticeKind::Maintenance => &mut self.maintenance,
            NoticeKind::Rebalance => &mut self.rebalance,
        }
    }
}

/// Where what is heard is noted.
#[derive(Debug)]
pub(crate) struct Ear {
    notices: watch::Sender<Notices>,
    complained: std::sync::Mutex<Option<String>>,
}

impl Ear {
    /// Makes one that has heard nothing.
    pub(crate) fn new() -> (Self, watch::Receiver<Notices>) {
        let (notices, receiver) = watch::channel(Notices::default());
        (Self { notices, complained: std::sync::Mutex::default() }, receiver)
    }

    /// Notes what is in force of a kind. What is heard again in the same words keeps its deadline.
    fn note(&self, kind: NoticeKind, heard: Option<Heard>) {
        self.notices.send_if_modified(|notices| {
            let slot = notices.slot(kind);
            if slot.as_ref().map(|slot| &slot.text) == heard.as_ref().map(|heard| &heard.text) {
                return false;
            }
            match &heard {
                Some(heard) => {
                    let left = heard.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                    warn!(kind = gauges::notice_label(kind), ?left, text = heard.text, "notice from the cloud");
                    gauges::noticed(kind);
                }
                None => info!(kind = gauges::notice_label(kind), "notice from the cloud is withdrawn"),
            }
            *slot = heard;
            true
        });
    }

    /// Says once that the metadata server does not answer as it should, until it does or its fault changes.
    fn complain(&self, fault: Option<String>) {
        gauges::notices_readable(fault.as_deref());
        let mut complained = self.complained.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &fault {
            Some(reason) if *complained != fault => {
                warn!(reason, "cloud's notices cannot be read, trying on");
            }
            None if complained.is_some() => info!("cloud's notices can be read again"),
            Some(_) | None => {}
        }
        *complained = fault;
    }
}

/// A metadata server.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Amazon's.
    Aws(Url),
    /// Google's, and how long before the end it speaks.
    Gcp(Url, Duration),
}

impl Source {
    /// Returns the one to ask, if any.
    ///
    /// # Errors
    /// Fails on a URL that is none, and on one without a cloud that would be there.
    pub(crate) fn of(config: &NoticesConfig) -> Result<Option<Self>, AgentError> {
        let cloud = match config.cloud {
            CloudConfig::Auto if config.url.is_some() => return Err(AgentError::NoCloud),
            CloudConfig::Auto => made_by(Path::new(MAKER)),
            named @ (CloudConfig::Aws | CloudConfig::Gcp | CloudConfig::None) => named,
        };
        let url = |own: &str| plain_url("notices.url", config.url.as_deref().unwrap_or(own));
        Ok(match cloud {
            CloudConfig::Aws => Some(Self::Aws(url(aws::SERVER)?)),
            CloudConfig::Gcp => Some(Self::Gcp(url(gcp::SERVER)?, config.gcp_warning)),
            CloudConfig::Auto | CloudConfig::None => None,
        })
    }

    /// Says who is asked, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Aws(url) => format!("AWS, asked at {url}"),
            Self::Gcp(url, _) => format!("Google Cloud, asked at {url}"),
        }
    }

    /// Listens for ever.
    pub(crate) async fn listen(self, ear: Ear) {
        let client = match client() {
            Ok(client) => client,
            Err(error) => return warn!(%error, "cloud's notices cannot be asked for"),
        };
        match self {
            Self::Aws(url) => aws::listen(&client, &url, &ear).await,
            Self::Gcp(url, warning) => gcp::listen(&client, &url, warning, &ear).await,
        }
    }

    /// Asks once whether the metadata server is there.
    ///
    /// # Errors
    /// Fails with what is wrong, for people.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let client = client().map_err(|error| error.to_string())?;
        match self {
            Self::Aws(url) => aws::check(&client, url).await,
            Self::Gcp(url, _) => gcp::check(&client, url).await,
        }
    }
}

fn client() -> Result<Client, AgentError> {
    let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).connect_timeout(PATIENCE);
    builder.build().map_err(AgentError::Client)
}

fn unreachable(url: &Url, error: reqwest::Error) -> String {
    format!("no answer from {url}: {}", innermost(&error.without_url()))
}

fn made_by(file: &Path) -> CloudConfig {
    match std::fs::read_to_string(file).unwrap_or_default().trim() {
        "Amazon EC2" => CloudConfig::Aws,
        "Google" => CloudConfig::Gcp,
        _ => CloudConfig::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(kind: NoticeKind, text: &str, left: u64) -> Option<Heard> {
        let deadline = Some(Instant::now() + Duration::from_secs(left));
        Some(Heard { kind, deadline, text: text.to_owned() })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_again_keeps_its_deadline_and_the_gravest_counts() {
        let (ear, mut notices) = Ear::new();
        ear.note(NoticeKind::Rebalance, heard(NoticeKind::Rebalance, "r", 0));
        ear.note(NoticeKind::Preemption, heard(NoticeKind::Preemption, "p", 120));
        let first = notices.borrow_and_update().gravest().cloned().unwrap();
        assert_eq!(first.text, "p");
        tokio::time::advance(Duration::from_secs(5)).await;
        ear.note(NoticeKind::Preemption, heard(NoticeKind::Preemption, "p", 120));
        assert!(!notices.has_changed().unwrap());
        assert_eq!(first.notice(Instant::now()).left, Some(Duration::from_secs(115)));
        ear.note(NoticeKind::Preemption, None);
        assert_eq!(notices.borrow().gravest().unwrap().kind, NoticeKind::Rebalance);
    }

    #[test]
    fn a_recommendation_drains_only_where_the_operator_says_so() {
        let heard = |kind| Heard { kind, deadline: None, text: String::new() };
        assert!(!heard(NoticeKind::Rebalance).drains(OnRebalance::Tell));
        assert!(heard(NoticeKind::Rebalance).drains(OnRebalance::Drain));
        assert!(heard(NoticeKind::Preemption).drains(OnRebalance::Tell));
    }

    #[test]
    fn the_cloud_is_known_by_the_maker_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sys_vendor");
        for (maker, cloud) in
            [("Amazon EC2\n", CloudConfig::Aws), ("Google\n", CloudConfig::Gcp), ("Dell Inc.\n", CloudConfig::None)]
        {
            std::fs::write(&file, maker).unwrap();
            assert_eq!(made_by(&file), cloud);
        }
        assert_eq!(made_by(Path::new("/nowhere")), CloudConfig::None);
    }

    #[test]
    fn a_url_without_a_cloud_is_refused() {
        let config = NoticesConfig { url: Some("http://127.0.0.1:1".to_owned()), ..NoticesConfig::default() };
        assert!(matches!(Source::of(&config), Err(AgentError::NoCloud)));
    }
}
