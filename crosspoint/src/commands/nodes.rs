//! `crosspoint nodes`.

use crate::admin::{AdminArgs, Gpu, Node, Nodes, Notice};
use crate::table::{Column, render};
use crate::terminal::Paint;
use crate::words;

const COLUMNS: [Column; 11] = [
    Column::Left("NODE"),
    Column::Left("POOL"),
    Column::Left("STATE"),
    Column::Right("SLOTS"),
    Column::Right("QUEUE"),
    Column::Right("P95"),
    Column::Right("RTF"),
    Column::Right("ERRORS"),
    Column::Right("SEEN"),
    Column::Right("PID"),
    Column::Left("ADDRESS"),
];

const EXAMPLES: &str = "\
Columns:
  SLOTS   streams in use / served well at once (served at all, where that is more)
  P95     audio chunk to result, 95th percentile
  RTF     compute seconds per second of audio; below 1 keeps up
  ERRORS  share of opens that failed lately
  SEEN    age of the last report
  PID     process of the engine, where the agent knows it
  SAYS    why it does not serve, or serves less than it could; and what its cloud has in mind

Examples:
  crosspoint nodes
  crosspoint nodes --json | jq '.nodes[] | select(.state != \"serving\")'";

/// The arguments of `crosspoint nodes`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.admin()?;
        let answer = admin.get("/v1/nodes").await?;
        self.admin.show(&admin, answer, |Nodes { nodes }| table(nodes, Paint::stdout()))
    }
}

fn table(nodes: &[Node], paint: Paint) -> String {
    if nodes.is_empty() {
        return "no nodes: no agent has reported to this router\n".to_owned();
    }
    let mut text = render(&COLUMNS, nodes.iter().map(row), paint);
    let told: Vec<_> = nodes.iter().filter_map(told).collect();
    if !told.is_empty() {
        text.push('\n');
        text.push_str(&render(&[Column::Left("NODE"), Column::Left("SAYS")], told, paint));
    }
    let gpus = gpus(nodes);
    if !gpus.is_empty() {
        let columns = [
            Column::Left("NODE"),
            Column::Left("GPU"),
            Column::Right("BUSY"),
            Column::Right("MEMORY"),
            Column::Right("TEMP"),
            Column::Right("POWER"),
        ];
        text.push('\n');
        text.push_str(&render(&columns, gpus, paint));
    }
    text
}

fn row(node: &Node) -> Vec<String> {
    vec![
        node.node.clone(),
        node.pool.clone(),
        state(node),
        slots(node),
        node.queue_depth.to_string(),
        words::duration(node.chunk_latency_p95_ms),
        format!("{:.2}", node.realtime_factor),
        words::share(node.error_share),
        words::duration(node.age_ms),
        node.engine_pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        node.address.clone(),
    ]
}

fn slots(node: &Node) -> String {
    let Node { used_slots, soft_slots, hard_slots, .. } = node;
    if hard_slots > soft_slots {
        format!("{used_slots}/{soft_slots} ({hard_slots})")
    } else {
        format!("{used_slots}/{soft_slots}")
    }
}

/// Why a node does not serve, or serves less than it could, and what its cloud has in mind.
fn told(node: &Node) -> Option<Vec<String>> {
    let notice = node.notice.as_ref().map(|Notice { kind, left_ms }| match left_ms {
        Some(left) => format!("{kind} in {}", words::duration(*left)),
        None => kind.clone(),
    });
    let told: Vec<_> = notice.into_iter().chain(node.reason.clone()).collect();
    (!told.is_empty()).then(|| vec![node.node.clone(), told.join(": ")])
}

/// What a node is up to, and whether an operator wants it so.
fn state(node: &Node) -> String {
    match (node.silent, node.drained) {
        (true, _) => format!("silent ({})", node.state),
        (false, true) => format!("{} (drained)", node.state),
        (false, false) => node.state.clone(),
    }
}

fn gpus(nodes: &[Node]) -> Vec<Vec<String>> {
    let gibibytes = |bytes: f64| bytes / f64::from(1_u32 << 30);
    let row = |node: &Node, gpu: &Gpu| {
        vec![
            node.node.clone(),
            gpu.name.clone(),
            format!("{:.0} %", gpu.utilisation * 100.0),
            format!("{:.1}/{:.1} GiB", gibibytes(gpu.memory_used_bytes), gibibytes(gpu.memory_total_bytes)),
            format!("{} °C", gpu.temperature_celsius),
            format!("{:.0} W", gpu.power_milliwatts / 1e3),
        ]
    };
    nodes.iter().flat_map(|node| node.gpus.iter().map(move |gpu| row(node, gpu))).collect()
}
