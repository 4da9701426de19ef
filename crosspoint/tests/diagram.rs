//! The dependency diagram of docs/design.md as a test: crates know each other in one direction only, and some libraries
//! belong to one crate.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Which of our crates each crate may depend on.
const DIAGRAM: [(&str, &[&str]); 14] = [
    ("scheduler", &[]),
    ("audio", &[]),
    ("process", &[]),
    ("relay", &[]),
    ("proto", &["scheduler"]),
    ("session", &["scheduler", "audio"]),
    ("simulator", &["scheduler"]),
    ("store", &["scheduler"]),
    ("router", &["scheduler", "store", "proto", "process"]),
    ("proxy", &["scheduler", "session", "relay", "audio", "proto", "process", "store"]),
    ("agent", &["scheduler", "proto", "process"]),
    ("engine", &["scheduler", "audio", "process"]),
    ("loadtest", &["scheduler", "audio", "proto", "process"]),
    (
        "crosspoint",
        &[
            "scheduler",
            "audio",
            "process",
            "proto",
            "session",
            "simulator",
            "store",
            "router",
            "proxy",
            "agent",
            "engine",
            "loadtest",
        ],
    ),
];

/// Crates that decide, and so have no runtime, no socket and no log, wherever that may come from.
const PURE: [&str; 4] = ["scheduler", "audio", "session", "simulator"];
const IMPURE: [&str; 6] = ["tokio", "tokio-util", "hyper", "reqwest", "tonic", "tracing"];

/// Libraries that only one of our crates may name.
const OWNED: [(&str, &str); 3] = [("redis", "store"), ("nvml-wrapper", "agent"), ("libloading", "engine")];

/// TLS that is somebody else's C, or wants more than a C compiler to be built.
const FOREIGN_TLS: [&str; 4] = ["openssl-sys", "native-tls", "aws-lc-sys", "cmake"];

/// The workspace as cargo sees it.
struct Workspace(Metadata);

impl Workspace {
    fn read() -> anyhow::Result<Self> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        // What other platforms would need has not been fetched.
        let options = ["--locked", "--offline", "--filter-platform", &platform()?].map(str::to_owned).to_vec();
        Ok(Self(MetadataCommand::new().manifest_path(manifest).other_options(options).exec()?))
    }

    /// Returns the normal dependencies of each of our crates, by the short names of the diagram.
    fn dependencies(&self) -> BTreeMap<String, BTreeSet<String>> {
        let normal = |package: &cargo_metadata::Package| {
            let kept = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
            kept.map(|dependency| short(&dependency.name)).collect()
        };
        let ours = self.0.workspace_packages().into_iter();
        ours.map(|package| (short(&package.name), normal(package))).collect()
    }

    /// Returns everything that one of our crates links, however deep, without what only builds or tests it.
    fn everything_below(&self, name: &str) -> anyhow::Result<BTreeSet<String>> {
        let nodes = &self.0.resolve.as_ref().context("a dependency graph")?.nodes;
        let nodes: BTreeMap<&PackageId, _> = nodes.iter().map(|node| (&node.id, node)).collect();
        let root = self.0.workspace_packages().into_iter().find(|package| short(&package.name) == name);
        let mut waiting = vec![&root.with_context(|| format!("no crate {name}"))?.id];
        let mut found = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if found.insert(id) {
                let below = nodes.get(id).map(|node| node.deps.iter()).into_iter().flatten();
                let linked = |kinds: &[cargo_metadata::DepKindInfo]| {
                    kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
                };
                waiting.extend(below.filter(|below| linked(&below.dep_kinds)).map(|below| &below.pkg));
            }
        }
        let names = self.0.packages.iter().filter(|package| found.contains(&package.id));
        Ok(names.map(|package| package.name.to_string()).collect())
    }
}

/// Asks the compiler which platform this is.
fn platform() -> anyhow::Result<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let words = String::from_utf8(Command::new(compiler).arg("-vV").output()?.stdout)?;
    let host = words.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("a host among the compiler's words")?.to_owned())
}

/// Our packages are called `crosspoint-x` and, in the diagram, `x`.
fn short(name: &str) -> String {
    name.strip_prefix("crosspoint-").unwrap_or(name).to_owned()
}

#[test]
fn crates_know_each_other_in_one_direction_only() -> anyhow::Result<()> {
    let dependencies = Workspace::read()?.dependencies();
    let ours: BTreeSet<_> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(ours, DIAGRAM.into_iter().map(|(name, _)| name).collect(), "the diagram lists every crate");
    for (name, allowed) in DIAGRAM {
        let known = dependencies[name].iter().map(String::as_str).filter(|other| ours.contains(other));
        let forbidden: Vec<_> = known.filter(|other| !allowed.contains(other)).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}: see docs/design.md, \"Workspace\"");
    }
    Ok(())
}

#[test]
fn the_diagram_has_no_circle() {
    // Each crate may only depend on crates that are listed above it.
    for (at, (name, allowed)) in DIAGRAM.into_iter().enumerate() {
        let above: Vec<_> = DIAGRAM[..at].iter().map(|(name, _)| *name).collect();
        assert!(allowed.iter().all(|other| above.contains(other)), "{name}");
    }
}

#[test]
fn what_decides_has_no_runtime_below_it() -> anyhow::Result<()> {
    let workspace = Workspace::read()?;
    for name in PURE {
        let below = workspace.everything_below(name)?;
        let found: Vec<_> = IMPURE.into_iter().filter(|library| below.contains(*library)).collect();
        assert!(below.len() > 2 && found.is_empty(), "{name} links {found:?}: it must stay pure");
    }
    Ok(())
}

#[test]
fn tls_needs_a_c_compiler_and_no_more() -> anyhow::Result<()> {
    let packages = Workspace::read()?.0.packages;
    let found: Vec<_> = packages.iter().filter(|package| FOREIGN_TLS.contains(&package.name.as_str())).collect();
    assert!(found.is_empty(), "rustls with ring is the only TLS here, not {found:?}");
    Ok(())
}

#[test]
fn some_libraries_belong_to_one_crate() -> anyhow::Result<()> {
    let dependencies = Workspace::read()?.dependencies();
    for (library, owner) in OWNED {
        let users = dependencies.iter().filter(|(_, names)| names.contains(library)).map(|(name, _)| name);
        let strangers: Vec<_> = users.filter(|name| *name != owner).collect();
        assert!(strangers.is_empty(), "only {owner} may depend on {library}, not {strangers:?}");
    }
    Ok(())
}
