//! What clients may hold at the same time, and that it keeps no other client out.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use testbed::{
    Deployment, PATIENCE, Program, RawConnection, ResponseReader, eventually, lastro,
    max_connections, order, order_request,
};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use crate::keys::Keys;

/// The most memory of a connection before the headers of its request are complete.
const MOST_BYTES: u64 = 64 * 1024;
/// How long `/livez` may take on a busy machine. Slots that become free by themselves do so later.
const ALIVE_WITHIN: Duration = Duration::from_secs(8);

/// How long a new connection does not count for its address.
const GRACE: Duration = Duration::from_secs(1);
/// The number of attempts to open many connections in that time.
const MAX_TRIES: u32 = 20;

/// A connection, and what was sent on it so far.
struct Client {
    responses: ResponseReader,
    requests: OwnedWriteHalf,
}

impl Client {
    async fn sending(address: SocketAddr, text: &str) -> Self {
        let (responses, requests) = RawConnection::to(address).await.expect("it listens").split();
        let mut client = Self { responses, requests };
        client.send(text).await;
        client
    }

    async fn send(&mut self, text: &str) {
        // A connection that was closed meanwhile is no mistake of the test.
        let _ = self.requests.write_all(text.as_bytes()).await;
    }

    async fn ask(&mut self, text: &str) -> Option<u16> {
        self.send(text).await;
        self.responses.next().await.ok().map(|(status, _)| status)
    }

    async fn is_closed_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.responses.closed()).await.is_ok()
    }
}

/// A request, but for the end of its headers.
fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}")
}

async fn livez(address: SocketAddr) -> Option<u16> {
    let text = request("GET", "/livez", "Connection: close\r\n\r\n");
    let asking = async { Client::sending(address, "").await.ask(&text).await };
    tokio::time::timeout(ALIVE_WITHIN, asking).await.expect("it is answered in time")
}

/// How many bytes have arrived on connections to this port that the program has not read.
fn unread(program: &Program) -> u64 {
    let table =
        std::fs::read_to_string(format!("/proc/{}/net/tcp", program.pid())).expect("it runs");
    let port = format!(":{:04X}", program.address().port());
    let own = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let own = own.filter(|columns| columns.get(1).is_some_and(|local| local.ends_with(&port)));
    let queues = own.filter_map(|columns| columns.get(4)?.split_once(':'));
    queues.map(|(_, queue)| u64::from_str_radix(queue, 16).expect("a number")).sum()
}

#[tokio::test]
async fn a_connection_takes_at_most_64_kib_before_its_headers_are_complete() {
    const COUNT: u64 = 400;
    assert!(max_connections() >= 2 * COUNT, "this process may open too few files");
    let shop = Deployment::open().await;
    let program = &shop.programs.orders[0];
    let headers = format!("X-Long: {}", "x".repeat(47 * 1024));
    let almost = request("GET", "/api/orders", &headers);
    let mut clients = Vec::new();
    let mut more = async |count| {
        for _ in 0..count {
            clients.push(Client::sending(program.address(), &almost).await);
        }
        let read = async || (unread(program) == 0).then_some(());
        eventually(PATIENCE, "the program has read all that was sent", read).await;
        program.resident_bytes()
    };
    // The first connections also pay for what the program makes once.
    let before = more(50).await;
    let after = more(COUNT).await;
    let each = after.saturating_sub(before) / COUNT;
    println!("each of {COUNT} connections took {each} bytes");
    assert!(each <= MOST_BYTES, "{each}");
    assert!(each >= almost.len() as u64 / 2, "{each}: they are not held at the same time");
}

/// Takes all connections at these addresses, and asks at the last of them whether the program is
/// alive.
async fn must_stay_alive(shop: &Deployment, addresses: &[SocketAddr]) {
    let (orders, probes) = (shop.programs.orders[0].address(), *addresses.last().expect("one"));
    shop.stock("MUG", 1_000_000).await;
    let (mut held, inventory) = (Vec::new(), shop.hold_inventory().await);
    let mug = order(&[("MUG", 1)]).to_string();
    let waiting = order_request(mug.len(), &mug).replacen("\r\n", "\r\nPrefer: wait=30\r\n", 1);
    for _ in 0..128 {
        held.push(Client::sending(orders, &waiting).await);
    }
    let attacks = [
        String::new(),
        request("GET", "/livez", ""),
        order_request(1000, "{"),
        request("GET", "/livez", "\r\n"),
    ];
    for attack in &attacks {
        for address in addresses {
            for _ in 0..200 {
                held.push(Client::sending(*address, attack).await);
            }
        }
        for _ in 0..20 {
            assert_eq!(livez(probes).await, Some(200), "{attack:?}");
        }
    }
    drop((held, inventory));
    shop.confirmed(&[("MUG", 1)]).await;
}

/// The program has 128 connections, of which 64 wait for an outcome.
#[tokio::test]
async fn livez_is_answered_while_one_client_takes_every_connection() {
    let shop = Deployment::open_with(|launch| launch.with_open_files(256, 256)).await;
    must_stay_alive(&shop, &[shop.programs.orders[0].address()]).await;
}

/// There are 32 more connections at the address of the probes.
#[tokio::test]
async fn livez_at_an_address_of_its_own_is_answered_while_one_client_takes_every_connection() {
    let own = ["--metrics-listen", "127.0.0.1:0"];
    let shop = Deployment::open_with(|launch| launch.with_open_files(256, 256).args(own)).await;
    let program = &shop.programs.orders[0];
    must_stay_alive(&shop, &[program.address(), own_address_of_probes(program)]).await;
}

/// The address of `--metrics-listen`, which the program has logged.
fn own_address_of_probes(program: &Program) -> SocketAddr {
    let log = program.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut lines = lines.filter(|line| line["message"] == "serving metrics and probes");
    let address = lines.next().and_then(|line| line["address"].as_str()?.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {log}"))
}

/// Opens many connections at once, and only then sends this request with a key on each. A machine
/// that is too busy to do so within a second tries again.
async fn burst(address: SocketAddr, count: usize, keyed: &str) -> Vec<Client> {
    for _ in 0..MAX_TRIES {
        let begun = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client::sending(address, "").await);
        }
        let mut answers = Vec::new();
        for client in &mut clients {
            answers.push(client.ask(keyed).await);
        }
        if begun.elapsed() < GRACE {
            assert!(answers.iter().all(|status| *status == Some(200)), "{answers:?}");
            return clients;
        }
    }
    panic!("this machine is too busy to open {count} connections within {GRACE:?}");
}

#[tokio::test]
async fn a_storefront_keeps_its_connections_while_others_at_its_address_lose_theirs() {
    const LIMIT: usize = 4;
    let keys = Keys::new();
    let (key, _) = keys.create("stock:read", &[]).await;
    let file = keys.file();
    let shop = Deployment::open_with(|launch| {
        let launch = launch.env("LASTRO_API_KEYS_FILE", &file);
        launch.env("LASTRO_ADDRESS_CONNECTIONS", LIMIT.to_string())
    })
    .await;
    let address = shop.programs.address_of("/api/inventory/locations");
    let keyed = format!("Authorization: Bearer {key}\r\n\r\n");
    let keyed = request("GET", "/api/inventory/locations", &keyed);
    let mut storefront = Vec::new();
    for _ in 0..2 {
        storefront.extend(burst(address, 8 * LIMIT, &keyed).await);
    }
    let mut strangers = Vec::new();
    for _ in 0..3 * LIMIT {
        let mut stranger = Client::sending(address, "").await;
        assert_eq!(stranger.ask(&request("GET", "/livez", "\r\n")).await, Some(200));
        strangers.push(stranger);
    }
    for lost in &mut strangers[..2 * LIMIT] {
        assert!(lost.is_closed_within(PATIENCE).await);
    }
    for kept in &mut strangers[2 * LIMIT..] {
        assert_eq!(kept.ask(&request("GET", "/livez", "\r\n")).await, Some(200));
    }
    for client in &mut storefront {
        assert_eq!(client.ask(&keyed).await, Some(200));
    }
}

#[tokio::test]
async fn a_limit_of_an_address_is_at_least_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flag, key) in [
        ("--address-connections", "address_connections"),
        ("--address-requests", "address_requests"),
    ] {
        for value in ["0", "1000001"] {
            let refused = lastro(folder.path()).args([flag, value]).to_end().await;
            refused.must_be_refused(2, &[key, "1 to 1000000"]);
        }
    }
}
