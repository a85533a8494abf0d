//! The API's description and a page to browse it. The program serves all files itself, so the page
//! works without a network.

use axum::Router;
use axum::response::Redirect;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;

use crate::static_file::StaticFile;

/// Allows this origin only. Inline styles are allowed because Swagger UI's script sets them; inline
/// scripts are not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
/// Browsers revalidate, so that a page never shows the API of an earlier release.
const NO_CACHE: &str = "no-cache";
/// The page's own files change only with a release.
const AN_HOUR: &str = "public, max-age=3600";

/// The description of all events. Both services serve the same.
const ASYNCAPI: &str = include_str!("../../../asyncapi.json");
const INDEX: &str = include_str!("../vendor/swagger-ui/index.html");
const INITIALIZER: &str = include_str!("../vendor/swagger-ui/initializer.js");
const BUNDLE: &[u8] = include_bytes!("../vendor/swagger-ui/swagger-ui-bundle.js");
const STYLES: &[u8] = include_bytes!("../vendor/swagger-ui/swagger-ui.css");

/// Routes `/openapi.json` and `/asyncapi.json`, and `/docs` with its files. Links are relative, so a
/// gateway may add a prefix.
pub fn router(openapi_json: String) -> Router {
    let script = "text/javascript; charset=utf-8";
    Router::new()
        .route("/openapi.json", file("application/json", NO_CACHE, openapi_json))
        .route("/asyncapi.json", file("application/json", NO_CACHE, ASYNCAPI))
        .route("/docs", file("text/html; charset=utf-8", NO_CACHE, INDEX))
        .route("/docs/", get(|| async { Redirect::permanent("../docs") }))
        .route("/docs/initializer.js", file(script, AN_HOUR, INITIALIZER))
        .route("/docs/swagger-ui-bundle.js", file(script, AN_HOUR, BUNDLE))
        .route("/docs/swagger-ui.css", file("text/css; charset=utf-8", AN_HOUR, STYLES))
}

fn file(
    media_type: &'static str,
    caching: &'static str,
    content: impl Into<Bytes>,
) -> MethodRouter {
    StaticFile { content: content.into(), media_type, caching, policy: POLICY }.route()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::Response;
    use http::{Request, StatusCode, header};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, encoding: &str) -> Response {
        let request = Request::get(path)
            .header(header::ACCEPT_ENCODING, encoding)
            .body(Body::empty())
            .unwrap();
        router("{\"openapi\":\"3.1.0\"}".into()).oneshot(request).await.unwrap()
    }

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec())
            .unwrap()
    }

    #[tokio::test]
    async fn the_description_is_served_as_it_was_given() {
        let response = ask("/openapi.json", "identity").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(text(response).await, "{\"openapi\":\"3.1.0\"}");
    }

    #[tokio::test]
    async fn the_description_of_the_events_is_the_committed_one() {
        let response = ask("/asyncapi.json", "identity").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert!(response.headers().contains_key(header::ETAG));
        let described: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(described["asyncapi"], "3.0.0");
        assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[tokio::test]
    async fn everything_that_the_page_loads_is_served_from_here() {
        let page = text(ask("/docs", "identity").await).await;
        let links: Vec<_> =
            page.split(['"', '\'']).filter(|part| part.starts_with("docs/")).collect();
        assert_eq!(links.len(), 3, "{links:?}");
        for link in links {
            assert_eq!(
                ask(&format!("/{link}"), "identity").await.status(),
                StatusCode::OK,
                "{link}"
            );
        }
        assert!(!page.contains("://") && !INITIALIZER.contains("://"));
    }

    #[tokio::test]
    async fn the_page_runs_no_inline_script() {
        let response = ask("/docs", "identity").await;
        let policy =
            response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(
            policy.contains("script-src 'self';") && policy.contains("connect-src 'self';"),
            "{policy}"
        );
        let page = text(response).await;
        assert!(
            page.split("<script").skip(1).all(|script| script.contains("></script>")),
            "{page}"
        );
    }

    #[tokio::test]
    async fn a_trailing_slash_leads_to_the_page() {
        let response = ask("/docs/", "identity").await;
        assert_eq!(
            (response.status(), &response.headers()[header::LOCATION]),
            (StatusCode::PERMANENT_REDIRECT, &"../docs".parse().unwrap())
        );
    }
}
