//! The three tables: their columns, the cells of a row, and what a column sorts by.

use std::cmp::Ordering;

use ratatui::layout::{Alignment, Constraint};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use super::state::{Heard, Sorting, View};
use crate::admin::{Node, Pool, Session};
use crate::words;

/// Cells of the bar that shows a load.
const BAR: usize = 8;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its heading.
    pub(super) heading: &'static str,
    /// How wide it is.
    pub(super) width: u16,
    pub(super) alignment: Alignment,
    /// Narrow terminals leave out columns of a higher number first.
    rank: u8,
}

const fn left(heading: &'static str, width: u16, rank: u8) -> Column {
    Column { heading, width, alignment: Alignment::Left, rank }
}

const fn right(heading: &'static str, width: u16, rank: u8) -> Column {
    Column { heading, width, alignment: Alignment::Right, rank }
}

const POOLS: &[Column] = &[
    left("POOL", 18, 0),
    left("LOAD", 18, 0),
    right("NODES", 6, 1),
    right("$/HOUR", 8, 1),
    right("RTT", 7, 2),
    left("TIER", 9, 3),
    left("MARKET", 10, 3),
    left("REGION", 14, 4),
    left("AUDIO IN", 9, 5),
];

const NODES: &[Column] = &[
    left("NODE", 20, 0),
    left("LOAD", 18, 0),
    left("STATE", 18, 0),
    right("SCORE", 7, 1),
    right("P95", 8, 1),
    right("ERRORS", 7, 2),
    right("GPU", 5, 3),
    right("RTF", 5, 4),
    right("SEEN", 7, 4),
    left("POOL", 18, 3),
];

const STREAMS: &[Column] = &[
    left("SESSION", 9, 0),
    left("NODE", 20, 0),
    right("FOR", 11, 0),
    right("$/HOUR", 9, 1),
    right("SCORE", 7, 2),
    right("SPENT", 10, 2),
    right("LEGS", 5, 3),
    left("TENANT", 12, 1),
    left("WORK", 6, 4),
    left("MODEL", 14, 5),
];

/// Returns a table's columns.
pub(super) fn columns(view: View) -> &'static [Column] {
    match view {
        View::Pools => POOLS,
        View::Nodes => NODES,
        View::Streams => STREAMS,
    }
}

/// Returns the places of the columns that fit into so many cells, one between two of them.
pub(super) fn fitting(view: View, width: u16) -> Vec<usize> {
    let columns = columns(view);
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| shown.iter().map(|place| columns[*place].width + 1).sum::<u16>().saturating_sub(1);
    while needed(&shown) > width && shown.len() > 1 {
        let last = shown.iter().enumerate().max_by_key(|(at, place)| (columns[**place].rank, *at));
        let Some((at, _)) = last else { break };
        shown.remove(at);
    }
    shown
}

/// Returns the widths of columns; the first takes what is left, up to twice its own.
pub(super) fn widths(view: View, shown: &[usize]) -> Vec<Constraint> {
    let width = |(at, place): (usize, &usize)| {
        let width = columns(view)[*place].width;
        if at == 0 { Constraint::Max(width * 2) } else { Constraint::Length(width) }
    };
    shown.iter().enumerate().map(width).collect()
}

/// What a cell sorts by.
#[derive(Clone, Debug, PartialEq)]
enum Rank {
    Number(f64),
    Text(String),
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        }
    }
}

/// A cell: what is shown, and what it sorts by.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) line: Line<'static>,
    rank: Rank,
}

fn text(text: impl Into<String>) -> Cell {
    let text: String = text.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Cell { line: Line::raw(text.clone()), rank: Rank::Text(text) }
}

fn number(shown: String, by: f64) -> Cell {
    Cell { line: Line::raw(shown), rank: Rank::Number(by) }
}

impl Cell {
    fn styled(self, style: Style) -> Self {
        Self { line: self.line.style(style), ..self }
    }
}

/// Returns a table's rows, sorted. The first column of a table that nobody sorted keeps the router's order.
pub(super) fn rows(view: View, heard: &Heard, sorting: Sorting) -> Vec<Vec<Cell>> {
    let mut rows: Vec<Vec<Cell>> = match view {
        View::Pools => heard.pools.iter().map(pool).collect(),
        View::Nodes => heard.nodes.iter().map(node).collect(),
        View::Streams => heard.sessions.iter().map(stream).collect(),
    };
    if sorting != (Sorting { offset: sorting.offset, ..Sorting::default() }) {
        rows.sort_by(|one, other| one[sorting.column].rank.compare(&other[sorting.column].rank));
    }
    if sorting.descending {
        rows.reverse();
    }
    rows
}

fn pool(pool: &Pool) -> Vec<Cell> {
    let nodes = number(format!("{}/{}", pool.serving, pool.nodes), pool.serving.into());
    let nodes = if pool.serving < pool.nodes { nodes.styled(Color::Yellow.into()) } else { nodes };
    vec![
        text(&pool.name),
        load(pool.used_slots, pool.soft_slots),
        nodes,
        number(format!("{:.2}", pool.cost_per_hour), pool.cost_per_hour),
        number(words::duration(pool.round_trip_ms), pool.round_trip_ms),
        text(&pool.tier),
        text(&pool.market),
        text(&pool.region),
        text(&pool.residency),
    ]
}

fn node(node: &Node) -> Vec<Cell> {
    let gpu = node.gpus.iter().map(|gpu| gpu.utilisation).fold(0.0, f64::max);
    let score = node.score.map_or_else(|| number("-".to_owned(), -1.0), |score| number(words::cents(score), score));
    let errors = number(words::share(node.error_share), node.error_share);
    vec![
        text(&node.node),
        load(node.used_slots, node.soft_slots),
        state(node),
        score,
        number(words::duration(node.chunk_latency_p95_ms), node.chunk_latency_p95_ms),
        if node.error_share > 0.0 { errors.styled(Color::Red.into()) } else { errors },
        number(words::share(gpu), gpu),
        number(format!("{:.2}", node.realtime_factor), node.realtime_factor),
        number(words::duration(node.age_ms), node.age_ms),
        text(&node.pool),
    ]
}

fn state(node: &Node) -> Cell {
    let colour = |word: String, colour: Color| text(word).styled(colour.into());
    match (node.silent, node.drained, node.state.as_str()) {
        (true, ..) => colour("silent".to_owned(), Color::Red),
        (false, true, state) => colour(format!("{state} (drained)"), Color::Yellow),
        (false, false, "serving") => colour("serving".to_owned(), Color::Green),
        (false, false, "failing") => colour("failing".to_owned(), Color::Red),
        (false, false, state) => colour(state.to_owned(), Color::Yellow),
    }
}

fn stream(session: &Session) -> Vec<Cell> {
    let here = session.decision.placements.iter().find(|placement| Some(&placement.node) == session.node.as_ref());
    let price = here.map_or(0.0, |placement| placement.terms.gpu + placement.terms.egress);
    let score = here.map_or(0.0, |placement| placement.total);
    let legs = number(session.epoch.to_string(), session.epoch.into());
    vec![
        text(session.session.chars().take(8).collect::<String>()),
        text(session.node.clone().unwrap_or_default()),
        number(words::duration(session.age_ms), session.age_ms),
        number(words::dollars(price), price),
        number(words::cents(score), score),
        number(words::dollars(session.cost.total), session.cost.total),
        if session.epoch > 1 { legs.styled(Color::Yellow.into()) } else { legs },
        text(&session.tenant),
        text(&session.work),
        text(&session.model),
    ]
}

/// Draws a load as a bar with its figures: `▰▰▰▱▱▱▱▱  3/8`.
fn load(used: u32, soft: u32) -> Cell {
    let share = if soft == 0 { 0.0 } else { f64::from(used) / f64::from(soft) };
    let full = (0..BAR).filter(|cell| share * BAR as f64 > *cell as f64 + 0.25).count();
    let bar = Span::styled("▰".repeat(full), heat(share));
    let rest = Span::styled("▱".repeat(BAR - full), Color::DarkGray);
    Cell { line: Line::from(vec![bar, rest, Span::raw(format!(" {used}/{soft}"))]), rank: Rank::Number(share) }
}

/// Returns the colour of a load: green, yellow when hot, red when full.
pub(super) fn heat(share: f64) -> Color {
    match share {
        _ if share >= 1.0 => Color::Red,
        _ if share >= 0.8 => Color::Yellow,
        _ => Color::Green,
    }
}
