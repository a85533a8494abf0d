//! The closed lists of codes that a client may branch on. A new one is a change of the public API.

use http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What kind of problem it is. Each has one status and one title for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Code {
    MalformedJson,
    InvalidCursor,
    Unauthenticated,
    Forbidden,
    NotFound,
    OrderNotFound,
    ProductNotFound,
    ReservationNotFound,
    MethodNotAllowed,
    InvalidTransition,
    StockChanged,
    BelowReserved,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    IdempotencyKeyReused,
    RateLimited,
    Internal,
    Overloaded,
    StorageFull,
    StorageUnavailable,
    OutcomeUnknown,
    ShuttingDown,
}

/// What is wrong with one member or parameter of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum FaultCode {
    Required,
    UnknownField,
    WrongType,
    OutOfRange,
    BadFormat,
    TooManyDecimals,
    UnknownCurrency,
    UnknownLocation,
    TotalTooLarge,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        self.facts().1
    }

    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    pub fn title(self) -> &'static str {
        self.facts().2
    }

    /// **Units:** seconds. Everything that passes by itself says when to come back, and nothing else does.
    pub fn retry_after_s(self) -> Option<u32> {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS).then_some(1)
    }

    #[rustfmt::skip]
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedJson => (S::BAD_REQUEST, "malformed_json", "The body is not one well-formed JSON object"),
            Self::InvalidCursor => (S::BAD_REQUEST, "invalid_cursor", "The cursor is not one that this list gave out"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "A valid API key is needed"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "This API key may not do that"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "Nothing is here"),
            Self::OrderNotFound => (S::NOT_FOUND, "order_not_found", "There is no such order"),
            Self::ProductNotFound => (S::NOT_FOUND, "product_not_found", "There is no such product"),
            Self::ReservationNotFound => (S::NOT_FOUND, "reservation_not_found", "There is no such reservation"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take that method"),
            Self::InvalidTransition => (S::CONFLICT, "invalid_transition", "The order's status does not allow that"),
            Self::StockChanged => (S::CONFLICT, "stock_changed", "The stock is not what was expected"),
            Self::BelowReserved => (S::CONFLICT, "below_reserved", "Less would be on hand than is reserved"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json"),
            Self::InvalidRequest => (S::UNPROCESSABLE_ENTITY, "invalid_request", "The request breaks a rule"),
            Self::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The Idempotency-Key belongs to another request"),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate_limited", "Too many requests"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Something went wrong here"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Too busy; nothing was done"),
            Self::StorageFull => (S::SERVICE_UNAVAILABLE, "storage_full", "The storage is full; nothing was done"),
            Self::StorageUnavailable => (S::SERVICE_UNAVAILABLE, "storage_unavailable", "The storage is out of reach; nothing was done"),
            Self::OutcomeUnknown => (S::SERVICE_UNAVAILABLE, "outcome_unknown", "It may or may not have been done"),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting_down", "Shutting down; nothing was done"),
        }
    }
}

impl FaultCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::UnknownField => "unknown_field",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::BadFormat => "bad_format",
            Self::TooManyDecimals => "too_many_decimals",
            Self::UnknownCurrency => "unknown_currency",
            Self::UnknownLocation => "unknown_location",
            Self::TotalTooLarge => "total_too_large",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for FaultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use super::*;

    fn documented<T: PartialSchema>() -> Vec<String> {
        let schema = serde_json::to_value(T::schema()).unwrap();
        schema["enum"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_documented_codes_are_the_ones_sent() {
        let sent = [
            "malformed_json",
            "invalid_cursor",
            "unauthenticated",
            "forbidden",
            "not_found",
            "order_not_found",
            "product_not_found",
            "reservation_not_found",
            "method_not_allowed",
            "invalid_transition",
            "stock_changed",
            "below_reserved",
            "body_too_large",
            "unsupported_media_type",
            "invalid_request",
            "idempotency_key_reused",
            "rate_limited",
            "internal",
            "overloaded",
            "storage_full",
            "storage_unavailable",
            "outcome_unknown",
            "shutting_down",
        ];
        assert_eq!(documented::<Code>(), sent);
        assert_eq!(Code::IdempotencyKeyReused.as_str(), "idempotency_key_reused");
    }

    #[test]
    fn the_documented_fault_codes_are_the_ones_sent() {
        let all = [
            FaultCode::Required,
            FaultCode::UnknownField,
            FaultCode::WrongType,
            FaultCode::OutOfRange,
            FaultCode::BadFormat,
            FaultCode::TooManyDecimals,
            FaultCode::UnknownCurrency,
            FaultCode::UnknownLocation,
            FaultCode::TotalTooLarge,
        ];
        assert_eq!(documented::<FaultCode>(), all.map(FaultCode::as_str));
    }

    #[test]
    fn every_503_and_429_says_when_to_come_back_and_nothing_else_does() {
        for code in [
            Code::RateLimited,
            Code::Overloaded,
            Code::StorageFull,
            Code::StorageUnavailable,
            Code::OutcomeUnknown,
            Code::ShuttingDown,
        ] {
            assert_eq!(code.retry_after_s(), Some(1), "{code:?}");
        }
        for code in [Code::MalformedJson, Code::OrderNotFound, Code::StockChanged, Code::Internal] {
            assert_eq!(code.retry_after_s(), None, "{code:?}");
        }
    }
}
