//! What all requests have in common that change an accepted order: its order is found before
//! anything else is decided, and the answer shows the order as it is now.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use contract::OrderId;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use orders_core::decide::{OrderCommand, OrderOutcome, OrderRequest, Receipt};
use orders_core::money::Currency;
use platform::failure::Chain;
use platform::keys::Principal;
use serde::Serialize;
use tracing::error;
use web::problem::{Code, Problem};
use web::{self as edge, IDEMPOTENT_REPLAYED, TraceParent, Wait};

use super::refusals::{self, Asked};
use super::view::ReceiptView;
use crate::service::Service;
use crate::store::{OrderHeader, OrderView};

/// The service, and who makes a request of it.
pub(super) struct Client {
    service: Arc<Service>,
    principal: Arc<Principal>,
    trace: TraceParent,
    headers: HeaderMap,
}

/// A change that was carried out, now or by an earlier request.
pub(super) struct Done {
    /// The order when the change was carried out or found again, or after the wait.
    receipt: Receipt,
    /// The number of the entry that carried it out, if it makes an entry that can be named.
    entry: Option<u32>,
    replayed: bool,
    wait: Option<Wait>,
    service: Arc<Service>,
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
    /// The id of the order that the path names, unless it is the order of another customer than the
    /// client's. An order never changes its customer, so it may be looked at before the command is
    /// decided. A client of all customers learns from the command whether there is such an order.
    ///
    /// # Errors
    ///
    /// 404 `order_not_found` for a malformed id and for the order of another customer.
    pub(super) async fn order_id(&self, text: &str) -> Result<OrderId, Problem> {
        let order_id = parse(text)?;
        if self.principal.customer_id.is_some() {
            self.header(order_id).await?;
        }
        Ok(order_id)
    }

    /// The id of the order that the path names, and its currency: the order is found before anything
    /// else is said about the request.
    ///
    /// # Errors
    ///
    /// 404 `order_not_found` if there is no such order, or if it is one of another customer.
    pub(super) async fn found(&self, text: &str) -> Result<(OrderId, Currency), Problem> {
        let order_id = parse(text)?;
        Ok((order_id, self.header(order_id).await?.currency))
    }

    async fn header(&self, order_id: OrderId) -> Result<OrderHeader, Problem> {
        let header = self.service.store.header(order_id).await?;
        let own = header.filter(|it| !super::is_of_another(&self.principal, &it.customer_id));
        own.ok_or_else(super::order_not_found)
    }

    /// The order that the path names, if the client may know of it.
    ///
    /// # Errors
    ///
    /// 404 `order_not_found`, also for a malformed id and the order of another customer.
    pub(super) async fn order(&self, text: &str) -> Result<OrderView, Problem> {
        let order = self.service.store.order(parse(text)?).await?;
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

    /// Carries out a request about the order, and waits for Inventory's answer if the client
    /// prefers that.
    ///
    /// # Errors
    ///
    /// The problem of the refusal; 503 if the change could not be written.
    pub(super) async fn change(
        self,
        order_id: OrderId,
        request: OrderRequest,
        asked: Asked,
    ) -> Result<Done, Problem> {
        let Self { service, principal, trace, headers } = self;
        let context = super::context(&principal, trace);
        let request = Box::new(request);
        let command = OrderCommand::Request { order_id, request, context };
        let (receipt, entry, replayed) = match service.batcher.submit(command).await? {
            OrderOutcome::Accepted { receipt, entry, replayed } => (receipt, entry, replayed),
            OrderOutcome::Refused(refusal) => return Err(refusals::problem(refusal, asked)),
            _ => return Err(Problem::internal()),
        };
        let wait = edge::preferred_wait(&headers);
        let receipt = match wait {
            Some(wait) => service.wait(receipt, wait.duration()).await,
            None => receipt,
        };
        Ok(Done { receipt, entry, replayed, wait, service })
    }
}

fn parse(order_id: &str) -> Result<OrderId, Problem> {
    order_id.parse().map_err(|_| super::order_not_found())
}

/// What to do if the order cannot be read after a change of it.
const UNREADABLE: &str =
    "the change was recorded, but the order cannot be read now; look it up, or repeat the request";

impl Done {
    /// The receipt of the order.
    pub(super) fn receipt(&self) -> ReceiptView {
        ReceiptView::from(self.receipt.clone())
    }

    /// The path of the order.
    pub(super) fn path(&self) -> String {
        format!("/api/orders/{}", self.receipt.order_id)
    }

    /// The number of the entry of a request that makes one.
    ///
    /// # Errors
    ///
    /// 500 if there is none: a bug.
    pub(super) fn entry(&self) -> Result<u32, Problem> {
        self.entry.ok_or_else(Problem::internal)
    }

    /// The order as it is now, to show what the change made.
    ///
    /// # Errors
    ///
    /// 503 if the order cannot be read: a repeat of the request then finds the change.
    pub(super) async fn order(&self) -> Result<OrderView, Problem> {
        let order_id = self.receipt.order_id;
        match self.service.store.order(order_id).await {
            Ok(order) => order.ok_or_else(Problem::internal),
            Err(failure) => {
                error!(%order_id, error = %Chain(&failure), "order cannot be read after a change");
                Err(Problem::new(Code::OUTCOME_UNKNOWN, UNREADABLE))
            }
        }
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
