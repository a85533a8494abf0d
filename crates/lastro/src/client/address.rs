//! Where a service is.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// The address of a service or a gateway, such as `https://shop.example.com`, perhaps with a path
/// before that of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    prefix: String,
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "must be http://HOST:PORT or https://HOST, without a query".to_owned();
        let uri: Uri = text.parse().map_err(|_| rule())?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.filter(|it| *it == Scheme::HTTP || *it == Scheme::HTTPS);
        let (Some(scheme), Some(authority)) = (scheme, parts.authority) else {
            return Err(rule());
        };
        if authority.as_str().contains('@') {
            return Err("must not contain a user: name the key with --key-file".to_owned());
        }
        let path = parts.path_and_query;
        if path.as_ref().is_some_and(|path| path.query().is_some()) {
            return Err(rule());
        }
        let prefix = path.map(|path| path.path().trim_end_matches('/').to_owned());
        let prefix = prefix.unwrap_or_default();
        Ok(Self { scheme, authority, prefix })
    }
}

impl BaseUrl {
    /// The address of a path of the API.
    pub(crate) fn join(&self, path: &str) -> Option<Uri> {
        let whole = format!("{}{path}", self.prefix);
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(whole)
            .build()
            .ok()
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Whether whoever is on the way can read what is sent.
    pub(crate) fn is_readable_on_the_way(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        let is_own = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        self.scheme == Scheme::HTTP && !is_own
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_server_perhaps_with_a_path() {
        let joined = |text: &str| {
            let base: BaseUrl = text.parse().expect("an address");
            base.join("/api/orders?limit=1").expect("a URL").to_string()
        };
        assert_eq!(joined("http://127.0.0.1:8080"), "http://127.0.0.1:8080/api/orders?limit=1");
        assert_eq!(joined("https://shop.example/"), "https://shop.example/api/orders?limit=1");
        assert_eq!(joined("https://a.example/x/"), "https://a.example/x/api/orders?limit=1");
        for wrong in ["localhost:8080", "ftp://a", "/api", "", "http://u:p@a", "http://a/?b"] {
            assert!(wrong.parse::<BaseUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_leaves_the_machine_unencrypted_can_be_read() {
        let readable =
            |text: &str| text.parse::<BaseUrl>().expect("an address").is_readable_on_the_way();
        assert!(readable("http://shop.example") && readable("http://192.0.2.1:80"));
        assert!(!readable("https://shop.example") && !readable("http://[::1]:8080"));
        assert!(!readable("http://localhost") && !readable("http://127.0.0.1:8080"));
    }
}
