//! A frame: the head with the sums, the tables, and a line of keys. Wide and high terminals show all three tables, others the
//! one that has the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Sparkline, Table};

use super::state::{Heard, State, View};
use super::tables::{columns, fitting, heat, rows, widths};
use crate::words;

/// From this size on all tables are shown.
const LARGE: (u16, u16) = (140, 30);
/// From this width on the head shows a curve.
const WITH_CURVE: u16 = 90;
/// Lines of the head.
const HEAD: u16 = 4;
/// Rows of a table that is not scrolled.
const MOST_ROWS: u16 = 500;
/// Width of the curve.
const CURVE: u16 = 36;

/// Draws a frame that is as high as it must be, and returns nothing that keys would change.
pub(super) fn draw_whole(frame: &mut Frame<'_>, state: &State) {
    let heights = View::ALL.map(|view| table_height(state, view));
    let [head, pools, nodes, streams] =
        Layout::vertical([HEAD, heights[0], heights[1], heights[2]].map(Constraint::Length)).areas(frame.area());
    draw_head(frame, state, head);
    let Some(heard) = &state.heard else { return };
    for (view, area) in View::ALL.into_iter().zip([pools, nodes, streams]) {
        draw_table(frame, state, heard, (view, area));
    }
}

/// Returns how many lines that takes.
pub(super) fn whole_height(state: &State) -> u16 {
    View::ALL.into_iter().map(|view| table_height(state, view)).fold(HEAD, u16::saturating_add)
}

/// Two lines of frame and one of headings.
fn table_height(state: &State, view: View) -> u16 {
    u16::try_from(state.rows(view)).unwrap_or(u16::MAX).min(MOST_ROWS) + 3
}

/// Draws a frame that fills a terminal.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let [head, body, keys] =
        Layout::vertical([Constraint::Length(HEAD), Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, state, head);
    match &state.heard {
        None => frame.render_widget(Paragraph::new(waiting(state)).centered(), body),
        Some(heard) => draw_tables(frame, state, heard, body),
    }
    frame.render_widget(Paragraph::new(key_line(state)), keys);
}

fn waiting(state: &State) -> Vec<Line<'static>> {
    let what = match &state.away {
        None => Line::from("asking the router …").dim(),
        Some((why, _)) => Line::from(why.clone()).red(),
    };
    vec![Line::default(), what]
}

fn draw_head(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let curve = if area.width >= WITH_CURVE { CURVE } else { 0 };
    let [words, graph] = Layout::horizontal([Constraint::Min(30), Constraint::Length(curve)]).areas(area);
    let mut lines = vec![title(state)];
    if let Some(heard) = &state.heard {
        lines.extend([slots(heard), money(heard), trouble(state, heard)]);
    }
    frame.render_widget(Paragraph::new(lines), words);
    if curve > 0 && !state.used.is_empty() {
        let block =
            Block::new().borders(Borders::LEFT).border_style(Color::DarkGray).title("slots in use, 1 s apart".dim());
        let room = usize::from(graph.width.saturating_sub(2));
        let newest: Vec<u64> = state.used.iter().skip(state.used.len().saturating_sub(room)).copied().collect();
        let most = state.heard.as_ref().map_or(1, |heard| heard.overview.soft_slots.max(1));
        frame.render_widget(Sparkline::default().block(block).style(Color::Cyan).max(most).data(newest), graph);
    }
}

fn title(state: &State) -> Line<'static> {
    let mut spans = vec![" crosspoint ".bold().reversed(), Span::raw(" "), state.router.clone().dim()];
    if let Some((why, looks)) = &state.away {
        let since = words::duration(f64::from(*looks) * 1e3);
        spans.push(format!("  router away for {since}: {why}").red().bold());
        return Line::from(spans);
    }
    if let Some(heard) = &state.heard {
        let overview = &heard.overview;
        let up = words::duration(overview.up_seconds * 1e3);
        spans.push(format!("  up {up}, policy {} {}", overview.policy, overview.policy_hash).dim());
    }
    Line::from(spans)
}

fn slots(heard: &Heard) -> Line<'static> {
    let overview = &heard.overview;
    let share = overview.used_slots as f64 / overview.soft_slots.max(1) as f64;
    let mut spans = vec![
        label("slots"),
        format!("{}/{}", overview.used_slots, overview.soft_slots).bold().fg(heat(share)),
        format!(" {:.0} %", share * 100.0).into(),
        label("streams"),
        overview.sessions_live.to_string().bold(),
        label("waiting"),
    ];
    spans.push(count(overview.waiting, Color::Yellow));
    Line::from(spans)
}

fn money(heard: &Heard) -> Line<'static> {
    let cost = &heard.overview.cost_per_hour;
    let slowest =
        heard.nodes.iter().filter(|node| !node.silent).map(|node| node.chunk_latency_p95_ms).fold(0.0, f64::max);
    Line::from(vec![
        label("nodes"),
        format!("${:.2}/h", cost.nodes).bold(),
        label("streams"),
        format!("${:.2}/h", cost.sessions).bold(),
        label("p95 up to"),
        words::duration(slowest).bold(),
    ])
}

fn trouble(state: &State, heard: &Heard) -> Line<'static> {
    let (nodes, overview) = (&heard.overview.nodes, &heard.overview);
    let mut spans = vec![label("refused"), count(overview.refused.values().sum(), Color::Red)];
    let why: Vec<String> = overview
        .refused
        .iter()
        .filter(|(_, number)| **number > 0)
        .map(|(why, number)| format!("{} {number}", why.replace('_', " ")))
        .collect();
    if !why.is_empty() {
        spans.push(format!(" ({})", why.join(", ")).dim());
    }
    spans.extend([label("nodes"), nodes.serving.to_string().bold(), " serving".into()]);
    for (number, word, colour) in [
        (nodes.other, "not", Color::Yellow),
        (nodes.drained, "drained", Color::Yellow),
        (nodes.silent, "silent", Color::Red),
    ] {
        if number > 0 {
            spans.push(format!(", {number} {word}").fg(colour));
        }
    }
    if let Some((decisions, refused)) = state.lately {
        spans.push(format!("  now {decisions}/s, {refused}/s refused").dim());
    }
    Line::from(spans)
}

fn label(word: &'static str) -> Span<'static> {
    Span::styled(format!("  {word} "), Style::new().fg(Color::Gray))
}

/// A number that should be zero.
fn count(number: u64, colour: Color) -> Span<'static> {
    if number == 0 { "0".dim() } else { number.to_string().bold().fg(colour) }
}

fn draw_tables(frame: &mut Frame<'_>, state: &State, heard: &Heard, area: Rect) {
    if frame.area().width < LARGE.0 || frame.area().height < LARGE.1 {
        return draw_table(frame, state, heard, (state.view, area));
    }
    let pools = u16::try_from(heard.pools.len()).unwrap_or(u16::MAX).saturating_add(3).min(area.height / 3);
    let [top, rest] = Layout::vertical([Constraint::Length(pools), Constraint::Min(3)]).areas(area);
    let [nodes, streams] = Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(rest);
    for (view, area) in View::ALL.into_iter().zip([top, nodes, streams]) {
        draw_table(frame, state, heard, (view, area));
    }
}

fn draw_table(frame: &mut Frame<'_>, state: &State, heard: &Heard, (view, area): (View, Rect)) {
    let (sorting, has_keys) = (state.sorting(view), state.view == view);
    let shown = fitting(view, area.width.saturating_sub(2));
    let heading = |place: &usize| {
        let column = &columns(view)[*place];
        let arrow = match (has_keys && *place == sorting.column, sorting.descending) {
            (true, true) => "▼",
            (true, false) => "▲",
            (false, _) => "",
        };
        Line::from(format!("{}{arrow}", column.heading)).alignment(column.alignment)
    };
    let row = |cells: &Vec<super::tables::Cell>| {
        Row::new(
            shown
                .iter()
                .map(|place| cells[*place].line.clone().alignment(columns(view)[*place].alignment))
                .collect::<Vec<_>>(),
        )
    };
    let all = rows(view, heard, sorting);
    let room = usize::from(area.height.saturating_sub(3));
    let more = all.len().saturating_sub(sorting.offset + room);
    let title = format!(" {} ", words::count(all.len(), view.noun()));
    let title = if has_keys { title.bold().cyan() } else { title.into() };
    let mut block = Block::bordered().border_style(if has_keys { Color::Cyan } else { Color::DarkGray }).title(title);
    if more > 0 {
        block = block.title_bottom(Line::from(format!(" {more} more ")).right_aligned().dim());
    }
    let header =
        Row::new(shown.iter().map(heading).collect::<Vec<_>>()).style(Style::new().add_modifier(Modifier::DIM));
    let table = Table::new(all.iter().skip(sorting.offset).take(room).map(row), widths(view, &shown));
    frame.render_widget(table.header(header).column_spacing(1).block(block), area);
}

fn key_line(state: &State) -> Line<'static> {
    let mut spans = Vec::new();
    for (key, view) in ["1", "2", "3"].into_iter().zip(View::ALL) {
        let name = format!(" {}s ", view.noun());
        spans.push(format!(" {key}").bold());
        spans.push(if view == state.view { name.reversed() } else { name.into() });
    }
    let sorted = columns(state.view)[state.sorting(state.view).column].heading.to_lowercase();
    for (key, what) in [
        ("s", format!("sort: {sorted}")),
        ("r", "reverse".to_owned()),
        ("↑↓", "scroll".to_owned()),
        ("q", "quit".to_owned()),
    ] {
        spans.push(format!("  {key} ").bold());
        spans.push(what.dim());
    }
    Line::from(spans)
}
