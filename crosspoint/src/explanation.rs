//! A decision in words: who served and why, what else there was, what it cost. The long form is `crosspoint explain`,
//! the short one stands below a transcript.

use std::fmt::Write as _;

use crate::admin::{Attempt, Cost, Explanation, Placement, Rejected, Session};
use crate::table::{Column, render};
use crate::terminal::{Paint, Style};
use crate::words::{cents, count, dollars, duration};

const CANDIDATES: [Column; 10] = [
    Column::Right("#"),
    Column::Left("NODE"),
    Column::Left("POOL"),
    Column::Right("GPU"),
    Column::Right("EGRESS"),
    Column::Right("LATENCY"),
    Column::Right("RISK"),
    Column::Right("CONGESTION"),
    Column::Right("ERRORS"),
    Column::Right("TOTAL"),
];

/// A term below this says nothing in a sentence: half a hundredth of a cent per hour, in dollars.
const WORTH_SAYING: f64 = 0.000_05;

/// Explains a session at length.
pub(crate) fn of_session(session: &Session, paint: Paint) -> String {
    let mut text = format!("{} {}\n\n", paint.paint(Style::Bold, "session"), session.session);
    let asked = format!("a {} of {} for {}", session.work, session.model, session.tenant);
    fact(&mut text, paint, "asked", &asked);
    fact(&mut text, paint, "state", &format!("{}, {} old", session.standing(), duration(session.age_ms)));
    fact(&mut text, paint, "served by", &served_by(session));
    if let Some(because) = because(session) {
        fact(&mut text, paint, "because", &because);
    }
    fact(&mut text, paint, "cost", &cost(session));
    decision(&mut text, &session.decision, session.node.as_deref(), paint);
    attempts(&mut text, &session.attempts, paint);
    text
}

/// Explains where a session that does not exist would go.
pub(crate) fn of_question(explanation: &Explanation, paint: Paint) -> String {
    let mut text = String::new();
    match (explanation.placements.first(), &explanation.refusal) {
        (Some(first), _) => fact(&mut text, paint, "would go to", &format!("{} in pool {}", first.node, first.pool)),
        (None, Some(refusal)) => fact(&mut text, paint, "would be", &format!("refused: {}", refused(refusal))),
        (None, None) => fact(&mut text, paint, "would be", "refused"),
    }
    decision(&mut text, explanation, None, paint);
    text
}

/// Explains a session in three or four lines.
pub(crate) fn in_short(session: &Session, paint: Paint) -> String {
    let mut text = String::new();
    fact(&mut text, paint, "served by", &served_by(session));
    if let Some(because) = because(session) {
        fact(&mut text, paint, "because", &because);
    }
    if let Some(around) = around(&session.decision.rejected) {
        fact(&mut text, paint, "not", &around);
    }
    fact(&mut text, paint, "cost", &cost(session));
    text
}

impl Session {
    /// Returns the state, with its reason once it has ended.
    pub(crate) fn standing(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {}", self.state, reason.replace('_', " ")),
            None => self.state.clone(),
        }
    }
}

fn fact(text: &mut String, paint: Paint, name: &str, value: &str) {
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    let _ = writeln!(text, "  {} {value}", paint.paint(Style::Dim, format!("{name:<11}")));
}

fn served_by(session: &Session) -> String {
    let Some(node) = &session.node else {
        let why = session.decision.refusal.as_deref().map(refused);
        return why.map_or_else(|| "nobody".to_owned(), |why| format!("nobody: {why}"));
    };
    let pool = session.pool.as_deref().unwrap_or("?");
    let failed = session.attempts.iter().filter(|attempt| attempt.failed()).count();
    let moved = session.epoch.saturating_sub(1);
    let mut words = format!("{node} in pool {pool}");
    if failed > 0 {
        let _ = write!(words, ", after {}", count(failed, "failed attempt"));
    }
    if moved > 0 {
        let _ = write!(words, ", leg {} (moved {})", session.epoch, count(moved as usize, "time"));
    }
    words
}

fn refused(refusal: &str) -> &str {
    match refusal {
        "full" => "every node that may serve it is full",
        "not_allowed" => "no pool may serve it",
        "no_live_node" => "no node that may serve it is alive",
        "files_only" => "every node with the model hears files only",
        other => other,
    }
}

/// The score of the node that served, term by term; then which nodes failed first, or what another pool had to offer.
fn because(session: &Session) -> Option<String> {
    let placements = &session.decision.placements;
    let served = placements.iter().find(|placement| Some(&placement.node) == session.node.as_ref())?;
    let mut words = score(served);
    let failed: Vec<_> = session.attempts.iter().filter(|attempt| attempt.failed()).map(failure).collect();
    if !failed.is_empty() {
        let _ = write!(words, "; before it {}", failed.join(", "));
    } else if let Some(other) = placements.iter().find(|placement| placement.pool != served.pool) {
        let _ = write!(words, "; next {}: {}", other.pool, score(other));
    }
    Some(words)
}

/// `on-prem-1 failed (connection refused)`.
fn failure(attempt: &Attempt) -> String {
    let cause = attempt.cause.as_deref().unwrap_or("no cause given");
    format!("{} failed ({cause})", attempt.node)
}

/// `1.67 ¢/h (gpu 1.67)`.
fn score(placement: &Placement) -> String {
    let terms = placement.terms.named().into_iter().filter(|(_, amount)| *amount >= WORTH_SAYING);
    let terms: Vec<_> = terms.map(|(name, amount)| format!("{name} {}", cents(amount))).collect();
    let total = cents(placement.total);
    if terms.is_empty() { format!("{total} ¢/h") } else { format!("{total} ¢/h ({})", terms.join(" + ")) }
}

fn around(rejected: &[Rejected]) -> Option<String> {
    let pools: Vec<_> = rejected.iter().map(|group| format!("{} ({})", group.pool, group.why())).collect();
    (!pools.is_empty()).then(|| pools.join(", "))
}

fn cost(session: &Session) -> String {
    let Cost { gpu, egress, total } = session.cost;
    let mut words = format!("{} for {} of audio", dollars(total), duration(session.audio_seconds * 1e3));
    if total > 0.0 {
        let _ = write!(words, ": gpu {} for {} of a slot", dollars(gpu), duration(session.slot_seconds * 1e3));
        let _ = write!(words, ", egress {} for {:.1} kB", dollars(egress), session.bytes_in / 1e3);
    }
    words
}

fn decision(text: &mut String, decision: &Explanation, served: Option<&str>, paint: Paint) {
    if !decision.placements.is_empty() {
        heading(text, paint, "candidates", "best first; cents per hour of this session");
        let rows = (1_usize..).zip(&decision.placements).map(|(rank, placement)| candidate(rank, placement));
        let table = render(&CANDIDATES, rows, paint);
        let served = decision.placements.iter().position(|placement| Some(placement.node.as_str()) == served);
        indent(text, &table, served.map(|row| row + 1), paint);
    }
    if !decision.rejected.is_empty() {
        heading(text, paint, "rejected", "could not serve it");
        let columns = [Column::Left("POOL"), Column::Right("NODES"), Column::Left("WHY"), Column::Left("SUCH AS")];
        let rows = decision.rejected.iter().map(|group| {
            let nodes = if group.nodes == 0 { "-".to_owned() } else { group.nodes.to_string() };
            let example = group.example.clone().unwrap_or_else(|| "-".to_owned());
            vec![group.pool.clone(), nodes, group.why(), example]
        });
        indent(text, &render(&columns, rows, paint), None, paint);
    }
}

fn candidate(rank: usize, placement: &Placement) -> Vec<String> {
    let mut row = vec![rank.to_string(), placement.node.clone(), placement.pool.clone()];
    row.extend(placement.terms.named().map(|(_, amount)| cents(amount)));
    row.push(cents(placement.total));
    row
}

fn attempts(text: &mut String, attempts: &[Attempt], paint: Paint) {
    if attempts.is_empty() {
        return;
    }
    heading(text, paint, "attempts", "in the order they were made");
    let columns = [Column::Right("#"), Column::Left("NODE"), Column::Left("OUTCOME"), Column::Left("CAUSE")];
    let rows = (1_usize..).zip(attempts).map(|(number, attempt)| {
        let cause = attempt.cause.clone().unwrap_or_else(|| "-".to_owned());
        vec![number.to_string(), attempt.node.clone(), attempt.outcome.clone(), cause]
    });
    indent(text, &render(&columns, rows, paint), None, paint);
}

fn heading(text: &mut String, paint: Paint, name: &str, meaning: &str) {
    let _ = writeln!(text, "\n{} {}", paint.paint(Style::Bold, name), paint.paint(Style::Dim, format!("({meaning})")));
}

/// Sets a table off from the margin; one of its lines may be pointed at.
fn indent(text: &mut String, table: &str, pointed: Option<usize>, paint: Paint) {
    for (number, line) in table.lines().enumerate() {
        let _ = match pointed {
            Some(row) if row == number => writeln!(text, "{}", paint.paint(Style::Bold, format!("> {line}  served"))),
            Some(_) | None => writeln!(text, "  {line}"),
        };
    }
}

impl Attempt {
    fn failed(&self) -> bool {
        self.outcome == "failed"
    }
}

impl Rejected {
    fn why(&self) -> String {
        if self.text.is_empty() { self.reason.replace('_', " ") } else { self.text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn placement(node: &str, pool: &str, gpu: f64, egress: f64) -> Value {
        let terms = json!({"gpu": gpu, "egress": egress, "latency": 0, "risk": 0.0, "congestion": 0, "errors": 0});
        json!({"node": node, "pool": pool, "address": "127.0.0.1:1", "terms": terms, "total": gpu + egress})
    }

    fn session() -> Session {
        serde_json::from_value(json!({
            "session": "6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11", "tenant": "demo", "model": "sphinx-en-us",
            "work": "stream", "state": "ended", "node": "aws-1", "pool": "aws", "epoch": 1, "age_ms": 65_000,
            "placements": [placement("prem-2", "prem", 0.0167, 0.0), placement("aws-1", "aws", 0.05, 0.0104)],
            "rejected": [{"pool": "gcp", "example": "gcp-1", "nodes": 2, "reason": "silent", "text": "no report for 4.1 s"}],
            "refusal": null, "reason": "completed", "audio_seconds": 5.2, "slot_seconds": 5.4, "bytes_in": 166_400,
            "attempts": [{"node": "prem-2", "outcome": "failed", "cause": "connection refused"},
                         {"node": "aws-1", "outcome": "opened", "cause": null}],
            "cost": {"gpu": 0.000_075, "egress": 0.000_015, "total": 0.000_09}, "from_the_future": true
        }))
        .unwrap()
    }

    #[test]
    fn a_session_is_explained_at_length() {
        let expected = "\
session 6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11

  asked       a stream of sphinx-en-us for demo
  state       ended: completed, 1 min 05 s old
  served by   aws-1 in pool aws, after 1 failed attempt
  because     6.04 ¢/h (gpu 5.00 + egress 1.04); before it prem-2 failed (connection refused)
  cost        $0.000090 for 5.2 s of audio: gpu $0.000075 for 5.4 s of a slot, egress $0.000015 for 166.4 kB

candidates (best first; cents per hour of this session)
  #  NODE    POOL   GPU  EGRESS  LATENCY  RISK  CONGESTION  ERRORS  TOTAL
  1  prem-2  prem  1.67       -        -     -           -       -   1.67
> 2  aws-1   aws   5.00    1.04        -     -           -       -   6.04  served

rejected (could not serve it)
  POOL  NODES  WHY                  SUCH AS
  gcp       2  no report for 4.1 s  gcp-1

attempts (in the order they were made)
  #  NODE    OUTCOME  CAUSE
  1  prem-2  failed   connection refused
  2  aws-1   opened   -
";
        assert_eq!(of_session(&session(), Paint::Plain), expected);
    }

    #[test]
    fn a_session_is_explained_in_short() {
        let text = in_short(&session(), Paint::Plain);
        let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["served", "because", "not", "cost"]);
        assert!(text.contains("gcp (no report for 4.1 s)"), "{text}");
    }

    #[test]
    fn a_refusal_is_put_into_words() {
        let refusal = json!({"placements": [], "refusal": "not_allowed", "rejected": [
            {"pool": "aws", "example": null, "nodes": 0, "reason": "residency", "text": "audio must stay in eu, pool is in us"}]});
        let expected = "  would be    refused: no pool may serve it

rejected (could not serve it)
  POOL  NODES  WHY                                   SUCH AS
  aws       -  audio must stay in eu, pool is in us  -
";
        assert_eq!(of_question(&serde_json::from_value(refusal).unwrap(), Paint::Plain), expected);
    }
}
