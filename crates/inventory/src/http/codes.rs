//! The codes that only the Inventory Service answers with.

use http::StatusCode;
use web::problem::{Code, FaultCode, OwnCodes};

pub(super) const PRODUCT_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "product_not_found", "There is no such product");
pub(super) const RESERVATION_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "reservation_not_found", "There is no such reservation");
pub(super) const STOCK_CHANGED: Code =
    Code::new(StatusCode::CONFLICT, "stock_changed", "The stock is not what was expected");
pub(super) const BELOW_RESERVED: Code =
    Code::new(StatusCode::CONFLICT, "below_reserved", "Less would be on hand than is reserved");

pub(super) const UNKNOWN_LOCATION: FaultCode = FaultCode::new("unknown_location");

/// All of them, for the description of the API.
pub(crate) fn own_codes() -> OwnCodes {
    OwnCodes {
        codes: vec![PRODUCT_NOT_FOUND, RESERVATION_NOT_FOUND, STOCK_CHANGED, BELOW_RESERVED],
        fault_codes: vec![UNKNOWN_LOCATION],
    }
}
