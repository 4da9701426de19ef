//! Journals through crashes, damage and disks without room.

use std::fs;
use std::future::Future;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tempfile::TempDir;

use super::disk::Medium;
use super::*;

const LIMIT: u64 = 1 << 20;

struct Bench {
    _directory: TempDir,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("below").join("test.journal");
        Self { _directory: directory, path }
    }

    fn open(&self) -> (Journal<String>, Replay<String>) {
        Journal::open(&self.path, LIMIT).unwrap()
    }

    /// Returns what is live, and the damage.
    fn live(&self) -> (Vec<String>, Damage) {
        let replay = self.open().1;
        (replay.records.into_iter().map(|kept| kept.record).collect(), replay.damage)
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn texts(range: Range<usize>) -> Vec<String> {
    range.map(|number| format!("record {number}")).collect()
}

#[test]
fn what_was_appended_is_replayed_until_it_is_acknowledged() {
    let bench = Bench::new();
    let (journal, replay) = bench.open();
    assert_eq!(replay, Replay { records: Vec::new(), damage: Damage::default() });
    let numbers = wait(journal.append(&texts(0..3))).unwrap();
    wait(journal.acknowledge(vec![numbers[1]])).unwrap();
    drop(journal);
    let (journal, replay) = bench.open();
    let found: Vec<_> = replay.records.iter().map(|kept| (kept.number, kept.record.as_str())).collect();
    assert_eq!(found, [(numbers[0], "record 0"), (numbers[2], "record 2")]);
    let next = wait(journal.append(&texts(3..4))).unwrap();
    assert!(next[0] > numbers[2], "numbers go on after a restart");
}

#[test]
fn a_record_that_takes_the_place_of_others_is_alone() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let numbers = wait(journal.append(&texts(0..2))).unwrap();
    wait(journal.replace(numbers, &"sum".to_owned())).unwrap();
    drop(journal);
    assert_eq!(bench.live().0, ["sum"]);
}

#[test]
fn a_journal_has_one_process() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let error = Journal::<String>::open(&bench.path, LIMIT).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("belongs to another running process: give each process a store.directory of its own")
    );
    drop(journal);
    bench.open();
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let bench = Bench::new();
    drop(bench.open());
    fs::write(&bench.path, "crosspoint journal 2\n").unwrap();
    let error = Journal::<String>::open(&bench.path, LIMIT).unwrap_err();
    assert!(error.to_string().ends_with("is no journal of version 1: move it away and start again"), "{error}");
    assert_eq!(fs::read(&bench.path).unwrap(), b"crosspoint journal 2\n");
}

#[test]
fn a_record_of_a_shape_that_nobody_here_knows_stays_for_who_knows_it() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let numbers = wait(journal.append(&texts(0..2))).unwrap();
    drop(journal);
    let (other, replay) = Journal::<u32>::open(&bench.path, LIMIT).unwrap();
    assert_eq!(replay.damage, Damage { unknown_records: 2, ..Damage::default() });
    wait(other.acknowledge(vec![numbers[0]])).unwrap();
    drop(other);
    assert_eq!(bench.live().0, ["record 1"]);
}

#[test]
fn a_full_journal_says_so_and_takes_more_once_something_was_acknowledged() {
    let bench = Bench::new();
    let (journal, _) = Journal::open(&bench.path, 1_000).unwrap();
    let mut numbers = Vec::new();
    let error = loop {
        match wait(journal.append(&["x".repeat(100)])) {
            Ok(more) => numbers.extend(more),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().ends_with("is full: 1000 bytes hold records that nobody has acknowledged"), "{error}");
    assert!(numbers.len() > 3);
    wait(journal.acknowledge(vec![numbers[0]])).unwrap();
    wait(journal.append(&["y".repeat(100)])).unwrap();
    drop(journal);
    assert_eq!(bench.live().0.last(), Some(&"y".repeat(100)));
    assert!(bench.length() <= 1_000);
}

#[test]
fn a_record_that_is_too_long_is_refused_and_costs_the_others_nothing() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let error = wait(journal.append(&["x".repeat(300_000)])).unwrap_err();
    assert_eq!(error.to_string(), "a record cannot be journalled: expected at most 262144 bytes, got 300042");
    wait(journal.append(&texts(0..1))).unwrap();
    drop(journal);
    assert_eq!(bench.live(), (texts(0..1), Damage::default()));
}

#[test]
fn a_journal_of_which_nothing_lives_does_not_grow() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    for _ in 0..40 {
        let numbers = wait(journal.append(&["x".repeat(10_000)])).unwrap();
        wait(journal.acknowledge(numbers)).unwrap();
    }
    drop(journal);
    assert!(bench.length() < 100_000, "{}", bench.length());
}

#[test]
fn appends_that_come_together_are_all_safe() {
    let bench = Bench::new();
    let (journal, _) = bench.open();
    let appends = async {
        let one = async |text: &str| journal.append(&[text.to_owned()]).await.unwrap();
        tokio::join!(one("a"), one("b"), one("c"), one("d"));
    };
    wait(appends);
    drop(journal);
    let mut live = bench.live().0;
    live.sort();
    assert_eq!(live, ["a", "b", "c", "d"]);
}

/// A disk that can be full: half of a write arrives, and nothing can be cut off.
struct Crowded {
    disk: Disk,
    full: Arc<AtomicBool>,
}

impl Medium for Crowded {
    fn reader(&self) -> io::Result<impl Read + '_> {
        self.disk.reader()
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            self.disk.write(at, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.write(at, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.truncate(length)
    }

    fn keep(&mut self, parts: &[Range<u64>]) -> io::Result<()> {
        self.disk.keep(parts)
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_safe_and_takes_more_when_it_has_room() {
    let bench = Bench::new();
    let full = Arc::new(AtomicBool::new(false));
    let crowded = Crowded { disk: Disk::open(&bench.path).unwrap(), full: Arc::clone(&full) };
    let (log, _) = Log::replay::<String>(crowded, LIMIT).unwrap();
    let writer = Some(Writer::start(&bench.path, log).unwrap());
    let journal = Journal::<String> { next: AtomicU64::new(1), writer, records: PhantomData };
    wait(journal.append(&texts(0..2))).unwrap();
    full.store(true, Ordering::Relaxed);
    let error = wait(journal.append(&texts(2..9))).unwrap_err();
    assert!(matches!(error, JournalError::Write { .. }), "{error}");
    full.store(false, Ordering::Relaxed);
    wait(journal.append(&texts(9..10))).unwrap();
    drop(journal);
    let live = bench.live().0;
    assert_eq!((&live[..2], live.contains(&"record 9".to_owned())), (&texts(0..2)[..], true));
}

/// One thing that happens to a journal.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Acknowledge(usize),
    Replace(usize, usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..60_usize).prop_map(Step::Append),
        3 => (0..9_usize).prop_map(Step::Acknowledge),
        1 => (0..9_usize, 0..9_usize).prop_map(|(one, other)| Step::Replace(one, other)),
        1 => Just(Step::Reopen),
    ]
}

/// Writes `lengths` records, acknowledging one in three at once. Returns where the file ended after each step, and what was live then.
fn written(bench: &Bench, lengths: &[usize]) -> Vec<(u64, Vec<String>)> {
    let (journal, _) = bench.open();
    let (mut live, mut states) = (Vec::new(), vec![(bench.length(), Vec::new())]);
    for (number, length) in lengths.iter().enumerate() {
        let record = format!("{number} {}", "x".repeat(*length));
        let numbers = wait(journal.append(std::slice::from_ref(&record))).unwrap();
        live.push(record);
        states.push((bench.length(), live.clone()));
        if number % 3 == 0 {
            wait(journal.acknowledge(numbers)).unwrap();
            live.pop();
            states.push((bench.length(), live.clone()));
        }
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn wherever_a_crash_cuts_the_file_all_that_was_safe_before_is_replayed(
        lengths in prop::collection::vec(0..200_usize, 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let bench = Bench::new();
        let states = written(&bench, &lengths);
        let bytes = fs::read(&bench.path).unwrap();
        let cut = cut.index(bytes.len() + 1);
        fs::write(&bench.path, &bytes[..cut]).unwrap();
        let safe = states.iter().rev().find(|(end, _)| *end <= cut as u64);
        let (end, expected) = safe.cloned().unwrap_or_default();
        prop_assert_eq!(bench.live(), (expected, Damage { torn_bytes: cut as u64 - end, ..Damage::default() }));
        prop_assert_eq!(bench.live().1, Damage::default(), "a torn end is cut off once");
    }

    #[test]
    fn a_damaged_byte_costs_its_own_line_only(
        lengths in prop::collection::vec(0..200_usize, 1..12),
        place in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let bench = Bench::new();
        let (journal, _) = bench.open();
        let header = usize::try_from(bench.length()).unwrap();
        let records: Vec<_> = lengths.iter().enumerate().map(|(n, length)| format!("{n} {}", "x".repeat(*length))).collect();
        wait(journal.append(&records)).unwrap();
        drop(journal);
        let mut bytes = fs::read(&bench.path).unwrap();
        let place = header + place.index(bytes.len() - header);
        bytes[place] ^= flip;
        fs::write(&bench.path, &bytes).unwrap();
        let (live, damage) = bench.live();
        prop_assert!(live.len() + 2 >= records.len(), "an end of line that is lost costs the next line as well");
        prop_assert!(live.iter().all(|record| records.contains(record)));
        prop_assert!(damage.corrupt_lines > 0 || damage.torn_bytes > 0);
    }

    #[test]
    fn however_it_is_used_and_compacted_it_replays_what_is_live(steps in prop::collection::vec(step(), 1..60)) {
        let bench = Bench::new();
        let open = || Journal::<String>::open(&bench.path, 900).unwrap();
        let (mut journal, _) = open();
        let mut live: Vec<(RecordNumber, String)> = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(length) => {
                    let record = format!("{at} {}", "x".repeat(length));
                    if let Ok(numbers) = wait(journal.append(std::slice::from_ref(&record))) {
                        live.push((numbers[0], record));
                    }
                }
                Step::Acknowledge(which) if which < live.len() => {
                    // When there is no room for it, a restart may replay it; here every restart follows a compaction.
                    let numbers = vec![live.remove(which).0];
                    prop_assume!(wait(journal.acknowledge(numbers)).is_ok());
                }
                Step::Replace(one, other) if one < other && other < live.len() => {
                    let old = vec![live[one].0, live[other].0];
                    if let Ok(number) = wait(journal.replace(old.clone(), &format!("{at}"))) {
                        live.retain(|(number, _)| !old.contains(number));
                        live.push((number, format!("{at}")));
                    }
                }
                Step::Acknowledge(_) | Step::Replace(..) => {}
                Step::Reopen => {
                    drop(journal);
                    let (again, replay) = open();
                    journal = again;
                    let found: Vec<_> = replay.records.into_iter().map(|kept| (kept.number, kept.record)).collect();
                    prop_assert_eq!(&found, &live);
                }
            }
        }
        drop(journal);
        let live: Vec<_> = live.into_iter().map(|(_, record)| record).collect();
        prop_assert_eq!(bench.live(), (live, Damage::default()));
    }
}
