//! The codes that a client may branch on. Codes that every service has are here, a service's own
//! codes are beside its routes. Together they are a closed list: a new code changes the public API.

use http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

/// The kind of problem. Each code has one status and one title, which never change.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
}

/// What is wrong with one member or parameter of the request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultCode(&'static str);

/// The codes of one service, in addition to those that every service has.
#[derive(Clone, Debug, Default)]
pub struct OwnCodes {
    /// The kinds of problem.
    pub codes: Vec<Code>,
    /// The kinds of fault.
    pub fault_codes: Vec<FaultCode>,
}

impl Code {
    /// The body is not a JSON object, or could not be read.
    pub const MALFORMED_JSON: Self =
        Self::new(StatusCode::BAD_REQUEST, "malformed_json", "The body is not a valid JSON object");
    /// The list did not return this cursor.
    pub const INVALID_CURSOR: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "invalid_cursor",
        "The cursor is not valid for this list",
    );
    /// The request does not have exactly one valid `Host`.
    pub const INVALID_HOST: Self =
        Self::new(StatusCode::BAD_REQUEST, "invalid_host", "The Host header is not valid");
    /// The request is not HTTP.
    pub const MALFORMED_REQUEST: Self =
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", "The request is not valid HTTP");
    /// The path and the query do not fit into the buffer.
    pub const URI_TOO_LONG: Self =
        Self::new(StatusCode::URI_TOO_LONG, "uri_too_long", "The path and query are too long");
    /// The headers do not fit into the buffer.
    pub const HEADERS_TOO_LARGE: Self = Self::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The headers are too large",
    );
    /// The request has no valid API key and no valid access token.
    pub const UNAUTHENTICATED: Self = Self::new(
        StatusCode::UNAUTHORIZED,
        "unauthenticated",
        "A valid API key or access token is required",
    );
    /// The key or token does not allow the request.
    pub const FORBIDDEN: Self = Self::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "The API key or access token does not allow this request",
    );
    /// A page of another site would change something.
    pub const CROSS_SITE_REQUEST: Self = Self::new(
        StatusCode::FORBIDDEN,
        "cross_site_request",
        "Pages of another site must not change anything",
    );
    /// The path does not exist.
    pub const NOT_FOUND: Self =
        Self::new(StatusCode::NOT_FOUND, "not_found", "No resource exists at this path");
    /// The quarantine has no such entry.
    pub const QUARANTINE_ENTRY_NOT_FOUND: Self = Self::new(
        StatusCode::NOT_FOUND,
        "quarantine_entry_not_found",
        "The entry of the quarantine does not exist",
    );
    /// The path exists but does not support the method.
    pub const METHOD_NOT_ALLOWED: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "The path does not support this method",
    );
    /// What the request replaces is not as its `If-Match` or `If-None-Match` demands.
    pub const PRECONDITION_FAILED: Self = Self::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        "The resource is not as the request demands",
    );
    /// The body is larger than [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES).
    pub const BODY_TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large");
    /// The body is not announced as `application/json` in UTF-8.
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "The media type of the body is not supported",
    );
    /// The service does not answer to the name in `Host`.
    pub const MISDIRECTED_REQUEST: Self = Self::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        "The service does not answer to this name",
    );
    /// The request is well-formed but breaks a rule; its faults say which.
    pub const INVALID_REQUEST: Self =
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "The request is not valid");
    /// An earlier, different request used the same `Idempotency-Key`.
    pub const IDEMPOTENCY_KEY_REUSED: Self = Self::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "The Idempotency-Key was used for a different request",
    );
    /// The client sends too many requests.
    pub const RATE_LIMITED: Self =
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests");
    /// A bug of the service.
    pub const INTERNAL: Self =
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal server error");
    /// The service has more requests than it can handle; no change was made.
    pub const OVERLOADED: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "overloaded",
        "The service is overloaded; no change was made",
    );
    /// The storage has no space left; no change was made.
    pub const STORAGE_FULL: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "storage_full",
        "The storage is full; no change was made",
    );
    /// The storage does not answer; no change was made.
    pub const STORAGE_UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "storage_unavailable",
        "The storage is unavailable; no change was made",
    );
    /// The request may or may not have taken effect.
    pub const OUTCOME_UNKNOWN: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "outcome_unknown",
        "The request may or may not have taken effect",
    );
    /// The service is shutting down; no change was made.
    pub const SHUTTING_DOWN: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "shutting_down",
        "The service is shutting down; no change was made",
    );

    /// The codes that every service has.
    pub const COMMON: [Self; 25] = [
        Self::MALFORMED_JSON,
        Self::INVALID_CURSOR,
        Self::INVALID_HOST,
        Self::MALFORMED_REQUEST,
        Self::URI_TOO_LONG,
        Self::HEADERS_TOO_LARGE,
        Self::UNAUTHENTICATED,
        Self::FORBIDDEN,
        Self::CROSS_SITE_REQUEST,
        Self::NOT_FOUND,
        Self::QUARANTINE_ENTRY_NOT_FOUND,
        Self::METHOD_NOT_ALLOWED,
        Self::PRECONDITION_FAILED,
        Self::BODY_TOO_LARGE,
        Self::UNSUPPORTED_MEDIA_TYPE,
        Self::MISDIRECTED_REQUEST,
        Self::INVALID_REQUEST,
        Self::IDEMPOTENCY_KEY_REUSED,
        Self::RATE_LIMITED,
        Self::INTERNAL,
        Self::OVERLOADED,
        Self::STORAGE_FULL,
        Self::STORAGE_UNAVAILABLE,
        Self::OUTCOME_UNKNOWN,
        Self::SHUTTING_DOWN,
    ];

    /// A code of one service.
    pub const fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
        Self { status, name, title }
    }

    /// The code as the member `code` spells it.
    pub fn as_str(self) -> &'static str {
        self.name
    }

    /// The HTTP status of every problem of this kind.
    pub fn status(self) -> StatusCode {
        self.status
    }

    /// The title of every problem of this kind.
    pub fn title(self) -> &'static str {
        self.title
    }

    /// Seconds until a retry may succeed, for the problems that pass by themselves (429 and 503).
    pub fn retry_after_s(self) -> Option<u32> {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
            .then_some(1)
    }
}

impl FaultCode {
    /// A required member is missing.
    pub const REQUIRED: Self = Self("required");
    /// The request has a member or parameter that does not exist.
    pub const UNKNOWN_FIELD: Self = Self("unknown_field");
    /// The value has another JSON type.
    pub const WRONG_TYPE: Self = Self("wrong_type");
    /// The number, the length or the number of items is too small or too large.
    pub const OUT_OF_RANGE: Self = Self("out_of_range");
    /// The text does not have the format of its member or parameter.
    pub const BAD_FORMAT: Self = Self("bad_format");

    /// The fault codes that every service has.
    pub const COMMON: [Self; 5] = [
        Self::REQUIRED,
        Self::UNKNOWN_FIELD,
        Self::WRONG_TYPE,
        Self::OUT_OF_RANGE,
        Self::BAD_FORMAT,
    ];

    /// A fault code of one service.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The code as the member `errors[].code` spells it.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl OwnCodes {
    /// The codes of both services, for a program that runs both. A code that both have is listed
    /// once.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for code in other.codes {
            if !self.codes.iter().any(|known| known.name == code.name) {
                self.codes.push(code);
            }
        }
        for code in other.fault_codes {
            if !self.fault_codes.contains(&code) {
                self.fault_codes.push(code);
            }
        }
        self
    }

    /// The schema of [`Code`]: the closed list, sorted by status.
    pub fn code_schema(&self) -> RefOr<Schema> {
        let mut all: Vec<_> = Code::COMMON.iter().chain(&self.codes).collect();
        all.sort_by_key(|code| code.status);
        let names = all.into_iter().map(|code| code.name);
        listed(
            "The kind of problem. Each code has one status and one title, which never change.",
            names,
        )
    }

    /// The schema of [`FaultCode`]: the closed list.
    pub fn fault_code_schema(&self) -> RefOr<Schema> {
        let names = FaultCode::COMMON.iter().chain(&self.fault_codes).map(|code| code.0);
        listed("What is wrong with one member or parameter of the request.", names)
    }
}

fn listed(description: &str, names: impl Iterator<Item = &'static str>) -> RefOr<Schema> {
    let schema = ObjectBuilder::new().schema_type(Type::String);
    schema.description(Some(description)).enum_values(Some(names)).into()
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for FaultCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl Serialize for FaultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// Only the codes that every service has; [`OwnCodes`] adds a service's own.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        OwnCodes::default().code_schema()
    }
}

/// Only the codes that every service has; [`OwnCodes`] adds a service's own.
impl PartialSchema for FaultCode {
    fn schema() -> RefOr<Schema> {
        OwnCodes::default().fault_code_schema()
    }
}

impl ToSchema for Code {}
impl ToSchema for FaultCode {}

#[cfg(test)]
mod tests {
    use super::*;

    const SOLD_OUT: Code = Code::new(StatusCode::CONFLICT, "sold_out", "The product is sold out");

    fn names(schema: RefOr<Schema>) -> Vec<String> {
        let schema = serde_json::to_value(schema).unwrap();
        schema["enum"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_documented_codes_are_those_of_every_service_and_its_own_by_status() {
        let own =
            OwnCodes { codes: vec![SOLD_OUT], fault_codes: vec![FaultCode::new("no_such_size")] };
        let codes = [
            "malformed_json",
            "invalid_cursor",
            "invalid_host",
            "malformed_request",
            "unauthenticated",
            "forbidden",
            "cross_site_request",
            "not_found",
            "quarantine_entry_not_found",
            "method_not_allowed",
            "sold_out",
            "precondition_failed",
            "body_too_large",
            "uri_too_long",
            "unsupported_media_type",
            "misdirected_request",
            "invalid_request",
            "idempotency_key_reused",
            "rate_limited",
            "headers_too_large",
            "internal",
            "overloaded",
            "storage_full",
            "storage_unavailable",
            "outcome_unknown",
            "shutting_down",
        ];
        assert_eq!(names(own.code_schema()), codes);
        let faults = [
            "required",
            "unknown_field",
            "wrong_type",
            "out_of_range",
            "bad_format",
            "no_such_size",
        ];
        assert_eq!(names(own.fault_code_schema()), faults);
        assert_eq!(names(Code::schema()).len(), Code::COMMON.len());
    }

    #[test]
    fn a_code_of_both_services_is_listed_once() {
        let size = FaultCode::new("no_such_size");
        let one = || OwnCodes { codes: vec![SOLD_OUT], fault_codes: vec![size] };
        let again = Code::new(StatusCode::CONFLICT, "sold_out", "No unit is left");
        let other = OwnCodes { codes: vec![again], ..one() };
        let both = one().merge(other);
        assert_eq!(
            (both.codes.as_slice(), both.fault_codes.as_slice()),
            (&[SOLD_OUT][..], &[size][..])
        );
    }

    #[test]
    fn every_503_and_429_says_when_to_come_back_and_nothing_else_does() {
        for code in [
            Code::RATE_LIMITED,
            Code::OVERLOADED,
            Code::STORAGE_FULL,
            Code::STORAGE_UNAVAILABLE,
            Code::OUTCOME_UNKNOWN,
            Code::SHUTTING_DOWN,
        ] {
            assert_eq!(code.retry_after_s(), Some(1), "{code:?}");
        }
        for code in [Code::MALFORMED_JSON, Code::NOT_FOUND, SOLD_OUT, Code::INTERNAL] {
            assert_eq!(code.retry_after_s(), None, "{code:?}");
        }
    }
}
