//! `/api/inventory/quarantine`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use web::problem::{BodyProblems, Problem, ReadProblems, WriteProblems};
use web::quarantine::{self, EntryPage, EntryView, MessageView};
use web::{OptionalJson, Query, Requester};

use crate::service::Service;

/// List messages that were set aside
///
/// Lists messages to the Inventory Service that could not be processed, and anomalies; the one that
/// came last is the first. An entry is a record: it blocks nothing, and a repeat is processed again.
#[utoipa::path(
    get, path = "/api/inventory/quarantine", tag = "inventory", operation_id = "listStockQuarantine",
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
    get, path = "/api/inventory/quarantine/{id}", tag = "inventory", operation_id = "getStockQuarantineEntry",
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
    post, path = "/api/inventory/quarantine/{id}/discard", tag = "inventory", operation_id = "discardStockQuarantineEntry",
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
