//! The tables of states and commits: which cells can be reached, and which were reached.

use orders_core::status::Status;

use crate::connection::FOREIGN_DELIVERY;
use crate::coverage::{Coverage, Has, Known, OrderEvent, StockEvent, UnknownCommit, Work};

mod requests;

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

/// Whether an event can happen to an order in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// It must happen in some world.
    Must,
    /// It happens where several rare things come together.
    May,
    Never,
}

/// Whether the event can happen to an order in this state.
pub(crate) fn chance_for_order(status: Status, event: OrderEvent) -> Chance {
    match event {
        OrderEvent::Request(asked, answered) => requests::chance(status, asked, answered),
        OrderEvent::Lower(has) => chance_of_lower(status, has),
        OrderEvent::Current(has) => chance_of_current(status, has),
    }
}

/// Facts of a lower revision come late. The first revision has none.
fn chance_of_lower(status: Status, has: Has) -> Chance {
    use Has::{Granted, Nothing, Rejected};
    use Status::{
        Amending, Cancelled, Cancelling, Confirmed, Expired, Expiring, Fulfilled, Fulfilling,
        Reviving,
    };
    match (status, has) {
        (Confirmed | Amending | Cancelling | Cancelled, Granted)
        | (Fulfilling | Fulfilled | Expiring | Expired, Granted)
        | (Cancelling | Cancelled, Rejected)
        // An order expired, and was paid late.
        | (Reviving, Nothing) => Chance::Must,
        (Reviving, Granted)
        | (Cancelling | Cancelled | Confirmed | Amending, Nothing)
        | (Fulfilling | Fulfilled | Expired, Nothing) => Chance::May,
        _ => Chance::Never,
    }
}

/// Inventory answers a revision once, and says the same again and again.
fn chance_of_current(status: Status, has: Has) -> Chance {
    use Has::{Granted, Nothing, Rejected};
    use Status::{
        Amending, Cancelled, Cancelling, Confirmed, Expired, Expiring, Fulfilled, Fulfilling,
        Received, Reserved, Reviving,
    };
    let can = match status {
        Received | Reviving => has != Nothing,
        Reserved | Confirmed | Amending | Fulfilling | Fulfilled => has == Granted,
        Status::Rejected => has == Rejected,
        Cancelling | Cancelled | Expiring => has == Nothing,
        // By its deadline, or because a late payment found too few units.
        Expired => has != Granted,
    };
    match (can, status, has) {
        (false, ..) => Chance::Never,
        // A late payment that finds too few units is rare.
        (true, Reviving | Expired, Rejected) => Chance::May,
        (true, ..) => Chance::Must,
    }
}

/// Whether the command can come for a reservation in this state, or for none.
pub(crate) fn chance_for_stock(known: Known, event: StockEvent) -> Chance {
    use StockEvent::{Cancel, Fulfill, Keep, Lower, Place, Same};
    match (known, event) {
        // There is no revision yet. Only what was granted is changed.
        (Known::Nothing, Lower | Same | Fulfill | Keep) => Chance::Never,
        (_, Place) if known != Known::Nothing => Chance::Never,
        (Known::Rejected, Fulfill | Keep) => Chance::Never,
        // A cancelled order stays as it is.
        (Known::Tombstone, Cancel | Fulfill | Keep) | (Known::Released, Fulfill) => Chance::Never,
        // A late payment found too few units, and an older message comes again.
        (Known::Rejected, Lower) | (Known::Shipped, Cancel) => Chance::May,
        _ => Chance::Must,
    }
}

/// A cell that was reached although the table says that it cannot be.
pub(crate) fn broken(coverage: &Coverage) -> Option<String> {
    let orders = coverage.orders.keys();
    let mut orders =
        orders.filter(|(status, event)| chance_for_order(*status, *event) == Chance::Never);
    let stock = coverage.stock.keys();
    let mut stock =
        stock.filter(|(known, event)| chance_for_stock(*known, *event) == Chance::Never);
    let order = orders.next().map(|(status, event)| {
        format!("an order that is {status:?} met {event:?}, which is impossible")
    });
    order.or_else(|| {
        stock.next().map(|(known, event)| {
            format!("a reservation that is {known:?} met {event:?}, which is impossible")
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
    header("order", OrderEvent::FACTS.map(facts_column).as_slice());
    for status in Status::ALL {
        let cell = |event: OrderEvent| {
            let count = coverage.orders.get(&(status, event)).copied().unwrap_or(0);
            cell(chance_for_order(status, event), count)
        };
        row(status.as_str(), &OrderEvent::FACTS.map(cell));
    }
    requests::print(coverage);
    header("reservation", StockEvent::ALL.map(|event| format!("{event:?}")).as_slice());
    for known in Known::ALL {
        let cell = |event: StockEvent| {
            let count = coverage.stock.get(&(known, event)).copied().unwrap_or(0);
            cell(chance_for_stock(known, event), count)
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

fn facts_column(event: OrderEvent) -> String {
    match event {
        OrderEvent::Lower(has) => format!("lower {has:?}"),
        OrderEvent::Current(has) => format!("{has:?}"),
        OrderEvent::Request(asked, answered) => format!("{asked:?} {answered:?}"),
    }
}

fn cell(chance: Chance, count: u64) -> String {
    match (chance, count) {
        (Chance::Never | Chance::May, 0) => "-".to_owned(),
        _ => count.to_string(),
    }
}

fn header(what: &str, columns: &[String]) {
    println!();
    row(what, columns);
}

fn row(name: &str, columns: &[String]) {
    let columns: String = columns.iter().map(|column| format!("{column:>14}")).collect();
    println!("{name:<24}{columns}");
}

fn order_cells() -> impl Iterator<Item = (Status, OrderEvent)> {
    let all = Status::ALL
        .into_iter()
        .flat_map(|status| OrderEvent::all().map(move |event| (status, event)));
    all.filter(|(status, event)| chance_for_order(*status, *event) == Chance::Must)
}

fn stock_cells() -> impl Iterator<Item = (Known, StockEvent)> {
    let all = Known::ALL.into_iter().flat_map(|known| StockEvent::ALL.map(|event| (known, event)));
    all.filter(|(known, event)| chance_for_stock(*known, *event) == Chance::Must)
}

fn commit_cells() -> impl Iterator<Item = (Work, UnknownCommit)> {
    Work::ALL.into_iter().flat_map(|work| UnknownCommit::ALL.map(|fate| (work, fate)))
}
