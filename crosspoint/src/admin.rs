//! The router's admin API, as a client.

mod overview;
mod reply;

use std::time::Duration;

use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::{body, root_cause};
use crate::terminal::{print, print_json};

pub(crate) use overview::{Drained, Overview};
pub(crate) use reply::{
    Attempt, Cost, Costs, Explanation, Gpu, Key, Keys, NewKey, Node, Nodes, Notice, Placement, Plan, PlannedPool, Pool,
    Pools, Rejected, RevokedKey, Session, Sessions, Spent,
};

/// The longest a router may take to be reached, and to answer.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);

/// Where the router is asked, and whether its answer is wanted as it comes.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// Admin address of the router
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7401")]
    router: String,
    /// Print the router's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Why the router gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// The address is none.
    #[error("{url:?} is no address this command can reach, expected one such as http://127.0.0.1:7401")]
    Address {
        /// What was given.
        url: String,
    },
    /// Nothing listens there.
    #[error("cannot reach the router at {url} ({cause}): is `crosspoint up` running?")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// The operating system's words.
        cause: String,
    },
    /// It has no such thing, or does not want to.
    #[error("{what}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The router's words.
        what: String,
    },
    /// It answered something else than it should.
    #[error("the router at {url} answered something unexpected: {cause}")]
    Unexpected {
        /// Who answered.
        url: String,
        /// What was wrong with the answer.
        cause: String,
    },
}

/// A router's admin API.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    base: Url,
    client: reqwest::Client,
}

impl AdminArgs {
    /// Returns the router that was meant.
    ///
    /// # Errors
    /// Fails on an address that is none.
    pub(crate) fn admin(&self) -> Result<Admin, AdminError> {
        Admin::at(&self.router)
    }

    /// Prints an answer: as it came where JSON is wanted, else in the words of `text`.
    ///
    /// # Errors
    /// Fails on an answer of another shape, and when it cannot be printed.
    pub(crate) fn show<T: DeserializeOwned>(
        &self,
        admin: &Admin,
        answer: Value,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            return Ok(print_json(&answer)?);
        }
        Ok(print(&text(&admin.read(answer)?))?)
    }
}

impl Admin {
    /// Speaks to the router at an address. Nothing is sent yet.
    ///
    /// # Errors
    /// Fails on an address that is none.
    pub(crate) fn at(address: &str) -> Result<Self, AdminError> {
        let wrong = || AdminError::Address { url: address.to_owned() };
        let base = Url::parse(address).ok().filter(|url| url.scheme() == "http").ok_or_else(wrong)?;
        let client = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT).timeout(ANSWER).build();
        Ok(Self { base, client: client.map_err(|_| wrong())? })
    }

    /// Asks for something by its path.
    ///
    /// # Errors
    /// Fails when there is no router, and with its words when it refuses.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, AdminError> {
        self.ask(|client, url| client.get(url), path).await
    }

    /// Asks a question that has a body.
    ///
    /// # Errors
    /// Fails when there is no router, and with its words when it refuses.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, AdminError> {
        self.ask(|client, url| client.post(url).json(body), path).await
    }

    async fn ask<F>(&self, request: F, path: &str) -> Result<Value, AdminError>
    where
        F: FnOnce(&reqwest::Client, Url) -> RequestBuilder,
    {
        let url = self.base.join(path).map_err(|_| AdminError::Address { url: path.to_owned() })?;
        let failed = |cause| AdminError::Unreachable { url: self.address(), cause };
        let reply = request(&self.client, url).send().await.map_err(|error| failed(root_cause(&error)))?;
        let status = reply.status();
        let body = body(reply).await.map_err(failed)?;
        let answer: Result<Value, _> = serde_json::from_slice(&body);
        match answer {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) if answer["error"].is_string() => {
                let what = answer["error"].as_str().unwrap_or_default().to_owned();
                Err(AdminError::Refused { status: status.as_u16(), what })
            }
            Ok(_) => Err(self.unexpected(format!("status {status}"))),
            Err(error) => Err(self.unexpected(format!("status {status}, {error}"))),
        }
    }

    fn unexpected(&self, cause: String) -> AdminError {
        AdminError::Unexpected { url: self.address(), cause }
    }

    /// Returns where it is asked.
    pub(crate) fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Understands an answer.
    ///
    /// # Errors
    /// Fails on an answer of another shape, which another version may give.
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T, AdminError> {
        serde_json::from_value(answer).map_err(|error| self.unexpected(error.to_string()))
    }
}
