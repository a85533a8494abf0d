//! `/livez` while somebody takes all that there is.

use std::sync::atomic::{AtomicUsize, Ordering};

use platform::process::LimitSettings;
use platform::rate::Rate;
use platform::readiness::Readiness;
use platform::telemetry::Metrics;
use prometheus_client::registry::Registry;

use super::*;
use crate::auth::{Guard, PROBES};
use crate::edge::Edge;
use crate::probes::{self, Probes};

const SLOTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
const HOST: &str = "HTTP/1.1\r\nHost: h\r\n";

/// A server with few slots, of which half may wait. `waiting` counts the requests that wait.
async fn server(slots: Arc<Slots>, settings: &LimitSettings, waiting: Arc<AtomicUsize>) -> Running {
    let limits = Arc::new(Limits::new(settings).unwrap().with_waits(SLOTS / 2));
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, "1");
    let counted = waiting.clone();
    let waits = |headers: http::HeaderMap| async move {
        if headers.contains_key("prefer") {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        "at once"
    };
    let stuck = || async move {
        waiting.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let probes = Probes {
        name: "test",
        version: "1",
        readiness: Readiness::default(),
        registry: Arc::new(registry),
    };
    let routes = probes::router(probes)
        .route("/", get(|| async { "hello" }).post(|_: bytes::Bytes| async { "read" }))
        .route("/wait", get(waits))
        .route("/stuck", get(stuck));
    let ids = Arc::new(SystemIds::new(Arc::new(SystemClock)));
    let edge = Edge::new("test", metrics, ids).guarded_by(Guard::open(PROBES), limits.clone());
    running_limited(slots, limits, edge.wrap(routes)).await
}

/// Asks on a connection of its own. Returns the whole answer once the connection is closed.
async fn ask(address: std::net::SocketAddr, path: &str, headers: &str) -> String {
    let request = format!("GET {path} {HOST}{headers}\r\n");
    let asking = async { rest(sent(address, &request).await).await };
    tokio::time::timeout(PATIENCE, asking).await.expect("it is answered in time")
}

async fn must_be_alive(address: std::net::SocketAddr) {
    let answer = ask(address, "/livez", "Connection: close\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

async fn becomes(count: &AtomicUsize, expected: usize) {
    let counting = async {
        while count.load(Ordering::Relaxed) < expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counting).await.expect("the requests arrive");
}

async fn stays_alive(settings: &LimitSettings, waiting_at_most: usize) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let slots = Slots::with_capacity(SLOTS);
    let server = server(slots, settings, waiting.clone()).await;
    let mut held = Vec::new();
    for _ in 0..SLOTS {
        let request = format!("GET /wait {HOST}Prefer: wait=30\r\n\r\n");
        held.push(sent(server.address, &request).await);
    }
    becomes(&waiting, waiting_at_most).await;
    let attacks = [
        String::new(),
        format!("GET / {HOST}"),
        format!("POST / {HOST}Content-Length: 9\r\n\r\nbo"),
        format!("GET / {HOST}\r\n"),
    ];
    for attack in &attacks {
        for _ in 0..2 * SLOTS {
            held.push(sent(server.address, attack).await);
        }
        for _ in 0..SLOTS {
            must_be_alive(server.address).await;
        }
    }
    assert_eq!(waiting.load(Ordering::Relaxed), waiting_at_most);
}

#[tokio::test]
async fn livez_is_answered_while_one_address_takes_every_slot() {
    stays_alive(&LimitSettings::default(), SLOTS / 2).await;
}

#[tokio::test]
async fn livez_is_answered_to_an_address_that_is_at_all_of_its_limits() {
    let settings = LimitSettings {
        address_rate: Rate::new(1, Some(10)),
        address_connections: Some(2),
        address_requests: Some(4),
        ..LimitSettings::default()
    };
    stays_alive(&settings, 4).await;
}

/// Requests that do not wait for an outcome may take all slots too, when a database is slow.
#[tokio::test]
async fn livez_is_answered_while_every_connection_has_a_request_in_flight() {
    let stuck = Arc::new(AtomicUsize::new(0));
    let slots = Slots::with_spare(4, 2);
    let server = server(slots, &LimitSettings::default(), stuck.clone()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(sent(server.address, &format!("GET /stuck {HOST}\r\n")).await);
    }
    becomes(&stuck, 4).await;
    for beginning in [String::new(), format!("GET / {HOST}")] {
        for _ in 0..4 {
            held.push(sent(server.address, &beginning).await);
        }
        must_be_alive(server.address).await;
        // The server closes the connection by itself: other clients need its slot.
        let refused = ask(server.address, "/", "").await;
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("overloaded"),
            "{refused}"
        );
        assert!(ask(server.address, "/livez", "").await.contains("alive"));
    }
    drop(held);
    let served = async {
        while !ask(server.address, "/", "Connection: close\r\n").await.ends_with("hello") {}
    };
    tokio::time::timeout(PATIENCE, served).await.expect("slots become free");
}
