//! One HTTP/1.1 connection to a service, kept alive, with one request at a time.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use platform::config::UsageError;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// The services close a connection that is idle for 10 s. A connection that was idle for half as
/// long is not reused, because the service could close it just then.
const MAX_IDLE: Duration = Duration::from_secs(5);
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The address of a service: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The `host:port` to connect to.
    address: Arc<str>,
    host: HeaderValue,
}

impl Endpoint {
    /// The endpoint at this `host:port`.
    pub(super) fn at(address: impl fmt::Display) -> Self {
        let address = address.to_string();
        let host = HeaderValue::from_str(&address).expect("an address is plain ASCII");
        Self { address: address.into(), host }
    }
}

impl Endpoint {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// No service listens there, or it has no connection to spare.
    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A request that places an order, as it goes over the wire.
    pub(super) fn order(&self, body: &[u8]) -> Bytes {
        let head = format!(
            "POST /api/orders HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        [head.as_bytes(), body].concat().into()
    }
}

impl FromStr for Endpoint {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = text.parse::<Uri>().ok().filter(|uri| {
            uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none()
        });
        let authority =
            uri.as_ref().and_then(Uri::authority).filter(|its| !its.as_str().contains('@'));
        let authority = authority.ok_or_else(|| {
            UsageError(format!("{text:?} is not http://host:port, such as http://127.0.0.1:8080"))
        })?;
        Ok(Self::at(format_args!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80))))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

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
    open: Option<Open>,
    /// When the connection was last used.
    used: Instant,
}

/// An open connection. The driver reads and writes. The task that waits for the answer polls it: a
/// separate task would cost every request two more turns of the scheduler.
#[derive(Debug)]
struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Pin<Box<Connection<TokioIo<TcpStream>, Full<Bytes>>>>,
}

impl Line {
    pub(super) fn to(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), open: None, used: Instant::now() }
    }

    pub(super) async fn get(
        &mut self,
        path: &'static str,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let request = self.request(Method::GET, Uri::from_static(path), Bytes::new());
        self.send(request, patience).await
    }

    /// Sends a request with a JSON body.
    pub(super) async fn json(
        &mut self,
        method: Method,
        path: Uri,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let mut request = self.request(method, path, body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.send(request, patience).await
    }

    /// Places an order and waits for its outcome.
    pub(super) async fn place_and_wait(
        &mut self,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        self.place(body, Some(HeaderValue::from_static("wait=30")), patience).await
    }

    /// Places an order, and waits for its outcome if `prefer` says so.
    pub(super) async fn place(
        &mut self,
        body: Bytes,
        prefer: Option<HeaderValue>,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let mut request = self.request(Method::POST, Uri::from_static("/api/orders"), body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(prefer) = prefer {
            request.headers_mut().insert(PREFER, prefer);
        }
        self.send(request, patience).await
    }

    fn request(&self, method: Method, path: Uri, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        request.headers_mut().insert(HOST, self.endpoint.host.clone());
        request
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Answer, Broken> {
        let idle = self.open.take().filter(|_| self.used.elapsed() < MAX_IDLE);
        let exchange = async {
            let open = match idle {
                Some(idle) => idle.if_alive().await,
                None => None,
            };
            let open = match open {
                Some(open) => open,
                None => Open::to(&self.endpoint).await?,
            };
            open.exchange(request).await
        };
        let (answer, open) =
            tokio::time::timeout(patience, exchange).await.map_err(|_| Broken::Timeout)??;
        self.open = open;
        self.used = Instant::now();
        Ok(answer)
    }
}

impl Open {
    async fn to(endpoint: &Endpoint) -> Result<Self, Broken> {
        let refused = |error: std::io::Error| Broken::Connection(error.kind().to_string());
        let stream = endpoint.connect().await.map_err(refused)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        Ok(Self { sender, driver: Box::pin(driver) })
    }

    /// Returns the connection, unless the service has closed it while it was idle.
    async fn if_alive(mut self) -> Option<Self> {
        let ended =
            poll_fn(|context| Poll::Ready(self.driver.as_mut().poll(context).is_ready())).await;
        (!ended).then_some(self)
    }

    /// Sends the request. Returns the answer, and the connection if it can be reused.
    async fn exchange(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Answer, Option<Self>), Broken> {
        let Self { mut sender, mut driver } = self;
        let (answer, alive) = {
            let answer = answer(&mut sender, request);
            tokio::pin!(answer);
            tokio::select! {
                biased;
                answer = &mut answer => (answer?, true),
                // The connection ended, but the answer that it read before is still in its channel.
                _ = &mut driver => (answer.await?, false),
            }
        };
        Ok((answer, alive.then_some(Self { sender, driver })))
    }
}

async fn answer(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Broken> {
    sender.ready().await.map_err(broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    Ok(Answer { status, body })
}

fn broken(error: impl fmt::Display) -> Broken {
    Broken::Connection(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:80/", "http://localhost:80"),
            ("http://shop", "http://shop:80"),
            ("http://[::1]:9", "http://[::1]:9"),
        ] {
            assert_eq!(text.parse::<Endpoint>().expect(text).to_string(), shown);
        }
        for text in [
            "",
            "shop:80",
            "https://shop",
            "http://",
            "http://shop/api",
            "http://a:b@shop",
            "http://shop/?a=b",
        ] {
            assert!(
                text.parse::<Endpoint>()
                    .is_err_and(|UsageError(line)| line.contains("http://host:port")),
                "{text}"
            );
        }
    }

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
        ] {
            let mut line = Line::to(&short_lived(answer).await);
            for _ in 0..3 {
                let answer = line.get("/", PATIENCE).await.expect("an answer");
                assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
                // Waits until this side has seen the end of the connection.
                while let Some(open) = line.open.take() {
                    line.open = open.if_alive().await;
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
