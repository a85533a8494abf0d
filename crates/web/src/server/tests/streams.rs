//! Answers that do not end by themselves.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{once, unfold};

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const STREAM: &str = "GET /stream HTTP/1.1\r\nHost: h\r\n\r\n";

/// A stream that sends something now and again after each pause.
fn every(pause: Duration) -> Response {
    let body = unfold(Duration::ZERO, move |wait| async move {
        tokio::time::sleep(wait).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b":\n\n")), pause))
    });
    Response::new(Body::from_stream(body))
}

/// Waits until the stream has begun.
async fn streaming(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = sent(address, STREAM).await;
    let mut seen = String::new();
    while !seen.contains(":\n\n") {
        let mut more = [0; 256];
        let read = stream.read(&mut more).await.unwrap();
        assert!(read > 0, "{seen}");
        seen.push_str(std::str::from_utf8(&more[..read]).unwrap());
    }
    stream
}

#[tokio::test]
async fn a_stream_gives_way_to_a_request_when_all_connections_are_taken() {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/stream", get(|| async { every(Duration::from_secs(3600)) }));
    let server = running_with(Slots::with_capacity(2), router).await;
    let [first, second] = [streaming(server.address).await, streaming(server.address).await];
    assert!(rest(sent(server.address, GET).await).await.ends_with("hello"));
    let is_cut = |stream: &TcpStream| !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    first.readable().await.unwrap();
    assert!(is_cut(&first) && !is_cut(&second), "the one that is open for longest is cut");
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
    let mut cut = streaming(server.address).await;
    assert!(matches!(cut.read(&mut [0; 64]).await, Ok(0) | Err(_)));
    assert!((IDLE..2 * IDLE).contains(&started.elapsed()), "{:?}", started.elapsed());

    let router = Router::new().route("/stream", get(|| async { every(IDLE / 5) }));
    let server = running(router).await;
    let started = tokio::time::Instant::now();
    let mut open = streaming(server.address).await;
    while started.elapsed() < 10 * IDLE {
        let read = open.read(&mut [0; 64]).await.unwrap();
        assert!(read > 0, "it was cut after {:?}", started.elapsed());
    }
}
