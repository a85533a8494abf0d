//! The codes that only the Order Service has.

use http::StatusCode;
use web::problem::{Code, FaultCode, OwnCodes};

pub(super) const ORDER_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "order_not_found", "The order does not exist");
pub(super) const SHIPMENT_NOT_FOUND: Code =
    Code::new(StatusCode::NOT_FOUND, "shipment_not_found", "The order has no such shipment");
pub(super) const INVALID_TRANSITION: Code = Code::new(
    StatusCode::CONFLICT,
    "invalid_transition",
    "The order's status does not allow this transition",
);
pub(super) const ORDER_BUSY: Code =
    Code::new(StatusCode::CONFLICT, "order_busy", "Units of the order are being released");
pub(super) const QUANTITY_UNAVAILABLE: Code =
    Code::new(StatusCode::CONFLICT, "quantity_unavailable", "There are too few units");
pub(super) const ALREADY_PAID: Code =
    Code::new(StatusCode::CONFLICT, "already_paid", "The order needs no payment any more");
pub(super) const UNDERPAID: Code =
    Code::new(StatusCode::CONFLICT, "underpaid", "The payment is less than what is due");
pub(super) const PAYMENT_NOT_EXPECTED: Code = Code::new(
    StatusCode::CONFLICT,
    "payment_not_expected",
    "The order was placed without a payment",
);
pub(super) const REFUND_EXCEEDS_PAYMENT: Code = Code::new(
    StatusCode::CONFLICT,
    "refund_exceeds_payment",
    "More would be refunded than was paid",
);
pub(super) const TOO_MANY_CHANGES: Code =
    Code::new(StatusCode::CONFLICT, "too_many_changes", "The order was changed too often");
pub(super) const NOTHING_PENDING: Code =
    Code::new(StatusCode::CONFLICT, "nothing_pending", "No command is pending");

pub(super) const TOO_MANY_DECIMALS: FaultCode = FaultCode::new("too_many_decimals");
pub(super) const UNKNOWN_CURRENCY: FaultCode = FaultCode::new("unknown_currency");
pub(super) const TOTAL_TOO_LARGE: FaultCode = FaultCode::new("total_too_large");

/// All codes of this service, for the description of the API.
pub(crate) fn own_codes() -> OwnCodes {
    OwnCodes {
        codes: vec![
            ORDER_NOT_FOUND,
            SHIPMENT_NOT_FOUND,
            INVALID_TRANSITION,
            ORDER_BUSY,
            QUANTITY_UNAVAILABLE,
            ALREADY_PAID,
            UNDERPAID,
            PAYMENT_NOT_EXPECTED,
            REFUND_EXCEEDS_PAYMENT,
            TOO_MANY_CHANGES,
            NOTHING_PENDING,
        ],
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
        let expected = [
            "order_not_found",
            "shipment_not_found",
            "invalid_transition",
            "order_busy",
            "quantity_unavailable",
            "already_paid",
            "underpaid",
            "payment_not_expected",
            "refund_exceeds_payment",
            "too_many_changes",
            "nothing_pending",
        ];
        assert_eq!(codes, expected);
        assert_eq!(fault_codes, ["too_many_decimals", "unknown_currency", "total_too_large"]);
    }
}
