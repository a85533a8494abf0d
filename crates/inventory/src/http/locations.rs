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
use web::{Json as Body, Query, Requester, cursor, page};

use crate::service::Service;

/// The name of the list in its cursors.
const LIST: &str = "locations";
const MAX_PRIORITY: i64 = 1_000_000;

/// A location to create or replace.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes the body to readers of the API; bodies are read by `Reader`, fault by fault"
)]
pub(super) struct NewLocation {
    #[schema(example = "Shop on the corner", min_length = 1, max_length = 200)]
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

/// A page of locations, in the order in which they serve orders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LocationPage {
    data: Vec<LocationView>,
    /// Send it as `cursor` to get the next page; null on the last page.
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
///
/// Lists locations in the order in which they serve orders: by priority, then id. At most 1000
/// exist.
#[utoipa::path(
    get, path = "/api/inventory/locations", tag = "inventory", operation_id = "listLocations",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Locations per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of locations", body = LocationPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    mut query: Query,
) -> Result<Json<LocationPage>, Problem> {
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let after = after.map(|key| position(&key).ok_or_else(cursor::invalid)).transpose()?;
    // Every batch reads them all, so a page may do so as well (R17).
    let locations = service.store.locations().await?.into_iter();
    let mut page: Vec<_> = locations
        .skip_while(|its| after.as_ref().is_some_and(|after| sourcing_key(its) <= *after))
        .take(limit + 1)
        .collect();
    let next_cursor = page::cut(&mut page, limit, |last| {
        cursor::encode(LIST, &format!("{} {}", last.priority, last.location_id))
    });
    Ok(Json(LocationPage { data: page.into_iter().map(LocationView::from).collect(), next_cursor }))
}

/// What locations are sorted by.
fn sourcing_key(location: &Location) -> (u32, LocationId) {
    (location.priority, location.location_id.clone())
}

/// Reads the sourcing key in a cursor.
fn position(key: &str) -> Option<(u32, LocationId)> {
    let (priority, location_id) = key.split_once(' ')?;
    Some((priority.parse().ok()?, location_id.parse().ok()?))
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
        (status = 409, description = "`too_many_locations`: at most 1000 can exist", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "`precondition_failed`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn put(
    State(service): State<Arc<Service>>,
    client: Requester,
    Path(location_id): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let precondition = super::precondition(&headers)?;
    let location = read(super::named("location_id", &location_id)?, &body)?;
    let command = InventoryCommand::PutLocation(PutLocation {
        location,
        precondition,
        requester: super::requester(client),
    });
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
