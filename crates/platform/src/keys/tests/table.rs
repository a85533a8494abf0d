//! Keys of a table that fails, comes back, and says something wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::failure::{Failure, Suspicion};
use crate::readiness::{Health, Readiness};
use crate::telemetry::{Metrics, render};

/// A table as a test wants it.
#[derive(Debug, Default)]
struct FakeTable {
    version: Mutex<i64>,
    keys: Mutex<Vec<KeyRecord>>,
    faults: Mutex<Vec<String>>,
    fails: Mutex<Option<Failure>>,
    reads: AtomicUsize,
    writes_hang: AtomicBool,
    hanging: AtomicUsize,
    noted: Mutex<Vec<SecretUse>>,
}

impl FakeTable {
    fn fails(&self, failure: Option<Failure>) {
        *self.fails.lock().expect("a lock") = failure;
    }

    fn change(&self, with: impl FnOnce(&mut Vec<KeyRecord>)) {
        with(&mut self.keys.lock().expect("a lock"));
        *self.version.lock().expect("a lock") += 1;
    }

    fn take_noted(&self) -> Vec<SecretUse> {
        std::mem::take(&mut self.noted.lock().expect("a lock"))
    }

    fn trouble(&self) -> Result<(), Failure> {
        self.fails.lock().expect("a lock").clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl KeyTable for FakeTable {
    async fn read_if_changed(&self, known: Option<i64>) -> Result<Option<TableKeys>, Failure> {
        self.trouble()?;
        let version = *self.version.lock().expect("a lock");
        if known == Some(version) {
            return Ok(None);
        }
        self.reads.fetch_add(1, Ordering::SeqCst);
        let keys = self.keys.lock().expect("a lock").clone();
        Ok(Some(TableKeys { version, keys, faults: self.faults.lock().expect("a lock").clone() }))
    }

    async fn note_uses(&self, uses: Vec<SecretUse>) -> Result<(), Failure> {
        self.trouble()?;
        if self.writes_hang.load(Ordering::SeqCst) {
            self.hanging.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.noted.lock().expect("a lock").extend(uses);
        Ok(())
    }
}

fn use_of(key: &NewKey, at: Timestamp) -> SecretUse {
    SecretUse { id: key.id.clone(), secret: key.hash, at }
}

fn away() -> Option<Failure> {
    Some(Failure::Unavailable(Arc::new(Suspicion::Decision("away"))))
}

fn nonsense() -> Option<Failure> {
    Some(Suspicion::Decision("a row is no key").into())
}

struct TableFixture {
    table: Arc<FakeTable>,
    source: Arc<KeySource>,
    ring: Keyring,
    clock: Arc<ManualClock>,
}

impl TableFixture {
    async fn with(keys: Vec<KeyRecord>, file: Option<Arc<KeySource>>) -> Self {
        let table = Arc::new(FakeTable::default());
        table.change(|its| its.extend(keys));
        let clock = Arc::new(ManualClock::at(NOW));
        let source =
            KeySource::of_table("orders", "check", table.clone(), file.clone(), clock.clone());
        let source = Arc::new(source.await.expect("a table"));
        let ring = Keyring::of(file.into_iter().chain([source.clone()]).collect());
        Self { table, source, ring, clock }
    }

    async fn look_after(&self, seconds: u64) -> Result<(), KeysUnreadable> {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        self.source.look().await
    }

    fn tried(&self, key: &NewKey) -> Result<(), Rejected> {
        self.ring.authenticate(&key.text).map(drop)
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_without_keys_lets_nobody_in_until_it_has_one() {
    let at = TableFixture::with(Vec::new(), None).await;
    let key = new_key();
    assert_eq!(at.tried(&key), Err(Rejected::Unknown));
    at.table.change(|keys| keys.push(record(&key, &[Scope::StockRead])));
    at.look_after(2).await.expect("a look");
    assert_eq!(at.tried(&key), Ok(()));
    at.table.change(|keys| keys[0].revoked_at = Some(NOW));
    at.look_after(2).await.expect("a look");
    assert_eq!(at.tried(&key), Err(Rejected::Revoked));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_has_not_changed_is_not_read_again() {
    let at = TableFixture::with(vec![record(&new_key(), &[Scope::StockRead])], None).await;
    let reads = || at.table.reads.load(Ordering::SeqCst);
    for _ in 0..10 {
        at.look_after(2).await.expect("a look");
    }
    assert_eq!(reads(), 1);
    at.table.change(|_| {});
    at.look_after(2).await.expect("a look");
    assert_eq!(reads(), 2);
    // What was away may have been replaced meanwhile, with the same version.
    at.table.fails(away());
    at.look_after(2).await.expect_err("it is away");
    at.table.fails(None);
    at.look_after(2).await.expect("a look");
    assert_eq!(reads(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_table_that_is_away_are_trusted_for_five_minutes_and_again_when_it_is_back() {
    let (key, unknown) = (new_key(), new_key());
    let at = TableFixture::with(vec![record(&key, &[Scope::StockRead])], None).await;
    at.table.fails(away());
    let line = at.look_after(300).await.expect_err("it is away").to_string();
    assert!(line.contains("the table api_keys of orders: ") && line.contains("away"), "{line}");
    assert_eq!([at.tried(&key), at.tried(&unknown)], [Ok(()), Err(Rejected::Unknown)]);
    at.look_after(1).await.expect_err("it is away");
    for key in [&key, &unknown] {
        assert_eq!(at.tried(key), Err(Rejected::KeysUnavailable));
    }
    at.table.fails(None);
    at.look_after(1).await.expect("it is back");
    assert_eq!([at.tried(&key), at.tried(&unknown)], [Ok(()), Err(Rejected::Unknown)]);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_says_something_wrong_changes_nothing_however_long() {
    let key = new_key();
    let at = TableFixture::with(vec![record(&key, &[Scope::StockRead])], None).await;
    at.table.fails(nonsense());
    for _ in 0..200 {
        at.look_after(2).await.expect_err("nonsense");
    }
    assert_eq!(at.tried(&key), Ok(()));
}

/// With a row that is no key, all others stay keys, and a revocation of one is felt.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_no_key_takes_away_its_own_key_alone() {
    let [bad, revoked, other] = [new_key(), new_key(), new_key()];
    let keys = [&bad, &revoked, &other].map(|key| record(key, &[Scope::StockRead]));
    let at = TableFixture::with(keys.to_vec(), None).await;
    at.table.faults.lock().expect("a lock").push("api_keys 7: name is x".to_owned());
    at.table.change(|keys| {
        keys.remove(0);
        keys[0].revoked_at = Some(NOW);
    });
    for _ in 0..200 {
        let line = at.look_after(2).await.expect_err("a row").to_string();
        assert!(line.contains("api_keys of orders") && line.contains("api_keys 7: name"), "{line}");
    }
    let tried = |source: &Arc<KeySource>| {
        let ring = Keyring::of(vec![source.clone()]);
        [&bad, &revoked, &other].map(|key| ring.authenticate(&key.text).map(drop))
    };
    let expected = [Err(Rejected::Unknown), Err(Rejected::Revoked), Ok(())];
    assert_eq!(tried(&at.source), expected);
    let restarted = KeySource::of_table("orders", "check", at.table.clone(), None, at.clock);
    let restarted = Arc::new(restarted.await.expect("keys"));
    assert_eq!(tried(&restarted), expected);
    restarted.look().await.expect_err("the row is still named");
    at.table.faults.lock().expect("a lock").clear();
    at.table.change(|_| {});
    restarted.look().await.expect("all is well");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_at_the_start_is_no_open_service() {
    for failure in [away(), nonsense()] {
        let table = Arc::new(FakeTable::default());
        table.fails(failure);
        let clock = Arc::new(ManualClock::at(NOW));
        KeySource::of_table("orders", "check", table, None, clock).await.expect_err("no keys");
    }
    let none = KeySources { in_database: true, ..KeySources::default() };
    let asked = none.of_service("orders").authenticate(&new_key().text).map(drop);
    assert_eq!(asked, Err(Rejected::Unknown));
}

#[tokio::test(start_paused = true)]
async fn of_an_id_in_the_file_and_in_the_table_the_file_is_right() {
    let at_file = Fixture::new();
    let others = new_key();
    let same_id = NewKey::for_id(at_file.key.id.clone(), KeyMode::Test).expect("random numbers");
    let file = at_file.ring.sources()[0].clone();
    let keys = [&same_id, &others].map(|key| record(key, &[Scope::StockRead]));
    let at = TableFixture::with(keys.to_vec(), Some(file)).await;
    assert_eq!(at.tried(&at_file.key), Ok(()));
    assert_eq!(at.tried(&same_id), Err(Rejected::Unknown));
    assert_eq!(at.tried(&others), Ok(()));
    assert_eq!(at.source.ids_in_both().into_iter().collect::<Vec<_>>(), [same_id.id]);
    // The table is away for too long: the file still is right about its own keys.
    at.table.fails(away());
    at.look_after(301).await.expect_err("it is away");
    at_file.ring.look().expect("the file");
    assert_eq!(at.tried(&at_file.key), Ok(()));
    assert_eq!(at.tried(&others), Err(Rejected::KeysUnavailable));
}

#[tokio::test(start_paused = true)]
async fn each_service_has_its_own_table_and_the_program_has_all() {
    let (one, two) = (new_key(), new_key());
    let orders = TableFixture::with(vec![record(&one, &[Scope::OpsRead])], None).await;
    let table = Arc::new(FakeTable::default());
    table.change(|keys| keys.push(record(&two, &[Scope::OpsRead])));
    let stock = KeySource::of_table("inventory", "check", table, None, orders.clock.clone());
    let stock = Arc::new(stock.await.expect("a table"));
    let sources = KeySources { tables: vec![orders.source, stock], ..KeySources::default() };
    let tried = |ring: Keyring| [&one, &two].map(|key| ring.authenticate(&key.text).is_ok());
    assert_eq!(tried(sources.of_service("orders")), [true, false]);
    assert_eq!(tried(sources.of_service("inventory")), [false, true]);
    assert_eq!(tried(sources.of_program()), [true, true]);
}

/// The tables are changed one after the other, so they may differ.
#[tokio::test(start_paused = true)]
async fn of_the_program_a_key_that_one_table_accepts_is_accepted() {
    let key = new_key();
    let good = record(&key, &[Scope::OpsRead]);
    let revoked = KeyRecord { revoked_at: Some(NOW), ..good.clone() };
    for [one, two] in [[&good, &revoked], [&revoked, &good]] {
        let orders = TableFixture::with(vec![one.clone()], None).await;
        let stock = TableFixture::with(vec![two.clone()], None).await;
        let tables = vec![orders.source, stock.source];
        let sources = KeySources { tables, ..KeySources::default() };
        assert!(sources.of_program().authenticate(&key.text).is_ok());
    }
    let revoked = TableFixture::with(vec![revoked], None).await;
    let tables = vec![revoked.source.clone(), revoked.source];
    let sources = KeySources { tables, ..KeySources::default() };
    let tried = sources.of_program().authenticate(&key.text).map(drop);
    assert_eq!(tried, Err(Rejected::Revoked));
}

/// A write waits for a lock or for a server that does not answer.
#[tokio::test(start_paused = true)]
async fn a_revocation_does_not_wait_for_a_note_that_hangs_and_the_end_does_not_wait_for_long() {
    let key = new_key();
    let at = TableFixture::with(vec![record(&key, &[Scope::StockRead])], None).await;
    at.table.writes_hang.store(true, Ordering::SeqCst);
    at.tried(&key).expect("a key");
    let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default(), "1");
    let stop = tokio_util::sync::CancellationToken::new();
    let watch = at.source.clone().watch(Readiness::default(), metrics, stop.clone());
    let watch = tokio::spawn(watch);
    let becomes = async |what: &dyn Fn() -> bool| {
        let begun = tokio::time::Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(3));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    };
    becomes(&|| at.table.hanging.load(Ordering::SeqCst) == 1).await;
    at.table.change(|keys| keys[0].revoked_at = Some(NOW));
    becomes(&|| at.tried(&key) == Err(Rejected::Revoked)).await;
    assert_eq!(at.table.hanging.load(Ordering::SeqCst), 1, "one note at a time");
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(4), watch).await;
    ended.expect("after three seconds").expect("it ends").expect("without an error");
    assert_eq!(at.table.hanging.load(Ordering::SeqCst), 2, "it has tried once more");
}

#[tokio::test(start_paused = true)]
async fn uses_are_noted_once_and_tried_again_when_the_table_was_away() {
    let (key, idle) = (new_key(), new_key());
    let keys = [&key, &idle].map(|key| record(key, &[Scope::StockRead]));
    let at = TableFixture::with(keys.to_vec(), None).await;
    at.source.note_uses().await.expect("nothing to note");
    assert_eq!(at.table.take_noted(), []);
    at.tried(&key).expect("a key");
    let wrong = NewKey::for_id(idle.id.clone(), KeyMode::Test).expect("random numbers");
    at.tried(&wrong).expect_err("a wrong secret is no use of the key");
    at.clock.advance(HOUR);
    at.tried(&key).expect("a key");
    at.table.fails(away());
    at.source.note_uses().await.expect_err("it is away");
    at.table.fails(None);
    // What was used stays when the keys are read again.
    at.table.change(|keys| keys[0].name = "other".to_owned());
    at.look_after(2).await.expect("a look");
    at.source.note_uses().await.expect("noted");
    assert_eq!(at.table.take_noted(), [use_of(&key, NOW.after(HOUR))]);
    at.source.note_uses().await.expect("nothing to note");
    assert_eq!(at.table.take_noted(), []);
}

/// While one secret replaces another, an operator must see whether the old one is still used.
#[tokio::test(start_paused = true)]
async fn each_secret_of_a_key_has_its_own_last_use() {
    let old = new_key();
    let new = NewKey::for_id(old.id.clone(), KeyMode::Test).expect("random numbers");
    let at = TableFixture::with(vec![record(&old, &[Scope::StockRead])], None).await;
    let noted = async || {
        at.source.note_uses().await.expect("noted");
        let mut noted = at.table.take_noted();
        noted.sort_by_key(|used| used.at);
        noted
    };
    at.tried(&old).expect("a key");
    at.table.change(|keys| keys[0].rotate(new.hash, NOW, 3 * HOUR));
    at.look_after(2).await.expect("a look");
    // What was seen before the rotation is a use of the secret that is the old one now.
    assert_eq!(noted().await, [use_of(&old, NOW)]);
    at.clock.advance(HOUR);
    at.tried(&new).expect("the new secret");
    at.clock.advance(HOUR);
    at.tried(&old).expect("the old secret");
    let [first, second] = [use_of(&new, NOW.after(HOUR)), use_of(&old, NOW.after(2 * HOUR))];
    assert_eq!(noted().await, [first, second]);
    at.clock.advance(HOUR);
    assert_eq!(at.tried(&old), Err(Rejected::Expired));
    at.tried(&new).expect("the new secret");
    assert_eq!(noted().await, [use_of(&new, NOW.after(3 * HOUR))], "a rejected secret is no use");
}

/// As when a stolen secret is replaced.
#[tokio::test(start_paused = true)]
async fn a_use_of_a_secret_that_is_gone_is_noted() {
    let old = new_key();
    let new = NewKey::for_id(old.id.clone(), KeyMode::Test).expect("random numbers");
    let at = TableFixture::with(vec![record(&old, &[Scope::StockRead])], None).await;
    at.tried(&old).expect("a key");
    at.table.change(|keys| {
        keys[0].rotate(new.hash, NOW, HOUR);
        keys[0].previous = None;
    });
    at.look_after(2).await.expect("a look");
    at.tried(&old).expect_err("its secret is gone");
    at.source.note_uses().await.expect("noted");
    assert_eq!(at.table.take_noted(), [use_of(&old, NOW)]);
    at.look_after(2).await.expect("a look");
    at.source.note_uses().await.expect("nothing to note");
    assert_eq!(at.table.take_noted(), []);
}

#[tokio::test(start_paused = true)]
async fn what_was_used_in_the_last_minute_is_noted_when_the_program_ends() {
    let key = new_key();
    let at = TableFixture::with(vec![record(&key, &[Scope::StockRead])], None).await;
    let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default(), "1");
    let stop = tokio_util::sync::CancellationToken::new();
    at.tried(&key).expect("a key");
    let watch = at.source.clone().watch(Readiness::default(), metrics, stop.clone());
    let watch = tokio::spawn(watch);
    // The clock of the paused runtime moves when all tasks wait.
    let noted = async |seconds| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        at.table.take_noted()
    };
    assert_eq!(noted(3).await, [use_of(&key, NOW)]);
    at.clock.advance(Duration::from_secs(30));
    at.tried(&key).expect("a key");
    assert_eq!(noted(30).await, [], "the minute is not over");
    stop.cancel();
    watch.await.expect("it ends").expect("without an error");
    assert_eq!(at.table.take_noted(), [use_of(&key, NOW.after(Duration::from_secs(30)))]);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_counted_as_ending_soon_from_two_weeks_before_its_end_until_then() {
    let day = 24 * HOUR;
    let ending = |days: u32, revoked: bool| KeyRecord {
        not_after: NOW.after(days * day),
        revoked_at: revoked.then_some(NOW),
        ..record(&new_key(), &[Scope::StockRead])
    };
    let keys = vec![ending(3, false), ending(3, true), ending(14, false), ending(15, false)];
    let at = TableFixture::with(keys, None).await;
    assert_eq!(at.source.expiring(), 2);
    at.clock.advance(day);
    assert_eq!(at.source.expiring(), 3);
    at.clock.advance(2 * day);
    assert_eq!(at.source.expiring(), 2, "the first one has ended");
}

/// The watcher itself: what it tells the readiness probe, and how often it notes uses.
#[tokio::test(start_paused = true)]
async fn the_watcher_reports_trouble_and_notes_uses_once_a_minute() {
    let key = new_key();
    let at = TableFixture::with(vec![record(&key, &[Scope::StockRead])], None).await;
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Metrics::new(&mut registry, "1");
    let (readiness, stop) = (Readiness::default(), tokio_util::sync::CancellationToken::new());
    let watch = at.source.clone().watch(readiness.clone(), metrics, stop.clone());
    let watch = tokio::spawn(watch);
    let health = || readiness.snapshot().checks.first().map(|(_, health)| health.clone());
    let becomes = async |expected: &str| {
        let begun = tokio::time::Instant::now();
        while health().is_none_or(|health| !format!("{health:?}").starts_with(expected)) {
            assert!(begun.elapsed() < Duration::from_secs(3), "{expected}: {:?}", health());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    };
    becomes("Up").await;
    at.table.fails(nonsense());
    becomes("Degraded").await;
    at.table.fails(None);
    becomes("Up").await;
    assert_eq!(health(), Some(Health::Up));
    let mut noted = 0;
    for _ in 0..180 {
        at.clock.advance(Duration::from_secs(1));
        at.tried(&key).expect("a key");
        tokio::time::advance(Duration::from_secs(1)).await;
        noted += at.table.take_noted().len();
    }
    assert!((3..=4).contains(&noted), "{noted} in three minutes");
    let text = render(&registry);
    assert!(text.contains(r#"api_keys_expiring{source="orders",within="14d"} 1"#), "{text}");
    stop.cancel();
    watch.await.expect("it ends").expect("without an error");
}
