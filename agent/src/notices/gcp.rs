//! Google's metadata server: a question waits there until the answer changes. A preempted machine hears of it 30 s before
//! its end, or 2 min where it was made so. A machine with GPUs cannot be moved for maintenance; it is told an hour before.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use scheduler::NoticeKind;
use tokio::time::{Instant, sleep};

use super::{Ear, Heard, PATIENCE, unreachable};
use crate::engine::page_of;

/// Where it is.
pub(super) const SERVER: &str = "http://metadata.google.internal";
/// How long a question waits for a change before it is asked again, in seconds.
const WAIT_SECONDS: u64 = 60;
/// After a question that went wrong.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// What Google gives a machine with GPUs before it stops it for maintenance.
const MAINTENANCE_WARNING: Duration = Duration::from_secs(3600);
/// The entity tag of an answer that nobody was given yet: the next one comes at once.
const NO_TAG: &str = "0";

/// Listens for both, for ever.
pub(super) async fn listen(client: &Client, server: &Url, warning: Duration, ear: &Ear) {
    let preempted = follow(client, page_of(server, PREEMPTED), |answer| {
        ear.note(NoticeKind::Preemption, preempted(answer, warning));
    });
    let stopped = follow(client, page_of(server, MAINTENANCE), |answer| {
        ear.note(NoticeKind::Maintenance, stopped(answer));
    });
    tokio::join!(preempted.until_never(ear), stopped.until_never(ear));
}

const PREEMPTED: &str = "computeMetadata/v1/instance/preempted";
const MAINTENANCE: &str = "computeMetadata/v1/instance/maintenance-event";

/// Asks whether the machine is preempted, without waiting for a change.
pub(super) async fn check(client: &Client, server: &Url) -> Result<(), String> {
    ask(client, page_of(server, PREEMPTED), PATIENCE).await.map(drop)
}

/// One question that is asked again and again.
struct Follow<'a, F> {
    client: &'a Client,
    page: Url,
    heed: F,
}

fn follow<F: Fn(&str)>(client: &Client, page: Url, heed: F) -> Follow<'_, F> {
    Follow { client, page, heed }
}

impl<F: Fn(&str)> Follow<'_, F> {
    async fn until_never(self, ear: &Ear) {
        let mut tag = NO_TAG.to_owned();
        loop {
            let mut page = self.page.clone();
            let query = format!("wait_for_change=true&timeout_sec={WAIT_SECONDS}&last_etag={tag}");
            page.set_query(Some(&query));
            match ask(self.client, page, Duration::from_secs(WAIT_SECONDS) + PATIENCE).await {
                Ok((answer, seen)) => {
                    (self.heed)(answer.trim());
                    ear.complain(None);
                    // A server without tags would answer at once, for ever.
                    if seen == tag && seen == NO_TAG {
                        sleep(AFTER_FAILURE).await;
                    }
                    tag = seen;
                }
                Err(reason) => {
                    ear.complain(Some(reason));
                    tag = NO_TAG.to_owned();
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}

/// Asks, and returns the answer with its entity tag.
async fn ask(client: &Client, page: Url, patience: Duration) -> Result<(String, String), String> {
    let request = client.get(page.clone()).header("metadata-flavor", "Google").timeout(patience);
    let answer = request.send().await.map_err(|error| unreachable(&page, error))?;
    match answer.status() {
        StatusCode::OK => {
            let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).filter(|tag| is_plain(tag));
            let tag = tag.unwrap_or(NO_TAG).to_owned();
            let text = answer.text().await.map_err(|error| unreachable(&page, error))?;
            Ok((text, tag))
        }
        status => Err(format!("expected 200 from {page}, got {status}")),
    }
}

/// An entity tag goes into the next question: it must be one word.
fn is_plain(tag: &str) -> bool {
    !tag.is_empty() && tag.len() <= 64 && tag.chars().all(|c| c.is_ascii_alphanumeric())
}

fn preempted(answer: &str, warning: Duration) -> Option<Heard> {
    (answer == "TRUE").then(|| Heard {
        kind: NoticeKind::Preemption,
        deadline: Instant::now().checked_add(warning),
        text: "Google Cloud preempts this host".to_owned(),
    })
}

fn stopped(answer: &str) -> Option<Heard> {
    (answer == "TERMINATE_ON_HOST_MAINTENANCE").then(|| Heard {
        kind: NoticeKind::Maintenance,
        deadline: Instant::now().checked_add(MAINTENANCE_WARNING),
        text: "Google Cloud stops this host for maintenance".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_that_end_a_machine_are_notices() {
        for answer in ["FALSE", "NONE", "MIGRATE_ON_HOST_MAINTENANCE", "", "true"] {
            assert_eq!((preempted(answer, AFTER_FAILURE), stopped(answer)), (None, None), "{answer}");
        }
        assert_eq!(preempted("TRUE", AFTER_FAILURE).map(|heard| heard.kind), Some(NoticeKind::Preemption));
        let stopped = stopped("TERMINATE_ON_HOST_MAINTENANCE").map(|heard| heard.kind);
        assert_eq!(stopped, Some(NoticeKind::Maintenance));
    }
}
