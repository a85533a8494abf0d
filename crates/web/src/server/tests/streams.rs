//! Answers that do not end by themselves.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{once, unfold};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// A stream that sends something now and again after each pause.
fn every(pause: Duration) -> Response {
    let body = unfold(Duration::ZERO, move |wait| async move {
        tokio::time::sleep(wait).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b":\n\n")), pause))
    });
    Response::new(Body::from_stream(body))
}

/// Waits until the stream at this path has begun.
async fn streaming(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut stream = sent(address, &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    must_send(&mut stream).await;
    stream
}

/// Waits for the next message.
async fn must_send(stream: &mut TcpStream) {
    let mut seen = String::new();
    while !seen.contains(":\n\n") {
        let mut more = [0; 256];
        let read = stream.read(&mut more).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&more[..read]).unwrap());
    }
}

/// Whether the server has closed a connection on which nothing else arrives.
fn is_cut(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_stream_gives_way_to_a_request_when_all_connections_are_taken() {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/stream", get(|| async { every(Duration::from_secs(3600)) }));
    let server = running_with(Slots::with_capacity(2), router).await;
    let first = streaming(server.address, "/stream").await;
    let second = streaming(server.address, "/stream").await;
    assert!(rest(sent(server.address, GET).await).await.ends_with("hello"));
    first.readable().await.unwrap();
    assert!(is_cut(&first) && !is_cut(&second), "the one that is open for longest is cut");
}

#[tokio::test]
async fn of_two_streams_the_one_that_sent_nothing_for_longest_gives_way() {
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let lively = || async move {
        let body = unfold(false, move |has_begun| {
            let wait = wait.clone();
            async move {
                if has_begun {
                    wait.notified().await;
                }
                Some((Ok::<_, Infallible>(Bytes::from_static(b":\n\n")), true))
            }
        });
        Response::new(Body::from_stream(body))
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/lively", get(lively))
        .route("/stream", get(|| async { every(Duration::from_secs(3600)) }));
    let server = running_with(Slots::with_capacity(2), router).await;
    let mut first = streaming(server.address, "/lively").await;
    let second = streaming(server.address, "/stream").await;
    go_on.notify_one();
    must_send(&mut first).await;
    assert!(rest(sent(server.address, GET).await).await.ends_with("hello"));
    second.readable().await.unwrap();
    assert!(is_cut(&second) && !is_cut(&first));
}

/// Time is paused: it jumps to the next timer when there is nothing else to do.
#[tokio::test(start_paused = true)]
async fn a_stream_lives_as_long_as_it_sends_something() {
    let silent = || async {
        let first = once(async { Ok::<_, Infallible>(Bytes::from_static(b":\n\n")) });
        let then = futures_util::stream::pending();
        Response::new(Body::from_stream(futures_util::StreamExt::chain(first, then)))
    };
    let router = Router::new().route("/stream", get(silent));
    let server = running(router).await;
    let started = tokio::time::Instant::now();
    let mut cut = streaming(server.address, "/stream").await;
    assert!(matches!(cut.read(&mut [0; 64]).await, Ok(0) | Err(_)));
    assert!((IDLE..2 * IDLE).contains(&started.elapsed()), "{:?}", started.elapsed());

    let router = Router::new().route("/stream", get(|| async { every(IDLE / 5) }));
    let server = running(router).await;
    let started = tokio::time::Instant::now();
    let mut open = streaming(server.address, "/stream").await;
    while started.elapsed() < 10 * IDLE {
        let read = open.read(&mut [0; 64]).await.unwrap();
        assert!(read > 0, "it was cut after {:?}", started.elapsed());
    }
}
