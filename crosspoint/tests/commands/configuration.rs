//! `crosspoint config`.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::fake::{Outcome, crosspoint, with_environment};

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path in UTF-8")
}

#[tokio::test]
async fn the_printed_default_is_checked_as_ok() -> anyhow::Result<()> {
    let printed = crosspoint(&["config", "print"]).await?;
    assert_eq!(printed.out, include_str!("../../src/default.yaml"));
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("crosspoint.yaml");
    std::fs::write(&file, printed.out)?;
    let ok = Outcome { code: Some(0), out: format!("{}: ok\n", file.display()), err: String::new() };
    assert_eq!(crosspoint(&["config", "check", path(&file)?]).await?, ok);

    let in_force =
        with_environment(&[("CROSSPOINT__LOGS__FILTER", "warn")], &["config", "print", path(&file)?]).await?;
    assert!(in_force.out.contains("filter: warn\n"), "{}", in_force.out);
    std::fs::write(&file, in_force.out)?;
    assert_eq!(crosspoint(&["config", "check", path(&file)?]).await?, ok);
    Ok(())
}

#[tokio::test]
async fn a_mistake_is_shown_and_ends_with_78() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("crosspoint.yaml");
    std::fs::write(&file, "# mine\nlogs:\n  filtr: info\n")?;
    let outcome = crosspoint(&["config", "check", path(&file)?]).await?;
    let expected = format!(
        "error: {}:3:3: unknown key \"filtr\", did you mean \"filter\"?\n  |\n3 |   filtr: info\n  |   ^^^^^\n",
        file.display()
    );
    assert_eq!(outcome, Outcome { code: Some(78), out: String::new(), err: expected });
    Ok(())
}

#[tokio::test]
async fn a_missing_file_and_a_wrong_variable_end_with_78() -> anyhow::Result<()> {
    let outcome = crosspoint(&["config", "check", "/nowhere.yaml"]).await?;
    assert_eq!(outcome.code, Some(78));
    assert_eq!(outcome.err, "error: cannot read /nowhere.yaml: No such file or directory (os error 2)\n");
    let outcome = with_environment(&[("CROSSPOINT__SCORING__ERORS", "1")], &["config", "check"]).await?;
    assert_eq!(outcome.code, Some(78));
    let expected =
        "error: environment variable CROSSPOINT__SCORING__ERORS: unknown key \"erors\", did you mean \"errors\"?\n";
    assert_eq!(outcome.err, expected);
    Ok(())
}

#[tokio::test]
async fn the_schema_names_every_section() -> anyhow::Result<()> {
    let schema: Value = serde_json::from_str(&crosspoint(&["config", "schema"]).await?.out)?;
    let sections = schema["properties"].as_object().context("an object")?;
    for section in ["pools", "scoring", "models", "logs"] {
        assert!(sections.contains_key(section), "{section}");
    }
    Ok(())
}

#[tokio::test]
async fn the_reference_is_what_the_default_file_says() -> anyhow::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let written = crosspoint(&["config", "reference"]).await?;
    let stale = "docs/configuration.md is stale: crosspoint config reference > docs/configuration.md";
    assert!(std::fs::read_to_string(page)? == written.out, "{stale}");
    Ok(())
}
