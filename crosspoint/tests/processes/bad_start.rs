//! Processes that cannot start, or miss something: exit codes and words.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::child::Start;
use crate::support::until;

/// Ports that nobody else has.
fn anywhere(start: Start) -> Start {
    let names =
        ["PROXY__LISTEN", "PROXY__METRICS", "ROUTER__LISTEN", "ROUTER__ADMIN", "ROUTER__METRICS", "AGENT__METRICS"];
    names.iter().fold(start, |start, name| start.variable(&format!("CROSSPOINT__{name}"), "127.0.0.1:0"))
}

/// Runs a command to its end and returns its exit code and its words, warnings among them; it must print nothing else.
async fn failed(start: Start) -> anyhow::Result<(Option<i32>, String)> {
    let output = start.variable("CROSSPOINT__LOGS__FILTER", "warn").output().await?;
    anyhow::ensure!(output.stdout.is_empty(), "printed {:?}", String::from_utf8_lossy(&output.stdout));
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let (address, port) = (taken.local_addr()?, taken.local_addr()?.port().to_string());
    let why = "Address already in use (os error 98)";
    for (start, said) in [
        (
            anywhere(Start::of(&["up", "--port", &port])),
            format!(
                "cannot start the proxy (is another one running? --port 0 takes free ports): cannot listen on {address} for callers: {why}"
            ),
        ),
        (
            anywhere(Start::of(&["proxy", "--dev-key", "k"]))
                .variable("CROSSPOINT__PROXY__LISTEN", address.to_string()),
            format!("cannot listen on {address} for callers: {why}"),
        ),
        (
            anywhere(Start::of(&["router"])).variable("CROSSPOINT__ROUTER__ADMIN", address.to_string()),
            format!("cannot listen on {address} for the admin API: {why}"),
        ),
        (
            Start::of(&["engine", "--voice", "synthetic"]).variable("CROSSPOINT__ENGINE__LISTEN", address.to_string()),
            format!("cannot listen on {address} for the engine: {why}"),
        ),
        (
            Start::of(&["agent", "--pool", "on-prem", "--gpus", "none"])
                .variable("CROSSPOINT__AGENT__METRICS", address.to_string()),
            format!("cannot listen on {address} for metrics: {why}"),
        ),
    ] {
        assert_eq!(failed(start).await?, (Some(1), format!("error: {said}\n")));
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_named() -> anyhow::Result<()> {
    let tls = "proxy: { tls: { listen: 127.0.0.1:0, certificate: /nowhere/chain.pem, key: /nowhere/key.pem } }";
    let start = anywhere(Start::of(&["proxy", "--dev-key", "k"])).config(tls);
    let said = "error: proxy.tls cannot be used: cannot read /nowhere/chain.pem, the TLS certificate: No such file or \
                directory (os error 2)\n";
    assert_eq!(failed(start).await?, (Some(1), said.to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_journal_that_is_none_stops_the_proxy_and_is_left_alone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("proxy-usage.journal");
    std::fs::write(&path, "notes\n")?;
    let start = anywhere(Start::of(&["proxy", "--dev-key", "k"]))
        .variable("CROSSPOINT__STORE__DIRECTORY", folder.path().display().to_string());
    let said = format!("error: {} is no journal of version 1: move it away and start again\n", path.display());
    assert_eq!(failed(start).await?, (Some(1), said));
    assert_eq!(std::fs::read_to_string(&path)?, "notes\n");
    Ok(())
}

#[tokio::test]
async fn a_misspelt_key_stops_every_role_with_its_place_and_the_right_one() -> anyhow::Result<()> {
    for role in [&["up"][..], &["proxy"], &["router"], &["agent"], &["engine"]] {
        let (code, said) = failed(Start::of(role).config("proxy:\n  stream:\n    first_adio: 1s\n")).await?;
        assert_eq!(code, Some(78), "{role:?}: {said}");
        let (file, rest) = said.split_once(':').unwrap_or_default();
        assert!(file.starts_with("error"), "{said}");
        let expected = "crosspoint.yaml:3:5: unknown key \"first_adio\", did you mean \"first_audio\"?\n  |\n3 |     \
                        first_adio: 1s\n  |     ^^^^^^^^^^\n";
        assert!(rest.ends_with(expected), "{role:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn an_engine_without_its_library_says_what_to_install() -> anyhow::Result<()> {
    // The other library must be one that every machine has: it is loaded first.
    let config = "engine: { sphinx: { base_library: libc.so.6, library: /nowhere/libpocketsphinx.so.3 } }";
    let engine = Start::of(&["engine"]).variable("CROSSPOINT__ENGINE__LISTEN", "127.0.0.1:0").config(config);
    let expected = "error: cannot load /nowhere/libpocketsphinx.so.3 (/nowhere/libpocketsphinx.so.3: cannot open shared \
                    object file: No such file or directory): run `apt-get install libpocketsphinx3 \
                    pocketsphinx-en-us`\n";
    assert_eq!(failed(engine).await?, (Some(1), expected.to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_reaches_no_router_says_so_once_and_goes_on() -> anyhow::Result<()> {
    let router = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", router.local_addr()?);
    let agent = ["agent", "--pool", "on-prem", "--name", "a", "--gpus", "none", "--router", &url, "--engine"];
    let start = Start::of(&agent).with(&["http://127.0.0.1:1"]).variable("CROSSPOINT__AGENT__METRICS", "127.0.0.1:0");
    let (mut agent, ready): (_, Value) = start.child().await?;

    // Somebody takes its calls and hangs up.
    for _call in 0..4 {
        drop(crate::support::within("call of the agent", router.accept()).await??);
    }
    let said = "router cannot be reached, trying on";
    until("line in the log", async || Ok(agent.log().contains(said).then_some(()))).await?;
    assert_eq!(agent.log().matches(said).count(), 1, "{}", agent.log());
    assert!(agent.log().contains(&url), "{}", agent.log());
    assert!(agent.is_running()?);
    let metrics = ready["metrics"].as_str().unwrap_or_default();
    for (page, status) in [("livez", 200), ("readyz", 503)] {
        assert_eq!(reqwest::get(format!("http://{metrics}/{page}")).await?.status().as_u16(), status, "{page}");
    }
    assert!(agent.close().await?.success());
    Ok(())
}
