//! What the demo asks the services. It can print its requests and responses.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use super::output::print_line;
use crate::client::{Answer, Client, Lost, Request};

/// The time between two polls of an order in flight.
const PAUSE: Duration = Duration::from_millis(20);

/// A client of both services at one address.
#[derive(Debug)]
pub(super) struct DemoClient(Client);

/// One product's stock over all locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stock {
    product_id: String,
    name: String,
    pub(super) on_hand: i64,
    reserved: i64,
    pub(super) available: i64,
}

impl fmt::Display for Stock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { product_id, name, on_hand, reserved, available } = self;
        write!(
            f,
            "{product_id:<9} {name:<22} {on_hand:>4} on hand, {reserved:>3} reserved, {available:>4} available"
        )
    }
}

impl DemoClient {
    pub(super) fn at(address: SocketAddr) -> anyhow::Result<Self> {
        let base = format!("http://{address}").parse().map_err(|error: String| anyhow!(error))?;
        Ok(Self(Client::at(base)?))
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Request::get(path)).await.with_context(|| format!("GET {path}"))
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::put(path, body.to_string());
        self.ask(request).await.with_context(|| format!("PUT {path}"))
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = Request::post(path, body.to_string());
        self.ask(request).await.with_context(|| format!("POST {path}"))
    }

    /// Posts, and prints the request and the response.
    pub(super) async fn post_shown(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&'static str, &'static str)],
    ) -> anyhow::Result<Value> {
        print_line(format_args!("POST {path}"))?;
        let mut request = Request::post(path, body.to_string());
        for (name, value) in headers {
            print_line(format_args!("{name}: {value}"))?;
            request = request.header(name, value).map_err(|error| anyhow!(error.first_line()))?;
        }
        print_line(format_args!("{}\n", pretty(body)))?;
        let Answer { status, headers, body } = self.once(&request).await?;
        print_line(format_args!("{status}"))?;
        if let Some(location) = headers.get("location") {
            print_line(format_args!("location: {}", location.to_str()?))?;
        }
        let body: Value = serde_json::from_slice(&body)?;
        print_line(format_args!("{}\n", pretty(&body)))?;
        ensure!(status.is_success(), "the status of the response is {status}");
        Ok(body)
    }

    pub(super) async fn stock(&self, product: &str) -> anyhow::Result<Stock> {
        let body = self.get(&format!("/api/inventory/products/{product}")).await?;
        let number =
            |name: &str| body[name].as_i64().with_context(|| format!("{name} of {product}"));
        Ok(Stock {
            product_id: product.to_owned(),
            name: body["name"].as_str().context("a name")?.to_owned(),
            on_hand: number("on_hand")?,
            reserved: number("reserved")?,
            available: number("available")?,
        })
    }

    /// Polls the order until it is in this state.
    pub(super) async fn order_in_state(
        &self,
        id: &str,
        state: &str,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let order = self.get(&format!("/api/orders/{id}")).await?;
            if order["status"] == state {
                return Ok(order);
            }
            if Instant::now() > deadline {
                bail!("order {id} is still {} and not {state} after {patience:?}", order["status"]);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self, request: Request) -> anyhow::Result<Value> {
        let Answer { status, body, .. } = self.once(&request).await?;
        let body: Value = serde_json::from_slice(&body)?;
        ensure!(status.is_success(), "{status}: {body}");
        Ok(body)
    }

    /// Sends a request once: the demo shows what happens, and repeats nothing.
    async fn once(&self, request: &Request) -> anyhow::Result<Answer> {
        let answer = self.0.once(request, self.0.deadline()).await;
        answer.map_err(|Lost { why, .. }| anyhow!(why))
    }
}

pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value is JSON")
}
