//! The HTTP client of the tools: both services, behind one address or two.
//!
//! A request whose outcome is unknown is sent again, with the same `Idempotency-Key` where it has
//! one: the services make every change once.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HttpClient, Error as HttpError};
use platform::failure::Chain;
use tokio::time::{Instant, timeout_at};

pub(crate) use address::BaseUrl;
pub(crate) use answer::Answer;
pub(crate) use connect::{ConnectArgs, time_up_to};
pub(crate) use failed::{Failed, OUTCOME_UNKNOWN, done, hint_of_fault};
pub(crate) use pages::{Item, PAGE, Page, Query, segment};

mod address;
mod answer;
mod connect;
mod failed;
mod pages;
mod retry;

/// The body of a request: whole, or a stream.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A client of both services. It follows no redirect, because the key is for one address, and uses
/// no proxy.
#[derive(Debug)]
pub(crate) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Body>,
    orders: BaseUrl,
    inventory: BaseUrl,
    /// `Authorization`.
    credential: Option<HeaderValue>,
    /// How long an answer may take in all, repeats of the request included.
    timeout: Duration,
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    /// With the query, from `/api` on.
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// How the user sends it again, with the same `Idempotency-Key`.
    again: Option<String>,
}

/// No answer came.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Whether the service may have seen the request.
    pub(crate) may_have_arrived: bool,
    pub(crate) why: String,
}

impl Request {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, Bytes::new())
    }

    /// A `POST` with this JSON, or without a body if the text is empty.
    pub(crate) fn post(path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        Self::new(Method::POST, path, json.into())
    }

    pub(crate) fn put(path: impl Into<String>, json: impl Into<Bytes>) -> Self {
        Self::new(Method::PUT, path, json.into())
    }

    fn new(method: Method, path: impl Into<String>, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Self { method, path: path.into(), headers, body, again: None }
    }

    /// Adds a header.
    ///
    /// # Errors
    ///
    /// The value is not visible ASCII.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Result<Self, Failed> {
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| Failed::usage(format!("{name} must be visible ASCII")))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Adds an `Idempotency-Key`, which an error names if the outcome stays unknown.
    ///
    /// # Errors
    ///
    /// The key is not visible ASCII.
    pub(crate) fn idempotent(mut self, key: &str) -> Result<Self, Failed> {
        self.again = Some(format!("--idempotency-key {key}"));
        self.header("idempotency-key", key)
    }

    /// Lets the service wait for the outcome, for whole seconds.
    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        if wait.as_secs() > 0
            && let Ok(value) = HeaderValue::from_str(&format!("wait={}", wait.as_secs()))
        {
            self.headers.insert("prefer", value);
        }
        self
    }
}

impl Client {
    /// Sends a request once, and reads its whole answer.
    ///
    /// # Errors
    ///
    /// No whole answer came before the deadline.
    pub(crate) async fn once(&self, request: &Request, by: Instant) -> Result<Answer, Lost> {
        let body = Full::new(request.body.clone()).map_err(|never| match never {}).boxed_unsync();
        let Request { method, path, headers, .. } = request;
        let response = self.open(method.clone(), path, headers.clone(), body, by).await?;
        let (head, body) = response.into_parts();
        let late = |_| Lost { may_have_arrived: true, why: "no answer came in time".to_owned() };
        let body = timeout_at(by, body.collect())
            .await
            .map_err(late)?
            .map_err(|error| Lost { may_have_arrived: true, why: Chain(&error).to_string() })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }

    /// Sends a request, and returns the answer when its head has come.
    ///
    /// # Errors
    ///
    /// No answer came before the deadline.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Body,
        by: Instant,
    ) -> Result<http::Response<Incoming>, Lost> {
        let agent = concat!("lastro/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        if let Some(credential) = &self.credential {
            headers.insert(header::AUTHORIZATION, credential.clone());
        }
        let uri = self.base_of(path).join(path);
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            uri.ok_or_else(|| Lost { may_have_arrived: false, why: format!("{path}: no path") })?;
        *request.headers_mut() = headers;
        let late = |_| Lost { may_have_arrived: true, why: "no answer came in time".to_owned() };
        let answer = timeout_at(by, self.http.request(request)).await.map_err(late)?;
        answer.map_err(|error: HttpError| Lost {
            may_have_arrived: !error.is_connect(),
            why: Chain(&error).to_string(),
        })
    }

    /// The address of the service that answers this path.
    pub(crate) fn base_of(&self, path: &str) -> &BaseUrl {
        if path.starts_with("/api/inventory") { &self.inventory } else { &self.orders }
    }

    /// When a request that begins now must be answered.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}
