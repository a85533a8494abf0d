//! The table of requests: what an order in each status answers to what is asked of it. A second
//! opinion that shares no code with the services.

use orders_core::status::Status;

use super::Chance;
use crate::coverage::{Answered, Asked, Coverage, OrderEvent};

/// Whether an order in this status can answer so.
pub(super) fn chance(status: Status, asked: Asked, answered: Answered) -> Chance {
    let [must, may] = match asked {
        Asked::Cancel => cancel(status),
        Asked::Fulfill => fulfill(status),
        Asked::Pay => pay(status),
        Asked::Refund => refund(status),
        Asked::CancelLines => cancel_lines(status),
        Asked::Ship => ship(status),
        Asked::Track => track(status),
        Asked::CancelShipment => cancel_shipment(status),
        Asked::Return => book_return(status),
        Asked::Expire => expire(status),
    };
    if must.contains(&answered) {
        Chance::Must
    } else if may.contains(&answered) {
        Chance::May
    } else {
        Chance::Never
    }
}

/// The answers that must occur, and those that may.
type Answers = [&'static [Answered]; 2];

use Answered::{
    AlreadyPaid, Busy, Done, Exceeds, Invalid, KeyReused, NoAmount, NoShipment, NotExpected,
    Repeated, Unavailable, Underpaid,
};
use Status::{
    Amending, Cancelled, Cancelling, Confirmed, Expired, Expiring, Fulfilled, Fulfilling, Received,
    Rejected, Reserved, Reviving,
};

/// An order of which something is shipped is not cancelled as a whole.
fn cancel(status: Status) -> Answers {
    match status {
        Expiring | Reviving => [&[], &[Done]],
        Received | Reserved | Expired => [&[Done], &[]],
        Confirmed | Amending => [&[Done, Invalid], &[]],
        Cancelling | Cancelled => [&[Repeated], &[]],
        Rejected | Fulfilling | Fulfilled => [&[Invalid], &[]],
    }
}

fn fulfill(status: Status) -> Answers {
    match status {
        Expiring | Reviving => [&[], &[Invalid]],
        Confirmed => [&[Done], &[]],
        Amending => [&[Done, Busy], &[Repeated]],
        Fulfilling | Fulfilled => [&[Repeated], &[]],
        Received | Reserved | Rejected | Cancelling | Cancelled | Expired => [&[Invalid], &[]],
    }
}

/// Money that comes is recorded, whatever became of the order.
fn pay(status: Status) -> Answers {
    match status {
        Received => [&[Done, NotExpected], &[Repeated, AlreadyPaid, Underpaid, KeyReused]],
        Reserved => [&[Done, Underpaid], &[]],
        Confirmed => [&[Repeated, AlreadyPaid, NotExpected, KeyReused], &[]],
        Amending | Fulfilling | Fulfilled => [&[NotExpected], &[Repeated, AlreadyPaid, KeyReused]],
        Rejected | Cancelling | Cancelled => {
            [&[Done, NotExpected, NoAmount], &[Repeated, AlreadyPaid, KeyReused]]
        }
        Expiring => [&[Done], &[Underpaid]],
        Expired => [&[Done], &[Repeated, AlreadyPaid, Underpaid, KeyReused]],
        Reviving => [&[], &[Repeated, AlreadyPaid, KeyReused]],
    }
}

fn refund(status: Status) -> Answers {
    match status {
        Confirmed | Cancelled => [&[Done, Repeated, Exceeds], &[]],
        // Neither is paid.
        Reserved => [&[Exceeds], &[]],
        Expiring => [&[], &[Exceeds]],
        Reviving => [&[], &[Done, Repeated, Exceeds]],
        _ => [&[Exceeds], &[Done, Repeated]],
    }
}

/// A repeat by the same key is answered whatever the status is.
fn cancel_lines(status: Status) -> Answers {
    match status {
        Confirmed | Amending => [&[Done, Unavailable, Repeated], &[KeyReused]],
        Fulfilling | Fulfilled => [&[Unavailable], &[Repeated, KeyReused]],
        Cancelling | Cancelled => [&[Invalid, Repeated], &[KeyReused]],
        Expiring | Reviving => [&[], &[Invalid]],
        _ => [&[Invalid], &[]],
    }
}

fn ship(status: Status) -> Answers {
    match status {
        Confirmed => [&[Done, Unavailable, Repeated], &[KeyReused]],
        Amending => [&[Done, Busy, Unavailable, Repeated], &[KeyReused]],
        Fulfilling => [&[Unavailable, Repeated], &[Busy, KeyReused]],
        Fulfilled => [&[Unavailable, Repeated], &[KeyReused]],
        Cancelling | Cancelled => [&[Invalid], &[Repeated, KeyReused]],
        Expiring | Reviving => [&[], &[Invalid]],
        _ => [&[Invalid], &[]],
    }
}

fn track(status: Status) -> Answers {
    match status {
        Confirmed | Amending | Fulfilling | Fulfilled => [&[Done, Repeated], &[NoShipment]],
        Cancelling | Cancelled => [&[], &[Done, Repeated, NoShipment]],
        _ => [&[], &[NoShipment]],
    }
}

fn cancel_shipment(status: Status) -> Answers {
    match status {
        Confirmed | Amending => [&[Done, Repeated], &[Unavailable, NoShipment]],
        Fulfilling => [&[Done], &[Repeated, Unavailable, NoShipment]],
        Fulfilled => [&[Done, Unavailable], &[Repeated, NoShipment]],
        Cancelling | Cancelled => [&[], &[Repeated, NoShipment]],
        _ => [&[], &[NoShipment]],
    }
}

fn book_return(status: Status) -> Answers {
    match status {
        Confirmed => [&[Done, Unavailable], &[Repeated, KeyReused]],
        Amending => [&[Done, Unavailable, Repeated], &[KeyReused]],
        Fulfilling => [&[Done, Unavailable], &[Repeated, KeyReused]],
        Fulfilled => [&[Done, Unavailable, Repeated], &[KeyReused]],
        Expiring | Reviving => [&[], &[Invalid]],
        _ => [&[Invalid], &[]],
    }
}

/// The deadline changes nothing once the order was paid or cancelled.
fn expire(status: Status) -> Answers {
    match status {
        Reserved => [&[Done], &[]],
        Confirmed => [&[Repeated], &[]],
        Received | Rejected => [&[], &[]],
        _ => [&[], &[Repeated]],
    }
}

/// Prints how often each answer was given to each request.
pub(super) fn print(coverage: &Coverage) {
    super::header("request", Status::ALL.map(|status| status.as_str().to_owned()).as_slice());
    for asked in Asked::ALL {
        for answered in Answered::ALL {
            let event = OrderEvent::Request(asked, answered);
            let chances = Status::ALL.map(|status| chance(status, asked, answered));
            if chances.iter().all(|chance| *chance == Chance::Never) {
                continue;
            }
            let cells = Status::ALL.map(|status| {
                let count = coverage.orders.get(&(status, event)).copied().unwrap_or(0);
                super::cell(chance(status, asked, answered), count)
            });
            super::row(&format!("{asked:?} {answered:?}"), &cells);
        }
    }
}
