//! Clients that open a connection and send nothing, or hardly anything: they are cut off after 10
//! s, and other clients do not notice them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use testbed::{Deployment, Form, PATIENCE, RawConnection, max_connections, order, order_request};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

tried_on!(every form, on several threads:
    ten_thousand_slow_clients_are_cut_off_and_other_clients_are_unaffected
    more_idle_clients_than_slots_keep_no_other_client_out
);

/// The number of silent connections, if the limit of open files allows it: nearly as many as a
/// service accepts.
const SILENT: u64 = 10_000 - SPARE;
/// The number of connections that are left for other clients, so that no connection is closed for
/// another.
const SPARE: u64 = 100;
/// The number of attempts to open enough connections at once.
const MAX_TRIES: u32 = 5;
/// The number of clients per program that send something slowly.
const SLOW: usize = 20;
/// A connection lives at least this long while the service has room.
const GRANTED: Duration = Duration::from_secs(10);
/// Most clients are cut off by then.
const MOST_CUT_OFF: Duration = Duration::from_secs(25);
/// All clients are cut off by then, even on a busy machine.
const CUT_OFF: Duration = GRANTED.saturating_add(Duration::from_secs(120));
/// An honest client waits less than this, even for a connection. It would wait longer if it had to
/// wait until a silent client is cut off.
const UNAFFECTED: Duration = Duration::from_secs(8);
/// The pause between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(100);

/// How many silent connections this process may open to a program that may open `most` files: half
/// of the files are for connections.
fn silent(most: u64) -> u64 {
    SILENT.min(max_connections()).min((most / 2).saturating_sub(SPARE))
}

/// What a slow client sends until it is cut off.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Silent,
    /// Headers that never end, byte by byte.
    Headers,
    /// A body that never ends, byte by byte.
    Body,
}

/// The life of a connection.
#[derive(Clone, Copy, Debug)]
struct Life {
    /// Before the service can know of the connection, however slow the machine is.
    asked: Instant,
    opened: Instant,
    closed: Instant,
}

impl Life {
    /// Opens a connection and waits until it is cut off.
    async fn of(slow: Slow, address: SocketAddr, openers: &Semaphore) -> Self {
        let opening = openers.acquire().await.expect("it is never closed");
        let asked = Instant::now();
        let connection = RawConnection::to(address).await.expect("a connection");
        let opened = Instant::now();
        drop(opening);
        cut_off(connection, slow).await;
        Self { asked, opened, closed: Instant::now() }
    }

    /// An upper bound of the time for which the service kept the connection.
    fn granted(&self) -> Duration {
        self.closed - self.asked
    }

    /// A lower bound of the time for which the client waited.
    fn waited(&self) -> Duration {
        self.closed - self.opened
    }
}

/// Waits until this client is cut off.
async fn cut_off(connection: RawConnection, slow: Slow) {
    let beginning = match slow {
        Slow::Silent => String::new(),
        Slow::Headers => "GET /api/orders HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".to_owned(),
        Slow::Body => order_request(100_000, " "),
    };
    let (mut responses, mut requests) = connection.split();
    requests.write_all(beginning.as_bytes()).await.expect("a new connection takes something");
    let dripping = async move {
        let mut drops = tokio::time::interval(DRIP);
        while !matches!(slow, Slow::Silent) && requests.write_all(b"x").await.is_ok() {
            drops.tick().await;
        }
        // A client that has nothing to send keeps the connection open all the same.
        std::future::pending::<()>().await;
        drop(requests);
    };
    let listening = async {
        let answer = responses.next().await.ok();
        responses.closed().await;
        answer
    };
    let refused = tokio::select! {
        refused = listening => refused,
        () = dripping => None,
    };
    if let Some((status, body)) = refused {
        let reported =
            matches!(slow, Slow::Body) && status == 400 && body.contains("did not arrive within");
        // If the headers do not arrive, the service may answer with a status alone.
        assert!(
            reported || (matches!(slow, Slow::Headers) && status == 408),
            "{slow:?}: {status} {body}"
        );
    }
}

/// Opens a crowd of silent connections, of which at least half are open before the first may be cut
/// off. On a machine that is too busy for that, it tries again.
async fn crowd(count: u64, address: SocketAddr) {
    for _ in 0..MAX_TRIES {
        let lives = hold_silent(count, address).await;
        let (in_time, at_once) = (opened_in_time(&lives), at_once(&lives));
        println!(
            "of {count} silent connections, {in_time} were opened in time, and {at_once} held at once"
        );
        println!("cut off: {}", check_lives(Slow::Silent, &lives));
        assert!(at_once >= in_time, "they are held as long as there is room");
        if in_time as u64 >= count / 2 {
            return;
        }
    }
    panic!("on this machine there is never a crowd");
}

/// Opens this many silent connections, and waits until all of them are closed.
async fn hold_silent(count: u64, address: SocketAddr) -> Vec<Life> {
    let (mut clients, openers) = (JoinSet::new(), Arc::new(Semaphore::new(16)));
    for _ in 0..count {
        let openers = openers.clone();
        clients.spawn(async move { Life::of(Slow::Silent, address, &openers).await });
    }
    clients.join_all().await
}

/// How many connections were open at the same time.
fn at_once(lives: &[Life]) -> usize {
    let openings = lives.iter().map(|life| (life.opened, 1));
    let mut changes: Vec<(Instant, isize)> =
        openings.chain(lives.iter().map(|life| (life.closed, -1))).collect();
    changes.sort_unstable();
    let open = changes.iter().scan(0, |open, (_, change)| {
        *open += change;
        Some(*open)
    });
    usize::try_from(open.max().unwrap_or_default()).expect("no less than none")
}

/// How many connections were open before the first one may have been cut off.
fn opened_in_time(lives: &[Life]) -> usize {
    let first = lives.iter().map(|life| life.asked).min();
    lives.iter().filter(|life| first.is_some_and(|first| life.opened - first < GRANTED)).count()
}

/// Checks that each connection lived as long as it is granted and was cut off soon after. Returns
/// the shortest and the longest life as text.
fn check_lives(what: Slow, lives: &[Life]) -> String {
    let shortest = lives.iter().map(Life::granted).min().unwrap_or(GRANTED);
    let mut waited: Vec<_> = lives.iter().map(Life::waited).collect();
    waited.sort_unstable();
    let (median, longest) = (waited[waited.len() / 2], waited[waited.len() - 1]);
    assert!(
        median < MOST_CUT_OFF,
        "{what:?}: half of {} were not cut off for {median:?}",
        lives.len()
    );
    assert!(shortest >= GRANTED, "{what:?}: one of {} was cut off after {shortest:?}", lives.len());
    assert!(longest < CUT_OFF, "{what:?}: one of {} was not cut off for {longest:?}", lives.len());
    format!("{what:?}: {} within {shortest:.1?} to {longest:.1?}", lives.len())
}

/// Places orders, each on its own connection, until `stop`. Returns their number and the longest
/// time.
async fn honest(addresses: Vec<SocketAddr>, stop: CancellationToken) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    let body = order(&[("MUG", 1)]).to_string();
    while !stop.is_cancelled() || count < 10 {
        let begun = Instant::now();
        let mut connection =
            RawConnection::to(addresses[count % addresses.len()]).await.expect("a connection");
        let (status, answer) = connection.place(&body, PATIENCE).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        slowest = slowest.max(begun.elapsed());
        count += 1;
    }
    (count, slowest)
}

async fn ten_thousand_slow_clients_are_cut_off_and_other_clients_are_unaffected(form: Form) {
    // A program usually starts with a low limit of open files, which it may raise.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let silent = silent(most);
    assert!(silent > 0, "this process may open too few files");
    let shop =
        Deployment::in_form_with(form, |launch| launch.with_open_files(1_024.min(most), most))
            .await;
    shop.stock("MUG", 1_000_000).await;
    let (orders, inventory) = shop.programs.addresses();
    let stop = CancellationToken::new();
    let others = tokio::spawn(honest(orders.clone(), stop.clone()));

    let (mut clients, openers) = (JoinSet::new(), Arc::new(Semaphore::new(1)));
    for address in orders.iter().chain(&inventory).copied() {
        for slow in [[Slow::Headers; SLOW], [Slow::Body; SLOW]].concat() {
            // Only the Order Service reads the order; the other service does not know the path and
            // does not read the body.
            if matches!(slow, Slow::Headers) || orders.contains(&address) {
                let openers = openers.clone();
                clients.spawn(async move { (slow, Life::of(slow, address, &openers).await) });
            }
        }
    }
    crowd(silent, orders[0]).await;
    if let Some(apart) = inventory.iter().find(|address| !orders.contains(address)) {
        crowd(silent, *apart).await;
    }
    let ended = clients.join_all().await;
    stop.cancel();
    let (count, slowest) = others.await.expect("honest clients are served");
    let (headers, bodies): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|(slow, _)| matches!(slow, Slow::Headers));
    let [headers, bodies] =
        [headers, bodies].map(|ended| ended.into_iter().map(|(_, life)| life).collect::<Vec<_>>());
    println!(
        "beside them {count} orders, the slowest within {slowest:.2?}; this process may open {most} files"
    );
    for (slow, lives) in [(Slow::Headers, &headers), (Slow::Body, &bodies)] {
        println!("cut off: {}", check_lives(slow, lives));
    }
    assert!(slowest < UNAFFECTED);
    shop.must_verify().await;
}

async fn more_idle_clients_than_slots_keep_no_other_client_out(form: Form) {
    let shop = Deployment::in_form_with(form, |launch| launch.with_open_files(256, 256)).await;
    shop.stock("MUG", 1_000_000).await;
    let (orders, _) = shop.programs.addresses();
    let mut silent = Vec::new();
    for _ in 0..600 {
        for address in &orders {
            silent.push(RawConnection::to(*address).await.expect("a connection"));
        }
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let (count, slowest) = honest(orders, stop).await;
    println!(
        "beside {} silent connections, {count} orders, the slowest within {slowest:.2?}",
        silent.len()
    );
    assert!(slowest < UNAFFECTED);
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;
}
