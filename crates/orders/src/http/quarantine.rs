//! `/api/orders/quarantine`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use contract::OrderId;
use web::problem::{BodyProblems, Problem, ReadProblems, WriteProblems};
use web::quarantine::{self, EntryPage, EntryView, MessageView};
use web::{OptionalJson, Query, Requester};

use super::pending::{self, RetriedView};
use super::request;
use crate::service::Service;
use crate::store::MadeDue;

/// List messages that were set aside
///
/// Lists messages to the Order Service that could not be processed, and anomalies; the one that
/// came last is the first. An entry is a record: it blocks nothing, and a repeat is processed again.
#[utoipa::path(
    get, path = "/api/orders/quarantine", tag = "orders", operation_id = "listOrderQuarantine",
    params(
        ("seen" = Option<bool>, Query, description = "`false`: only entries that nobody has discarded since they last came. `true`: only the others"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of entries", body = EntryPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    query: Query,
) -> Result<Json<EntryPage>, Problem> {
    quarantine::list(&*service.quarantine, query).await
}

/// Get a message that was set aside
#[utoipa::path(
    get, path = "/api/orders/quarantine/{id}", tag = "orders", operation_id = "getOrderQuarantineEntry",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "The entry with its message", body = MessageView),
        (status = 404, description = "`quarantine_entry_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<MessageView>, Problem> {
    quarantine::get(&*service.quarantine, &id, query).await
}

/// Discard a message that was set aside
///
/// Notes that an operator has seen the entry, until it comes again. The record stays. To discard an
/// entry again has no effect. The request is recorded in the admin log.
#[utoipa::path(
    post, path = "/api/orders/quarantine/{id}/discard", tag = "orders", operation_id = "discardOrderQuarantineEntry",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "The entry as it is now", body = EntryView),
        (status = 404, description = "`quarantine_entry_not_found`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn discard(
    State(service): State<Arc<Service>>,
    requester: Requester,
    Path(id): Path<String>,
    body: OptionalJson,
) -> Result<Json<EntryView>, Problem> {
    quarantine::discard(&*service.quarantine, &id, requester, body).await
}

/// Send the command of a message again
///
/// Makes the pending command of the order that the entry is about due, so that it is sent at once.
/// The answer of the Inventory Service then comes again.
#[utoipa::path(
    post, path = "/api/orders/quarantine/{id}/retry", tag = "orders", operation_id = "retryOrderQuarantineEntry",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "The command, which is due", body = RetriedView),
        (status = 404, description = "`quarantine_entry_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`nothing_pending`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    requester: Requester,
    Path(id): Path<String>,
    OptionalJson(body): OptionalJson,
) -> Result<Json<RetriedView>, Problem> {
    request::nothing(body.as_ref())?;
    let (entry, _) = quarantine::entry(&*service.quarantine, &id).await?;
    let order_id: Option<OrderId> = entry.subject.and_then(|subject| subject.parse().ok());
    let Some(order_id) = order_id else { return Err(pending::nothing_pending()) };
    match service.store.make_due(order_id, requester.into()).await {
        Ok(MadeDue::NoOrder) => Err(pending::nothing_pending()),
        made_due => pending::answer(&service, made_due),
    }
}
