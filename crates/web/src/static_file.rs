//! Files that a program has in itself: compressed once, and sent again only if they changed.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// A file and how it is served.
#[derive(Debug)]
pub struct StaticFile {
    /// What is sent.
    pub content: Bytes,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// `Cache-Control`.
    pub caching: &'static str,
    /// `Content-Security-Policy`.
    pub policy: &'static str,
}

/// What is sent for a file in one encoding.
#[derive(Clone, Debug)]
struct Encoded {
    content: Bytes,
    /// A strong validator, so each encoding has its own (RFC 9110, section 8.8.3.3).
    etag: HeaderValue,
}

impl StaticFile {
    /// A route that serves the file.
    pub fn route(self) -> MethodRouter {
        let plain = Encoded::new(self.content.clone());
        let compressed = Arc::new(OnceLock::new());
        let file = Arc::new(self);
        get(move |headers: HeaderMap| async move {
            let takes_gzip = headers.get_all(header::ACCEPT_ENCODING).iter().any(names_gzip);
            let encoded = if takes_gzip {
                // Not at the start of the program, because few ever ask for it.
                compressed.get_or_init(|| Encoded::new(gzip(&plain.content))).clone()
            } else {
                plain
            };
            file.respond(&headers, encoded, takes_gzip)
        })
    }

    fn respond(&self, request: &HeaderMap, encoded: Encoded, is_gzip: bool) -> Response {
        let Encoded { content, etag } = encoded;
        let known = is_named(request, &etag);
        let mut response =
            if known { StatusCode::NOT_MODIFIED.into_response() } else { content.into_response() };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.caching));
        // Also without content: the headers of a 304 replace those that the browser has kept.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(self.policy));
        if !known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
            if is_gzip {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }
}

impl Encoded {
    fn new(content: Bytes) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&content)));
        let etag = HeaderValue::from_str(&etag).expect("base64 in quotes");
        Self { content, etag }
    }
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(content).and_then(|()| encoder.finish());
    compressed.expect("a vector takes everything").into()
}

/// Whether an `Accept-Encoding` names gzip, and not with a weight of 0.
fn names_gzip(value: &HeaderValue) -> bool {
    let codings = value.to_str().unwrap_or_default().split(',');
    codings.into_iter().any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight: f32| weight > 0.0)
    })
}

/// Whether `If-None-Match` has this validator.
fn is_named(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let etag = etag.to_str().unwrap_or_default();
    lines
        .flat_map(|line| line.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == etag || one == "*")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn router() -> Router {
        let content = Bytes::from("a long text, ".repeat(1000));
        let file =
            StaticFile { content, media_type: "text/plain", caching: "no-cache", policy: "x" };
        Router::new().route("/", file.route())
    }

    async fn ask(router: &Router, headers: &[(header::HeaderName, &str)]) -> Response {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn length(response: Response) -> usize {
        response.into_body().collect().await.unwrap().to_bytes().len()
    }

    #[tokio::test]
    async fn a_file_is_compressed_for_who_takes_it() {
        let router = router();
        for (accepted, compressed) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            let response = ask(&router, &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            let is_gzip =
                response.headers().get(header::CONTENT_ENCODING).is_some_and(|its| its == "gzip");
            assert_eq!(is_gzip, compressed, "{accepted}");
            assert_eq!(length(response).await < 1000, compressed, "{accepted}");
        }
    }

    #[tokio::test]
    async fn a_file_that_the_client_has_is_not_sent_again() {
        let router = router();
        let gzip = (header::ACCEPT_ENCODING, "gzip");
        let etag = async |headers: &[(header::HeaderName, &str)]| {
            ask(&router, headers).await.headers()[header::ETAG].to_str().unwrap().to_owned()
        };
        let (plain, compressed) = (etag(&[]).await, etag(std::slice::from_ref(&gzip)).await);
        assert_ne!(plain, compressed, "they are different bytes");
        for (known, status) in [
            (plain.clone(), 304),
            (format!("\"other\", W/{plain}"), 304),
            ("*".to_owned(), 304),
            (compressed.clone(), 200),
            ("\"other\"".to_owned(), 200),
        ] {
            let response = ask(&router, &[(header::IF_NONE_MATCH, known.as_str())]).await;
            assert_eq!(response.status(), status, "{known}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], "x", "{status}");
            assert_eq!(length(response).await == 0, status == 304);
        }
        let response = ask(&router, &[gzip, (header::IF_NONE_MATCH, &compressed)]).await;
        assert_eq!(response.status(), 304);
    }
}
