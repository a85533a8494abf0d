//! Request bodies: one strict JSON object, or nothing where a body is optional.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::body::{self, Object};
use crate::problem::{Code, Problem};

/// The largest request body, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
const JSON: &str = "application/json";
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a rejected body is drained, and for how long.
const MAX_DISCARDED_BYTES: usize = 32 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Extracts the request's body, which must be present, for a handler.
#[derive(Debug)]
pub struct Json(pub Object);

/// Extracts the bytes of the request's body, which must be present, for a handler that parses them
/// itself.
#[derive(Debug)]
pub struct JsonBytes(pub Bytes);

/// Extracts the request's body, which may be absent, for a handler.
#[derive(Debug)]
pub struct OptionalJson(pub Option<Object>);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        read_json(&parts.headers, body).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        read_json_bytes(&parts.headers, body).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJson {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        read_optional_json(&parts.headers, body).await.map(Self)
    }
}

/// Reads a body that must be present.
///
/// # Errors
///
/// - 415 if the headers do not announce `application/json` in UTF-8 without an encoding; the body
///   is not parsed then.
/// - 413 if the body is larger than [`MAX_BODY_BYTES`], at once if `Content-Length` says so.
/// - 400 as [`body::parse`], and if the body is incomplete or takes too long to arrive.
pub async fn read_json(headers: &HeaderMap, body: Body) -> Result<Object, Problem> {
    body::parse(&read_json_bytes(headers, body).await?)
}

async fn read_json_bytes(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    if let Err(problem) = check_media_type(headers, &[JSON]) {
        discard_unread(headers, body).await;
        return Err(problem);
    }
    read_bytes(headers, body).await
}

/// Reads a body that may be absent. The headers of an empty body are not checked.
///
/// # Errors
///
/// As [`read_json`], for a body that has at least one byte.
pub async fn read_optional_json(
    headers: &HeaderMap,
    body: Body,
) -> Result<Option<Object>, Problem> {
    let bytes = read_bytes(headers, body).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    check_media_type(headers, &[JSON])?;
    body::parse(&bytes).map(Some)
}

async fn read_bytes(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            Code::BODY_TOO_LARGE,
            format!("the body must have at most {MAX_BODY_BYTES} bytes"),
        )
    };
    let malformed = |detail: String| Problem::new(Code::MALFORMED_JSON, detail);
    // The Content-Length, or 0 without one.
    let promised = body.size_hint().lower();
    if promised > MAX_BODY_BYTES as u64 {
        discard_unread(headers, body).await;
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(&mut body, MAX_BODY_BYTES).collect())
        .await
    {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(too_large())
        }
        Ok(Err(_)) => {
            Err(malformed("the connection closed before the body was complete".to_owned()))
        }
        Err(_) => Err(malformed(format!("the body did not arrive within {BODY_TIMEOUT:?}"))),
    }
}

/// Drains a rejected body of which nothing was read, unless the client waits to be asked for it
/// (`Expect: 100-continue`): reading would ask.
pub(crate) async fn discard_unread(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        discard(body).await;
    }
}

/// Drains a rejected body up to the limits: if the server closed the connection while the client
/// still sends, the client could lose the response.
pub(crate) async fn discard(mut body: Body) {
    let reading = async {
        let mut left = MAX_DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // The response is the same whether or not the body was drained in time.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

/// Returns which of the media types the body has, in UTF-8 and without an encoding.
///
/// # Errors
///
/// 415 `unsupported_media_type`.
pub(crate) fn check_media_type(
    headers: &HeaderMap,
    allowed: &[&'static str],
) -> Result<&'static str, Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UNSUPPORTED_MEDIA_TYPE, detail));
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let only =
        types.next().filter(|_| types.next().is_none()).and_then(|value| value.to_str().ok());
    let found = only.and_then(|given| allowed.iter().find(|its| is_in_utf8(given, its)));
    let Some(found) = found else {
        return refuse(format!("the Content-Type must be {}, in UTF-8", allowed.join(" or ")));
    };
    let is_identity =
        |value: &str| value.split(',').all(|coding| coding.trim().eq_ignore_ascii_case("identity"));
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if !encodings.all(|value| value.to_str().is_ok_and(is_identity)) {
        return refuse("the body must not have a Content-Encoding".to_owned());
    }
    Ok(found)
}

/// Whether a value of `Content-Type` is the media type, in UTF-8.
fn is_in_utf8(given: &str, media_type: &str) -> bool {
    let mut parts = given.split(';').map(str::trim);
    let is_it = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(media_type));
    is_it
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                // `utf8` is no name of RFC 3629, but what some clients write.
                let charset = value.trim_matches('"');
                ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name))
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http::{HeaderName, HeaderValue};
    use hyper::body::Frame;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), HeaderValue::from_static(value));
        }
        headers
    }

    fn json() -> HeaderMap {
        headers(&[(header::CONTENT_TYPE, "application/json")])
    }

    fn code<T>(result: Result<T, Problem>) -> Option<Code> {
        result.err().map(|problem| problem.code)
    }

    #[test]
    fn a_media_type_is_json_in_utf8_or_refused() {
        for (media_type, expected) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; charset=utf8", true),
            ("application/json; profile=x", true),
            ("application/json;", true),
            ("application/json; charset=iso-8859-1", false),
            ("application/json; charset=utf-16", false),
            ("application/jsonp", false),
            ("application/merge-patch+json", false),
            ("text/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            assert_eq!(is_in_utf8(media_type, JSON), expected, "{media_type}");
        }
    }

    #[test]
    fn the_headers_of_a_body_are_checked() {
        let json = (header::CONTENT_TYPE, "application/json");
        for (given, refused) in [
            (headers(std::slice::from_ref(&json)), false),
            (headers(&[json.clone(), (header::CONTENT_ENCODING, "identity")]), false),
            (headers(&[json.clone(), (header::CONTENT_ENCODING, "gzip")]), true),
            (headers(&[json.clone(), (header::CONTENT_ENCODING, "identity, gzip")]), true),
            (headers(&[json.clone(), json]), true),
            (headers(&[]), true),
        ] {
            let expected = refused.then_some(Code::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(code(check_media_type(&given, &[JSON])), expected, "{given:?}");
        }
    }

    /// A body of unknown length: kilobytes of white space, and then its end or an endless wait.
    struct Streamed {
        kilobytes: usize,
        ends: bool,
    }

    impl HttpBody for Streamed {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            match self.kilobytes.checked_sub(1) {
                Some(left) => {
                    self.kilobytes = left;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1024])))))
                }
                None if self.ends => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
        assert!(read_json(&json(), padded(MAX_BODY_BYTES).into()).await.is_ok());
        let refused = read_json(&json(), padded(MAX_BODY_BYTES + 1).into()).await;
        assert_eq!(code(refused), Some(Code::BODY_TOO_LARGE));
        let refused = read_json(
            &json(),
            Body::new(Streamed { kilobytes: MAX_BODY_BYTES / 1024 + 1, ends: true }),
        )
        .await;
        assert_eq!(code(refused), Some(Code::BODY_TOO_LARGE));
    }

    #[tokio::test]
    async fn a_body_may_be_absent_only_where_it_is_optional() {
        assert!(read_optional_json(&HeaderMap::new(), Body::empty()).await.unwrap().is_none());
        assert!(read_optional_json(&json(), Body::empty()).await.unwrap().is_none());
        assert!(read_optional_json(&json(), "{}".into()).await.unwrap().is_some());
        let refused = read_optional_json(&HeaderMap::new(), "{}".into()).await;
        assert_eq!(code(refused), Some(Code::UNSUPPORTED_MEDIA_TYPE));
        assert_eq!(code(read_json(&json(), Body::empty()).await), Some(Code::MALFORMED_JSON));
    }

    #[tokio::test]
    async fn a_rejected_body_is_drained_only_up_to_the_limit() {
        discard(Body::new(Streamed { kilobytes: usize::MAX, ends: true })).await;
        let refused =
            read_json(&json(), Body::new(Streamed { kilobytes: usize::MAX, ends: true })).await;
        assert_eq!(code(refused), Some(Code::BODY_TOO_LARGE));
    }

    /// hyper sends `100 Continue` as soon as the body is polled.
    #[tokio::test]
    async fn a_client_that_waits_to_be_asked_for_its_body_is_not_asked_in_vain() {
        /// A body of this length.
        struct Unasked(u64);
        impl HttpBody for Unasked {
            type Data = Bytes;
            type Error = io::Error;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
                panic!("the client was asked for its body")
            }

            fn size_hint(&self) -> hyper::body::SizeHint {
                hyper::body::SizeHint::with_exact(self.0)
            }
        }
        let waiting = (header::EXPECT, "100-continue");
        let json = headers(&[(header::CONTENT_TYPE, "application/json"), waiting.clone()]);
        let too_large = Body::new(Unasked(MAX_BODY_BYTES as u64 + 1));
        assert_eq!(code(read_json(&json, too_large).await), Some(Code::BODY_TOO_LARGE));
        let text = headers(&[(header::CONTENT_TYPE, "text/plain"), waiting]);
        let refused = read_json(&text, Body::new(Unasked(2))).await;
        assert_eq!(code(refused), Some(Code::UNSUPPORTED_MEDIA_TYPE));
    }

    /// Time is paused: it jumps to the next timer when there is nothing else to do.
    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let refused = read_json(&json(), Body::new(Streamed { kilobytes: 3, ends: false }))
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code, refused.detail.as_str()),
            (Code::MALFORMED_JSON, "the body did not arrive within 10s")
        );
    }
}
