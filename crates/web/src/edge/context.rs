//! The context of a request: its id, and the trace that it belongs to.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use platform::clock::Ids;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const MAX_REQUEST_ID: usize = 64;

/// Names a request in its response and in the logs.
///
/// It is the client's `X-Request-Id` if that has 1 to 64 characters of `A-Z a-z 0-9 . _ -`, else a
/// new UUIDv7. Handlers behind the edge find it as a request extension. It need not be unique:
/// clients may repeat theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub(crate) fn of(headers: &HeaderMap, ids: &dyn Ids) -> Self {
        let given = only(headers, &X_REQUEST_ID).filter(|id| is_request_id(id));
        Self(given.map_or_else(|| ids.uuid().to_string().into(), Arc::from))
    }

    /// The id as text.
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

/// The trace that a request belongs to, which messages carry on.
///
/// It is a valid `traceparent` header unchanged, or `None`: version 00 of W3C Trace Context, and
/// later versions as far as version 00 defines how to read them. If the edge makes a span of the
/// request that is exported, it is the context of that. Handlers behind the edge find it as a request
/// extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceParent(pub Option<String>);

impl TraceParent {
    /// The id of the trace.
    pub fn trace_id(&self) -> Option<&str> {
        // The version has two characters, and a dash follows.
        self.0.as_deref()?.get(3..35)
    }

    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(only(headers, &TRACEPARENT).filter(|text| is_trace_parent(text)).map(str::to_owned))
    }
}

fn is_trace_parent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut next =
        |digits| parts.next().filter(|part| part.len() == digits && part.bytes().all(is_lower_hex));
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (next(2), next(32), next(16), next(2))
    else {
        return false;
    };
    let not_zero = |id: &str| id.bytes().any(|b| b != b'0');
    // A later version may add parts, up to a length that a message can carry.
    let fits = version != "00" || parts.next().is_none();
    version != "ff" && fits && not_zero(trace) && not_zero(parent) && text.len() <= 255
}

fn is_lower_hex(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

/// The text of a header that occurs exactly once.
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
