//! Clients that open a connection and say nothing, or hardly anything: they are cut off after 10 s, and nobody else
//! notices them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testbed::PATIENCE;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::shop::{Shop, order};
use crate::wire::{Wire, request};

/// Connections that say nothing at all, if this process may open so many: as many as a service takes.
const SILENT: u64 = 10_000;
/// What else this process has open.
const RESERVE: u64 = 1_000;
/// Of those that say something, to each program.
const SLOW: usize = 20;
/// What a service grants, and a moment for a busy machine to notice that it is over.
const CUT_OFF: Duration = Duration::from_secs(10 + 5);
/// No honest client waits so long, not even for a connection. Whoever had to wait until a silent one is cut off would.
const UNAFFECTED: Duration = Duration::from_secs(5);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(100);

/// How many silent connections this process may open.
fn silent() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let may_open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    SILENT.min(may_open.saturating_sub(RESERVE))
}

/// What a slow client does until it is cut off.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Silent,
    /// Headers that never end, byte by byte.
    Headers,
    /// A body that never ends, byte by byte.
    Body,
}

/// How long it was until this client was cut off.
async fn cut_off(wire: Wire, slow: Slow) -> Duration {
    let begun = Instant::now();
    let beginning = match slow {
        Slow::Silent => String::new(),
        Slow::Headers => "GET /api/orders HTTP/1.1\r\nHost: shop\r\nX-Slow: ".to_owned(),
        Slow::Body => request(100_000, " "),
    };
    let (mut heard, mut said) = wire.split();
    said.write_all(beginning.as_bytes()).await.expect("a new connection takes something");
    let dripping = async move {
        let mut drops = tokio::time::interval(DRIP);
        while !matches!(slow, Slow::Silent) && said.write_all(b"x").await.is_ok() {
            drops.tick().await;
        }
        // Whoever has nothing to say keeps the connection all the same.
        std::future::pending::<()>().await;
        drop(said);
    };
    let listening = async {
        let answer = heard.answer().await.ok();
        heard.closed().await;
        answer
    };
    let refused = tokio::select! {
        refused = listening => refused,
        () = dripping => None,
    };
    if let Some((status, body)) = refused {
        let told = matches!(slow, Slow::Body) && status == 400 && body.contains("did not arrive in time");
        // Headers that do not arrive may be told as well, in a status alone.
        assert!(told || (matches!(slow, Slow::Headers) && status == 408), "{slow:?}: {status} {body}");
    }
    begun.elapsed()
}

/// Opens so many connections, on which nothing is said, and waits until all are closed. How many were open at the same
/// time, and how long the last one was.
async fn hold_silent(count: u64, address: SocketAddr) -> (usize, Duration) {
    let (mut clients, openers) = (JoinSet::new(), Arc::new(Semaphore::new(16)));
    for _ in 0..count {
        let openers = openers.clone();
        clients.spawn(async move {
            let opening = openers.acquire().await.expect("it is never closed");
            let wire = Wire::to(address).await.expect("a connection");
            drop(opening);
            let opened = Instant::now();
            cut_off(wire, Slow::Silent).await;
            (opened, Instant::now())
        });
    }
    let times = clients.join_all().await;
    let openings = times.iter().map(|(opened, _)| (*opened, 1));
    let mut changes: Vec<(Instant, isize)> = openings.chain(times.iter().map(|(_, closed)| (*closed, -1))).collect();
    changes.sort_unstable();
    let open = changes.iter().scan(0, |open, (_, change)| {
        *open += change;
        Some(*open)
    });
    let longest = times.iter().map(|(opened, closed)| *closed - *opened).max().unwrap_or_default();
    (usize::try_from(open.max().unwrap_or_default()).expect("no less than none"), longest)
}

/// Orders, each on a connection of its own, until it is told to stop: how many, and the slowest.
async fn honest(addresses: Vec<SocketAddr>, stop: CancellationToken) -> (usize, Duration) {
    let (mut count, mut slowest) = (0, Duration::ZERO);
    let body = order(&[("MUG", 1)]).to_string();
    while !stop.is_cancelled() || count < 10 {
        let begun = Instant::now();
        let mut wire = Wire::to(addresses[count % addresses.len()]).await.expect("a connection");
        let (status, answer) = wire.place(&body, PATIENCE).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        slowest = slowest.max(begun.elapsed());
        count += 1;
    }
    (count, slowest)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_slow_clients_are_cut_off_and_nobody_else_notices() {
    let silent = silent();
    // By custom a program may open few files until it asks for more.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let shop = Shop::open_with(|launch| launch.with_open_files(1_024.min(most), most)).await;
    shop.stock("MUG", 1_000_000).await;
    let (orders, inventory) = shop.programs.addresses();
    let stop = CancellationToken::new();
    let others = tokio::spawn(honest(orders.clone(), stop.clone()));

    let mut clients = JoinSet::new();
    for address in orders.iter().chain(&inventory) {
        for slow in [[Slow::Headers; SLOW], [Slow::Body; SLOW]].concat() {
            // The order is answered by the Order Service alone; elsewhere the path is unknown, and the body not read.
            if matches!(slow, Slow::Headers) || orders.contains(address) {
                let wire = Wire::to(*address).await.expect("a connection");
                clients.spawn(async move { (slow, cut_off(wire, slow).await) });
            }
        }
    }
    let (most_at_once, nothing) = hold_silent(silent, orders[0]).await;
    let ended = clients.join_all().await;
    stop.cancel();
    let (count, slowest) = others.await.expect("honest clients are served");
    let longest = |wanted: fn(&Slow) -> bool| {
        ended.iter().filter(|(slow, _)| wanted(slow)).map(|(_, took)| *took).max().unwrap_or_default()
    };
    let [headers, bodies] = [longest(|slow| matches!(slow, Slow::Headers)), longest(|slow| matches!(slow, Slow::Body))];
    println!(
        "{silent} silent connections (this process may open {most} files), {most_at_once} at the same time, cut off \
         within {nothing:.1?} at most; slow headers within {headers:.1?}, slow bodies within {bodies:.1?}; \
         beside them {count} orders, the slowest within {slowest:.2?}"
    );
    assert!(headers.max(bodies).max(nothing) < CUT_OFF);
    assert!(slowest < UNAFFECTED);
    shop.must_verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_silent_clients_than_there_is_room_for_keep_nobody_out() {
    let shop = Shop::open_with(|launch| launch.with_open_files(256, 256)).await;
    shop.stock("MUG", 1_000_000).await;
    let (orders, _) = shop.programs.addresses();
    let mut silent = Vec::new();
    for _ in 0..600 {
        for address in &orders {
            silent.push(Wire::to(*address).await.expect("a connection"));
        }
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let (count, slowest) = honest(orders, stop).await;
    println!("beside {} silent connections, {count} orders, the slowest within {slowest:.2?}", silent.len());
    assert!(slowest < UNAFFECTED);
    shop.confirmed(&[("MUG", 1)]).await;
    shop.must_verify().await;
}
