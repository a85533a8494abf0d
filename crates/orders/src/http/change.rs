//! What all requests have in common that change an accepted order: its order is found before
//! anything else is decided, and the answer shows the order as it is now.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use orders_core::decide::{OrderCommand, OrderOutcome, OrderRequest};
use platform::failure::Chain;
use platform::keys::Principal;
use serde::Serialize;
use tracing::error;
use web::problem::{Code, Problem};
use web::{self as edge, IDEMPOTENT_REPLAYED, TraceParent, Wait};

use super::refusals::{self, Asked};
use crate::service::Service;
use crate::store::OrderView;

/// The service, and who makes a request of it.
pub(super) struct Client {
    service: Arc<Service>,
    principal: Arc<Principal>,
    trace: TraceParent,
    headers: HeaderMap,
}

/// A change that was carried out, now or by an earlier request.
pub(super) struct Done {
    /// The order as it is now.
    pub(super) order: OrderView,
    /// The number of the entry that carried it out, if it makes an entry that can be named.
    pub(super) entry: Option<u32>,
    replayed: bool,
    wait: Option<Wait>,
}

impl FromRequestParts<Arc<Service>> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Self, Infallible> {
        let found = &parts.extensions;
        Ok(Self {
            service: service.clone(),
            principal: found.get().cloned().expect("the edge says who it is"),
            trace: found.get().cloned().expect("the edge reads the trace"),
            headers: parts.headers.clone(),
        })
    }
}

impl Client {
    /// The order with this id, if the client may know of it.
    ///
    /// # Errors
    ///
    /// 404 `order_not_found`, also for a malformed id and the order of another customer.
    pub(super) async fn order(&self, order_id: &str) -> Result<OrderView, Problem> {
        let order_id = order_id.parse().map_err(|_| super::order_not_found())?;
        let order = self.service.store.order(order_id).await?;
        let own = order.filter(|it| !super::is_of_another(&self.principal, &it.terms.customer_id));
        own.ok_or_else(super::order_not_found)
    }

    /// The idempotency key, which the request must have.
    ///
    /// # Errors
    ///
    /// 422 `invalid_request` without a key, and for what is no key.
    pub(super) fn key(&self) -> Result<String, Problem> {
        edge::required_idempotency_key(&self.headers, &self.principal)
    }

    /// Carries out a request about the order, and waits for Inventory's answer if the client prefers
    /// that.
    ///
    /// # Errors
    ///
    /// The problem of the refusal; 503 if the change could not be written, or if the order cannot be
    /// read after it: a repeat then finds the change.
    pub(super) async fn change(
        self,
        order: &OrderView,
        request: OrderRequest,
    ) -> Result<Done, Problem> {
        let Self { service, principal, trace, headers } = self;
        let order_id = order.order_id;
        let asked = Asked::by(&request, order.terms.currency);
        let context = super::context(&principal, trace);
        let request = Box::new(request);
        let command = OrderCommand::Request { order_id, request, context };
        let (receipt, entry, replayed) = match service.batcher.submit(command).await? {
            OrderOutcome::Accepted { receipt, entry, replayed } => (receipt, entry, replayed),
            OrderOutcome::Refused(refusal) => return Err(refusals::problem(refusal, asked)),
            _ => return Err(Problem::internal()),
        };
        let wait = edge::preferred_wait(&headers);
        if let Some(wait) = wait {
            service.wait(receipt, wait.duration()).await;
        }
        match service.store.order(order_id).await {
            Ok(Some(order)) => Ok(Done { order, entry, replayed, wait }),
            Ok(None) => Err(Problem::internal()),
            Err(failure) => {
                error!(%order_id, error = %Chain(&failure), "order cannot be read after a change");
                Err(Problem::new(Code::OUTCOME_UNKNOWN, UNREADABLE))
            }
        }
    }
}

/// What to do if the order cannot be read after a change of it.
const UNREADABLE: &str =
    "the change was recorded, but the order cannot be read now; look it up, or repeat the request";

impl Done {
    /// The entry of a request that makes one.
    ///
    /// # Errors
    ///
    /// 500 if there is none: a bug.
    pub(super) fn made<T>(
        &self,
        find: impl FnOnce(&OrderView, u32) -> Option<T>,
    ) -> Result<T, Problem> {
        self.entry.and_then(|entry| find(&self.order, entry)).ok_or_else(Problem::internal)
    }

    /// The response with this body.
    pub(super) fn answer(&self, status: StatusCode, body: impl Serialize) -> Response {
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if self.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some((name, value)) = self.wait.map(Wait::applied) {
            headers.insert(name, value);
        }
        response
    }

    /// The response about something that was made and has a path of its own.
    pub(super) fn created(&self, path: &str, body: impl Serialize) -> Response {
        let mut response = self.answer(StatusCode::CREATED, body);
        let path = HeaderValue::from_str(path).expect("a path of plain ASCII");
        response.headers_mut().insert(header::LOCATION, path);
        response
    }
}
