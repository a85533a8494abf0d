//! The HTTP API of the Inventory Service: one file per resource.

use std::str::FromStr;
use std::sync::Arc;

use contract::{BadId, Digest};
use http::{HeaderMap, HeaderName, header};
use inventory_core::admin::Requester;
use inventory_core::decide::{InventoryOutcome, Precondition, Refusal};
use inventory_core::stock::MAX_LOCATIONS;
use platform::keys::Scope;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use web::body::{Node, Parsed};
use web::problem::{Code, Fault, FaultCode, Problem};
use web::{Conditions, Rule, conditions};

use crate::service::Service;

pub(crate) use codes::own_codes;
pub use events::EVENT_TYPES;
pub(crate) use events::StockEvents;
pub(crate) use import::Imports;
pub use import::{Counted, Row, RowFault, read_rows};
pub(crate) use searches::Searches;

mod admin_log;
mod audit;
mod codes;
mod events;
mod holders;
mod import;
mod ledger;
mod locations;
mod movements;
mod products;
mod quarantine;
mod reservations;
mod searches;

/// The longest name, reason or reference, in characters.
const MAX_TEXT: usize = 200;

/// What each route asks of a client.
pub(crate) const RULES: &[Rule] = &[
    Rule::needs("GET", "/api/inventory/products", &[Scope::StockRead]).also_of_one_customer(),
    Rule::needs("GET", PRODUCT, &[Scope::StockRead]).also_of_one_customer(),
    Rule::needs("PUT", PRODUCT, &[Scope::CatalogWrite]),
    Rule::needs("GET", MOVEMENTS, &[Scope::LedgerRead]),
    Rule::needs("GET", "/api/inventory/events", &[Scope::LedgerRead]),
    Rule::needs_one_of("POST", MOVEMENTS, &[Scope::StockReceive, Scope::StockAdjust]),
    // It counts stock, and creates and renames products.
    Rule::needs("POST", "/api/inventory/import", &[Scope::StockAdjust, Scope::CatalogWrite]),
    // They show the ids of orders.
    Rule::needs(
        "GET",
        "/api/inventory/products/{product_id}/holders",
        &[Scope::StockRead, Scope::OrdersRead],
    ),
    Rule::needs(
        "GET",
        "/api/inventory/reservations/{order_id}",
        &[Scope::StockRead, Scope::OrdersRead],
    ),
    Rule::needs("GET", "/api/inventory/locations", &[Scope::StockRead]).also_of_one_customer(),
    Rule::needs("GET", LOCATION, &[Scope::StockRead]).also_of_one_customer(),
    Rule::needs("GET", "/api/inventory/admin-log", &[Scope::KeysAdmin]),
    Rule::needs("GET", "/api/inventory/quarantine", &[Scope::LedgerRead]),
    Rule::needs("GET", "/api/inventory/quarantine/{id}", &[Scope::LedgerRead]),
    Rule::needs("POST", "/api/inventory/quarantine/{id}/discard", &[Scope::OpsWrite]),
    Rule::needs("GET", "/api/inventory/audit", &[Scope::LedgerRead]),
    // It changes who is served first.
    Rule::needs("PUT", LOCATION, &[Scope::LocationsWrite]),
];
const PRODUCT: &str = "/api/inventory/products/{product_id}";
const MOVEMENTS: &str = "/api/inventory/products/{product_id}/movements";
const LOCATION: &str = "/api/inventory/locations/{location_id}";

/// Routes `/api/inventory` with their description.
pub(crate) fn routes(service: Arc<Service>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(products::list))
        .routes(routes!(products::get, products::put))
        .routes(routes!(movements::list, movements::record))
        .routes(routes!(holders::list))
        .routes(routes!(import::import))
        .routes(routes!(reservations::get))
        .routes(routes!(locations::list))
        .routes(routes!(admin_log::list))
        .routes(routes!(quarantine::list))
        .routes(routes!(quarantine::get))
        .routes(routes!(quarantine::discard))
        .routes(routes!(audit::get))
        .routes(routes!(events::list))
        .routes(routes!(locations::get, locations::put))
        .with_state(service)
}

/// Who asks for a change, for the admin log.
fn requester(client: web::Requester) -> Requester {
    let web::Requester { actor, request_id, address } = client;
    Requester { actor, request_id, address }
}

/// The problem for an outcome that is not the one that the request asks for.
fn problem(outcome: &InventoryOutcome) -> Problem {
    match outcome {
        InventoryOutcome::Refused(refusal) => refused(*refusal),
        InventoryOutcome::Answered { .. }
        | InventoryOutcome::Anomaly(_)
        | InventoryOutcome::Moved { .. }
        | InventoryOutcome::ProductPut { .. }
        | InventoryOutcome::LocationPut { .. }
        | InventoryOutcome::Imported(_)
        | InventoryOutcome::RowRefused(_)
        | InventoryOutcome::Noted => Problem::internal(),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::KeyReused => Problem::new(
            Code::IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used for a different movement; use a new key for a new movement",
        ),
        Refusal::PreconditionFailed => Problem::new(
            Code::PRECONDITION_FAILED,
            "it was changed, made or not made since you read it; read it again",
        ),
        Refusal::TooManyLocations => Problem::new(
            codes::TOO_MANY_LOCATIONS,
            format!("{MAX_LOCATIONS} locations exist, which is the maximum; replace one of them"),
        ),
        Refusal::ProductNotFound => product_not_found(),
        Refusal::UnknownLocation => Fault::pointer(
            "/location_id",
            codes::UNKNOWN_LOCATION,
            "location_id must be the id of an existing location",
        )
        .into(),
        Refusal::StockChanged { on_hand } => Problem::new(
            codes::STOCK_CHANGED,
            format!("{on_hand} units are on hand, not expected_on_hand; count again"),
        ),
        Refusal::BelowReserved { reserved, quarantined: 0 } => Problem::new(
            codes::BELOW_RESERVED,
            format!("{reserved} units are reserved for orders; the stock on hand cannot be less"),
        ),
        Refusal::BelowReserved { reserved, quarantined } => Problem::new(
            codes::BELOW_RESERVED,
            format!(
                "{reserved} units are reserved for orders and {quarantined} are quarantined; the \
                 stock on hand cannot be less than both together"
            ),
        ),
        Refusal::QuantityUnavailable { units } => Problem::new(
            codes::QUANTITY_UNAVAILABLE,
            format!("there are only {units} units at this location for this movement"),
        ),
        Refusal::OutOfRange => {
            let detail =
                "quantity must not raise the stock on hand above the maximum of a location";
            Fault::pointer("/quantity", FaultCode::OUT_OF_RANGE, detail).into()
        }
    }
}

fn product_not_found() -> Problem {
    Problem::new(codes::PRODUCT_NOT_FOUND, "no product has this id")
}

fn location_not_found() -> Problem {
    Problem::new(codes::LOCATION_NOT_FOUND, "no location has this id")
}

/// Reads what a PUT demands of what it replaces. An `ETag` that none of ours is matches nothing.
fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    Ok(match conditions(headers)? {
        Conditions::None => Precondition::None,
        Conditions::Absent => Precondition::Absent,
        Conditions::Present => Precondition::Present,
        Conditions::Matches(tags) => Precondition::Version(
            tags.into_iter().filter_map(|tag| Digest::try_from(tag).ok()).collect(),
        ),
    })
}

/// The `ETag` of what can be put. It stands for that alone: the stock of a product changes without
/// it.
fn etag(version: Digest) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{version}\""))]
}

/// Parses the id in the path of a PUT.
fn named<T: FromStr<Err = BadId>>(parameter: &str, text: &str) -> Result<T, Problem> {
    id_text(text).map_err(|(code, detail)| {
        Fault::parameter(parameter, code, format!("{parameter} {detail}")).into()
    })
}

/// Reads an id from a member of a body.
fn id<T: FromStr<Err = BadId>>(node: &Node) -> Parsed<T> {
    match node {
        Node::String(text) => id_text(text),
        other => Err((FaultCode::WRONG_TYPE, format!("must be a string, not {}", other.kind()))),
    }
}

/// Parses an id from a path or a query string.
fn id_text<T: FromStr<Err = BadId>>(text: &str) -> Parsed<T> {
    const RULE: &str = "must be 1 to 64 letters, digits, dots, underscores or hyphens, and start with a letter or a digit";
    text.parse().map_err(|_| (FaultCode::BAD_FORMAT, RULE.to_owned()))
}

#[cfg(test)]
mod tests;
