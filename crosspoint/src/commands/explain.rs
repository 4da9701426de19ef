//! `crosspoint explain`: why a session went where it went, or where one would go.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::admin::{Admin, AdminArgs, Explanation, Session};
use crate::explanation;
use crate::terminal::Paint;

const EXAMPLES: &str = "\
Every candidate is judged by the sum of its terms, all in cents per hour of this session:
  gpu         the slot's share of the node's price
  egress      sending the audio there
  latency     being far or slow
  risk        the chance of losing the node, times the price of a move
  congestion  being nearly full
  errors      failing opens lately

Examples:
  crosspoint explain                                       the newest session
  crosspoint explain 6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11  that session: the dg-request-id of its caller
  crosspoint explain --model nova-3 --residency eu         where a stream would go now
  crosspoint explain --model nova-3 --file --max-cost 0.02
  crosspoint explain --request '{\"model\": \"nova-3\", \"priority\": \"batch\"}'";

/// The arguments of `crosspoint explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The session to explain; without it and without --model, the newest
    #[arg(value_name = "SESSION_ID", conflicts_with_all = ["model", "request"])]
    session: Option<String>,
    /// Explain where this request would go now: JSON as the admin API takes it, or - to read it from standard input
    #[arg(long, value_name = "JSON", conflicts_with = "model")]
    request: Option<String>,
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A session that does not exist.
#[derive(Debug, clap::Args)]
#[group(id = "question", multiple = true)]
struct Question {
    /// Explain where a session that asks for this model would go now
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The session is a file, not a stream
    #[arg(long, requires = "model")]
    file: bool,
    /// The audio must stay there, such as eu
    #[arg(long, value_name = "CODE", requires = "model")]
    residency: Option<String>,
    /// The pool must be audited for it, such as soc2; may be given again
    #[arg(long, value_name = "REGIME", requires = "model")]
    compliance: Vec<String>,
    /// The most a session-hour may cost, in dollars
    #[arg(long, value_name = "DOLLARS", requires = "model")]
    max_cost: Option<f64>,
    /// Audio the caller sends, in bytes per second
    #[arg(long, value_name = "BYTES", default_value_t = 32_000)]
    rate: u64,
    /// Who it yields to: live, interactive or batch
    #[arg(long, value_name = "PRIORITY", requires = "model")]
    priority: Option<String>,
    /// Use only this pool, as a key may demand; may be given again
    #[arg(long, value_name = "POOL", requires = "model")]
    pool: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        if let Some(request) = &self.request {
            return self.would_go(&admin, admin.post("/v1/explain", &read(request)?).await?);
        }
        match (&self.question.model, &self.session) {
            (Some(model), _) => self.would_go(&admin, admin.post("/v1/explain", &self.question.body(model)).await?),
            (None, Some(session)) => {
                let answer = admin.get(&format!("/v1/sessions/{}", one_segment(session)?)).await?;
                self.went(&admin, answer)
            }
            (None, None) => self.went(&admin, newest(&admin).await?),
        }
    }

    fn went(&self, admin: &Admin, answer: Value) -> anyhow::Result<()> {
        self.admin.show(admin, answer, |session: &Session| explanation::of_session(session, Paint::stdout()))
    }

    fn would_go(&self, admin: &Admin, answer: Value) -> anyhow::Result<()> {
        self.admin.show(admin, answer, |decision: &Explanation| explanation::of_question(decision, Paint::stdout()))
    }
}

impl Question {
    fn body(&self, model: &str) -> Value {
        let mut body = json!({
            "model": model,
            "work": if self.file { "file" } else { "stream" },
            "residency": self.residency,
            "compliance": self.compliance,
            "max_cost": self.max_cost,
            "audio_bytes_per_second": self.rate,
        });
        if let Some(priority) = &self.priority {
            body["priority"] = json!(priority);
        }
        if !self.pool.is_empty() {
            body["pools"] = json!(self.pool);
        }
        body
    }
}

/// Reads a request that was given as text, or as `-`.
fn read(request: &str) -> anyhow::Result<Value> {
    let parsed = match request {
        "-" => serde_json::from_reader(std::io::stdin().lock()),
        text => serde_json::from_str(text),
    };
    parsed.context("expected a request as JSON, such as {\"model\": \"nova-3\", \"residency\": \"eu\"}")
}

async fn newest(admin: &Admin) -> anyhow::Result<Value> {
    let mut answer = admin.get("/v1/sessions?limit=1").await?;
    let newest = answer.pointer_mut("/sessions/0").map(Value::take);
    newest.ok_or_else(|| anyhow::anyhow!("no sessions yet: try `crosspoint transcribe FILE`, or ask with --model"))
}

/// A session's name becomes part of a path, so it may not hold another.
fn one_segment(session: &str) -> anyhow::Result<&str> {
    let plain = session.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    anyhow::ensure!(plain, "expected a session id such as 6e4d2a35-2f4b-4c7e-9e0a-5f5e0b6f1c11, got {session:?}");
    Ok(session)
}
