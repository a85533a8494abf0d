//! Protection from pages of other sites, which reach the program through the browser of somebody
//! who can reach it.
//!
//! A name that its owner lets point at this machine (DNS rebinding) makes such a page one of the
//! same site; the `Host` header tells. And any page can send a form or a simple POST;
//! `Sec-Fetch-Site` or `Origin` tell.

use std::fmt;
use std::net::IpAddr;

use axum::extract::Request;
use http::header;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use platform::config::{ListenAddr, UsageError};
use tower_http::cors::CorsLayer;

use crate::problem::{Code, Problem};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that the program answers to, and the other sites whose pages may use it.
///
/// The default checks nothing: it is for requests that come from within the process.
#[derive(Clone, Debug, Default)]
pub struct Site {
    names: Names,
    /// As browsers write them in `Origin`.
    origins: Vec<HeaderValue>,
}

/// Which names a `Host` may have. An IP address needs no check: nobody can make it point elsewhere.
#[derive(Clone, Debug, Default)]
enum Names {
    #[default]
    Unchecked,
    Any,
    Only(Vec<String>),
    /// Those of this machine, and these.
    Loopback(Vec<String>),
}

impl Site {
    /// The site of a program that listens on `address`.
    ///
    /// On a loopback address, if it asks for no keys (`is_open`), it answers to the names of this
    /// machine and to `allowed_hosts`; otherwise to `allowed_hosts`, or to every name if there is
    /// none. Pages of `cors_origins` may use it like its own.
    ///
    /// # Errors
    ///
    /// A host is not a name, or an origin is not `scheme://host` or `scheme://host:port`.
    pub fn new(
        address: &ListenAddr,
        is_open: bool,
        allowed_hosts: &[String],
        cors_origins: &[String],
    ) -> Result<Self, UsageError> {
        let hosts = allowed_hosts.iter().map(|text| host(text)).collect::<Result<Vec<_>, _>>()?;
        let names = match (is_open && address.is_loopback(), hosts.is_empty()) {
            (true, _) => Names::Loopback(hosts),
            (false, true) => Names::Any,
            (false, false) => Names::Only(hosts),
        };
        let origins = cors_origins.iter().map(|text| origin(text)).collect::<Result<_, _>>()?;
        Ok(Self { names, origins })
    }

    /// What answers the preflights of browsers and lets them read the answers; `None` if no other
    /// site may use the program.
    pub fn cors(&self) -> Option<CorsLayer> {
        const ALLOWED: [HeaderName; 9] = [
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("prefer"),
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("traceparent"),
        ];
        const EXPOSED: [HeaderName; 8] = [
            header::LOCATION,
            header::ETAG,
            header::RETRY_AFTER,
            HeaderName::from_static("idempotent-replayed"),
            HeaderName::from_static("preference-applied"),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
            HeaderName::from_static("x-request-id"),
        ];
        (!self.origins.is_empty()).then(|| {
            CorsLayer::new()
                .allow_origin(self.origins.clone())
                .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
                .allow_headers(ALLOWED)
                .expose_headers(EXPOSED)
        })
    }

    /// Checks where a request comes from.
    ///
    /// # Errors
    ///
    /// - 400 `invalid_host` unless the request has exactly one valid `Host` (RFC 9112, section 3.2).
    /// - 421 `misdirected_request` if the program does not answer to that name.
    /// - 403 `cross_site_request` if a page of another site would change something.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        if matches!(self.names, Names::Unchecked) {
            return Ok(());
        }
        let host = match host_of(request) {
            Ok(Some(host)) => host,
            // Health checks of some load balancers.
            Ok(None) if matches!(self.names, Names::Any) => return Ok(()),
            Ok(None) | Err(InvalidHost) => {
                let detail = "the request must have exactly one valid Host header";
                return Err(Problem::new(Code::INVALID_HOST, detail));
            }
        };
        if !self.answers_to(&host) {
            let detail = format!(
                "this service does not answer to the name {}; if it is one of its names, add it to allowed_hosts",
                host.host()
            );
            return Err(Problem::new(Code::MISDIRECTED_REQUEST, detail));
        }
        if !request.method().is_safe() && self.is_of_another_site(request.headers(), &host) {
            let detail = "pages of another site must not change anything; if it is one of yours, add its origin to cors_origins";
            return Err(Problem::new(Code::CROSS_SITE_REQUEST, detail));
        }
        Ok(())
    }

    fn answers_to(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let listed = |names: &[String]| names.iter().any(|its| its == name);
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address
            || match &self.names {
                Names::Unchecked | Names::Any => true,
                Names::Only(names) => listed(names),
                Names::Loopback(names) => {
                    name == "localhost" || name.ends_with(".localhost") || listed(names)
                }
            }
    }

    /// Whether a browser says that the request comes from a page of another site. Other clients say
    /// nothing.
    fn is_of_another_site(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let origin = headers.get(header::ORIGIN);
        if origin.is_some_and(|origin| self.origins.contains(origin)) {
            return false;
        }
        match (headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes), origin) {
            (Some(b"same-origin" | b"none"), _) | (None, None) => false,
            (Some(_), _) => true,
            (None, Some(origin)) => {
                let origin: Option<Uri> = origin.to_str().ok().and_then(|text| text.parse().ok());
                origin.and_then(|origin| origin.into_parts().authority).as_ref() != Some(host)
            }
        }
    }
}

#[derive(Debug)]
struct InvalidHost;

/// The host that a request names; `None` in an HTTP/1.0 request that names none.
fn host_of(request: &Request) -> Result<Option<Authority>, InvalidHost> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return if request.version() < Version::HTTP_11 { Ok(None) } else { Err(InvalidHost) };
    };
    let host: Authority =
        Authority::try_from(host.as_bytes()).ok().filter(is_plain).ok_or(InvalidHost)?;
    // In the absolute form of a request, both must agree.
    let agrees = request.uri().authority().is_none_or(|its| *its == host);
    if hosts.next().is_none() && agrees { Ok(Some(host)) } else { Err(InvalidHost) }
}

/// Whether it has a host, perhaps a port, and no user.
fn is_plain(authority: &Authority) -> bool {
    let host = authority.host();
    let has_port = authority.port_u16().is_some();
    !host.is_empty()
        && (has_port || authority.as_str() == host)
        && !authority.as_str().contains('@')
}

/// Reads a name of `allowed_hosts`, which is compared without port and case.
fn host(text: &str) -> Result<String, UsageError> {
    let authority = text.parse().ok().filter(is_plain);
    match authority.filter(|its: &Authority| its.host() == text && !text.contains('*')) {
        Some(_) => Ok(text.to_ascii_lowercase()),
        None => Err(mistake("allowed_hosts", &text, "a host name, such as shop.example.com")),
    }
}

/// Reads an origin of `cors_origins`.
fn origin(text: &str) -> Result<HeaderValue, UsageError> {
    let uri = text.parse::<Uri>().ok().map(Uri::into_parts);
    let is_origin = uri.is_some_and(|uri| {
        let authority = uri.authority.filter(|its| is_plain(its) && !its.as_str().contains('*'));
        let scheme = uri.scheme.filter(|its| ["http", "https"].contains(&its.as_str()));
        let written =
            scheme.zip(authority).map(|(scheme, authority)| format!("{scheme}://{authority}"));
        written.is_some_and(|written| written.eq_ignore_ascii_case(text))
    });
    let value = HeaderValue::from_str(&text.to_ascii_lowercase()).ok().filter(|_| is_origin);
    value.ok_or_else(|| {
        mistake("cors_origins", &text, "an origin without a path, such as https://shop.example.com")
    })
}

fn mistake(key: &str, value: &dyn fmt::Debug, expected: &str) -> UsageError {
    UsageError(format!("{key}: {value:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn site(address: &str, hosts: &[&str], origins: &[&str]) -> Site {
        let owned =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Site::new(&address.parse().unwrap(), true, &owned(hosts), &owned(origins)).unwrap()
    }

    /// The code with which a request with these headers is refused.
    fn refusal(site: &Site, method: &Method, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().method(method).uri("/api/orders");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        site.check(&request).err().map(|problem| problem.code.as_str())
    }

    #[test]
    fn a_request_has_exactly_one_valid_host() {
        let any = site("0.0.0.0:80", &[], &[]);
        for hosts in
            [&[][..], &[""], &["a", "a"], &["a b"], &["u@a"], &["a:b"], &["a/b"], &["a,b@c"]]
        {
            let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            assert_eq!(refusal(&any, &Method::GET, &headers), Some("invalid_host"), "{hosts:?}");
        }
        for host in ["a", "shop.example.com:8443", "127.0.0.1", "[::1]:80"] {
            assert_eq!(refusal(&any, &Method::GET, &[("host", host)]), None, "{host}");
        }
        let request = |uri: &str, version| {
            let request = Request::builder().uri(uri).version(version).header("host", "a:80");
            request.body(Body::empty()).unwrap()
        };
        assert!(any.check(&request("http://a:80/x", Version::HTTP_11)).is_ok());
        assert!(any.check(&request("http://b/x", Version::HTTP_11)).is_err());
        let mut old = request("/livez", Version::HTTP_10);
        old.headers_mut().clear();
        assert!(any.check(&old).is_ok(), "a health check of HTTP/1.0");
        assert!(site("127.0.0.1:80", &[], &[]).check(&old).is_err());
    }

    #[test]
    fn a_program_answers_to_its_own_names() {
        let misdirected = Some("misdirected_request");
        let loopback = site("127.0.0.1:8080", &["Shop.example.com"], &[]);
        let open = site("0.0.0.0:8080", &["shop.example.com"], &[]);
        for (host, on_loopback, elsewhere) in [
            ("localhost:8080", None, misdirected),
            ("LocalHost", None, misdirected),
            ("lastro.localhost:1", None, misdirected),
            ("127.0.0.1:8080", None, None),
            ("[::1]:8080", None, None),
            ("10.0.0.7:8080", None, None),
            ("shop.example.com", None, None),
            ("SHOP.example.com.:443", None, None),
            ("rebound.example.net", misdirected, misdirected),
            ("localhost.example.net", misdirected, misdirected),
            ("notlocalhost", misdirected, misdirected),
        ] {
            let headers = [("host", host)];
            assert_eq!(refusal(&loopback, &Method::GET, &headers), on_loopback, "{host}");
            assert_eq!(refusal(&open, &Method::POST, &headers), elsewhere, "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let site = site("127.0.0.1:8080", &[], &["https://shop.example.com"]);
        let foreign = Some("cross_site_request");
        for (headers, expected) in [
            (&[][..], None),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8080")], None),
            (&[("sec-fetch-site", "none")], None),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], foreign),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://localhost:9000")], foreign),
            (&[("sec-fetch-site", "cross-site"), ("origin", "null")], foreign),
            (&[("sec-fetch-site", "cross-site")], foreign),
            (&[("origin", "http://localhost:8080")], None),
            (&[("origin", "http://localhost:9000")], foreign),
            (&[("origin", "https://evil.example")], foreign),
            (&[("origin", "null")], foreign),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://shop.example.com")], None),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://shop.example.com.evil.example"),
                ],
                foreign,
            ),
        ] {
            let headers = [&[("host", "localhost:8080")][..], headers].concat();
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(refusal(&site, &method, &headers), expected, "{headers:?}");
            }
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                assert_eq!(refusal(&site, &method, &headers), None, "{headers:?}");
            }
        }
    }

    #[test]
    fn hosts_and_origins_are_exact() {
        let address = "127.0.0.1:80".parse().unwrap();
        let tried = |host: &str, origin: &str| {
            let list = |text: &str| if text.is_empty() { vec![] } else { vec![text.to_owned()] };
            Site::new(&address, true, &list(host), &list(origin))
                .map(|_| ())
                .map_err(|UsageError(line)| line)
        };
        for host in ["*", "*.example.com", "shop.example.com:80", "https://shop.example.com", "a b"]
        {
            let line = tried(host, "").unwrap_err();
            assert!(
                line.starts_with("allowed_hosts: ") && line.contains("shop.example.com"),
                "{line}"
            );
        }
        for origin in [
            "*",
            "null",
            "shop.example.com",
            "https://shop.example.com/",
            "https://*.example.com",
            "ftp://a",
            "https://u@a",
        ] {
            let line = tried("", origin).unwrap_err();
            assert!(line.starts_with("cors_origins: ") && line.contains("https://"), "{line}");
        }
        assert_eq!(tried("shop.example.com", "http://localhost:5173"), Ok(()));
    }
}
