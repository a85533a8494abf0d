//! `/api/inventory/locations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use contract::LocationId;
use http::{HeaderMap, StatusCode};
use inventory_core::decide::{InventoryCommand, InventoryOutcome, PutLocation};
use inventory_core::stock::Location;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use web::body::{self, Object, Reader};
use web::problem::{BodyProblems, Problem, ReadProblems, WriteProblems};
use web::{Json as Body, Query};

use crate::service::Service;

const MAX_PRIORITY: i64 = 1_000_000;

/// A location to create or replace.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body to readers of the API; bodies are read by `Reader`, fault by fault"
)]
pub(super) struct NewLocation {
    #[schema(example = "Shop on the corner", max_length = 200)]
    name: String,
    /// Locations with a lower priority serve orders first; those of equal priority in the order of
    /// their ids. 0 if absent.
    #[schema(example = 10, minimum = 0, maximum = 1_000_000)]
    priority: Option<u32>,
}

/// A location that holds stock.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Location)]
pub(super) struct LocationView {
    #[schema(example = "main")]
    location_id: String,
    #[schema(example = "Main")]
    name: String,
    priority: u32,
}

/// All locations, in the order in which they serve orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LocationPage {
    data: Vec<LocationView>,
    /// Always null: one page holds all locations.
    next_cursor: Option<String>,
}

impl From<Location> for LocationView {
    fn from(location: Location) -> Self {
        Self {
            location_id: location.location_id.to_string(),
            name: location.name,
            priority: location.priority,
        }
    }
}

/// List locations
#[utoipa::path(
    get, path = "/api/inventory/locations", tag = "inventory", operation_id = "listLocations",
    responses(
        (status = 200, description = "All locations", body = LocationPage),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    query: Query,
) -> Result<Json<LocationPage>, Problem> {
    query.finish()?;
    let locations = service.store.locations().await?;
    Ok(Json(LocationPage {
        data: locations.into_iter().map(LocationView::from).collect(),
        next_cursor: None,
    }))
}

/// Get a location
#[utoipa::path(
    get, path = "/api/inventory/locations/{location_id}", tag = "inventory", operation_id = "getLocation",
    params(("location_id" = String, Path)),
    responses(
        (status = 200, description = "The location", body = LocationView, headers(("ETag" = String, description = "Send it in `If-Match` to replace exactly this"))),
        (status = 404, description = "`location_not_found`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    Path(location_id): Path<String>,
    query: Query,
) -> Result<impl IntoResponse, Problem> {
    query.finish()?;
    let locations = service.store.locations().await?;
    let found = locations.into_iter().find(|its| its.location_id.as_str() == location_id);
    let location = found.ok_or_else(super::location_not_found)?;
    Ok((super::etag(location.version()), Json(LocationView::from(location))))
}

/// Create or replace a location
#[utoipa::path(
    put, path = "/api/inventory/locations/{location_id}", tag = "inventory", operation_id = "putLocation",
    request_body = NewLocation,
    params(
        ("location_id" = String, Path, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        ("If-Match" = Option<String>, Header, description = "`*`, or the `ETag` of the location: replace it only if it is still the same"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only create it"),
    ),
    responses(
        (status = 200, description = "The location was replaced", body = LocationView),
        (status = 201, description = "The location was created", body = LocationView),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    Path(location_id): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let precondition = super::precondition(&headers)?;
    let location = read(super::named("location_id", &location_id)?, &body)?;
    let command = InventoryCommand::PutLocation(PutLocation { location, precondition });
    match service.batcher.submit(command).await? {
        InventoryOutcome::LocationPut { location, created } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let etag = super::etag(location.version());
            Ok((status, etag, Json(LocationView::from(location))).into_response())
        }
        other => Err(super::problem(&other)),
    }
}

fn read(location_id: LocationId, object: &Object) -> Result<Location, Problem> {
    let mut body = Reader::new(object);
    let name = body.required("name", body::text_not_blank(super::MAX_TEXT));
    let priority = body.optional("priority", body::integer(0..=MAX_PRIORITY));
    body.finish(|| {
        let priority = u32::try_from(priority.unwrap_or(0)).expect("the range of a priority fits");
        Some(Location { location_id, name: name?, priority })
    })
}
