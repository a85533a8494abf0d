//! HTTP clients: they ask any replica, may hang up, and classify the response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use contract::OrderId;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use orders_core::status::Status;
use serde_json::Value;
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::config::Fault;
use crate::coverage;
use crate::history::Heard;
use crate::node::{Node, Service};
use crate::port::Port;
use crate::states::broken;
use crate::world::World;

/// How long a client waits for a response.
const PATIENCE: Duration = Duration::from_secs(70);

/// The result of one call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) heard: Heard,
    /// 0 without a response.
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Reply {
    fn nothing(heard: Heard) -> Self {
        Self { heard, status: 0, body: Value::Null }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The order that the response is about, and its status.
    pub(crate) fn order(&self) -> Option<(OrderId, Status)> {
        let order_id = self.body["order_id"].as_str()?.parse().ok()?;
        Some((order_id, Status::parse(self.body["status"].as_str()?)?))
    }
}

/// An HTTP request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        request = request.header("content-type", "application/json");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body)).expect("a well-formed request")
    }
}

/// Sends the call to any replica of the service.
pub(crate) async fn ask(world: &Arc<World>, service: Service, call: Call) -> Reply {
    let nodes: Vec<Node> =
        world.nodes().into_iter().filter(|node| node.service == service).collect();
    let node = *world.random.pick(&nodes);
    // The cursor of a feed names its database, whose id no seed decides.
    let path = call.path.split("&after=").next().unwrap_or_default();
    let what = format!("{} {path}", call.method);
    let reply = send(world, node, call.request()).await;
    world.trace.event(|| {
        format!(
            "a client hears of {node}, {what}: {:?} {} {}",
            reply.heard,
            reply.status,
            short(&reply.body)
        )
    });
    if reply.code() == "outcome_unknown" {
        coverage::mark("an answer that the outcome is unknown");
    }
    // A process whose storage failed may answer 500 once, and ends.
    if reply.status == 500 && !world.config.has(Fault::DiskErrors) {
        world.monitor.require(broken("HTTP", format!("{what} was answered {}", reply.body)));
    }
    reply
}

async fn send(world: &Arc<World>, node: Node, request: Request<Body>) -> Reply {
    let Some(router) = world.replicas.router(node) else {
        tokio::time::sleep(world.random.millis(1..=20)).await;
        return Reply::nothing(Heard::NotDone);
    };
    let (sender, answer) = oneshot::channel();
    let port = Port::of(world.clone(), node);
    let handling = async move {
        port.pass("before a request is handled").await;
        let response = router.oneshot(request).await.expect("a router always answers");
        let status = response.status();
        let body = response.into_body().collect().await;
        port.pass("before a request is answered").await;
        // The client may have hung up.
        let _ = sender.send((status, body.map(|body| body.to_bytes()).unwrap_or_default()));
    };
    let task = world.executor.spawn(Some(node), handling);
    let patience =
        if world.faults.happens(Fault::HangUps) { world.random.millis(0..=300) } else { PATIENCE };
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok((status, body))) => classify(status, &body),
        // The process died with the request.
        Ok(Err(_)) => Reply::nothing(Heard::Unknown),
        Err(_) => {
            world.executor.cancel(task);
            Reply::nothing(Heard::Unknown)
        }
    }
}

fn classify(status: StatusCode, body: &[u8]) -> Reply {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let heard = match (status.as_u16(), body["code"].as_str()) {
        (200..300, _) => Heard::Done,
        // Inventory is taking units away. A repeat succeeds once it has answered.
        (409, Some("order_busy")) => Heard::NotDone,
        (400..500, _) => Heard::Refused,
        (503, Some("overloaded" | "storage_full" | "storage_unavailable" | "shutting_down")) => {
            Heard::NotDone
        }
        _ => Heard::Unknown,
    };
    Reply { heard, status: status.as_u16(), body }
}

fn short(body: &Value) -> String {
    let name = |member: &str| body[member].as_str().unwrap_or_default().to_owned();
    [name("order_id"), name("status"), name("code")].join(" ").trim().to_owned()
}
