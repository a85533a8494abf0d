//! `GET /api/inventory/admin-log`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::admin_log::AdminEntry;
use utoipa::ToSchema;
use web::problem::{Problem, ReadProblems};
use web::{Query, cursor, page};

use crate::service::Service;

/// The name of the list in its cursors.
const LIST: &str = "admin-log";

/// What a person changed by hand, or tried to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminEntry)]
pub(super) struct EntryView {
    #[schema(value_type = String, format = "date-time")]
    at: String,
    /// Who asked for it; null if clients were not asked who they are.
    #[schema(example = "key:4fT9xQ2mLp0a")]
    actor: Option<String>,
    /// `put_product`, `put_location`, `adjust` or `count`; `import_began` and `import_ended` for a
    /// file of counted stock, whose counts are in the ledger; `discard_message` for an entry of the
    /// quarantine; `refused` for a request that only an administrator may make; `serves_anyone` when
    /// the service began to serve clients from other machines without asking who they are;
    /// `key_created`, `key_rotated`, `key_revoked` or `key_restored`.
    #[schema(example = "put_product")]
    action: String,
    /// The id of the product, location, key or entry; the `Idempotency-Key` of an import; the method
    /// and path of a refused request; the address where the service listens.
    #[schema(example = "789")]
    subject: String,
    /// What it was before; null if it did not exist.
    #[schema(value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// What it is after; of a refused request, the `required_scope`.
    #[schema(value_type = Object)]
    after: Box<RawValue>,
    /// The `X-Request-Id` of the request.
    request_id: Option<String>,
    /// The address that the request came from.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
}

/// A page of the admin log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AdminLogPage {
    data: Vec<EntryView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl From<AdminEntry> for EntryView {
    fn from(entry: AdminEntry) -> Self {
        Self {
            at: entry.at.to_rfc3339(),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            before: entry.before.map(json),
            after: json(entry.after),
            request_id: entry.request_id,
            address: entry.address,
        }
    }
}

fn json(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("the store wrote JSON")
}

/// List administrative changes
///
/// Lists what people changed by hand, newest first: products, locations, adjusted and counted stock,
/// imports, discarded entries of the quarantine, and API keys in the database. It also has the
/// administrative requests that were refused, and when
/// the service began to serve clients without asking who they are. The log is append-only.
#[utoipa::path(
    get, path = "/api/inventory/admin-log", tag = "inventory", operation_id = "listAdminLog",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of the log", body = AdminLogPage),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    mut query: Query,
) -> Result<Json<AdminLogPage>, Problem> {
    let limit = query.limit();
    let before = query.cursor(LIST);
    query.finish()?;
    let before = before.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let mut entries = service.audit.admin_log(before, page::one_more(limit)).await?;
    let next_cursor =
        page::cut(&mut entries, limit, |entry| cursor::encode(LIST, &entry.number.to_string()));
    Ok(Json(AdminLogPage { data: entries.into_iter().map(EntryView::from).collect(), next_cursor }))
}
