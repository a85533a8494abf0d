use axum::routing::get;
use platform::clock::{SystemClock, SystemIds};
use platform::process::LimitSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::silence::HEADER_TIMEOUT;

const IDLE: Duration = Duration::from_secs(75);

struct Running {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

async fn running(router: Router) -> Running {
    running_with(Slots::new(), router).await
}

async fn running_with(slots: Arc<Slots>, router: Router) -> Running {
    running_limited(slots, Arc::default(), router).await
}

async fn running_limited(slots: Arc<Slots>, limits: Arc<Limits>, router: Router) -> Running {
    let listener = bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let ids = Arc::new(SystemIds::new(Arc::new(SystemClock)));
    let serving = Serving { slots, limits, ids, idle_timeout: IDLE };
    let serving = serve(listener, router, serving, shutdown.clone());
    Running { address, shutdown, server: tokio::spawn(serving) }
}

async fn sent(address: std::net::SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_request_in_flight_is_finished_after_the_shutdown_begins() {
    let entered = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let enter = entered.clone();
    let wait = go_on.clone();
    let slow = move || async move {
        enter.notify_one();
        wait.notified().await;
        "done"
    };
    let server = running(Router::new().route("/", get(slow))).await;
    let stream = sent(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    entered.notified().await;
    server.shutdown.cancel();
    go_on.notify_one();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"), "{answer}");
    server.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_shutdown() {
    let server = running(Router::new().route("/", get(|| async { "hello" }))).await;
    let mut stream = sent(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.shutdown.cancel();
    server.server.await.unwrap().unwrap();
    assert!(rest(stream).await.ends_with("hello"));
}

/// Time is paused: it jumps to the next timer when there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_headers_is_cut() {
    let server = running(Router::new()).await;
    let started = tokio::time::Instant::now();
    for beginning in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n"] {
        assert!(!rest(sent(server.address, beginning).await).await.contains("200 OK"));
    }
    assert!(started.elapsed() < 4 * HEADER_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_until_the_time_is_over() {
    let server = running(Router::new().route("/", get(|| async { "hello" }))).await;
    let started = tokio::time::Instant::now();
    let stream = sent(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(rest(stream).await.ends_with("hello"));
    assert!((IDLE..2 * IDLE).contains(&started.elapsed()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_when_the_drain_is_over() {
    let entered = Arc::new(Notify::new());
    let enter = entered.clone();
    let stuck = move || async move {
        enter.notify_one();
        std::future::pending::<()>().await;
    };
    let server = running(Router::new().route("/", get(stuck))).await;
    let stream = sent(server.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    entered.notified().await;
    tokio::time::pause();
    server.shutdown.cancel();
    server.server.await.unwrap().unwrap();
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_with_a_problem_document() {
    let server = running(Router::new().route("/", get(|| async { "hello" }))).await;
    let long = "x".repeat(2 * BUFFER_BYTES);
    for (sent_text, status, code) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400, "malformed_request"),
        ("GET / HTTP/1.1\r\nHost h\r\n\r\n".to_owned(), 400, "malformed_request"),
        (format!("GET /{long} HTTP/1.1\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), 431, "headers_too_large"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101)), 431, "headers_too_large"),
    ] {
        for before in ["", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let mut stream = sent(server.address, &format!("{before}{sent_text}")).await;
            let mut answer = Vec::new();
            // What the server has not read resets the connection, after the answer.
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).expect("text");
            let what = format!("{before:?} {:.40}: {answer}", sent_text);
            assert_eq!(answer.matches("hello").count(), before.len().min(1), "{what}");
            let last = answer.split("HTTP/1.1 ").last().expect("an answer");
            let (head, body) = last.split_once("\r\n\r\n").expect(&what);
            let document: serde_json::Value = serde_json::from_str(body).expect(&what);
            assert_eq!((&document["status"], &document["code"]), (&status.into(), &code.into()));
            let header = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.strip_prefix(": ")).expect(&what).to_owned()
            };
            assert!(head.starts_with(&status.to_string()), "{what}");
            assert_eq!(header("content-type"), "application/problem+json");
            assert_eq!(header("content-length"), body.len().to_string());
            assert_eq!(header("connection"), "close");
            assert_eq!(header("x-request-id"), document["request_id"]);
            assert!(header("date").ends_with(" GMT"), "{what}");
        }
    }
}

#[tokio::test]
async fn a_client_that_withholds_a_body_gives_way_and_one_that_waits_for_an_answer_does_not() {
    let entered = Arc::new(Notify::new());
    let go_on = Arc::new(Notify::new());
    let (enter, wait) = (entered.clone(), go_on.clone());
    let slow = move |_: bytes::Bytes| async move {
        enter.notify_one();
        wait.notified().await;
        "done"
    };
    let router = Router::new().route("/", get(|| async { "hello" }).post(slow));
    let server = running_with(Slots::with_capacity(2), router).await;
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    let withheld = sent(server.address, &format!("{post}bo")).await;
    let waiting = sent(server.address, &format!("{post}body")).await;
    entered.notified().await;
    let get = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(rest(sent(server.address, get).await).await.ends_with("hello"));
    let cut = withheld.readable().await.and_then(|()| withheld.try_read(&mut [0]));
    assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
    go_on.notify_one();
    assert!(rest(waiting).await.ends_with("done"));
}

#[tokio::test]
async fn an_address_that_holds_too_many_connections_loses_those_that_were_idle_for_longest() {
    let settings = LimitSettings { address_connections: Some(2), ..LimitSettings::default() };
    let limits = Arc::new(Limits::new(&settings).unwrap());
    let router = Router::new().route("/", get(|| async { "hello" }));
    let server = running_limited(Slots::with_capacity(100), limits, router).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut stream = sent(server.address, get).await;
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        streams.push(stream);
    }
    for stream in streams.drain(..3) {
        assert!(rest(stream).await.ends_with("hello"), "it is closed, and its answer was whole");
    }
    for mut stream in streams {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        assert_eq!(rest(stream).await.matches("hello").count(), 2, "it is still served");
    }
}

#[tokio::test]
async fn an_address_in_use_is_reported_in_one_line() {
    let taken = bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(&address.to_string().parse().unwrap()).await.unwrap_err();
    let line = format!(
        "cannot listen on {address}: address already in use; choose another address with --listen"
    );
    assert_eq!(error.to_string(), line);
}

mod livez;
mod streams;
