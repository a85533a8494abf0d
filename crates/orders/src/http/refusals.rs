//! The problems that refusals are to clients: each says what to do.

use contract::MAX_RETURNED;
use orders_core::decide::{MAX_CHANGES, MAX_HISTORY_BYTES, Refusal, Unavailable};
use orders_core::money::Currency;
use orders_core::status::Status;
use web::problem::{Code, Fault, FaultCode, Problem};

use super::codes;

/// What a request that was refused had asked for, as far as words depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To place an order.
    Placement,
    /// To cancel or fulfill a whole order.
    Transition,
    /// To record money in this currency.
    Money(Currency),
    /// To cancel units.
    Cancellation,
    /// To ship units.
    Shipment,
    /// To say how to follow a shipment, or to cancel it.
    ChangeOfShipment,
    /// To take units back.
    Return,
}

impl Asked {
    fn amount(self, minor: i64) -> String {
        match self {
            Self::Money(currency) => format!("{} {currency}", currency.format(minor)),
            _ => format!("{minor} minor units"),
        }
    }
}

/// The problem that a refusal is to the client.
pub(super) fn problem(refusal: Refusal, asked: Asked) -> Problem {
    match refusal {
        Refusal::NotFound => super::order_not_found(),
        Refusal::KeyReused => key_reused(asked),
        Refusal::PaymentNotExpected => Problem::new(
            codes::PAYMENT_NOT_EXPECTED,
            "the order was placed without a payment, and records none",
        ),
        Refusal::AlreadyPaid => Problem::new(
            codes::ALREADY_PAID,
            "the order is paid, or costs nothing; this payment was not recorded, so give it back",
        ),
        Refusal::AmountRequired => amount_required(),
        Refusal::Underpaid { due_minor } => {
            let due = asked.amount(due_minor);
            let detail =
                format!("{due} is due, and the payment was not recorded; pay all of it at once");
            Problem::new(codes::UNDERPAID, detail)
        }
        Refusal::RefundExceedsPayment { most_minor } => {
            let most = asked.amount(most_minor);
            let detail = format!("at most {most} can be refunded: what was paid and not refunded");
            Problem::new(codes::REFUND_EXCEEDS_PAYMENT, detail)
        }
        Refusal::ShipmentNotFound => shipment_not_found(),
        Refusal::InvalidTransition(status) => invalid_transition(status, asked),
        Refusal::TooManyChanges => {
            let history = MAX_HISTORY_BYTES / 1024;
            let detail = format!(
                "the order has {MAX_CHANGES} changes or {history} KiB of history, and takes no \
                 more of this kind; it can still be cancelled, fulfilled and paid, and what is \
                 owed can be refunded"
            );
            Problem::new(codes::TOO_MANY_CHANGES, detail)
        }
        Refusal::OrderBusy => Problem::new(
            codes::ORDER_BUSY,
            "cancelled units of the order are being released; repeat the request in a second",
        )
        .retry_after(1),
        Refusal::QuantityUnavailable(lines) => quantity_unavailable(&lines, asked),
        Refusal::TooManyReturnEntries(lines) => too_many_return_entries(&lines),
    }
}

/// The problem of a payment without an amount, of an order that costs nothing any more.
fn amount_required() -> Problem {
    let detail = "amount is required: nothing is due, so only the payer knows how much was paid";
    Problem::from(Fault::pointer("/amount", FaultCode::REQUIRED, detail))
}

/// Names the lines that would add more products and locations to the returns than an order may have.
fn too_many_return_entries(lines: &[usize]) -> Problem {
    let detail = format!(
        "the returns of an order have at most {MAX_RETURNED} products and locations; name a \
         location to which units of the product came back before"
    );
    let fault = |line: &usize| {
        let pointer = format!("/lines/{line}/location_id");
        Fault::pointer(pointer, FaultCode::OUT_OF_RANGE, detail.clone())
    };
    let faults: Vec<Fault> = lines.iter().map(fault).collect();
    Problem { faults, ..Problem::new(codes::QUANTITY_UNAVAILABLE, detail) }
}

/// The problem of a shipment that an order does not have.
pub(super) fn shipment_not_found() -> Problem {
    Problem::new(codes::SHIPMENT_NOT_FOUND, "no shipment of the order has this id")
}

fn key_reused(asked: Asked) -> Problem {
    let detail = match asked {
        Asked::Money(_) => {
            "this reference was recorded with another amount; use a new reference for other money"
        }
        Asked::Placement | Asked::Transition => {
            "this Idempotency-Key was used for a different order; use a new key for a new order"
        }
        Asked::Cancellation | Asked::Shipment | Asked::ChangeOfShipment | Asked::Return => {
            "this Idempotency-Key was used for a different change of this order; use a new key for \
             a new change"
        }
    };
    Problem::new(Code::IDEMPOTENCY_KEY_REUSED, detail)
}

fn invalid_transition(status: Status, asked: Asked) -> Problem {
    let name = status.as_str();
    let advice = match (status, asked) {
        (_, Asked::Placement | Asked::Transition | Asked::Money(_)) => {
            "which does not allow this transition"
        }
        (Status::Received, _) => {
            "which can only be cancelled as a whole; repeat the request once stock has answered"
        }
        (Status::Reserved, _) => "which can only be cancelled as a whole until it is paid",
        (Status::Expiring | Status::Expired | Status::Reviving, _) => {
            "which can only be paid, or cancelled as a whole"
        }
        (_, _) => "which allows no change",
    };
    Problem::new(codes::INVALID_TRANSITION, format!("the order is {name}, {advice}"))
}

/// Names the lines that ask for more than there is. The lines of a shipment that is to be cancelled
/// are not in the request, so nothing can point to them.
fn quantity_unavailable(lines: &[Unavailable], asked: Asked) -> Problem {
    if asked == Asked::ChangeOfShipment {
        let detail = "units of this shipment came back, so it stays shipped";
        return Problem::new(codes::QUANTITY_UNAVAILABLE, detail);
    }
    let limit = match asked {
        Asked::Shipment => "the order holds there and has not shipped",
        Asked::Return => "were shipped and did not come back",
        _ => "are neither shipped nor cancelled",
    };
    let fault = |Unavailable { line, available }: &Unavailable| {
        let detail = format!("quantity must be at most {available}: the units that {limit}");
        Fault::pointer(format!("/lines/{line}/quantity"), FaultCode::OUT_OF_RANGE, detail)
    };
    let faults: Vec<Fault> = lines.iter().map(fault).collect();
    let detail = match lines {
        [] => "the order holds no unit that is not shipped".to_owned(),
        [only] => format!("lines[{}]: {}", only.line, faults[0].detail),
        many => format!("the order has too few units for {} lines; see errors", many.len()),
    };
    Problem { faults, ..Problem::new(codes::QUANTITY_UNAVAILABLE, detail) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(refusal: Refusal, asked: Asked) -> (String, String) {
        let problem = problem(refusal, asked);
        (format!("{} {}", problem.code.status().as_u16(), problem.code.as_str()), problem.detail)
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own_and_says_what_to_do() {
        let money = Asked::Money(Currency::BRL);
        let busy = |status| Refusal::InvalidTransition(status);
        for (refusal, asked, code, word) in [
            (Refusal::NotFound, Asked::Shipment, "404 order_not_found", "id"),
            (Refusal::ShipmentNotFound, Asked::ChangeOfShipment, "404 shipment_not_found", "id"),
            (Refusal::KeyReused, Asked::Placement, "422 idempotency_key_reused", "new order"),
            (Refusal::KeyReused, Asked::Return, "422 idempotency_key_reused", "new change"),
            (Refusal::KeyReused, money, "422 idempotency_key_reused", "new reference"),
            (Refusal::PaymentNotExpected, money, "409 payment_not_expected", "without a payment"),
            (Refusal::AlreadyPaid, money, "409 already_paid", "so give it back"),
            (Refusal::AmountRequired, money, "422 invalid_request", "nothing is due"),
            (Refusal::Underpaid { due_minor: 6997 }, money, "409 underpaid", "69.97 BRL is due"),
            (
                Refusal::RefundExceedsPayment { most_minor: 5 },
                money,
                "409 refund_exceeds_payment",
                "at most 0.05 BRL",
            ),
            (busy(Status::Rejected), Asked::Transition, "409 invalid_transition", "rejected"),
            (busy(Status::Reserved), Asked::Shipment, "409 invalid_transition", "until it is paid"),
            (busy(Status::Expired), Asked::Return, "409 invalid_transition", "only be paid"),
            (Refusal::TooManyChanges, Asked::Shipment, "409 too_many_changes", "128 KiB"),
            (Refusal::OrderBusy, Asked::Shipment, "409 order_busy", "in a second"),
            (
                Refusal::QuantityUnavailable(Vec::new()),
                Asked::Shipment,
                "409 quantity_unavailable",
                "holds no unit",
            ),
        ] {
            let (found, detail) = of(refusal, asked);
            assert_eq!(found, code);
            assert!(detail.contains(word), "{code}: {detail}");
        }
    }

    #[test]
    fn an_order_that_is_busy_says_when_to_come_back() {
        let problem = problem(Refusal::OrderBusy, Asked::Shipment);
        assert_eq!(problem.retry_after_s, Some(1));
    }

    #[test]
    fn the_lines_that_ask_for_too_much_are_named_with_what_they_could_have() {
        let short = |line, available| Unavailable { line, available };
        let one = problem(Refusal::QuantityUnavailable(vec![short(2, 0)]), Asked::Return);
        assert!(one.detail.starts_with("lines[2]: quantity must be at most 0"), "{}", one.detail);
        let lines = vec![short(0, 1), short(3, 2)];
        let many = problem(Refusal::QuantityUnavailable(lines.clone()), Asked::Cancellation);
        let faults: Vec<_> = many.faults.iter().map(|fault| format!("{:?}", fault.at)).collect();
        let expected = ["/lines/0/quantity", "/lines/3/quantity"];
        assert_eq!(faults, expected.map(|pointer| format!("Pointer({pointer:?})")));
        let shipment = problem(Refusal::QuantityUnavailable(lines), Asked::ChangeOfShipment);
        assert_eq!(shipment.faults, [], "its lines are not in the request");
        let elsewhere = problem(Refusal::TooManyReturnEntries(vec![1]), Asked::Return);
        assert_eq!(format!("{:?}", elsewhere.faults[0].at), r#"Pointer("/lines/1/location_id")"#);
    }
}
