//! The dashboard: the page at `/` with its files, which are part of the program. The page uses the
//! API like every other client, so it has no route of its own but for what it is told at its start.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, Request};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;
use web::Rule;
use web::program::Page;
use web::static_file::StaticFile;

/// Allows this origin only, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Of the page, which names the build that its files are of.
const NO_CACHE: &str = "no-cache";
/// Of the files at the addresses of this build: what is there never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Of the files at the addresses of another build: the next answer may be from that build.
const NO_STORE: &str = "no-store";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLES: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";
const INDEX: &str = include_str!("../site/index.html");
const CONFIG: &str = "/dashboard/config.json";

/// What the page is told about the program that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Whether the page may place test orders.
    pub demo: bool,
    /// The version of the program.
    pub version: &'static str,
    /// The currency of orders that name none.
    pub currency: String,
    /// Pages of the program that a browser can open, if no gateway is before it.
    pub links: Vec<&'static str>,
    /// The URL of a page that shows the trace `{trace_id}`, if people have one.
    pub trace_url: Option<String>,
}

struct File {
    /// The path below `site/`.
    name: &'static str,
    /// The pattern of its address.
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

/// Lists the files below `site/`: as parts of the program, and with their rules. The page and its
/// files say nothing about the shop, so they are for everybody; the API asks for a key.
macro_rules! files {
    ($($name:literal: $media_type:ident,)*) => {
        const FILES: &[File] = &[$(File {
            name: $name,
            path: concat!("/dashboard/{build}/", $name),
            media_type: $media_type,
            content: include_bytes!(concat!("../site/", $name)),
        },)*];
        const RULES: &[Rule] = &[
            Rule::open("/"),
            Rule::open(CONFIG),
            $(Rule::open(concat!("/dashboard/{build}/", $name)),)*
        ];
    };
}

files! {
    "api.js": SCRIPT,
    "app.js": SCRIPT,
    "chart.js": SCRIPT,
    "health.js": SCRIPT,
    "html.js": SCRIPT,
    "icon.svg": IMAGE,
    "live.js": SCRIPT,
    "pages/import.js": SCRIPT,
    "pages/movement.js": SCRIPT,
    "pages/order.js": SCRIPT,
    "pages/order/form.js": SCRIPT,
    "pages/order/items.js": SCRIPT,
    "pages/order/money.js": SCRIPT,
    "pages/order/returns.js": SCRIPT,
    "pages/order/shipments.js": SCRIPT,
    "pages/order/timeline.js": SCRIPT,
    "pages/order/units.js": SCRIPT,
    "pages/order/waiting.js": SCRIPT,
    "pages/orders.js": SCRIPT,
    "pages/overview.js": SCRIPT,
    "pages/product.js": SCRIPT,
    "pages/stock.js": SCRIPT,
    "pages/trouble.js": SCRIPT,
    "parts.css": STYLES,
    "resource.js": SCRIPT,
    "store.js": SCRIPT,
    "style.css": STYLES,
    "text.js": SCRIPT,
    "text/en-orders.js": SCRIPT,
    "text/en.js": SCRIPT,
    "text/pt-BR-orders.js": SCRIPT,
    "text/pt-BR.js": SCRIPT,
    "theme.js": SCRIPT,
    "ui.js": SCRIPT,
    "vendor/htm/htm.js": SCRIPT,
    "vendor/preact/hooks.js": SCRIPT,
    "vendor/preact/preact.js": SCRIPT,
    "vendor/uplot/uPlot.css": STYLES,
    "vendor/uplot/uPlot.js": SCRIPT,
}

/// Routes `/`, the files of the page, and `/dashboard/config.json`. Links are relative, so a
/// gateway may add a prefix.
///
/// # Panics
///
/// Never: the configuration is strings.
pub fn page(config: &Config) -> Page {
    let serve = |media_type, caching, content| {
        StaticFile { content, media_type, caching, policy: POLICY }.route()
    };
    let config = serde_json::to_vec(config).expect("strings");
    let index = INDEX.replace("dashboard/", &format!("dashboard/{}/", build()));
    let router = Router::new()
        .route("/", serve(HTML, NO_CACHE, index.into()))
        .route(CONFIG, serve("application/json", NO_CACHE, config.into()));
    let router = FILES.iter().fold(router, |router, file| {
        let route = serve(file.media_type, FOR_EVER, file.content.into());
        router.route(file.path, route.layer(middleware::from_fn(keep_own_build_only)))
    });
    Page { router, rules: RULES }
}

/// While replicas of two builds run behind one address, a page of one may ask the other for its
/// files. It gets those that are here, so that it works, but no cache keeps them.
async fn keep_own_build_only(Path(asked): Path<String>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if asked != build() {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    }
    response
}

/// A name of these very files.
fn build() -> &'static str {
    static BUILD: LazyLock<String> = LazyLock::new(|| {
        let mut hasher = DefaultHasher::new();
        for file in FILES {
            (file.name, file.content).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    });
    &BUILD
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn config() -> Config {
        let links = vec!["docs", "readyz"];
        let trace_url = Some("https://traces.example/{trace_id}".to_owned());
        Config { demo: true, version: "1.2.3", currency: "BRL".to_owned(), links, trace_url }
    }

    async fn ask(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        page(&config()).router.oneshot(request).await.expect("an answer")
    }

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }

    fn site() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("site")
    }

    /// Every file below `site/`, by its path there.
    fn on_disk() -> BTreeSet<String> {
        let (mut found, mut folders) = (BTreeSet::new(), vec![site()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(site()).expect("below site/");
                    found.insert(name.display().to_string());
                }
            }
        }
        found
    }

    #[test]
    fn every_file_of_the_site_is_served_and_no_other() {
        let unserved = ["index.html", "LICENSE", "README.md"];
        let is_served = |name: &String| !unserved.iter().any(|its| name.ends_with(its));
        let expected: BTreeSet<_> = on_disk().into_iter().filter(is_served).collect();
        let served = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(expected, served);
    }

    #[tokio::test]
    async fn the_page_runs_and_loads_nothing_but_its_own_files() {
        let response = ask("/").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], HTML);
        assert_eq!(response.headers()[header::CACHE_CONTROL], NO_CACHE);
        assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        let page = text(response).await;
        let links = page.split(['"', '\'']).filter(|part| part.starts_with("dashboard/"));
        let links: Vec<_> = links.collect();
        assert!(links.len() > 3, "{links:?}");
        for link in links {
            assert!(link.contains(build()), "{link}");
            let file = ask(&format!("/{link}")).await;
            assert_eq!(file.status(), StatusCode::OK, "{link}");
            assert_eq!(file.headers()[header::CACHE_CONTROL], FOR_EVER);
        }
        assert!(!page.contains("://") && !page.contains("<style") && !page.contains("style="));
        assert!(page.split("<script").skip(1).all(|script| script.contains("></script>")));
    }

    /// During a rolling update, a page of one build may ask a replica of another one.
    #[tokio::test]
    async fn files_for_a_page_of_another_build_are_served_and_never_kept() {
        for file in FILES {
            let path = |build: &str| format!("/dashboard/{build}/{}", file.name);
            let own = ask(&path(build())).await;
            assert_eq!(own.headers()[header::CACHE_CONTROL], FOR_EVER, "{}", file.name);
            for foreign in ["0000000000000000", "1.2.3", "x"] {
                let response = ask(&path(foreign)).await;
                assert_eq!(response.status(), StatusCode::OK, "{}", file.name);
                assert_eq!(response.headers()[header::CACHE_CONTROL], NO_STORE, "{}", file.name);
            }
        }
    }

    /// A module that is not there stops the page.
    #[test]
    fn every_import_names_a_file_of_the_site() {
        let files = on_disk();
        let mut imports = 0;
        for name in files.iter().filter(|name| name.ends_with(".js")) {
            let text = std::fs::read_to_string(site().join(name)).expect("text");
            for line in
                text.lines().filter(|line| line.contains("from './") || line.contains("from '../"))
            {
                let wanted = line.rsplit("from '").next().and_then(|rest| rest.split('\'').next());
                let mut whole = PathBuf::from(name);
                whole.pop();
                for part in wanted.expect("a path").split('/') {
                    match part {
                        "." => {}
                        ".." => drop(whole.pop()),
                        _ => whole.push(part),
                    }
                }
                assert!(files.contains(&whole.display().to_string()), "{name}: {line}");
                imports += 1;
            }
        }
        assert!(imports > 40, "the imports are found: {imports}");
    }

    #[tokio::test]
    async fn the_page_is_told_what_it_needs_to_know() {
        let told = text(ask(CONFIG).await).await;
        let expected = r#"{"demo":true,"version":"1.2.3","currency":"BRL","links":["docs","readyz"],"trace_url":"https://traces.example/{trace_id}"}"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn what_other_people_wrote_is_there_with_its_licence() {
        for entry in std::fs::read_dir(site().join("vendor")).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert!(path.is_file() || path.join("LICENSE").is_file(), "{}", path.display());
        }
    }

    /// A text that is missing in one language would show in the other.
    #[test]
    fn both_languages_have_the_same_texts() {
        let keys = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(site().join("text").join(name)).expect("text");
            let lines = text.lines().filter_map(|line| line.strip_prefix("    '"));
            lines.filter_map(|line| line.split("': ").next()).map(str::to_owned).collect()
        };
        for part in ["", "-orders"] {
            let english = keys(&format!("en{part}.js"));
            assert!(english.len() > 150, "{}", english.len());
            assert_eq!(english, keys(&format!("pt-BR{part}.js")));
        }
    }
}
