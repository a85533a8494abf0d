//! The codes that only the Order Service has.

use http::StatusCode;
use web::problem::{Code, FaultCode, OwnCodes};

pub(super) const ORDER_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "order_not_found", "The order does not exist");
pub(super) const INVALID_TRANSITION: Code = Code::new(
    StatusCode::CONFLICT,
    "invalid_transition",
    "The order's status does not allow this transition",
);
pub(super) const NOTHING_PENDING: Code =
    Code::new(StatusCode::CONFLICT, "nothing_pending", "The order waits for no answer");

pub(super) const TOO_MANY_DECIMALS: FaultCode = FaultCode::new("too_many_decimals");
pub(super) const UNKNOWN_CURRENCY: FaultCode = FaultCode::new("unknown_currency");
pub(super) const TOTAL_TOO_LARGE: FaultCode = FaultCode::new("total_too_large");

/// All codes of this service, for the description of the API.
pub(crate) fn own_codes() -> OwnCodes {
    OwnCodes {
        codes: vec![ORDER_NOT_FOUND, INVALID_TRANSITION, NOTHING_PENDING],
        fault_codes: vec![TOO_MANY_DECIMALS, UNKNOWN_CURRENCY, TOTAL_TOO_LARGE],
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
        assert_eq!(codes, ["order_not_found", "invalid_transition", "nothing_pending"]);
        assert_eq!(fault_codes, ["too_many_decimals", "unknown_currency", "total_too_large"]);
    }
}
