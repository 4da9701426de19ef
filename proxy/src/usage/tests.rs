//! Meters, journalled and told.

use std::path::Path;
use std::time::Duration;

use process::Shutdown;
use proto::v1::UsageRecord;
use scheduler::{Class, Priority, ScoreTerms, Work};
use session::Usage as Used;
use tempfile::TempDir;

use super::*;

const LIMIT: u64 = 1 << 20;

fn request(file: Option<SessionId>) -> Request {
    Request {
        session: SessionId::from_random(1),
        tenant: "dev".parse().unwrap(),
        key: Some("k1".parse().unwrap()),
        file,
        model: "m".parse().unwrap(),
        work: Work::Stream,
        class: Class::New,
        priority: Priority::Live,
        pools: None,
        residency: None,
        compliance: [].into(),
        max_cost: None,
        latency_limit: Duration::from_millis(300),
        audio_bytes_per_second: 32_000,
        exclude: [].into(),
        prefer: None,
        facts: scheduler::rules::Facts::default(),
    }
}

fn placement() -> Placement {
    Placement {
        node: "aws-1".parse().unwrap(),
        pool: "aws".parse().unwrap(),
        address: "127.0.0.1:1".to_owned(),
        api: scheduler::EngineApi::Listen,
        engine_model: None,
        terms: ScoreTerms::default(),
    }
}

fn used(bytes_in: u64) -> Used {
    Used { audio: Duration::from_secs(bytes_in), bytes_in, ..Used::default() }
}

/// A proxy's meters, and its task.
struct Desk {
    meters: Meters,
    news: Arc<Notify>,
    shutdown: Shutdown,
}

impl Desk {
    fn on(journal: Journal<Spent>, found: Vec<Kept<Spent>>) -> Self {
        let news = Arc::new(Notify::new());
        let (meters, shutdown) = (Meters::new(journal, Arc::clone(&news)), Shutdown::new());
        shutdown.spawn("usage", keep(meters.clone(), (found, Vec::new()), shutdown.clone()));
        Self { meters, news, shutdown }
    }

    fn open(path: &Path) -> Self {
        let (journal, replay) = Journal::open(path, LIMIT).unwrap();
        Self::on(journal, replay.records)
    }

    fn meter(&self) -> Meter {
        self.meters.begin(&request(None), &placement()).unwrap()
    }

    /// Waits for the next record that is to be sent and that `wanted` picks.
    async fn told(&self, wanted: impl Fn(&UsageRecord) -> bool) -> UsageRecord {
        let looking = async {
            loop {
                let records = self.meters.next().map(|usage| usage.records).unwrap_or_default();
                if let Some(record) = records.into_iter().find(&wanted) {
                    return record;
                }
                self.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looking).await.expect("a record is told")
    }

    async fn acknowledge(&self, record: &UsageRecord) {
        let id = UsageId { session: record.session.clone(), part: record.part, sequence: record.sequence };
        self.meters.forget(self.meters.acknowledged(&[id])).await;
    }

    /// Ends as a process that is killed: what it held in memory is gone.
    async fn die(self) {
        self.shutdown.cut().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_part_has_used_is_told_every_5_s_and_at_its_end() {
    let desk = Desk::on(Journal::in_memory(), Vec::new());
    let meter = desk.meter();
    let began = tokio::time::Instant::now();
    desk.told(|record| record.ended.is_none()).await;
    meter.used(&used(7));
    let record = desk.told(|record| record.bytes_in == 7).await;
    assert!(began.elapsed() <= Duration::from_millis(5_010), "{:?}", began.elapsed());
    assert_eq!((record.audio_microseconds, record.key.as_str(), &record.ended), (7_000_000, "k1", &None));
    meter.used(&used(9));
    meter.end("completed");
    let last = desk.told(|record| record.ended.is_some()).await;
    assert_eq!((last.bytes_in, last.ended.as_deref()), (9, Some("completed")));
    assert!(!desk.meters.is_settled());
    desk.acknowledge(&record).await;
    assert!(!desk.meters.is_settled(), "an old record's acknowledgement says nothing of the last");
    desk.acknowledge(&last).await;
    assert!(desk.meters.is_settled());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_part_is_told_again_until_it_is_acknowledged() {
    let desk = Desk::on(Journal::in_memory(), Vec::new());
    desk.meter().end("completed");
    let first = desk.told(|record| record.ended.is_some()).await;
    assert_eq!(desk.told(|record| record.ended.is_some()).await, first);
    desk.meters.send_all_again();
    assert_eq!(desk.told(|record| record.ended.is_some()).await, first);
    desk.acknowledge(&first).await;
    desk.meters.send_all_again();
    assert_eq!(desk.meters.next(), None);
}

#[tokio::test]
async fn a_part_that_was_live_when_its_process_died_is_told_as_lost_with_what_was_journalled() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("usage.journal");
    let desk = Desk::open(&path);
    let (live, ended) = (desk.meter(), desk.meter());
    live.used(&used(7));
    ended.used(&used(9));
    ended.end("completed");
    let told = desk.told(|record| record.ended.is_some()).await;
    assert_eq!(told.bytes_in, 9);
    // An acknowledged record of a live part must still say that it was live.
    let heard = desk.told(|record| record.ended.is_none()).await;
    desk.acknowledge(&heard).await;
    desk.die().await;
    drop(live);

    let desk = Desk::open(&path);
    let lost = desk.told(|record| record.ended.as_deref() == Some("proxy_lost")).await;
    assert_eq!((lost.part, lost.bytes_in), (heard.part, heard.bytes_in));
    assert!(lost.sequence > heard.sequence);
    desk.meters.send_all_again();
    assert_eq!(desk.told(|record| record.part == told.part).await, told);
    desk.acknowledge(&lost).await;
    desk.acknowledge(&told).await;
    assert!(desk.meters.is_settled());
    desk.die().await;
    assert_eq!(Journal::<Spent>::open(&path, LIMIT).unwrap().1.records, []);
}

#[tokio::test]
async fn a_proxy_that_starts_beside_another_adopts_what_a_third_one_left() {
    let folder = TempDir::new().unwrap();
    let config = StoreConfig { directory: Some(folder.path().to_owned()), ..StoreConfig::default() };
    let first = UsageJournal::open_beside_others(&config).unwrap();
    let second = UsageJournal::open_beside_others(&config).unwrap();
    assert!(matches!(UsageJournal::open(&config), Err(JournalError::Locked(_))));
    let desk = Desk::on(second.journal, second.found);
    let meter = desk.meter();
    meter.used(&used(7));
    desk.told(|record| record.bytes_in == 7).await;
    desk.die().await;
    drop((meter, first));

    let next = UsageJournal::open_beside_others(&config).unwrap();
    assert_eq!((next.found.len(), next.left.len()), (0, 1));
    let (news, shutdown) = (Arc::new(Notify::new()), Shutdown::new());
    let meters = Meters::new(next.journal, Arc::clone(&news));
    shutdown.spawn("usage", keep(meters.clone(), (next.found, next.left), shutdown.clone()));
    let desk = Desk { meters, news, shutdown };
    let lost = desk.told(|record| record.ended.as_deref() == Some("proxy_lost")).await;
    assert_eq!(lost.bytes_in, 7);
    desk.acknowledge(&lost).await;
    desk.die().await;
    let last = UsageJournal::open_beside_others(&config).unwrap();
    assert!(last.found.is_empty() && last.left.is_empty(), "told once");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_pays_for_its_file_and_does_not_end_it() {
    let desk = Desk::on(Journal::in_memory(), Vec::new());
    let file = SessionId::from_random(9);
    let chunks = [(); 2].map(|()| desk.meters.begin(&request(Some(file)), &placement()).unwrap());
    for chunk in chunks {
        chunk.used(&used(3));
        chunk.end("completed");
    }
    let one = desk.told(|record| record.bytes_in == 3).await;
    desk.acknowledge(&one).await;
    let other = desk.told(|record| record.bytes_in == 3 && record.part != one.part).await;
    assert_eq!([&one.session, &other.session], [&file.to_string(); 2]);
    assert_eq!((one.ended, other.ended), (None, None));
}

#[tokio::test]
async fn a_journal_that_is_full_stops_no_record_on_its_way_to_the_router() {
    let folder = TempDir::new().unwrap();
    let (journal, replay) = Journal::open(&folder.path().join("usage.journal"), 100).unwrap();
    let desk = Desk::on(journal, replay.records);
    let meter = desk.meter();
    meter.used(&used(5));
    meter.end("completed");
    let last = desk.told(|record| record.ended.is_some()).await;
    assert_eq!(last.bytes_in, 5);
    desk.acknowledge(&last).await;
    assert!(desk.meters.is_settled());
}

#[tokio::test(start_paused = true)]
async fn without_a_key_nobody_pays() {
    let desk = Desk::on(Journal::in_memory(), Vec::new());
    assert!(desk.meters.begin(&Request { key: None, ..request(None) }, &placement()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_gets_its_node_during_the_drain_is_told_too() {
    let desk = Desk::on(Journal::in_memory(), Vec::new());
    let open = desk.meters.open();
    desk.shutdown.begin();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!desk.meters.is_settled());
    let meter = desk.meter();
    meter.used(&used(7));
    meter.end("completed");
    drop(open);
    let last = desk.told(|record| record.ended.is_some()).await;
    assert_eq!(last.bytes_in, 7);
    desk.acknowledge(&last).await;
    assert!(desk.meters.is_settled());
    assert_eq!(desk.shutdown.drain(Duration::from_secs(60)).await, 0);
}
