//! The tables of states and commits: which cells can be reached, and which were reached.

use contract::commands::StockCommandKind;
use inventory_core::reservation::StateName;
use orders_core::order::Status;

use crate::coverage::{Coverage, Event, UnknownCommit, Work};

/// What must happen in some world, beside the cells.
pub(crate) const MARKS: [&str; 4] = [
    "an answer that the outcome is unknown",
    "a placement that finds itself after an unknown commit",
    "a movement that was made before",
    "a process that ends because its storage failed",
];

/// Why the event cannot happen to an order in this state, if it cannot.
pub(crate) fn impossible_for_order(status: Status, event: Event) -> Option<&'static str> {
    use Event::{StockRejected, StockReleased, StockReserved, StockShipped};
    use Status::{Cancelled, Cancelling, Confirmed, Fulfilled, Fulfilling, Received, Rejected};
    match (status, event) {
        (Received | Confirmed | Rejected, StockReleased) => {
            Some("only a cancelled order's stock is released")
        }
        (Fulfilling | Fulfilled, StockReleased) => {
            Some("an order that is fulfilled was never cancelled")
        }
        (Received | Confirmed | Rejected, StockShipped) => {
            Some("only a fulfilled order's stock is shipped")
        }
        (Cancelling | Cancelled, StockShipped) => Some("a cancelled order was never fulfilled"),
        (Confirmed | Fulfilling | Fulfilled, StockRejected) => {
            Some("stock that was reserved is never rejected")
        }
        (Rejected, StockReserved) => Some("stock that was rejected is never reserved"),
        _ => None,
    }
}

/// Why the command cannot come for a reservation in this state, or for none, if it cannot.
pub(crate) fn impossible_for_stock(
    state: Option<StateName>,
    kind: StockCommandKind,
) -> Option<&'static str> {
    use StateName::{Rejected, Released, Shipped};
    use StockCommandKind::{ReleaseStock, ShipStock};
    match (state, kind) {
        (None | Some(Rejected), ShipStock) => {
            Some("only an order whose reservation was answered is fulfilled")
        }
        (Some(Released), ShipStock) => Some("a cancelled order is never fulfilled"),
        (Some(Shipped), ReleaseStock) => Some("an order that is fulfilled is never cancelled"),
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
        coverage.stock.keys().find_map(|(state, kind)| {
            let why = impossible_for_stock(*state, *kind)?;
            Some(format!("a reservation that is {state:?} met {kind:?}: {why}"))
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
    let stock = stock.map(|(state, kind)| format!("a reservation that is {state:?} and {kind:?}"));
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
    header("order", Event::ALL.map(|event| format!("{event:?}")).as_slice());
    for status in Status::ALL {
        let cell = |event: Event| match impossible_for_order(status, event) {
            Some(_) => "-".to_owned(),
            None => coverage.orders.get(&(status, event)).copied().unwrap_or(0).to_string(),
        };
        row(status.as_str(), &Event::ALL.map(cell));
    }
    header("reservation", StockCommandKind::ALL.map(|kind| kind.as_str().to_owned()).as_slice());
    for state in states() {
        let cell = |kind: StockCommandKind| match impossible_for_stock(state, kind) {
            Some(_) => "-".to_owned(),
            None => coverage.stock.get(&(state, kind)).copied().unwrap_or(0).to_string(),
        };
        row(state.map_or("none", StateName::as_str), &StockCommandKind::ALL.map(cell));
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

fn header(what: &str, columns: &[String]) {
    println!();
    row(what, columns);
}

fn row(name: &str, columns: &[String]) {
    let columns: String = columns.iter().map(|column| format!("{column:>15}")).collect();
    println!("{name:<14}{columns}");
}

fn order_cells() -> impl Iterator<Item = (Status, Event)> {
    let all = Status::ALL.into_iter().flat_map(|status| Event::ALL.map(|event| (status, event)));
    all.filter(|(status, event)| impossible_for_order(*status, *event).is_none())
}

fn stock_cells() -> impl Iterator<Item = (Option<StateName>, StockCommandKind)> {
    let all = states().flat_map(|state| StockCommandKind::ALL.map(|kind| (state, kind)));
    all.filter(|(state, kind)| impossible_for_stock(*state, *kind).is_none())
}

fn commit_cells() -> impl Iterator<Item = (Work, UnknownCommit)> {
    Work::ALL.into_iter().flat_map(|work| UnknownCommit::ALL.map(|fate| (work, fate)))
}

fn states() -> impl Iterator<Item = Option<StateName>> {
    std::iter::once(None).chain(StateName::ALL.map(Some))
}
