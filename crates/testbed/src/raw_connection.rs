//! HTTP by hand: connections that do what no client library would do.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The number of files that this process may have open beside its connections.
const RESERVE: u64 = 1_000;

/// Raises the limit of open files as far as allowed, and returns how many connections this process
/// may open.
pub fn max_connections() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let may_open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    may_open.saturating_sub(RESERVE)
}

/// A connection to a service, on which one request follows the other.
#[derive(Debug)]
pub struct RawConnection {
    responses: ResponseReader,
    requests: OwnedWriteHalf,
}

/// The half of a connection that reads responses.
#[derive(Debug)]
pub struct ResponseReader(BufReader<OwnedReadHalf>);

impl RawConnection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Fails if no service listens there.
    pub async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (responses, requests) = stream.into_split();
        Ok(Self { responses: ResponseReader(BufReader::new(responses)), requests })
    }

    /// Splits the connection into both directions, to be used independently.
    pub fn split(self) -> (ResponseReader, OwnedWriteHalf) {
        (self.responses, self.requests)
    }

    /// Places an order and returns the response: the status and the body.
    ///
    /// # Errors
    ///
    /// Fails if no response came in time. The connection must not be used any more.
    pub async fn place(
        &mut self,
        order: &str,
        patience: Duration,
    ) -> std::io::Result<(u16, String)> {
        let exchange = async {
            self.requests.write_all(order_request(order.len(), order).as_bytes()).await?;
            self.responses.next().await
        };
        tokio::time::timeout(patience, exchange).await?
    }
}

impl ResponseReader {
    /// Reads one response: the status and the body.
    ///
    /// # Errors
    ///
    /// Fails if the connection was closed, or if the response is not HTTP/1.1 with a text of a
    /// known length.
    pub async fn next(&mut self) -> std::io::Result<(u16, String)> {
        let bad = |what: &str| std::io::Error::other(what.to_owned());
        let mut line = String::new();
        let mut status = None;
        let mut length = 0;
        loop {
            line.clear();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(bad("the connection was closed"));
            }
            let Some(status) = status else {
                status = line.split(' ').nth(1).and_then(|number| number.parse().ok());
                if status.is_none() {
                    return Err(bad("no status"));
                }
                continue;
            };
            if line == "\r\n" {
                let mut body = vec![0; length];
                self.0.read_exact(&mut body).await?;
                return Ok((status, String::from_utf8(body).map_err(|_| bad("no text"))?));
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| bad("no length"))?;
            }
        }
    }

    /// Waits until the other side has closed the connection.
    pub async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while let Ok(1..) = self.0.read(&mut rest).await {}
    }
}

/// A request that orders with a `Content-Length` of `length` bytes, followed by `body`, which may
/// be shorter.
pub fn order_request(length: usize, body: &str) -> String {
    format!(
        "POST /api/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
