//! `docker-compose.yml` without containers: every service's command runs as a plain process. A host's name becomes an address
//! of this machine's own, so that ports stay as they are written.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use audio::Format;
use audio::coded::Script;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::child::{Child, Start};
use crate::support::prometheus::{shipped, yaml};
use crate::support::redis::free_address;
use crate::support::speech::file;
use crate::support::until;

const CONFIG: &str = "/etc/crosspoint";
const STATE: &str = "/var/lib/crosspoint";
const FORMAT: Format = Format::SPEECH;

/// What is looked at of a service.
#[derive(Debug, Deserialize)]
struct Service {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    depends_on: Vec<String>,
    #[serde(default)]
    image: String,
}

impl Service {
    /// Returns the role, if it is a service of ours.
    fn role(&self) -> Option<&str> {
        let ours = self.image.is_empty() || self.image == "crosspoint";
        self.command.first().map(String::as_str).filter(|_| ours)
    }
}

#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
}

fn compose() -> anyhow::Result<Compose> {
    Ok(serde_json::from_value(yaml(&shipped("../docker-compose.yml"))?)?)
}

/// One of somebody else's programs; dropping it kills it.
struct Program(std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// All of it, started one by one.
struct Machine {
    compose: Compose,
    addresses: BTreeMap<String, Ipv4Addr>,
    folder: TempDir,
    children: Vec<Child>,
    programs: Vec<Program>,
}

impl Machine {
    fn new() -> anyhow::Result<Self> {
        let compose = compose()?;
        let addresses = compose.services.keys().map(|name| (name.clone(), free_address())).collect();
        Ok(Self { compose, addresses, folder: tempfile::tempdir()?, children: Vec::new(), programs: Vec::new() })
    }

    fn address(&self, name: &str) -> anyhow::Result<Ipv4Addr> {
        self.addresses.get(name).copied().with_context(|| format!("no service {name:?}"))
    }

    /// Puts addresses where a service would find hosts by name, or itself.
    fn local(&self, text: &str, name: &str) -> anyhow::Result<String> {
        let own = self.address(name)?.to_string();
        let text = text.replace("0.0.0.0", &own).replace("127.0.0.1", &own);
        let hosts = self.addresses.iter().map(|(host, address)| (format!("{host}:"), format!("{address}:")));
        Ok(hosts.fold(text, |text, (host, address)| replace_before_ports(&text, &host, &address)))
    }

    /// Makes the folder that a service sees, with its configuration in it.
    fn mount(&self, name: &str) -> anyhow::Result<String> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(folder.join("state"))?;
        let written = std::fs::read_to_string(shipped("../compose/crosspoint.yaml"))?;
        let state = folder.join("state").display().to_string();
        std::fs::write(folder.join("crosspoint.yaml"), self.local(&written, name)?.replace(STATE, &state))?;
        Ok(folder.display().to_string())
    }

    /// Starts every service of one role, and waits until each says that it is ready.
    async fn start(&mut self, role: &str) -> anyhow::Result<()> {
        let names: Vec<_> = self.compose.services.iter().filter(|(_, service)| service.role() == Some(role)).collect();
        let mut starts = Vec::new();
        for (name, service) in names {
            let folder = self.mount(name)?;
            let command: Vec<_> = service.command.iter().map(|word| word.replace(CONFIG, &folder)).collect();
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            let mut start = Start::of(&command).variable("CROSSPOINT__ENGINE__VOICE", "synthetic");
            if role == "router" {
                start = start.variable("CROSSPOINT__ROUTER__ADMIN", format!("{}:7401", self.address(name)?));
            }
            for (variable, value) in &service.environment {
                start = start.variable(variable, self.local(value, name)?);
            }
            starts.push(start);
        }
        anyhow::ensure!(!starts.is_empty(), "no service runs {role}");
        for start in starts {
            let (child, _ready): (_, Value) = start.child().await?;
            self.children.push(child);
        }
        Ok(())
    }

    /// Starts somebody else's program with a service's arguments; tells whether it is installed, and says so where it is not.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn start_program(&mut self, name: &str, program: &str, more: &[String]) -> anyhow::Result<Installed> {
        let service = self.compose.services.get(name).context("a service")?;
        let folder = self.folder.path().join(name);
        let configured = folder.join("etc");
        std::fs::create_dir_all(&configured)?;
        for file in ["prometheus.yml", "alerts.yml", "alertmanager.yml"] {
            let text = std::fs::read_to_string(shipped(file))?;
            std::fs::write(configured.join(file), self.local(&text, name)?)?;
        }
        let words = service.command.iter().filter(|word| *word != "redis-server");
        let words = words.map(|word| localised(word, name, &folder)).chain(more.iter().cloned());
        let mut command = Command::new(program);
        command.args(words).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: there is no {program} here (`make test` installs it)");
                Ok(Installed::No)
            }
            process => {
                self.programs.push(Program(process?));
                Ok(Installed::Yes)
            }
        }
    }

    async fn ready(&self, name: &str, port_and_path: &str) -> anyhow::Result<Value> {
        let url = format!("http://{}:{port_and_path}", self.address(name)?);
        until(&format!("answer of {name}"), async || {
            let Ok(reply) = reqwest::get(&url).await else { return Ok(None) };
            if !reply.status().is_success() {
                return Ok(None);
            }
            Ok(Some(reply.json().await.unwrap_or(Value::Null)))
        })
        .await
    }

    /// Waits until every service of ours answers its probe.
    async fn all_ready(&self) -> anyhow::Result<()> {
        for (name, service) in &self.compose.services {
            let probe = match service.role() {
                Some("router") => "7481/readyz",
                Some("proxy") => "7480/readyz",
                Some("agent") => "7482/readyz",
                Some("engine") => "8090/health",
                _ => continue,
            };
            self.ready(name, probe).await?;
        }
        Ok(())
    }
}

/// Whether a program is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Installed {
    Yes,
    No,
}

/// A name is a host only where a port follows.
fn replace_before_ports(text: &str, host: &str, address: &str) -> String {
    let mut parts = text.split(host);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(if part.starts_with(|c: char| c.is_ascii_digit()) { address } else { host });
        whole.push_str(part);
    }
    whole
}

/// Puts a service's folders where this test may write.
fn localised(word: &str, name: &str, folder: &Path) -> String {
    let (etc, data) = (folder.join("etc").display().to_string(), folder.join("data").display().to_string());
    word.replace(&format!("/etc/{name}"), &etc).replace(&format!("=/{name}"), &format!("={data}"))
}

#[tokio::test]
async fn every_service_runs_and_together_they_hear() -> anyhow::Result<()> {
    let mut machine = Machine::new()?;
    let redis = machine.address("redis")?.to_string();
    let bind = ["--bind", &redis, "--save", ""].map(str::to_owned);
    if machine.start_program("redis", "redis-server", &bind)? == Installed::No {
        return Ok(());
    }
    for role in ["router", "engine", "agent", "proxy"] {
        machine.start(role).await?;
    }
    machine.all_ready().await?;
    for router in ["router-1", "router-2"] {
        until("four nodes that serve", async || {
            let answer = machine.ready(router, "7401/v1/pools").await?;
            let pools = answer["pools"].as_array().context("pools")?;
            Ok((pools.len() == 4 && pools.iter().all(|pool| pool["serving"] == 1)).then_some(()))
        })
        .await?;
    }
    hear(&machine).await?;
    watch(&mut machine).await
}

/// Makes a key at one router and sends a file to the other proxy.
async fn hear(machine: &Machine) -> anyhow::Result<()> {
    let admin = format!("http://{}:7401", machine.address("router-1")?);
    let made = Start::of(&["keys", "create", "--tenant", "demo", "--json", "--router", &admin]).output().await?;
    anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout)?;
    let key = made["key"].as_str().context("a key")?;
    let url = format!("http://{}:8080/v1/listen?model=nova-3", machine.address("proxy-2")?);
    let sound = file(Script { session: 7, words: 4 }, FORMAT, None)?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let heard = client.post(url).header("authorization", format!("Token {key}")).body(sound).send().await?;
    let (status, answer) = (heard.status(), heard.json::<Value>().await?);
    anyhow::ensure!(status.is_success(), "{status}: {answer}");
    let words = answer["results"]["channels"][0]["alternatives"][0]["words"].as_array().context("words")?;
    anyhow::ensure!(words.len() == 4, "{answer}");
    Ok(())
}

/// Starts what watches them, and waits until everybody is watched.
async fn watch(machine: &mut Machine) -> anyhow::Result<()> {
    let listen = |machine: &Machine, name: &str, port: u16| -> anyhow::Result<String> {
        Ok(format!("--web.listen-address={}:{port}", machine.address(name)?))
    };
    let (prometheus, alertmanager) = (listen(machine, "prometheus", 9090)?, listen(machine, "alertmanager", 9093)?);
    let alone = [alertmanager, "--cluster.listen-address=".to_owned()];
    if machine.start_program("alertmanager", "prometheus-alertmanager", &alone)? == Installed::Yes {
        machine.ready("alertmanager", "9093/-/ready").await?;
    }
    if machine.start_program("prometheus", "prometheus", &[prometheus])? == Installed::No {
        return Ok(());
    }
    machine.ready("prometheus", "9090/-/ready").await?;
    until("scrape of every process", async || {
        let answer = machine.ready("prometheus", "9090/api/v1/targets").await?;
        let targets = answer["data"]["activeTargets"].as_array().context("targets")?;
        let up = targets.iter().filter(|target| target["health"] == "up").count();
        Ok((up == targets.len() && up == 12).then_some(()))
    })
    .await
}

#[test]
fn what_services_need_is_there() -> anyhow::Result<()> {
    let Compose { services } = compose()?;
    for (name, service) in &services {
        for other in &service.depends_on {
            assert!(services.contains_key(other), "{name} waits for {other}");
        }
        for volume in service.volumes.iter().filter_map(|volume| volume.strip_prefix("./")) {
            let path = volume.split(':').next().unwrap_or_default();
            assert!(shipped("..").join(path).exists(), "{name} mounts {path}");
        }
    }
    let count = |role| services.values().filter(|service| service.role() == Some(role)).count();
    assert_eq!(["router", "proxy", "engine", "agent"].map(count), [2, 2, 4, 4]);
    for other in ["redis", "prometheus", "alertmanager", "grafana"] {
        assert!(services.contains_key(other), "no {other}");
    }
    for file in ["datasources/prometheus.yml", "dashboards/crosspoint.yml"] {
        yaml(&shipped("grafana/provisioning").join(file))?;
    }
    Ok(())
}
