//! The tables of states and commits: which cells can be reached, and which were reached.

use orders_core::status::Status;

use crate::connection::FOREIGN_DELIVERY;
use crate::coverage::{Coverage, Has, Known, OrderEvent, StockEvent, UnknownCommit, Work};

/// What must happen in some world, beside the cells.
pub(crate) const MARKS: [&str; 7] = [
    "an answer that the outcome is unknown",
    "a placement that finds itself after an unknown commit",
    "a movement that was made before",
    "a process that ends because its storage failed",
    "a forged command that is set aside",
    "a forged answer that is set aside",
    FOREIGN_DELIVERY,
];

/// Why the event cannot happen to an order in this state, if it cannot.
pub(crate) fn impossible_for_order(status: Status, event: OrderEvent) -> Option<&'static str> {
    use Has::{Granted, Nothing, Rejected};
    use OrderEvent::{Cancel, Current, Fulfill, Lower};
    match (status, event) {
        (_, Cancel | Fulfill) => None,
        (Status::Received | Status::Confirmed | Status::Rejected, Lower(_)) => {
            Some("the first revision has no lower one")
        }
        (_, Lower(Nothing)) => Some("an order that is placed is granted or rejected"),
        (Status::Fulfilling | Status::Fulfilled, Lower(Rejected)) => {
            Some("a rejected order is never fulfilled")
        }
        (Status::Received | Status::Confirmed | Status::Rejected, Current(Nothing)) => {
            Some("an order that is placed is granted or rejected")
        }
        (Status::Confirmed, Current(Rejected)) | (Status::Rejected, Current(Granted)) => {
            Some("Inventory answers a revision once")
        }
        (Status::Cancelling | Status::Cancelled, Current(Granted | Rejected)) => {
            Some("a cancelled order has nothing, and nothing is short")
        }
        (Status::Fulfilling | Status::Fulfilled, Current(Rejected | Nothing)) => {
            Some("a fulfilled order has what it was granted")
        }
        _ => None,
    }
}

/// Why the command cannot come for a reservation in this state, or for none, if it cannot.
pub(crate) fn impossible_for_stock(known: Known, event: StockEvent) -> Option<&'static str> {
    use StockEvent::{Cancel, Fulfill, Lower, Place, Same};
    match (known, event) {
        (Known::Nothing, Lower | Same) => Some("there is no revision"),
        (Known::Nothing | Known::Rejected, Fulfill) => {
            Some("only an order that was granted its units is fulfilled")
        }
        (Known::Reserved | Known::Rejected, Lower) => Some("the first revision has no lower one"),
        (Known::Reserved | Known::Rejected, Place) => Some("an order is placed once"),
        (Known::Tombstone | Known::Released, Place | Cancel | Fulfill) => {
            Some("a cancelled order stays as it is")
        }
        (Known::Shipped, Place | Cancel | Fulfill) => Some("a fulfilled order stays as it is"),
        _ => None,
    }
}

/// A cell that was reached although the table says that it cannot be.
pub(crate) fn broken(coverage: &Coverage) -> Option<String> {
    let order = coverage.orders.keys().find_map(|(status, event)| {
        impossible_for_order(*status, *event)
            .map(|why| format!("an order that is {status:?} met {event:?}: {why}"))
    });
    order.or_else(|| {
        coverage.stock.keys().find_map(|(known, event)| {
            let why = impossible_for_stock(*known, *event)?;
            Some(format!("a reservation that is {known:?} met {event:?}: {why}"))
        })
    })
}

/// The cells and marks that can be reached and were not.
pub(crate) fn missing(coverage: &Coverage) -> Vec<String> {
    let order = order_cells().filter(|cell| !coverage.orders.contains_key(cell));
    let stock = stock_cells().filter(|cell| !coverage.stock.contains_key(cell));
    let commits = commit_cells().filter(|cell| !coverage.commits.contains_key(cell));
    let marks = MARKS.iter().filter(|mark| !coverage.marks.contains_key(**mark));
    let order = order.map(|(status, event)| format!("an order that is {status:?} and {event:?}"));
    let stock =
        stock.map(|(known, event)| format!("a reservation that is {known:?} and {event:?}"));
    let commits =
        commits.map(|(work, fate)| format!("a commit of unknown fate of a {work:?}: {fate:?}"));
    order.chain(stock).chain(commits).chain(marks.map(|mark| (*mark).to_owned())).collect()
}

/// The number of cells and marks that were reached, and of all that can be reached.
pub(crate) fn reached(coverage: &Coverage) -> (usize, usize) {
    let all = order_cells().count() + stock_cells().count() + commit_cells().count() + MARKS.len();
    (all - missing(coverage).len(), all)
}

pub(crate) fn print(coverage: &Coverage) {
    header("order", OrderEvent::ALL.map(order_column).as_slice());
    for status in Status::ALL {
        let cell = |event: OrderEvent| match impossible_for_order(status, event) {
            Some(_) => "-".to_owned(),
            None => coverage.orders.get(&(status, event)).copied().unwrap_or(0).to_string(),
        };
        row(status.as_str(), &OrderEvent::ALL.map(cell));
    }
    header("reservation", StockEvent::ALL.map(|event| format!("{event:?}")).as_slice());
    for known in Known::ALL {
        let cell = |event: StockEvent| match impossible_for_stock(known, event) {
            Some(_) => "-".to_owned(),
            None => coverage.stock.get(&(known, event)).copied().unwrap_or(0).to_string(),
        };
        row(&format!("{known:?}"), &StockEvent::ALL.map(cell));
    }
    header("unknown fate", UnknownCommit::ALL.map(|fate| format!("{fate:?}")).as_slice());
    for work in Work::ALL {
        let cell = |fate: UnknownCommit| {
            coverage.commits.get(&(work, fate)).copied().unwrap_or(0).to_string()
        };
        row(&format!("{work:?}"), &UnknownCommit::ALL.map(cell));
    }
    println!();
    for mark in MARKS {
        println!("{:>10}  {mark}", coverage.marks.get(mark).copied().unwrap_or(0));
    }
}

fn order_column(event: OrderEvent) -> String {
    match event {
        OrderEvent::Cancel | OrderEvent::Fulfill => format!("{event:?}"),
        OrderEvent::Lower(has) => format!("lower {has:?}"),
        OrderEvent::Current(has) => format!("{has:?}"),
    }
}

fn header(what: &str, columns: &[String]) {
    println!();
    row(what, columns);
}

fn row(name: &str, columns: &[String]) {
    let columns: String = columns.iter().map(|column| format!("{column:>15}")).collect();
    println!("{name:<14}{columns}");
}

fn order_cells() -> impl Iterator<Item = (Status, OrderEvent)> {
    let all =
        Status::ALL.into_iter().flat_map(|status| OrderEvent::ALL.map(|event| (status, event)));
    all.filter(|(status, event)| impossible_for_order(*status, *event).is_none())
}

fn stock_cells() -> impl Iterator<Item = (Known, StockEvent)> {
    let all = Known::ALL.into_iter().flat_map(|known| StockEvent::ALL.map(|event| (known, event)));
    all.filter(|(known, event)| impossible_for_stock(*known, *event).is_none())
}

fn commit_cells() -> impl Iterator<Item = (Work, UnknownCommit)> {
    Work::ALL.into_iter().flat_map(|work| UnknownCommit::ALL.map(|fate| (work, fate)))
}
