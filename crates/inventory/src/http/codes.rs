//! The codes that only the Inventory Service has.

use http::StatusCode;
use web::problem::{Code, FaultCode, OwnCodes};

pub(super) const PRODUCT_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "product_not_found", "The product does not exist");
pub(super) const LOCATION_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "location_not_found", "The location does not exist");
pub(super) const RESERVATION_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "reservation_not_found", "The reservation does not exist");
pub(super) const STOCK_CHANGED: Code = Code::new(
    StatusCode::CONFLICT,
    "stock_changed",
    "The stock on hand differs from the expected stock",
);
pub(super) const BELOW_RESERVED: Code = Code::new(
    StatusCode::CONFLICT,
    "below_reserved",
    "The stock on hand cannot be less than the reserved stock",
);
pub(super) const QUANTITY_UNAVAILABLE: Code =
    Code::new(StatusCode::CONFLICT, "quantity_unavailable", "There are not as many units for this");
pub(super) const TOO_MANY_LOCATIONS: Code =
    Code::new(StatusCode::CONFLICT, "too_many_locations", "No more locations can be created");

pub(super) const INCOMPLETE_BODY: Code =
    Code::new(StatusCode::BAD_REQUEST, "incomplete_body", "The body did not arrive completely");

pub(super) const UNKNOWN_LOCATION: FaultCode = FaultCode::new("unknown_location");
/// Of rows of an import.
pub(super) const UNKNOWN_PRODUCT: FaultCode = FaultCode::new("unknown_product");
pub(super) const MALFORMED_ROW: FaultCode = FaultCode::new("malformed_row");
pub(super) const DUPLICATE_ROW: FaultCode = FaultCode::new("duplicate_row");
pub(super) const ROW_BELOW_RESERVED: FaultCode = FaultCode::new("below_reserved");
pub(super) const ROW_KEY_REUSED: FaultCode = FaultCode::new("idempotency_key_reused");

/// All codes of this service, for the description of the API.
pub(crate) fn own_codes() -> OwnCodes {
    OwnCodes {
        codes: vec![
            PRODUCT_NOT_FOUND,
            LOCATION_NOT_FOUND,
            RESERVATION_NOT_FOUND,
            STOCK_CHANGED,
            BELOW_RESERVED,
            QUANTITY_UNAVAILABLE,
            TOO_MANY_LOCATIONS,
            INCOMPLETE_BODY,
        ],
        fault_codes: vec![
            UNKNOWN_LOCATION,
            UNKNOWN_PRODUCT,
            MALFORMED_ROW,
            DUPLICATE_ROW,
            ROW_BELOW_RESERVED,
            ROW_KEY_REUSED,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_may_rely_on_these_codes() {
        let own = own_codes();
        let codes: Vec<_> = own.codes.into_iter().map(Code::as_str).collect();
        let fault_codes: Vec<_> = own.fault_codes.into_iter().map(FaultCode::as_str).collect();
        assert_eq!(
            codes,
            [
                "product_not_found",
                "location_not_found",
                "reservation_not_found",
                "stock_changed",
                "below_reserved",
                "quantity_unavailable",
                "too_many_locations",
                "incomplete_body"
            ]
        );
        assert_eq!(
            fault_codes,
            [
                "unknown_location",
                "unknown_product",
                "malformed_row",
                "duplicate_row",
                "below_reserved",
                "idempotency_key_reused"
            ]
        );
    }
}
