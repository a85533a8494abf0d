//! One HTTP/1.1 connection to a service, kept alive, with one request at a time.
//!
//! It is written by hand, because the load shares the cores with the services that it measures: a
//! request is one write, an answer mostly one read, and neither starts a task or sets a timer.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Uri};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) use endpoint::Endpoint;
use endpoint::ORDERS;

mod answer;
mod endpoint;

/// The services close a connection that is idle for 10 s. A connection that was idle for half as
/// long is not reused, because the service could close it just then.
const MAX_IDLE: Duration = Duration::from_secs(5);
/// What a client sends that waits for the outcome: the longest wait that the API grants.
const WAIT: &str = "prefer: wait=30\r\n";

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("timeout")]
    Timeout,
    /// The connection could not be opened, or closed before the answer was complete.
    #[error("connection: {0}")]
    Connection(String),
}

/// A complete answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// A connection that opens on demand, and again after it was closed.
#[derive(Debug)]
pub(super) struct Line {
    endpoint: Endpoint,
    open: Option<TcpStream>,
    /// When the connection was last used.
    used: Instant,
    /// The request, and what was received of its answer; both keep their memory.
    request: Vec<u8>,
    received: BytesMut,
    /// Fires not later than the request's deadline. To set a timer for each request would cost more
    /// than to let one fire too early now and then.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(super) fn to(endpoint: &Endpoint) -> Self {
        Self {
            endpoint: endpoint.clone(),
            open: None,
            used: Instant::now(),
            request: Vec::new(),
            received: BytesMut::new(),
            alarm: None,
        }
    }

    pub(super) async fn get(
        &mut self,
        path: &'static str,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        self.send(&Method::GET, path, "", &[], patience).await
    }

    /// Sends a request with a JSON body.
    pub(super) async fn json(
        &mut self,
        method: Method,
        path: Uri,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        self.send(&method, path.path(), "", &body, patience).await
    }

    /// Places an order.
    pub(super) async fn place(
        &mut self,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, Broken> {
        self.send(&Method::POST, ORDERS, "", body, patience).await
    }

    /// Places an order and waits for its outcome.
    pub(super) async fn place_and_wait(
        &mut self,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, Broken> {
        self.send(&Method::POST, ORDERS, WAIT, body, patience).await
    }

    /// Changes an order, and waits until Inventory has answered.
    pub(super) async fn change(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let mut headers = WAIT.to_owned();
        if let Some(key) = key {
            headers.push_str("idempotency-key: ");
            headers.push_str(key);
            headers.push_str("\r\n");
        }
        self.send(&Method::POST, path, &headers, body, patience).await
    }

    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        headers: &str,
        body: &[u8],
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let Self { endpoint, open, used, request, received, alarm } = self;
        request.clear();
        received.clear();
        endpoint.write_request(request, method, path, headers, body);
        let idle = open.take().filter(|_| used.elapsed() < MAX_IDLE).filter(is_alive);
        let exchange = async {
            let mut stream = match idle {
                Some(idle) => idle,
                None => endpoint.connect().await.map_err(|error| broken(error.kind()))?,
            };
            stream.write_all(request).await.map_err(|error| broken(error.kind()))?;
            let (answer, reusable) = answer::read(&mut stream, received).await?;
            Ok((answer, reusable.then_some(stream)))
        };
        let deadline = Instant::now() + patience;
        let (answer, reusable) = within(alarm, deadline, exchange).await?;
        *open = reusable;
        *used = Instant::now();
        Ok(answer)
    }
}

/// Whether the service has left the connection open, and has sent nothing that nobody asked for.
fn is_alive(idle: &TcpStream) -> bool {
    let read = idle.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// What the future returns, unless the deadline passes before.
async fn within<T>(
    alarm: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    future: impl Future<Output = Result<T, Broken>>,
) -> Result<T, Broken> {
    let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if alarm.deadline() > deadline {
        alarm.as_mut().reset(deadline);
    }
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Err(Broken::Timeout));
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

fn broken(reason: impl fmt::Display) -> Broken {
    Broken::Connection(reason.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A service that answers the first request of each connection with `first` and then closes it.
    async fn short_lived(first: &'static str) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = Endpoint::at(listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.expect("a request");
                assert!(read > 0);
                stream.write_all(first.as_bytes()).await.expect("a client that reads");
            }
        });
        endpoint
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_is_reopened() {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\na: b\r\n\r\n",
        ] {
            let mut line = Line::to(&short_lived(answer).await);
            for _ in 0..3 {
                let answer = line.get("/", PATIENCE).await.expect("an answer");
                assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
                // Waits until this side has seen the end of the connection.
                while line.open.as_ref().is_some_and(is_alive) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    #[tokio::test]
    async fn the_cause_of_a_missing_answer_is_reported() {
        let mut cut =
            Line::to(&short_lived("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await);
        assert!(matches!(cut.get("/", PATIENCE).await, Err(Broken::Connection(_))));
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut line = Line::to(&Endpoint::at(silent.local_addr().expect("an address")));
        assert_eq!(
            line.get("/", Duration::from_millis(1)).await.expect_err("silence"),
            Broken::Timeout
        );
        let address = silent.local_addr().expect("an address");
        drop(silent);
        let refused =
            Line::to(&Endpoint::at(address)).get("/", PATIENCE).await.expect_err("nobody listens");
        assert_eq!(refused.to_string(), "connection: connection refused");
    }
}
