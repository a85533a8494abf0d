//! The page at `/`, which says what the program is and links to its other pages.

use axum::Router;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use http::header;

use crate::auth::Rule;
use crate::program::Page;

/// Allows the page's own styles and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const RULES: &[Rule] = &[Rule::open("/")];
const PAGE: &str = include_str!("index.html");

/// Routes `/`. Links are relative, so a gateway may add a prefix.
pub(crate) fn page(name: &str, summary: &str) -> Page {
    Page { router: router(name, summary), rules: RULES }
}

fn router(name: &str, summary: &str) -> Router {
    let page = PAGE.replace("{name}", name).replace("{summary}", summary);
    let page = page.replace("{version}", env!("CARGO_PKG_VERSION"));
    let answer = move || async move {
        ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
    };
    Router::new().route("/", get(answer))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_page_names_the_program_and_links_to_its_own_paths_only() {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = router("till", "Takes money.").oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let page = response.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains("<title>till</title>"), "{page}");
        let links: Vec<_> =
            page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(links, ["docs", "openapi.json", "metrics", "readyz", "version"]);
        assert!(page.contains("Takes money."), "{page}");
        assert!(!page.contains("{name}") && !page.contains("{version}"), "{page}");
    }
}
