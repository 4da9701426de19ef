//! The reference of the configuration, written from the default file: docs/configuration.md is this text.

use std::fmt::Write as _;

use super::DEFAULT_FILE;
use crate::reload::{PROXY, ROUTER, Reads};

const HEAD: &str = "\
# Configuration

<!-- Written by `crosspoint config reference`; a test fails when it is stale. -->
";

const RELOAD: &str = "
## Changing it while processes run

A router or proxy that was started with `--config FILE` reads the file again within two seconds after it changed, and on SIGHUP. What is wrong with
the new one is logged with its line and column, and the old one stays in force; what needs a restart is logged by name. No
session is touched. `crosspoint_config_last_reload_success` is 0 while the file cannot be used, `crosspoint_config_hash` tells whether processes agree.

| process | takes over at once | reads at its start |
|---|---|---|
";

/// A part of the default file: a key at the left edge, with the comment above it.
#[derive(Debug, PartialEq, Eq)]
struct Section<'a> {
    key: &'a str,
    comment: Vec<&'a str>,
    body: Vec<&'a str>,
}

/// Writes the reference.
pub(crate) fn markdown() -> String {
    let (head, sections) = sections(DEFAULT_FILE);
    let mut text = format!("{HEAD}\n{}\n{RELOAD}", prose(&head));
    for (process, reads) in [("router", ROUTER), ("proxy", PROXY)] {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", row(process, reads));
    }
    for Section { key, comment, body } in sections {
        let _ = write!(text, "\n## `{key}`\n\n{}\n\n```yaml\n{}\n```\n", prose(&comment), body.join("\n"));
    }
    text
}

fn row(process: &str, reads: Reads) -> String {
    let names = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    format!("| {process} | {} | the rest of {} |", names(reads.live), names(reads.at_start))
}

/// Splits a file into the comment at its head and its sections.
fn sections(file: &str) -> (Vec<&str>, Vec<Section<'_>>) {
    let lines: Vec<&str> = file.lines().collect();
    let head: Vec<&str> = lines.iter().copied().take_while(|line| line.starts_with('#')).collect();
    let is_key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let keys: Vec<usize> = (0..lines.len()).filter(|at| is_key(lines[*at])).collect();
    let begins: Vec<usize> = keys.iter().map(|at| at - comments_before(&lines[..*at])).collect();
    let ends = begins.iter().copied().skip(1).chain([lines.len()]);
    let sections = keys.iter().zip(&begins).zip(ends).map(|((key, begin), end)| Section {
        key: lines[*key].split(':').next().unwrap_or_default(),
        comment: lines[*begin..*key].to_vec(),
        body: trimmed(&lines[*key..end]),
    });
    (head, sections.collect())
}

fn comments_before(lines: &[&str]) -> usize {
    lines.iter().rev().take_while(|line| line.starts_with('#')).count()
}

fn trimmed<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines[..last].to_vec()
}

/// Turns a comment into text; what is indented in it is shown as it is.
fn prose(comment: &[&str]) -> String {
    let text = |line: &&str| line.trim_start_matches('#').strip_prefix(' ').unwrap_or_default().to_owned();
    let indent = |line: String| if line.starts_with("  ") { format!("  {line}") } else { line };
    let lines: Vec<String> = comment.iter().map(|line| indent(text(line))).collect();
    let mut spaced: Vec<String> = Vec::new();
    for line in lines {
        let shown = line.starts_with("    ");
        if spaced.last().is_some_and(|last| !last.is_empty() && last.starts_with("    ") != shown && !line.is_empty()) {
            spaced.push(String::new());
        }
        spaced.push(line);
    }
    spaced.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_default_file_is_a_section_with_its_comment() {
        let (head, sections) =
            sections("# Head.\n\n# One.\none:\n  a: 1\n\n  b: 2\n\ntwo: []\n#  - x\n\n# Three.\nthree: 3\n");
        assert_eq!(head, ["# Head."]);
        let shown: Vec<_> =
            sections.iter().map(|section| (section.key, section.comment.len(), section.body.len())).collect();
        assert_eq!(shown, [("one", 1, 4), ("two", 0, 2), ("three", 1, 1)]);
    }
}
