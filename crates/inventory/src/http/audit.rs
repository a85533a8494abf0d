//! `GET /api/inventory/audit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use web::Query;
use web::audit::AuditView;
use web::problem::{Problem, ReadProblems};

use crate::service::Service;

/// Get the state of the audit
///
/// What the audit of stock has done since the process started: which invariants it checks, how
/// often, and what broke them. Each replica audits, and answers for itself.
#[utoipa::path(
    get, path = "/api/inventory/audit", tag = "inventory", operation_id = "getStockAudit",
    responses((status = 200, description = "The state of the audit", body = AuditView), ReadProblems),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    query: Query,
) -> Result<Json<AuditView>, Problem> {
    query.finish()?;
    Ok(Json(service.auditor.report().into()))
}
