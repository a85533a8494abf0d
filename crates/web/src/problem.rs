//! Problem documents (RFC 9457): the one body of every error response, with a code from a closed
//! list.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use platform::keys::Scope;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

pub use codes::{Code, FaultCode, OwnCodes};
pub(crate) use responses::add_edge_problems;
pub use responses::{BodyProblems, ReadProblems, SearchProblems, WriteProblems};

mod codes;
mod responses;
mod storage;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The most faults that one problem reports.
pub const MAX_FAULTS: usize = 100;

/// Why a request failed (RFC 9457).
///
/// As a response it carries its status, `Retry-After` and, in the extensions, itself. The edge
/// ([`crate::edge`]) writes the body, because only the edge knows the request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind of problem.
    pub code: Code,
    /// What is wrong with this request and, if it helps, what to do: one sentence for the developer
    /// of the client.
    pub detail: String,
    /// The faults of the request in document order, at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// Seconds until a retry may succeed; present only if the code suggests a retry.
    pub retry_after_s: Option<u32>,
    /// What a client must show to be let in; only of 401 and 403.
    pub challenge: Option<Challenge>,
}

/// What a client must show to be let in (RFC 6750, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A key: the request had none.
    Key,
    /// A valid key: the request had another one.
    ValidKey,
    /// A key with this scope.
    Scope(Scope),
}

/// One fault of a request, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The faulty member or parameter.
    #[serde(flatten)]
    pub at: At,
    /// The kind of fault.
    pub code: FaultCode,
    /// One sentence that says what is wrong.
    pub detail: String,
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// A member of the body, as a JSON Pointer (RFC 6901).
    Pointer(String),
    /// A parameter of the query string or a header, by name.
    Parameter(String),
}

impl Problem {
    /// A problem of this kind, without faults.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after_s: code.retry_after_s(),
            challenge: None,
        }
    }

    /// The problem of a request without a valid key. `is_sent` tells whether it had any.
    pub fn unauthenticated(is_sent: bool, detail: &str) -> Self {
        let challenge = if is_sent { Challenge::ValidKey } else { Challenge::Key };
        Self { challenge: Some(challenge), ..Self::new(Code::UNAUTHENTICATED, detail) }
    }

    /// The problem of a request whose key lacks a scope.
    pub fn lacks(scope: Scope) -> Self {
        let detail = format!("the request needs the scope {scope}");
        Self { challenge: Some(Challenge::Scope(scope)), ..Self::new(Code::FORBIDDEN, detail) }
    }

    /// The scope that the client lacks, if that is the problem.
    pub(crate) fn lacking_scope(&self) -> Option<Scope> {
        match self.challenge {
            Some(Challenge::Scope(scope)) => Some(scope),
            _ => None,
        }
    }

    /// The problem of a well-formed request that breaks rules: 422 with its faults in document
    /// order. Faults beyond [`MAX_FAULTS`] are dropped.
    pub fn invalid(mut faults: Vec<Fault>) -> Self {
        faults.truncate(MAX_FAULTS);
        let detail = match faults.as_slice() {
            [only] => only.detail.clone(),
            many => format!("the request has {} faults; see errors", many.len()),
        };
        Self { faults, ..Self::new(Code::INVALID_REQUEST, detail) }
    }

    /// Suggests a retry after this many seconds instead of the code's own number.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// The body of the response.
    pub fn document(&self, request_id: &str) -> Document {
        Document {
            r#type: format!("urn:lastro:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            request_id: request_id.to_owned(),
            trace_id: None,
            errors: self.faults.clone(),
            required_scope: self.lacking_scope().map(Scope::as_str),
        }
    }

    /// Writes the body into a response that carries this problem. Its other headers stay.
    pub(crate) fn render(
        &self,
        request_id: &str,
        trace_id: Option<&str>,
        response: Response,
    ) -> Response {
        let (mut parts, _) = response.into_parts();
        let trace_id = trace_id.map(str::to_owned);
        let document = Document { trace_id, ..self.document(request_id) };
        let body = serde_json::to_vec(&document).expect("strings and numbers always serialize");
        parts.status = self.code.status();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        Response::from_parts(parts, Body::from(body))
    }
}

impl Challenge {
    fn header(self) -> HeaderValue {
        let text = match self {
            Self::Key => "Bearer realm=\"lastro\"".to_owned(),
            Self::ValidKey => "Bearer realm=\"lastro\", error=\"invalid_token\"".to_owned(),
            Self::Scope(scope) => {
                format!("Bearer realm=\"lastro\", error=\"insufficient_scope\", scope=\"{scope}\"")
            }
        };
        HeaderValue::from_str(&text).expect("scopes are plain ASCII")
    }
}

impl Fault {
    /// A fault of a query parameter or a header.
    pub fn parameter(name: impl Into<String>, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { at: At::Parameter(name.into()), code, detail: detail.into() }
    }

    /// A fault of the body at a JSON Pointer.
    pub fn pointer(pointer: impl Into<String>, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { at: At::Pointer(pointer.into()), code, detail: detail.into() }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::invalid(vec![fault])
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.header());
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a request failed (RFC 9457). All members but `trace_id` and
/// `required_scope` are always present.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// Identifies the kind of problem.
    #[schema(example = "urn:lastro:problem:invalid_request")]
    pub r#type: String,
    /// Describes the kind of problem; the same for every problem of this kind.
    pub title: String,
    /// The HTTP status of the response.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    pub detail: String,
    /// The kind of problem, for programs.
    pub code: Code,
    /// Equals the header `X-Request-Id`.
    pub request_id: String,
    /// The trace of the request; only if it is in one: the client sent a `traceparent`, or the
    /// service exports traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: Option<String>,
    /// Every fault of the request, in document order; empty if `detail` says it all.
    pub errors: Vec<Fault>,
    /// The scope that the key lacks; only of `forbidden`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "stock:adjust")]
    pub required_scope: Option<&'static str>,
}

/// One fault of a request. It has either a `pointer` or a `parameter`.
// Generators of clients cannot read a choice of members beside other members, so the description
// has both.
#[derive(ToSchema)]
#[schema(as = Fault)]
#[expect(dead_code, reason = "describes a fault to readers of the API")]
struct FaultView {
    /// The faulty member of the body, as a JSON Pointer (RFC 6901).
    #[schema(nullable = false, example = "/products/0/quantity")]
    pointer: Option<String>,
    /// The faulty parameter of the query string, or the faulty header, by name.
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The kind of fault.
    code: FaultCode,
    /// One sentence that says what is wrong.
    detail: String,
}

/// A type is described as another one.
macro_rules! described_as {
    ($($described:ty: $view:ty),+) => {$(
        impl utoipa::PartialSchema for $described {
            fn schema() -> RefOr<Schema> {
                <$view>::schema()
            }
        }

        impl ToSchema for $described {
            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                <$view>::schemas(schemas);
            }
        }
    )+};
}
described_as!(Problem: Document, Fault: FaultView);

impl Code {
    /// The kind of problem for a bare error status of the router or of a library.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Self::METHOD_NOT_ALLOWED,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BODY_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UNSUPPORTED_MEDIA_TYPE,
            // axum answers 400 to a path with invalid percent-encoding, which no resource can have.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Self::NOT_FOUND,
            other if other.is_client_error() => Self::INVALID_REQUEST,
            _ => Self::INTERNAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_on_the_wire_has_all_seven_members() {
        let problem = Problem::from(Fault::pointer(
            "/a~1b",
            FaultCode::REQUIRED,
            "the member \"a/b\" is missing",
        ));
        assert_eq!(
            serde_json::to_value(problem.document("r-1")).unwrap(),
            json!({
                "type": "urn:lastro:problem:invalid_request", "title": "The request is not valid", "status": 422,
                "detail": "the member \"a/b\" is missing", "code": "invalid_request", "request_id": "r-1",
                "errors": [{"pointer": "/a~1b", "code": "required", "detail": "the member \"a/b\" is missing"}],
            })
        );
    }

    #[test]
    fn a_problem_without_faults_still_lists_none() {
        let document = Problem::new(Code::OVERLOADED, "too busy").document("r-1");
        assert_eq!(serde_json::to_value(document).unwrap()["errors"], json!([]));
    }

    #[test]
    fn a_fault_names_a_parameter_or_a_pointer_and_never_both() {
        let fault = Fault::parameter("limit", FaultCode::OUT_OF_RANGE, "1 to 200");
        assert_eq!(
            serde_json::to_value(fault).unwrap(),
            json!({"parameter": "limit", "code": "out_of_range", "detail": "1 to 200"})
        );
    }

    #[test]
    fn a_problem_lists_at_most_a_hundred_faults() {
        let faults = (0..250)
            .map(|n| Fault::pointer(format!("/{n}"), FaultCode::UNKNOWN_FIELD, "unknown"))
            .collect();
        let problem = Problem::invalid(faults);
        assert_eq!(problem.faults.len(), MAX_FAULTS);
        assert_eq!(problem.detail, "the request has 100 faults; see errors");
    }

    #[test]
    fn a_problem_that_asks_to_come_back_says_when() {
        let response = Problem::new(Code::OVERLOADED, "too busy").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        let response = Problem::new(Code::STORAGE_FULL, "no room").retry_after(30).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    }

    #[test]
    fn the_schema_is_named_after_the_problem_and_brings_its_parts() {
        let mut schemas = Vec::new();
        Problem::schemas(&mut schemas);
        let mut names: Vec<_> = schemas.into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(
            (Problem::name().as_ref(), names),
            ("Problem", ["Code", "Fault", "FaultCode"].map(String::from).to_vec())
        );
    }
}
