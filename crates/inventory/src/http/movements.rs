//! `/api/inventory/products/{product_id}/movements`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use inventory_core::decide::{Change, InventoryCommand, InventoryOutcome};
use inventory_core::stock::{Cause, Movement};
use platform::clock::Timestamp;
use platform::keys::{Principal, Scope};
use serde::Serialize;
use utoipa::ToSchema;
use web::problem::{BodyProblems, Problem, ReadProblems, WriteProblems};
use web::{IDEMPOTENT_REPLAYED, Json as Body, Query, Requester, cursor, idempotency_key, require};

use super::ledger::LedgerQuery;
use crate::service::Service;
use crate::store::MovementFilter;

mod request;

/// An entry in the ledger of a product at one location.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Movement)]
pub(super) struct MovementView {
    #[schema(example = "789")]
    product_id: String,
    #[schema(example = "main")]
    location_id: String,
    /// The number of the entry in this ledger, from 1 without gaps.
    seq: i64,
    /// `receive`, `adjust`, `count`, `quarantine`, `unquarantine` or `write_off` if a client moved
    /// stock; `reserve`, `release`, `ship`, `unship` or `return` if an order did. New kinds may come.
    #[schema(example = "receive")]
    kind: &'static str,
    on_hand_delta: i64,
    reserved_delta: i64,
    quarantined_delta: i64,
    /// Units on hand after the movement.
    on_hand: i64,
    /// Units reserved after the movement.
    reserved: i64,
    /// Units quarantined after the movement.
    quarantined: i64,
    /// Units available after the movement.
    available: i64,
    /// The order that moved the stock; null if a client did.
    #[schema(format = "uuid")]
    order_id: Option<String>,
    reference: Option<String>,
    reason: Option<String>,
    actor: Option<String>,
    #[schema(value_type = String, format = "date-time")]
    created_at: String,
}

/// A page of movements, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MovementPage {
    data: Vec<MovementView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl From<Movement> for MovementView {
    fn from(movement: Movement) -> Self {
        let seq = movement.seq();
        let (order_id, request) = match movement.cause {
            Cause::Order(order_id) => (Some(order_id.to_string()), None),
            Cause::Request(request) => (None, Some(request)),
        };
        let (reference, reason, actor) = request.map_or((None, None, None), |request| {
            (request.reference, request.reason, request.actor)
        });
        Self {
            product_id: movement.product_id.to_string(),
            location_id: movement.location_id.to_string(),
            seq,
            kind: movement.kind.as_str(),
            on_hand_delta: movement.deltas.on_hand,
            reserved_delta: movement.deltas.reserved,
            quarantined_delta: movement.deltas.quarantined,
            on_hand: movement.after.on_hand,
            reserved: movement.after.reserved,
            quarantined: movement.after.quarantined,
            available: movement.after.available(),
            order_id,
            reference,
            reason,
            actor,
            created_at: Timestamp(movement.created_at_micros).to_rfc3339(),
        }
    }
}

/// Move stock
///
/// `receive` adds units, `adjust` adds or removes units, `count` sets the stock on hand to the
/// counted units. `quarantine` sets available units apart: they are on hand, and no order can have
/// them. `unquarantine` makes them available again, and `write_off` takes them out of the stock for
/// good. A request that is repeated with the same `Idempotency-Key` never moves stock
/// twice: the response is the movement of the first request.
#[utoipa::path(
    post, path = "/api/inventory/products/{product_id}/movements", tag = "inventory", operation_id = "moveStock",
    request_body = request::NewMovement,
    params(
        ("product_id" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "1–255 visible ASCII characters; kept as long as the movement. A key belongs to one product, so all products of a delivery may share it"),
    ),
    responses(
        (status = 201, description = "The movement, or that of the first request with this key", body = MovementView, headers(
            ("Idempotent-Replayed" = Option<String>, description = "`true` if an earlier request with the same key made this movement"),
        )),
        (status = 404, description = "`product_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`stock_changed`, `below_reserved` or `quantity_unavailable`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
        (status = 422, description = "`invalid_request` with every fault, or `idempotency_key_reused`", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn record(
    State(service): State<Arc<Service>>,
    Extension(client): Extension<Arc<Principal>>,
    requester: Requester,
    Path(product_id): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers, &client)?;
    let product_id = product_id.parse().map_err(|_| super::product_not_found())?;
    let request_id = request::request_id(&product_id, key, &*service.ids);
    let movement = request::movement(product_id, request_id, super::requester(requester), &body)?;
    match movement.change {
        Change::Receive(_) => require(&client, Scope::StockReceive)?,
        Change::Adjust(_)
        | Change::Count { .. }
        | Change::Quarantine(_)
        | Change::Unquarantine(_)
        | Change::WriteOff(_) => require(&client, Scope::StockAdjust)?,
    }
    let command = InventoryCommand::Move(Box::new(movement));
    match service.batcher.submit(command).await? {
        InventoryOutcome::Moved { movement, replayed } => {
            let replayed = replayed.then_some([(IDEMPOTENT_REPLAYED, "true")]);
            Ok((StatusCode::CREATED, replayed, Json(MovementView::from(movement))).into_response())
        }
        other => Err(super::problem(&other)),
    }
}

/// List a product's movements
///
/// Lists the product's ledger, newest entry first: it explains the present stock.
#[utoipa::path(
    get, path = "/api/inventory/products/{product_id}/movements", tag = "inventory", operation_id = "listMovements",
    params(
        ("product_id" = String, Path),
        ("location_id" = Option<String>, Query, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description = "Only movements at this location"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Movements per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of movements", body = MovementPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`product_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(product_id): Path<String>,
    query: Query,
) -> Result<Json<MovementPage>, Problem> {
    let LedgerQuery { product_id, location_id, from, limit, list } =
        LedgerQuery::read("movements", &product_id, query)?;
    let from = from.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let filter = MovementFilter { product_id: product_id.clone(), location_id, from, limit };
    let movements = service.store.movements(filter.clone()).await?;
    if movements.is_empty() {
        if from.is_some() {
            return Err(cursor::invalid());
        }
        // Either the product has no movements, or it does not exist.
        let product = service.store.product(product_id).await?;
        product.ok_or_else(super::product_not_found)?;
    }
    // A cursor is the number of the next movement.
    let next = movements.last().and_then(|last| filter.next_of(last));
    let next_cursor = next.map(|number: i64| cursor::encode(&list, &number.to_string()));
    Ok(Json(MovementPage {
        data: movements.into_iter().map(MovementView::from).collect(),
        next_cursor,
    }))
}
