//! HTTP by hand: connections that do what no client library does.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// What this process has open beside its connections.
const RESERVE: u64 = 1_000;

/// How many connections this process may open: as many as it is allowed to, whatever limit it started with.
pub(crate) fn room() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let may_open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    may_open.saturating_sub(RESERVE)
}

/// A connection, on which one request follows the other.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) heard: Heard,
    said: OwnedWriteHalf,
}

/// What comes from the other side.
#[derive(Debug)]
pub(crate) struct Heard(BufReader<OwnedReadHalf>);

impl Wire {
    pub(crate) async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (heard, said) = stream.into_split();
        Ok(Self { heard: Heard(BufReader::new(heard)), said })
    }

    /// Both directions, each for somebody else.
    pub(crate) fn split(self) -> (Heard, OwnedWriteHalf) {
        (self.heard, self.said)
    }

    /// Places an order and waits for its answer: the status, and the body.
    ///
    /// **Errors:** none came. The connection is of no more use.
    pub(crate) async fn place(&mut self, order: &str, patience: Duration) -> std::io::Result<(u16, String)> {
        let exchange = async {
            self.said.write_all(request(order.len(), order).as_bytes()).await?;
            self.heard.answer().await
        };
        tokio::time::timeout(patience, exchange).await?
    }
}

impl Heard {
    /// Reads one answer.
    pub(crate) async fn answer(&mut self) -> std::io::Result<(u16, String)> {
        let bad = |what: &str| std::io::Error::other(what.to_owned());
        let (mut line, mut status, mut length) = (String::new(), None, 0);
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

    /// Waits until the other side has closed it.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while let Ok(1..) = self.0.read(&mut rest).await {}
    }
}

/// The beginning of a request for an order of `length` bytes, and as much of its body as is given.
pub(crate) fn request(length: usize, body: &str) -> String {
    format!(
        "POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
