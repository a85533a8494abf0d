use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use axum::body::{Body, BodyDataStream, to_bytes};
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use platform::clock::{SystemClock, SystemIds};
use platform::journal::Numbers;
use platform::keys::KeyLimits;
use platform::telemetry::render;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::problem::Code;

mod streams;

const RECEIVED: &str = "dev.lastro.order.received";
const CONFIRMED: &str = "dev.lastro.order.confirmed";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const STREAM: (HeaderName, &str) = (header::ACCEPT, "text/event-stream");

/// The number of an entry that cannot be read.
const DAMAGED: u32 = u32::MAX;

/// From this number on, events have 300 kB.
const HEAVY: u32 = 1_000_000;

/// What a transaction made: the type and the number of each entry.
type Row = Vec<(&'static str, u32)>;

/// A journal in memory. The position behind the last entry of a row is still in that row.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    rows: Mutex<Vec<Row>>,
    /// The highest number that was given out.
    numbered: AtomicI64,
    /// How many entries each read has asked for.
    reads: Mutex<Vec<u32>>,
    /// The numbers of the entries whose events were read.
    shown: Mutex<Vec<u32>>,
    is_away: AtomicBool,
    /// How many reads run now, and how many have run at the same time at most.
    running: Mutex<(usize, usize)>,
}

impl Memory {
    fn fails(&self) -> Result<(), Failure> {
        match self.0.is_away.load(Ordering::Relaxed) {
            true => Err(Failure::Unavailable(Arc::new(std::io::Error::other("it is away")))),
            false => Ok(()),
        }
    }
}

impl Inside {
    fn runs(&self, more: isize) {
        let mut running = self.running.lock().unwrap();
        running.0 = running.0.checked_add_signed(more).unwrap();
        running.1 = running.1.max(running.0);
    }
}

#[async_trait]
impl Journal for Memory {
    async fn number(&self) -> Result<Numbers, Failure> {
        self.fails()?;
        Ok(Numbers { last: self.0.numbered.load(Ordering::Relaxed), more: false })
    }
}

#[async_trait]
impl EventSource for Memory {
    type Entry = (&'static str, u32);
    type Event = Value;

    const TYPES: &'static [&'static str] = &[RECEIVED, CONFIRMED];

    fn event_type((its, _): &Self::Entry) -> &'static str {
        its
    }

    fn id((its, number): &Self::Entry) -> String {
        format!("{its}.{number}")
    }

    fn is_readable((_, number): &Self::Entry) -> bool {
        *number != DAMAGED
    }

    fn subject((_, number): &Self::Entry) -> Option<String> {
        Some(number.to_string())
    }

    async fn made(
        &self,
        from: Position,
        limit: u32,
    ) -> Result<Vec<Recorded<Self::Entry>>, Failure> {
        self.fails()?;
        self.0.reads.lock().unwrap().push(limit);
        self.0.runs(1);
        tokio::task::yield_now().await;
        self.0.runs(-1);
        let rows = self.0.rows.lock().unwrap();
        let entries = (1..).zip(rows.iter()).flat_map(|(commit, row)| {
            (0..).zip(row).map(move |(entry, made)| (Position { commit, entry }, *made))
        });
        let wanted = entries.filter(|(at, _)| *at >= from).take(limit as usize);
        Ok(wanted
            .map(|(Position { commit, entry }, made)| Recorded {
                entry: made,
                next: Position { commit, entry: entry + 1 },
            })
            .collect())
    }

    async fn events(&self, entries: Vec<Self::Entry>) -> Result<Vec<Value>, Failure> {
        self.fails()?;
        self.0.shown.lock().unwrap().extend(entries.iter().map(|(_, number)| number));
        let event = |(its, number): &Self::Entry| {
            let length = if (HEAVY..DAMAGED).contains(number) { 300_000 } else { 0 };
            json!({"type": its, "number": number, "data": "x".repeat(length)})
        };
        Ok(entries.iter().map(event).collect())
    }
}

struct Shop {
    memory: Memory,
    feed: Arc<Feed<Memory>>,
    context: Context,
}

impl Shop {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let clock = Arc::new(SystemClock);
        let mut context = Context::new(clock.clone(), Arc::new(SystemIds::new(clock)));
        context.limits = Arc::new(limits);
        let memory = Memory::default();
        let followed = Followed {
            database: DatabaseId(Uuid::from_u128(7 << 64)),
            journal: Arc::new(memory.clone()),
            tail: Arc::default(),
        };
        let feed = Feed::new("orders", memory.clone(), followed, &context);
        Self { memory, feed, context }
    }

    /// A journal in which every transaction has made this.
    fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let shop = Self::new();
        rows.into_iter().for_each(|row| shop.makes(row));
        shop
    }

    /// Commits a transaction, and numbers it.
    fn makes(&self, row: Row) {
        let mut rows = self.memory.0.rows.lock().unwrap();
        rows.push(row);
        let last = i64::try_from(rows.len()).unwrap();
        self.memory.0.numbered.store(last, Ordering::Relaxed);
        self.feed.tail.reached(last);
    }

    async fn ask(&self, query: &str, headers: &[(HeaderName, &str)]) -> Result<Response, Problem> {
        self.ask_as(&Principal::anyone(), query, headers).await
    }

    async fn ask_as(
        &self,
        client: &Principal,
        query: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Response, Problem> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        self.feed.answer(client, &headers, Query::new(Some(query))).await
    }

    /// The numbers of a page, and its cursor.
    async fn page(&self, query: &str, headers: &[(HeaderName, &str)]) -> (Vec<u64>, String) {
        let answer = self.ask(query, headers).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let page: Value = serde_json::from_slice(&bytes).unwrap();
        let events = page["data"].as_array().unwrap();
        let numbers = events.iter().map(|event| event["number"].as_u64().unwrap());
        (numbers.collect(), page["next_cursor"].as_str().unwrap().to_owned())
    }

    async fn stream(&self, query: &str, headers: &[(HeaderName, &str)]) -> Messages {
        let answer = self.ask(query, &[&[STREAM], headers].concat()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        Messages(answer.into_body().into_data_stream())
    }

    fn metrics(&self) -> String {
        render(&self.context.registry)
    }
}

/// The messages of a stream, as they are sent.
struct Messages(BodyDataStream);

impl Messages {
    /// The next message; `None` if the stream has ended.
    async fn next(&mut self) -> Option<String> {
        let bytes = self.0.next().await?.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Some(text.strip_suffix("\n\n").expect("a whole message").to_owned())
    }

    /// The next message that has an event: its cursor, its type and its data.
    async fn event(&mut self) -> (String, String, Value) {
        loop {
            let message = self.next().await.expect("it goes on");
            let lines: Vec<_> = message.lines().collect();
            if let [id, event, data] = lines[..] {
                let value = |line: &str, name| line.strip_prefix(name).unwrap().to_owned();
                let data = serde_json::from_str(&value(data, "data: ")).unwrap();
                return (value(id, "id: "), value(event, "event: "), data);
            }
        }
    }

    async fn number(&mut self) -> u64 {
        self.event().await.2["number"].as_u64().unwrap()
    }
}

/// Rows of one to three entries, numbered from 0.
fn rows(count: u32) -> Vec<Row> {
    let mut numbers = 0..;
    let row = |n: u32| numbers.by_ref().take(1 + n as usize % 3).map(|n| (RECEIVED, n)).collect();
    (0..count).map(row).collect()
}

#[tokio::test]
async fn pages_of_any_size_have_each_event_once_and_in_order() {
    let shop = Shop::of(rows(30));
    for limit in [1, 2, 3, 7, 59, 60, 61, 200] {
        let (mut seen, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let (page, next) = shop.page(&query, &[]).await;
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit);
            seen.extend(page);
            query = format!("limit={limit}&after={next}");
        }
        assert_eq!(seen, (0..60).collect::<Vec<_>>(), "{limit}");
    }
    assert_eq!(shop.page("", &[]).await.0.len(), 50, "the usual page");
}

/// Such as those of an order with a long history, which each of its events has.
#[tokio::test]
async fn a_page_ends_before_it_is_too_large_and_the_next_continues_there() {
    let heavy = |n: u32| vec![(RECEIVED, HEAVY + 2 * n), (CONFIRMED, HEAVY + 2 * n + 1)];
    let shop = Shop::of((0..30).map(heavy));
    for types in ["", "&types=order.received"] {
        let mut seen = Vec::new();
        let mut after = String::new();
        for _ in 0..10 {
            let (numbers, next) = shop.page(&format!("limit=200{types}{after}"), &[]).await;
            assert!(numbers.len() <= 14, "4 MiB and the event that exceeds them");
            seen.extend(numbers);
            after = format!("&after={next}");
        }
        let step = if types.is_empty() { 1 } else { 2 };
        let all = (u64::from(HEAVY)..u64::from(HEAVY) + 60).step_by(step);
        assert!(all.eq(seen), "each once, in order");
    }
    let shown = shop.memory.0.shown.lock().unwrap().len();
    assert!(shown < 4 * 90, "{shown} documents were read for 90");
}

#[tokio::test]
async fn types_are_chosen_before_documents_are_read() {
    let shop = Shop::of([vec![(RECEIVED, 0), (CONFIRMED, 1)], vec![(RECEIVED, 2), (CONFIRMED, 3)]]);
    let (page, next) = shop.page("types=order.confirmed&limit=1", &[]).await;
    assert_eq!(page, [1]);
    let (page, _) = shop.page(&format!("types={CONFIRMED}&after={next}"), &[]).await;
    assert_eq!(page, [3]);
    assert_eq!(*shop.memory.0.shown.lock().unwrap(), [1, 3]);
}

#[tokio::test]
async fn a_page_that_is_filtered_empty_moves_on_and_looks_at_a_bounded_number_of_entries() {
    let shop = Shop::of((0..25).map(|_| (0..1000).map(|n| (RECEIVED, n)).collect()));
    shop.makes(vec![(CONFIRMED, 7)]);
    let mut query = "types=order.confirmed".to_owned();
    let (mut requests, mut seen) = (0, Vec::new());
    while seen.is_empty() {
        let (page, next) = shop.page(&query, &[]).await;
        requests += 1;
        seen = page;
        query = format!("types=order.confirmed&after={next}");
    }
    assert_eq!((seen, requests), (vec![7], 3));
    let reads = shop.memory.0.reads.lock().unwrap();
    assert!(reads.iter().all(|limit| *limit <= CHUNK), "{reads:?}");
}

/// The last read of the page then finds nothing.
#[tokio::test]
async fn the_cursor_of_a_filtered_page_is_behind_all_that_was_looked_at() {
    for others in [CHUNK - 2, CHUNK - 1, CHUNK] {
        let rest = (1..=others).map(|n| (RECEIVED, n));
        let shop = Shop::of([[(CONFIRMED, 0)].into_iter().chain(rest).collect()]);
        let (page, next) = shop.page("types=order.confirmed", &[]).await;
        assert_eq!(page, [0]);
        let mark = Mark::behind(
            Position { commit: 1, entry: others + 1 },
            &format!("{RECEIVED}.{others}"),
        );
        assert_eq!(shop.feed.cursors.decode(&next).unwrap(), mark, "{others}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_gets_an_event_as_soon_as_it_is_made() {
    let shop = Shop::of([vec![(RECEIVED, 0)]]);
    let (_, next) = shop.page("", &[]).await;
    let query = format!("after={next}");
    let started = Instant::now();
    let waiting = [(PREFER, "wait=30")];
    let makes = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        shop.makes(vec![(CONFIRMED, 1)]);
    };
    let ((page, _), ()) = tokio::join!(shop.page(&query, &waiting), makes);
    assert_eq!((page, started.elapsed().as_secs()), (vec![1], 3));
    // What was made before is there at once.
    assert_eq!(shop.page(&query, &waiting).await.0, [1]);
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_in_vain_gets_an_empty_page_after_its_time() {
    let shop = Shop::of([vec![(RECEIVED, 0)]]);
    let started = Instant::now();
    let waits = [(PREFER, "wait=7")];
    let answer = shop.ask("types=order.confirmed", &waits).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 7);
    assert_eq!(answer.headers()["preference-applied"], "wait=7");
    let (page, next) = shop.page("types=order.confirmed", &waits).await;
    assert_eq!(page, [0; 0]);
    shop.makes(vec![(CONFIRMED, 1)]);
    assert_eq!(shop.page(&format!("after={next}"), &[]).await.0, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_releases_clients_that_wait_and_ends_streams() {
    let shop = Shop::new();
    let mut stream = shop.stream("", &[]).await;
    assert!(stream.next().await.is_some());
    let started = Instant::now();
    let stops = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shop.context.stopping.cancel();
    };
    let waiting = [(PREFER, "wait=30")];
    let (page, end, ()) = tokio::join!(shop.page("", &waiting), stream.next(), stops);
    assert_eq!((page.0, end), (vec![], None));
    assert_eq!(started.elapsed().as_secs(), 1);
}

/// A process that has just started does not know where the journal ends.
#[tokio::test]
async fn latest_is_the_end_of_the_journal_also_before_the_process_knows_it() {
    let shop = Shop::new();
    shop.memory.0.rows.lock().unwrap().extend(rows(5));
    shop.memory.0.numbered.store(5, Ordering::Relaxed);
    let (page, next) = shop.page("after=latest", &[]).await;
    assert_eq!(page, [0; 0]);
    shop.makes(vec![(CONFIRMED, 99)]);
    assert_eq!(shop.page(&format!("after={next}"), &[]).await.0, [99]);
}

#[tokio::test]
async fn a_cursor_beyond_the_end_is_refused_and_one_of_another_replica_is_not() {
    let shop = Shop::of(rows(3));
    let (_, end) = shop.page("", &[]).await;
    let query = format!("after={end}");
    // Another replica has numbered two rows more, and this one did not notice yet.
    let cursor = shop.feed.cursors.encode(Mark::at(Position::behind(5)));
    let ahead = format!("after={cursor}");
    let refused = shop.ask(&ahead, &[]).await.unwrap_err();
    assert_eq!(refused.code, Code::INVALID_CURSOR);
    assert!(refused.detail.contains("restored"), "{}", refused.detail);
    shop.memory.0.rows.lock().unwrap().extend(rows(2));
    shop.memory.0.numbered.store(5, Ordering::Relaxed);
    assert_eq!(shop.page(&ahead, &[]).await.0, [0; 0]);
    assert!(!shop.page(&query, &[]).await.0.is_empty());
    for bad in ["after=", "after=nonsense", "after=AQ"] {
        assert_eq!(shop.ask(bad, &[]).await.unwrap_err().code, Code::INVALID_CURSOR, "{bad}");
    }
}

/// The journal has grown again since, and the numbers are taken by something else.
#[tokio::test]
async fn a_cursor_of_what_a_restored_database_has_forgotten_is_refused() {
    let shop = Shop::of(rows(250));
    let mut cursors = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let (page, next) = shop.page(&query, &[]).await;
        if page.is_empty() {
            break;
        }
        query = format!("limit=3&after={next}");
        cursors.push(next);
    }
    // A row that is longer than what is read at a time.
    shop.makes((1000..1250).map(|n| (RECEIVED, n)).collect());
    let (_, last) = shop.page(&format!("limit=200&after={}", cursors.last().unwrap()), &[]).await;
    cursors.push(shop.page(&format!("limit=200&after={last}"), &[]).await.1);
    let (kept, lost) = (cursors[10].clone(), cursors.split_off(11));
    for cursor in cursors.iter().chain(&lost) {
        assert!(shop.ask(&format!("after={cursor}"), &[]).await.is_ok());
    }
    let Position { commit, .. } = shop.feed.cursors.decode(&kept).unwrap().position;
    shop.memory.0.rows.lock().unwrap().truncate(usize::try_from(commit).unwrap());
    for _ in 0..300 {
        shop.makes((5000..5003).map(|n| (CONFIRMED, n)).collect());
    }
    for cursor in &cursors {
        assert!(shop.ask(&format!("after={cursor}"), &[]).await.is_ok());
    }
    for cursor in &lost {
        let refused = shop.ask(&format!("after={cursor}"), &[]).await.unwrap_err();
        assert_eq!(refused.code, Code::INVALID_CURSOR);
        assert!(refused.detail.contains("restored"), "{}", refused.detail);
    }
}

#[tokio::test]
async fn a_cursor_is_good_after_the_entry_before_it_was_damaged_or_repaired() {
    let shop = Shop::of([vec![(RECEIVED, 0)], vec![(RECEIVED, 1)], vec![(RECEIVED, 2)]]);
    let (_, next) = shop.page("limit=2", &[]).await;
    let becomes = |number| shop.memory.0.rows.lock().unwrap()[1] = vec![(RECEIVED, number)];
    becomes(DAMAGED);
    assert_eq!(shop.page(&format!("after={next}"), &[]).await.0, [2]);
    let (_, damaged) = shop.page("limit=2", &[]).await;
    becomes(1);
    assert_eq!(shop.page(&format!("after={damaged}"), &[]).await.0, [2]);
}
