//! `GET /api/inventory/admin-log`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use web::Query;
use web::admin_log::{self, AdminLogPage};
use web::problem::{Problem, ReadProblems};

use crate::service::Service;

/// List administrative changes of the Inventory Service
///
/// Lists what people changed by hand, newest first: products, locations, adjusted and counted stock,
/// imports, orders that `lastro repair` changed, discarded entries of the quarantine, and API keys in
/// the database. It also has the administrative requests that were refused, and when the service
/// began to serve clients without asking who they are. The log is append-only.
#[utoipa::path(
    get, path = "/api/inventory/admin-log", tag = "inventory", operation_id = "listStockAdminLog",
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
    query: Query,
) -> Result<Json<AdminLogPage>, Problem> {
    admin_log::list(&*service.admin_log, query).await
}
