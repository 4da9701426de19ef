//! Rounds with known figures, and what is made of them.

use super::*;

/// A round of two streams in which every result took `millis`, and the proxy worked a second for 100,000 messages.
fn round(millis: u64) -> Round {
    let mut latencies = Timings::new().unwrap();
    (0..100).for_each(|_| latencies.record(Duration::from_millis(millis)));
    let mut lateness = Timings::new().unwrap();
    lateness.record(Duration::from_millis(1));
    Round {
        latencies,
        lateness,
        window: Duration::from_secs(20),
        messages: 100_000,
        work: Work { proxy: Duration::from_secs(1), ..Work::default() },
        proxy_resident: 3 << 20,
        words: Tally { spoken: 50, ..Tally::default() },
        late: 0,
        failures: Vec::new(),
    }
}

fn report(proxied: Vec<Round>, direct: Vec<Round>) -> Report {
    let options = Options { streams: std::num::NonZeroU16::MIN.saturating_add(1), ..Options::new("crosspoint") };
    Report::new(&options, &Rounds { proxied, direct }, 1 << 20)
}

fn close(spread: Spread, expected: [f64; 3]) -> bool {
    let found = [spread.median, spread.min, spread.max];
    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.02)
}

#[test]
fn what_the_proxy_adds_is_compared_round_by_round() {
    let report = report(vec![round(5), round(9), round(7)], vec![round(4), round(6), round(4)]);
    assert!(close(report.added.p50, [3.0, 1.0, 3.0]), "{:?}", report.added);
    assert!(close(report.proxied.latency_ms.p99, [7.0, 5.0, 9.0]));
    assert_eq!((report.proxied.results, report.proxied.messages, report.proxied.streams), (300, 300_000, 6));
}

#[test]
fn costs_are_per_message_and_per_stream() {
    let report = report(vec![round(5)], vec![round(5)]);
    assert!(close(report.cost.cpu_us_per_message, [10.0; 3]));
    assert!(close(report.cost.memory_kib_per_stream, [1_024.0; 3]));
    assert!(close(report.proxied.busy.proxy, [0.05; 3]));
    assert!(report.passed() && !report.overloaded());
}

#[test]
fn one_lost_word_or_one_failed_stream_fails_the_benchmark() {
    let lossy = Round { words: Tally { spoken: 50, lost: 1, ..Tally::default() }, ..round(5) };
    assert!(!report(vec![lossy], vec![round(5)]).passed());
    let failed = Round { failures: vec!["Late".to_owned()], ..round(5) };
    let report = report(vec![round(5)], vec![failed]);
    assert!(!report.passed());
    let text = report.to_string();
    assert!(text.contains("A stream failed: Late") && text.contains("FAILED"), "{text}");
}

#[test]
fn late_callers_are_not_believed() {
    let mut busy = round(5);
    busy.lateness.record(Duration::from_millis(80));
    let report = report(vec![busy], vec![round(5)]);
    assert!(report.overloaded() && report.passed());
    assert!(report.to_string().contains("too busy"));
}

#[test]
fn other_programs_spoil_the_latencies() {
    let mut busy = round(5);
    busy.work.machine = Duration::from_secs(1) + busy.window * u32::try_from(processors().get()).unwrap() / 2;
    let report = report(vec![busy], vec![round(5)]);
    assert!(report.disturbed() && !report.overloaded() && report.passed());
    assert!(report.to_string().contains("Other programs"));
}

#[test]
fn the_table_is_as_people_read_it() {
    let report = report(vec![round(5)], vec![round(4)]);
    let text = report.to_string();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned();
    assert_eq!(
        line("latency of results"),
        "latency of results, ms   p50           5.00 (5.00..5.00)           4.00 (4.00..4.00)           1.00 (1.00..1.00)"
    );
    assert_eq!(
        line("words spoken"),
        "words spoken                                          50                          50"
    );
    assert_eq!(line("proxy, processor time"), "proxy, processor time    10.00 (10.00..10.00) µs per message of audio");
    assert!(text.lines().all(|line| line.chars().count() <= 120 && line == line.trim_end()), "{text}");
}

#[test]
fn machines_get_the_same_figures() {
    let json = serde_json::to_value(report(vec![round(5)], vec![round(4)])).unwrap();
    assert_eq!(json["proxied"]["words"]["lost"], 0);
    assert_eq!(json["settings"]["message_bytes"], 640);
    assert!(json["added"]["p50"]["median"].as_f64().unwrap() > 0.9);
}
