//! Amazon's metadata server, version 2: a token first, then pages that are there or not. A spot instance hears of its end two
//! minutes before it, at best; Amazon asks to look every 5 s. A recommendation to rebalance may come much earlier.

use std::time::{Duration, SystemTime};

use reqwest::{Client, StatusCode, Url};
use scheduler::NoticeKind;
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Ear, Heard, PATIENCE, unreachable};
use crate::engine::page_of;

/// Where it is.
pub(super) const SERVER: &str = "http://169.254.169.254";
/// Time between two looks.
const LOOKS: Duration = Duration::from_secs(5);
/// How long a token lasts, in seconds: as long as it may.
const TOKEN_SECONDS: &str = "21600";

/// `spot/instance-action`. One of Amazon's samples calls the action otherwise.
#[derive(Deserialize)]
struct Action {
    #[serde(alias = "instance-action")]
    action: String,
    time: String,
}

/// `events/recommendations/rebalance`.
#[derive(Deserialize)]
struct Recommendation {
    #[serde(rename = "noticeTime")]
    at: String,
}

/// Looks every 5 s, for ever.
pub(super) async fn listen(client: &Client, server: &Url, ear: &Ear) {
    let mut looks = interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut token = None;
    loop {
        looks.tick().await;
        let looked = look(client, server, &mut token, ear).await;
        if looked.is_err() {
            token = None;
        }
        ear.complain(looked.err());
    }
}

/// Asks for a token, without which nothing is told.
pub(super) async fn check(client: &Client, server: &Url) -> Result<(), String> {
    ask_token(client, server).await.map(drop)
}

async fn look(client: &Client, server: &Url, token: &mut Option<String>, ear: &Ear) -> Result<(), String> {
    let key = match token.take() {
        Some(token) => token,
        None => ask_token(client, server).await?,
    };
    let page = |path| page(client, page_of(server, path), &key);
    let action = page("latest/meta-data/spot/instance-action").await?;
    let action = action.map(|text| to_be_taken(&text, SystemTime::now())).transpose()?;
    ear.note(NoticeKind::Preemption, action);
    let advice = page("latest/meta-data/events/recommendations/rebalance").await?;
    let advice = advice.map(|text| recommended(&text)).transpose()?;
    ear.note(NoticeKind::Rebalance, advice);
    *token = Some(key);
    Ok(())
}

async fn ask_token(client: &Client, server: &Url) -> Result<String, String> {
    let url = page_of(server, "latest/api/token");
    let request = client.put(url.clone()).header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
    let answer = request.timeout(PATIENCE).send().await.map_err(|error| unreachable(&url, error))?;
    match answer.status() {
        StatusCode::OK => answer.text().await.map_err(|error| unreachable(&url, error)),
        status => Err(format!("expected a token from {url}, got {status}: is its hop limit 1 and this a container?")),
    }
}

/// Reads a page; nothing when there is none, which is how it says that nothing is planned.
async fn page(client: &Client, url: Url, token: &str) -> Result<Option<String>, String> {
    let request = client.get(url.clone()).header("x-aws-ec2-metadata-token", token).timeout(PATIENCE);
    let answer = request.send().await.map_err(|error| unreachable(&url, error))?;
    match answer.status() {
        StatusCode::OK => answer.text().await.map(Some).map_err(|error| unreachable(&url, error)),
        StatusCode::NOT_FOUND => Ok(None),
        status => Err(format!("expected 200 or 404 from {url}, got {status}")),
    }
}

fn to_be_taken(text: &str, now: SystemTime) -> Result<Heard, String> {
    let bad = || format!("expected action and time in spot/instance-action, got {:?}", short(text));
    let Action { action, time } = serde_json::from_str(text).map_err(|_| bad())?;
    let at = humantime::parse_rfc3339(&time).map_err(|_| bad())?;
    // Hibernation begins at once, whatever the time says.
    let left = match action.as_str() {
        "hibernate" => Duration::ZERO,
        _ => at.duration_since(now).unwrap_or_default(),
    };
    let text = format!("AWS will {} this host at {}", short(&action), short(&time));
    Ok(Heard { kind: NoticeKind::Preemption, deadline: Instant::now().checked_add(left), text })
}

fn recommended(text: &str) -> Result<Heard, String> {
    let bad = |_| format!("expected noticeTime in events/recommendations/rebalance, got {:?}", short(text));
    let Recommendation { at } = serde_json::from_str(text).map_err(bad)?;
    let text = format!("AWS recommends to leave this host since {}", short(&at));
    Ok(Heard { kind: NoticeKind::Rebalance, deadline: None, text })
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_left_is_what_amazon_says() {
        let now = at("2017-09-18T08:20:00Z");
        let left = |text: &str| to_be_taken(text, now).map(|heard| heard.deadline.unwrap() - Instant::now());
        let two = Duration::from_secs(120);
        assert_eq!(left(r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#), Ok(two));
        assert_eq!(left(r#"{"instance-action": "stop", "time": "2017-09-18T08:22:00Z"}"#), Ok(two));
        assert_eq!(left(r#"{"action": "hibernate", "time": "2017-09-18T08:22:00Z"}"#), Ok(Duration::ZERO));
        assert_eq!(left(r#"{"action": "terminate", "time": "2017-09-18T08:00:00Z"}"#), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_not_understood_is_shown() {
        let error = to_be_taken(r#"{"action": 7}"#, SystemTime::now()).unwrap_err();
        assert_eq!(error, "expected action and time in spot/instance-action, got \"{\\\"action\\\": 7}\"");
    }
}
