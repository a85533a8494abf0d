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

/// Clients that order without a pause: as many as it takes to find out what the shop can take.
const AT_CAPACITY: u64 = 512;
/// So many times that is asked for.
const OVERLOAD: u64 = 20;
/// Clients of the overload, at most: each has a connection of its own, and a service has room for
/// 10 000. Each orders again a moment after it was answered, so that together they would order so
/// much if they were all answered at once.
const MAX_CROWD: u64 = 9_000;
/// Before anything is counted: longer than an order may wait.
const WARM_UP: Duration = Duration::from_secs(15);
/// How long is counted.
const COUNTED: Duration = Duration::from_secs(30);
/// How often it is looked who waits meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// A client's, which is longer than the service's own.
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);
/// After the load, orders must be accepted again as if nothing had been, within this.
const NORMAL_AGAIN: Duration = Duration::from_secs(10);
/// What is normal: many times what an order takes on a shop without load, and far less than under
/// too much.
const NORMAL: Duration = Duration::from_secs(1);

/// What became of orders.
#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    /// 503 `overloaded`: nothing was done.
    refused: AtomicU64,
    /// Another 503, or no answer at all.
    unknown: AtomicU64,
    /// Clients who wait for an answer at this moment.
    waiting: AtomicU64,
}

/// What was seen in the time that is counted.
#[derive(Clone, Copy, Debug)]
struct Seen {
    accepted: u64,
    refused: u64,
    unknown: u64,
    /// How many clients waited for an answer, on average.
    waiting: u64,
}

impl Seen {
    /// What has arrived, in a time in which as much was answered.
    fn offered(&self) -> u64 {
        self.accepted + self.refused + self.unknown
    }

    /// How long a client waited for its answer, on average.
    ///
    /// **Source:** Little's law.
    fn wait(&self) -> Duration {
        Duration::from_millis(self.waiting * COUNTED.as_secs() * 1000 / self.offered().max(1))
    }
}

impl Counts {
    fn now(&self) -> [u64; 3] {
        [&self.accepted, &self.refused, &self.unknown].map(|count| count.load(Ordering::Relaxed))
    }
}

/// So many clients that order again `pause` after each answer, until they are told to stop.
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
            // They do not come all at once.
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

    /// Whoever waits for an answer still gets it.
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

/// How long it takes from now until an order that is placed then is accepted, and one is settled,
/// as quickly as is normal.
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

/// What the shop can take.
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
    // As many a second as all of them would order that need no time for an answer.
    let per_second = (OVERLOAD * peak / COUNTED.as_secs()).max(1);
    let clients = per_second.min(MAX_CROWD).min(max_connections());
    let crowd =
        Crowd::of(clients, Duration::from_micros(clients * 1_000_000 / per_second), &addresses);
    let seen = crowd.counted().await;
    let answered = tokio::spawn(crowd.end());
    let [accepted, settled] = normal_again(&shop).await;
    answered.await.expect("every client is answered");
    nothing_in_flight(AFTERMATH, &shop).await;

    // What a machine can do changes from minute to minute: the peak is that before and that after.
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
    // Whoever is answered orders again at once: of clients who want n times what can be done, one
    // in n does not wait.
    assert!(seen.waiting * 10 >= clients * 8, "that was no overload: hardly anybody had to wait");
    assert!(percent >= 80, "too little of what it can do was done");
    // What was accepted beyond what Inventory can reserve is settled first, however long that
    // takes.
    assert!(accepted < NORMAL_AGAIN, "orders are still not accepted as they are without load");
    assert!(!shop.programs.one_has_ended());
    let audit = shop.verify_with(AFTERMATH, &["--settled"]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}
