//! A real Prometheus of a test's own, with the scrape jobs and rules that `dashboards/` ships.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::redis::free_address;
use super::until;

const PORT: u16 = 9090;

/// Returns a file of `dashboards/`.
pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards").join(name)
}

/// Reads a YAML file.
pub(crate) fn yaml(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no YAML", file.display()))
}

/// Runs a program to its end; nothing where it is not installed, which it says.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Option<String>> {
    let output = match Command::new(program).args(arguments).current_dir(shipped("")).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: there is no {program} here (`make test` installs it)");
            return Ok(None);
        }
        output => output?,
    };
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    anyhow::ensure!(output.status.success(), "{program} {}:\n{said}", arguments.join(" "));
    Ok(Some(said))
}

/// A running Prometheus; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Prometheus {
    url: String,
    client: reqwest::Client,
    process: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one with the jobs that are shipped, on these targets; none where there is no `prometheus`, which it says.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn start(targets: &[(&str, Vec<String>)]) -> anyhow::Result<Option<Self>> {
        let (folder, address) = (tempfile::tempdir()?, free_address());
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config(targets)?.to_string())?;
        match spawn(&file, address) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: there is no prometheus here (`make test` installs it)");
                Ok(None)
            }
            process => {
                let client = reqwest::Client::builder().no_proxy().build()?;
                let url = format!("http://{address}:{PORT}");
                Ok(Some(Self { url, client, process: process?, _folder: folder }))
            }
        }
    }

    /// Asks its API; nothing while it is not there yet.
    pub(crate) async fn ask(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Option<Value>> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), query)?;
        let Ok(reply) = self.client.get(url).send().await else { return Ok(None) };
        if reply.status() == 503 {
            return Ok(None);
        }
        let answer: Value = reply.json().await?;
        anyhow::ensure!(answer["status"] == "success", "{path} {query:?}: {answer}");
        Ok(Some(answer["data"].clone()))
    }

    /// Returns what an expression gives now, without what is no number.
    pub(crate) async fn query(&self, expression: &str) -> anyhow::Result<Vec<Value>> {
        let data = self.ask("query", &[("query", expression)]).await?;
        let result = data.map(|data| data["result"].clone()).unwrap_or_default();
        let numbers = result.as_array().into_iter().flatten().filter(|series| series["value"][1] != "NaN");
        Ok(numbers.cloned().collect())
    }

    /// Waits until every target was scraped.
    pub(crate) async fn scraped(&self) -> anyhow::Result<()> {
        until("scrape of every target", async || {
            let targets = self.ask("targets", &[]).await?.unwrap_or_default();
            let mut active = targets["activeTargets"].as_array().into_iter().flatten().peekable();
            Ok((active.peek().is_some() && active.all(|target| target["health"] == "up")).then_some(()))
        })
        .await
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The shipped configuration, with other targets and a faster pace.
fn config(targets: &[(&str, Vec<String>)]) -> anyhow::Result<Value> {
    let mut config = yaml(&shipped("prometheus.yml"))?;
    config["global"] = json!({ "scrape_interval": "1s", "evaluation_interval": "1s" });
    config["rule_files"] = json!([shipped("alerts.yml")]);
    config["alerting"] = json!({});
    for job in config["scrape_configs"].as_array_mut().context("jobs")? {
        let (_, here) = targets.iter().find(|(name, _)| job["job_name"] == *name).context("a job of the test")?;
        job["static_configs"] = json!([{ "targets": here }]);
    }
    Ok(config)
}

fn spawn(file: &Path, address: Ipv4Addr) -> std::io::Result<Child> {
    let folder = file.parent().unwrap_or(file);
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={address}:{PORT}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
