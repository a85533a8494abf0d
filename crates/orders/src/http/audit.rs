//! `GET /api/orders/audit`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use platform::audit::AuditReport;
use web::Query;
use web::audit::AuditView;
use web::problem::{Problem, ReadProblems};

use crate::service::Service;

/// Get the state of the audit
///
/// What the audit of orders has done since the process started: which invariants it checks, how
/// often, and what broke them. Each replica audits, and answers for itself. The program `lastro`
/// also compares the databases of both services, and shows that here.
#[utoipa::path(
    get, path = "/api/orders/audit", tag = "orders", operation_id = "getOrderAudit",
    responses((status = 200, description = "The state of the audit", body = AuditView), ReadProblems),
)]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    query: Query,
) -> Result<Json<AuditView>, Problem> {
    query.finish()?;
    let reports = service.audits.iter().map(|audit| audit.report());
    Ok(Json(reports.reduce(AuditReport::with).unwrap_or_default().into()))
}
