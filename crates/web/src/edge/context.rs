//! Who asks, as far as a request says: its id, and the trace that it belongs to.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use platform::clock::Ids;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const MAX_REQUEST_ID: usize = 64;

/// Names a request in its answer, in the logs and in conversations about it.
///
/// **Shape:** the client's `X-Request-Id` if it is 1–64 of `A-Z a-z 0-9 . _ -`, else a new UUIDv7. As a request
/// extension it is there for every handler behind the edge. It identifies nothing for sure: clients may repeat theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn of(headers: &HeaderMap, ids: &dyn Ids) -> Self {
        let given = only(headers, &X_REQUEST_ID).filter(|id| is_request_id(id));
        Self(given.map_or_else(|| ids.uuid().to_string().into(), Arc::from))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a request id is plain ASCII")
    }
}

fn is_request_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// The trace that a request belongs to, to be carried on in messages.
///
/// **Shape:** a valid `traceparent` as it came, or nothing. As a request extension it is there for every handler.
///
/// **Source:** W3C Trace Context, version 00, and what it says of later versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceParent(pub Option<String>);

impl TraceParent {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(only(headers, &TRACEPARENT).filter(|text| is_trace_parent(text)).map(str::to_owned))
    }
}

fn is_trace_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next = |digits| parts.next().filter(|part| part.len() == digits && part.bytes().all(is_lower_hex));
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (next(2), next(32), next(16), next(2)) else {
        return false;
    };
    let not_zero = |id: &str| id.bytes().any(|b| b != b'0');
    // A later version may add parts; a longer text than any of them is not worth carrying along.
    let fits = version != "00" || parts.next().is_none();
    version != "ff" && fits && not_zero(trace) && not_zero(parent) && text.len() <= 255
}

fn is_lower_hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

/// A header that stands there once, as text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_short_and_plain() {
        for (id, expected) in [
            ("a", true),
            ("Az09._-", true),
            (&"x".repeat(64), true),
            ("", false),
            (&"x".repeat(65), false),
            ("a b", false),
            ("a\"b", false),
            ("é", false),
        ] {
            assert_eq!(is_request_id(id), expected, "{id}");
        }
    }

    #[test]
    fn a_trace_parent_is_taken_only_if_it_is_valid() {
        for (text, expected) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", false),
            ("", false),
        ] {
            assert_eq!(is_trace_parent(text), expected, "{text}");
        }
    }

    #[test]
    fn a_header_that_stands_there_twice_says_nothing() {
        let mut headers = HeaderMap::new();
        headers.append(X_REQUEST_ID, HeaderValue::from_static("a"));
        assert_eq!(only(&headers, &X_REQUEST_ID), Some("a"));
        headers.append(X_REQUEST_ID, HeaderValue::from_static("b"));
        assert_eq!(only(&headers, &X_REQUEST_ID), None);
    }
}
