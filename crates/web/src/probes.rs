//! The paths for orchestrators, scrapers and operators: `/livez`, `/readyz`, `/metrics`,
//! `/version`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::header;
use platform::keys::{Principal, Scope};
use platform::readiness::{Health, Readiness, Snapshot};
use platform::telemetry;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::problem::{Code, Problem};

/// What the probes report.
#[derive(Clone, Debug)]
pub struct Probes {
    /// The name of the program.
    pub name: &'static str,
    /// The version of the program.
    pub version: &'static str,
    /// The state that `/readyz` reports.
    pub readiness: Readiness,
    /// The metrics that `/metrics` reports.
    pub registry: Arc<Registry>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// Routes `/livez`, `/readyz` and `/metrics`, to merge with the API or to serve at another address.
///
/// `/livez` always answers 200. `/readyz` answers 200 while the program accepts requests, even if it
/// is degraded, else 503 with `shutting_down` or `storage_unavailable`. Every check is shown only to
/// clients that may see it: [`Scope::OpsRead`].
pub fn router(probes: Probes) -> Router {
    let Probes { readiness, registry, .. } = probes;
    let readyz = move |client: Option<Extension<Arc<Principal>>>| async move {
        let sees_all = client.is_none_or(|client| client.scopes.has(Scope::OpsRead));
        let report = report(readiness.snapshot());
        if sees_all { report.map(Json) } else { report.map(Report::short).map_err(short).map(Json) }
    };
    let metrics = move || async move { openmetrics(&registry) };
    Router::new()
        .route("/livez", get(|| async { Json(serde_json::json!({"status": "alive"})) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

/// Routes `/version`, which is always served at the API's address.
pub fn version(probes: &Probes) -> Router {
    let version = Version { name: probes.name, version: probes.version };
    Router::new().route("/version", get(move || async move { Json(version) }))
}

/// The answer of `/readyz` while the program accepts requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Report {
    /// `ready` or `degraded`.
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    /// `up` or `degraded`.
    status: &'static str,
    detail: Option<String>,
}

impl Report {
    /// The report for everybody.
    fn short(self) -> Self {
        Self { checks: Vec::new(), ..self }
    }
}

/// The problem for everybody.
fn short(problem: Problem) -> Problem {
    Problem { detail: problem.code.title().to_owned(), ..problem }
}

/// The body of `/readyz`.
///
/// # Errors
///
/// `shutting_down` while the program drains, else `storage_unavailable` with every check that is
/// down.
fn report(snapshot: Snapshot) -> Result<Report, Problem> {
    if snapshot.draining {
        return Err(Problem::new(
            Code::SHUTTING_DOWN,
            "the service is shutting down and finishes the requests in flight",
        ));
    }
    let mut down = Vec::new();
    let mut checks = Vec::new();
    for (name, health) in snapshot.checks {
        let (status, detail) = match health {
            Health::Up => ("up", None),
            Health::Degraded(detail) => ("degraded", Some(detail)),
            Health::Down(detail) => {
                down.push(format!("{name}: {detail}"));
                continue;
            }
        };
        checks.push(Check { name, status, detail });
    }
    if !down.is_empty() {
        return Err(Problem::new(Code::STORAGE_UNAVAILABLE, down.join("; ")));
    }
    let all_up = checks.iter().all(|check| check.status == "up");
    Ok(Report { status: if all_up { "ready" } else { "degraded" }, checks })
}

fn openmetrics(registry: &Registry) -> Response {
    ([(header::CONTENT_TYPE, telemetry::OPENMETRICS)], telemetry::render(registry)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    fn probes(readiness: &Readiness) -> Router {
        let mut registry = Registry::default();
        telemetry::Metrics::new(&mut registry, "1.2.3");
        let registry = Arc::new(registry);
        let probes =
            Probes { name: "lastro", version: "1.2.3", readiness: readiness.clone(), registry };
        version(&probes).merge(router(probes))
    }

    async fn ask(readiness: &Readiness, path: &str) -> Response {
        probes(readiness).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
            .unwrap()
    }

    async fn json_of(response: Response) -> Value {
        serde_json::from_str(&text(response).await).unwrap()
    }

    fn status(checks: &[(&'static str, Health)]) -> Result<&'static str, (Code, String)> {
        let snapshot = Snapshot { draining: false, checks: checks.to_vec() };
        report(snapshot)
            .map(|report| report.status)
            .map_err(|problem| (problem.code, problem.detail))
    }

    #[test]
    fn the_worst_check_decides() {
        let late = Health::Degraded("late".into());
        let away = Health::Down("away".into());
        assert_eq!(status(&[]), Ok("ready"));
        assert_eq!(status(&[("a", Health::Up), ("b", Health::Up)]), Ok("ready"));
        assert_eq!(status(&[("a", Health::Up), ("b", late.clone())]), Ok("degraded"));
        let down = Err((Code::STORAGE_UNAVAILABLE, "a: away; c: away".to_owned()));
        assert_eq!(status(&[("a", away.clone()), ("b", late), ("c", away)]), down);
    }

    #[tokio::test]
    async fn a_degraded_service_is_ready_and_says_what_is_wrong() {
        let readiness = Readiness::default();
        readiness.set("orders database", Health::Up);
        readiness.set("bus", Health::Degraded("connection refused".into()));
        let response = ask(&readiness, "/readyz").await;
        assert_eq!(response.status(), StatusCode::OK);
        let expected = json!({"status": "degraded", "checks": [
            {"name": "orders database", "status": "up", "detail": null},
            {"name": "bus", "status": "degraded", "detail": "connection refused"},
        ]});
        assert_eq!(json_of(response).await, expected);
    }

    #[tokio::test]
    async fn a_draining_service_is_alive_and_not_ready() {
        let readiness = Readiness::default();
        readiness.drain();
        let response = ask(&readiness, "/readyz").await;
        let problem = response.extensions().get::<Problem>().expect("the edge renders it");
        assert_eq!(
            (response.status(), problem.code),
            (StatusCode::SERVICE_UNAVAILABLE, Code::SHUTTING_DOWN)
        );
        assert_eq!(ask(&readiness, "/livez").await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let response = ask(&Readiness::default(), "/metrics").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], telemetry::OPENMETRICS);
        assert!(text(response).await.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn the_version_names_the_program() {
        let response = ask(&Readiness::default(), "/version").await;
        assert_eq!(json_of(response).await, json!({"name": "lastro", "version": "1.2.3"}));
    }
}
