//! Far more load than the shop can take, and then none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{AFTERMATH, STOCK, tell};
use testbed::{
    Deployment, RawConnection, WAIT, max_connections, nothing_in_flight, order, stocked,
};

/// The number of clients that order without a pause to measure the shop's capacity.
const AT_CAPACITY: u64 = 512;
/// The overload, as a multiple of the capacity.
const OVERLOAD: u64 = 20;
/// The most clients of the overload: each has its own connection, and a service has room for 10
/// 000. Each client orders again shortly after its answer, so that together they reach the overload
/// if all are answered at once.
const MAX_CROWD: u64 = 9_000;
/// The time before the count begins: longer than an order may wait.
const WARM_UP: Duration = Duration::from_secs(15);
/// How long is counted.
const COUNTED: Duration = Duration::from_secs(30);
/// How often the waiting clients are counted.
const LOOK: Duration = Duration::from_millis(100);
/// The patience of a client, which is longer than the service's own deadline.
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);
/// After the load, orders must be accepted as usual within this time.
const NORMAL_AGAIN: Duration = Duration::from_secs(10);
/// The usual time: many times what an order takes without load, and far less than under overload.
const NORMAL: Duration = Duration::from_secs(1);

/// The answers to orders.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    /// 503 `overloaded`: nothing was done.
    refused: AtomicU64,
    /// Another 503, or no answer at all.
    unknown: AtomicU64,
    /// Clients that wait for an answer at this moment.
    waiting: AtomicU64,
}

/// The measurements of the counted time.
#[derive(Clone, Copy, Debug)]
struct Seen {
    accepted: u64,
    refused: u64,
    unknown: u64,
    /// How many clients waited for an answer, on average.
    waiting: u64,
}

impl Seen {
    /// The orders that arrived, at the rate of the counted time.
    fn offered(&self) -> u64 {
        self.accepted + self.refused + self.unknown
    }

    /// How long a client waited for its answer, on average, by Little's law.
    fn wait(&self) -> Duration {
        Duration::from_millis(self.waiting * COUNTED.as_secs() * 1000 / self.offered().max(1))
    }
}

impl Counts {
    fn now(&self) -> [u64; 3] {
        [&self.accepted, &self.refused, &self.unknown].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Clients that order again `pause` after each answer, until they are stopped.
struct Crowd {
    clients: JoinSet<()>,
    counts: Arc<Counts>,
    stop: CancellationToken,
}

impl Crowd {
    fn of(clients: u64, pause: Duration, addresses: &[SocketAddr]) -> Self {
        let (counts, stop) = (Arc::<Counts>::default(), CancellationToken::new());
        let body: Arc<str> = order(&[("MUG", 1)]).to_string().into();
        let mut crowd = Self { clients: JoinSet::new(), counts, stop };
        for (number, address) in (0..clients).zip(addresses.iter().copied().cycle()) {
            let (counts, stop, body) = (crowd.counts.clone(), crowd.stop.clone(), body.clone());
            // They do not start all at once.
            let first = pause * u32::try_from(number % 1000).expect("a small number") / 1000;
            crowd.clients.spawn(async move {
                sleep(first).await;
                order_again_and_again(address, &body, pause, &counts, &stop).await;
            });
        }
        crowd
    }

    async fn counted(&self) -> Seen {
        sleep(WARM_UP).await;
        let (begun, before) = (Instant::now(), self.counts.now());
        let (mut looks, mut waiting, mut looked) = (interval(LOOK), 0, 0);
        while begun.elapsed() < COUNTED {
            looks.tick().await;
            waiting += self.counts.waiting.load(Ordering::Relaxed);
            looked += 1;
        }
        let after = self.counts.now();
        let [accepted, refused, unknown] = std::array::from_fn(|kind| after[kind] - before[kind]);
        Seen { accepted, refused, unknown, waiting: waiting / looked }
    }

    /// Stops the clients; each still gets the answer that it waits for.
    async fn end(self) {
        self.stop.cancel();
        self.clients.join_all().await;
    }
}

async fn order_again_and_again(
    address: SocketAddr,
    body: &str,
    pause: Duration,
    counts: &Counts,
    stop: &CancellationToken,
) {
    let mut wire = None;
    while !stop.is_cancelled() {
        let placed = async {
            let mut open = match wire.take() {
                Some(open) => open,
                None => RawConnection::to(address).await?,
            };
            let answer = open.place(body, CLIENT_PATIENCE).await?;
            wire = Some(open);
            std::io::Result::Ok(answer)
        };
        counts.waiting.fetch_add(1, Ordering::Relaxed);
        let placed = placed.await;
        counts.waiting.fetch_sub(1, Ordering::Relaxed);
        let count = match placed {
            Ok((200, _)) => &counts.accepted,
            Ok((503, body)) if body.contains("overloaded") => &counts.refused,
            Ok((503, _)) | Err(_) => &counts.unknown,
            Ok((status, body)) => panic!("{status} {body}"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The time from now until an order is accepted as quickly as usual, and until one settles so.
async fn normal_again(shop: &Arc<Deployment>) -> [Duration; 2] {
    let begun = Instant::now();
    let (mut looks, mut orders) = (interval(Duration::from_millis(250)), JoinSet::new());
    let mut found = [None::<Duration>; 2];
    while found.contains(&None) {
        looks.tick().await;
        for kind in 0..2 {
            let (shop, asked) = (shop.clone(), Instant::now());
            orders.spawn(async move {
                let headers = if kind == 0 { &[][..] } else { &[WAIT] };
                let answer = shop.post_with("/api/orders", headers, &order(&[("MUG", 1)])).await;
                let is_done =
                    answer.status == 200 && (kind == 0 || answer.text_at("/status") == "confirmed");
                (kind, asked, is_done && asked.elapsed() < NORMAL)
            });
        }
        while let Some(answered) = orders.try_join_next() {
            if let (kind, asked, true) = answered.expect("an answer") {
                let after = asked - begun;
                found[kind] = Some(found[kind].map_or(after, |earlier| earlier.min(after)));
            }
        }
        assert!(begun.elapsed() < AFTERMATH, "not normal within {AFTERMATH:?}");
    }
    orders.join_all().await;
    found.map(|after| after.expect("both were found"))
}

/// Measures the capacity of the shop.
async fn capacity(shop: &Deployment, addresses: &[SocketAddr]) -> Seen {
    let crowd = Crowd::of(AT_CAPACITY, Duration::ZERO, addresses);
    let seen = crowd.counted().await;
    crowd.end().await;
    nothing_in_flight(AFTERMATH, shop).await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn row_40_twenty_times_the_load_and_then_none() {
    let shop = Arc::new(stocked(Deployment::open().await, STOCK).await);
    let (addresses, _) = shop.programs.addresses();

    let before = capacity(&shop, &addresses).await;
    let peak = before.accepted;
    // The rate of all clients if every answer came at once.
    let per_second = (OVERLOAD * peak / COUNTED.as_secs()).max(1);
    let clients = per_second.min(MAX_CROWD).min(max_connections());
    let crowd =
        Crowd::of(clients, Duration::from_micros(clients * 1_000_000 / per_second), &addresses);
    let seen = crowd.counted().await;
    let answered = tokio::spawn(crowd.end());
    let [accepted, settled] = normal_again(&shop).await;
    answered.await.expect("every client is answered");
    nothing_in_flight(AFTERMATH, &shop).await;

    // The speed of a machine changes from minute to minute: the peak is measured before and after.
    let after = capacity(&shop, &addresses).await;
    let percent = 200 * seen.accepted / (before.accepted + after.accepted).max(1);
    tell(
        "40 twenty times the load",
        &shop,
        &format!(
            "peak={}/s and {}/s clients={AT_CAPACITY} wait={:.2}s; wanted={per_second}/s clients={clients} waiting={} wait={:.1}s \
             offered={}/s accepted={}/s ({percent} %) refused={} unknown={}; accepts_normally_after={:.1}s \
             settles_normally_after={:.1}s",
            peak / COUNTED.as_secs(),
            after.accepted / COUNTED.as_secs(),
            before.wait().as_secs_f32(),
            seen.waiting,
            seen.wait().as_secs_f32(),
            seen.offered() / COUNTED.as_secs(),
            seen.accepted / COUNTED.as_secs(),
            seen.refused,
            seen.unknown,
            accepted.as_secs_f32(),
            settled.as_secs_f32()
        ),
    );
    // A client orders again right after its answer: if clients offer n times the capacity, one in n
    // does not wait.
    assert!(seen.waiting * 10 >= clients * 8, "no overload: hardly a client had to wait");
    assert!(percent >= 80, "too little of what it can do was done");
    // Accepted orders that Inventory has not yet reserved are settled first, which may take long.
    assert!(accepted < NORMAL_AGAIN, "orders are still not accepted as they are without load");
    assert!(!shop.programs.one_has_ended());
    let audit = shop.verify_with(AFTERMATH, &["--settled"]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}
