//! Where a service is, and how requests to it look on the wire.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Uri};
use platform::config::UsageError;
use tokio::net::TcpStream;

pub(super) const ORDERS: &str = "/api/orders";

/// The address of a service: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bench) struct Endpoint {
    /// The `host:port` to connect to.
    address: Arc<str>,
    /// A line of every request, which says who sends it; empty if the service does not ask.
    authorization: Arc<str>,
}

impl Endpoint {
    /// The endpoint at this `host:port`.
    pub(in crate::bench) fn at(address: impl fmt::Display) -> Self {
        Self { address: address.to_string().into(), authorization: "".into() }
    }

    /// The same endpoint for a client with this API key.
    pub(in crate::bench) fn with_key(self, key: &str) -> Self {
        Self { authorization: format!("authorization: Bearer {key}\r\n").into(), ..self }
    }
}

impl Endpoint {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// No service listens there, or it has no connection to spare.
    pub(in crate::bench) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A request that places an order, as it goes over the wire.
    pub(in crate::bench) fn order(&self, body: &[u8]) -> Bytes {
        let mut request = Vec::new();
        self.write_request(&mut request, &Method::POST, ORDERS, "", body);
        request.into()
    }

    /// Writes a request as it goes over the wire. `headers` are whole lines.
    pub(super) fn write_request(
        &self,
        request: &mut Vec<u8>,
        method: &Method,
        path: &str,
        headers: &str,
        body: &[u8],
    ) {
        let Self { address, authorization } = self;
        let length = body.len();
        let written = write!(
            request,
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        written.expect("a vector takes everything");
        request.extend_from_slice(body);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
