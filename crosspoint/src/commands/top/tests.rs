//! Frames as text, of a router that says what it is told.

use ratatui::crossterm::event::KeyCode;
use serde_json::{from_value, json};

use super::*;

fn heard() -> Heard {
    let pool = |name: &str, used: u32, soft: u32, dollars: f64| {
        json!({"name": name, "tier": "burst", "market": "spot", "region": "us-west-2", "residency": "us", "nodes": 2,
            "serving": 2, "soft_slots": soft, "used_slots": used, "cost_per_hour": dollars, "round_trip_ms": 18.0})
    };
    let node = |name: &str, state: &str, drained: bool, used: u32| {
        json!({"node": name, "pool": "aws-us-west-2", "state": state, "drained": drained, "used_slots": used,
            "soft_slots": 4, "chunk_latency_p95_ms": 21.0, "realtime_factor": 0.12, "age_ms": 400.0, "score": 0.0125,
            "gpus": [{"utilisation": 0.31}]})
    };
    let session = |id: &str, age: f64| {
        json!({"session": id, "tenant": "acme", "work": "stream", "model": "m", "state": "live", "node": "aws-1",
            "epoch": 1, "age_ms": age, "cost": {"total": 0.001}, "placements": [{"node": "aws-1", "total": 0.0125,
            "terms": {"gpu": 0.01, "egress": 0.001}}]})
    };
    Heard {
        overview: from_value(json!({"policy": "score", "policy_hash": "00c0ffee", "up_seconds": 75, "sessions_live": 3,
            "waiting": 0, "soft_slots": 16, "used_slots": 5, "nodes": {"serving": 3, "other": 1, "silent": 0, "drained": 1},
            "cost_per_hour": {"nodes": 1.5, "sessions": 0.03}, "placed": 40, "refused": {"full": 2, "not_allowed": 0}}))
        .unwrap(),
        pools: vec![
            from_value(pool("aws-us-west-2", 4, 8, 0.4)).unwrap(),
            from_value(pool("gcp-europe-west4", 1, 8, 1.1)).unwrap(),
        ],
        nodes: vec![
            from_value(node("aws-1", "serving", false, 3)).unwrap(),
            from_value(node("aws-2", "draining", true, 1)).unwrap(),
        ],
        sessions: vec![
            from_value(session("6e4d2a35-2f4b", 1_000.0)).unwrap(),
            from_value(session("0a4d2a35-2f4b", 90_000.0)).unwrap(),
        ],
    }
}

fn watching() -> State {
    let mut state = State::new("http://127.0.0.1:7401".to_owned());
    state.hear(Ok(heard()));
    state
}

fn away() -> AdminError {
    AdminError::Unreachable { url: "http://127.0.0.1:7401".to_owned(), cause: "connection refused".to_owned() }
}

/// Returns what a terminal of this width shows.
fn screen(state: &State, width: u16) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, 40))?;
    terminal.draw(|frame| draw::draw(frame, state))?;
    Ok(lines(terminal.backend().buffer()))
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_narrow_terminal_shows_the_table_that_has_the_keys() {
    let mut state = watching();
    let pools = screen(&state, 60).unwrap();
    has(&pools, &["slots 5/16 31 %", "nodes $1.50/h", "refused 2 (full 2)  nodes 3 serving, 1 not, 1 drained"]);
    has(&pools, &["2 pools", "aws-us-west-2", "▰▰▰▰▱▱▱▱ 4/8", "1.10"]);
    assert!(!pools.contains("draining") && !pools.contains("REGION"), "{pools}");
    assert!(pools.lines().all(|line| line.chars().count() <= 60));
    state.press(KeyCode::Char('2'));
    has(&screen(&state, 60).unwrap(), &["2 nodes", "aws-2", "draining (drained)", "▰▰▰▰▰▰▱▱ 3/4"]);
    state.press(KeyCode::Tab);
    has(&screen(&state, 60).unwrap(), &["2 streams", "6e4d2a35", "1 min 30 s", "$0.0110"]);
}

#[test]
fn a_wide_terminal_shows_all_tables_at_once() {
    let wide = screen(&watching(), 180).unwrap();
    has(&wide, &["2 pools", "2 nodes", "2 streams", "slots in use", "REGION", "SCORE", "1.25", "31 %", "acme"]);
}

#[test]
fn keys_sort_by_a_column_and_turn_the_order() {
    let first = |state: &State| {
        let text = screen(state, 100).unwrap();
        text.lines().find(|line| line.contains("aws-us") || line.contains("gcp")).unwrap().to_owned()
    };
    let mut state = watching();
    state.press(KeyCode::Char('s'));
    assert!(first(&state).contains("gcp"), "the lowest load comes first");
    state.press(KeyCode::Char('r'));
    assert!(first(&state).contains("aws"));
    has(&screen(&state, 100).unwrap(), &["LOAD▼", "sort: load"]);
    state.press(KeyCode::Down);
    assert!(first(&state).contains("gcp"), "the first is scrolled away");
    (0..9).for_each(|_| state.press(KeyCode::Down));
    assert!(first(&state).contains("gcp"), "the last stays");
}

#[test]
fn a_router_that_goes_away_is_told_and_what_it_said_last_stays() {
    let mut state = State::new("http://127.0.0.1:7401".to_owned());
    has(&screen(&state, 100).unwrap(), &["asking the router"]);
    state.hear(Err(away()));
    has(&screen(&state, 100).unwrap(), &["cannot reach the router", "connection refused"]);
    state.hear(Ok(heard()));
    state.hear(Err(away()));
    state.hear(Err(away()));
    has(&screen(&state, 100).unwrap(), &["router away for 2.0 s", "aws-us-west-2"]);
    state.hear(Ok(heard()));
    assert!(!screen(&state, 100).unwrap().contains("away"));
}

#[test]
fn decisions_are_counted_between_two_looks() {
    let mut state = watching();
    let mut later = heard();
    later.overview.placed += 7;
    later.overview.refused.insert("full".to_owned(), 5);
    state.hear(Ok(later));
    assert_eq!(state.lately, Some((10, 3)));
    let mut again = heard();
    again.overview.placed = 0;
    state.hear(Ok(again));
    assert_eq!(state.lately, None, "the router was started again");
}

#[test]
fn a_terminal_of_any_size_can_be_drawn_on() {
    let mut state = watching();
    for (width, height) in [(1, 1), (3, 2), (20, 5), (40, 10), (139, 80), (140, 30), (300, 7)] {
        for _ in 0..3 {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| draw::draw(frame, &state)).unwrap();
            state.press(KeyCode::Tab);
        }
    }
}

#[test]
fn one_frame_for_a_pipe_has_all_tables_and_no_empty_lines() {
    let all = text(&watching(), 100).unwrap();
    has(&all, &["2 pools", "aws-us-west-2", "2 nodes", "draining (drained)", "2 streams", "0a4d2a35"]);
    assert!(all.lines().all(|line| !line.is_empty() && line.chars().count() <= 100), "{all}");
    assert_eq!(all.lines().count(), 4 + 3 * 3 + 6);
}
