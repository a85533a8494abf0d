//! The language of the scripts.
//!
//! ```text
//! place A 2 pay=900 key=k         two mugs at 10.00 as order A, to be paid within 900 s
//! place A MUG:2:1000 TEE:1:500    lines of product, quantity, price in minor units
//! cancel A / fulfill A / expire A
//! pay A r1 / pay A r1 500         by this reference, what is due or this amount
//! refund A r2 100
//! cancel-lines A k MUG 1 TEE 2    with the key k
//! ship A k / ship A k MUG 1@main TEE 2
//! track A 3 NUMBER                the shipment with this number
//! cancel-shipment A 3
//! return A k MUG 1@main restock TEE 1 write_off
//! carry-out A / carry-out A short / carry-out A split
//!                                 Inventory gets the newest command, and its answer is on its way
//! late A / late A 2               that answer, or the one of this revision, arrives
//! late A to=Z / late A of=other / late A more=1 / late A less=1
//!                                 … changed: another order, digest, or number of units
//! units A                         kept/shipped/returned per product
//! money A                         the balance
//! shipments A                     the shipments
//! ```
//! `answer` is `carry-out` and then `late`. An outcome begins with `again` if nothing changed, and
//! ends with the number of the entry (`#3`), which the expected text may leave out.

use contract::answers::StockAllocated;
use contract::{Digest, Intent, LocationId, OrderId, ProductId, Quantity, Revision};

use super::inventory::Stock;
use crate::changes::{RequestKey, Tracking};
use crate::decide::{
    Disposition, OrderCommand, OrderOutcome, OrderRequest, Placement, Receipt, Refusal,
    RequestContext, ReturnLine, ShipmentLine, UnitsOfProduct,
};
use crate::money::Currency;
use crate::order::{Order, OrderLine, PaymentTerms, Terms};

/// A line of a script.
pub(super) enum Line {
    Command(Box<OrderCommand>),
    CarryOut { order_id: OrderId, stock: Stock },
    Answer { order_id: OrderId, revision: Option<Revision>, change: fn(&mut StockAllocated) },
    Show { what: &'static str, order_id: OrderId },
}

/// Reads a line.
pub(super) fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (verb, order_id, rest) = (words[0], id_of(words[1]), &words[2..]);
    let show = |what| Line::Show { what, order_id };
    let request = |request| Line::Command(Box::new(request_of(order_id, request)));
    match verb {
        "place" => Line::Command(Box::new(place(order_id, rest))),
        "expire" => Line::Command(Box::new(OrderCommand::expire(order_id))),
        "carry-out" => Line::CarryOut { order_id, stock: stock(rest) },
        "late" => late(order_id, rest),
        "units" => show("units"),
        "money" => show("money"),
        "shipments" => show("shipments"),
        "cancel" => request(OrderRequest::Cancel { reason: Some("changed my mind".to_owned()) }),
        "fulfill" => request(OrderRequest::Fulfill),
        "pay" => request(OrderRequest::Pay {
            reference: rest[0].to_owned(),
            amount_minor: rest.get(1).map(|amount| number(amount)),
        }),
        "refund" => request(OrderRequest::Refund {
            reference: rest[0].to_owned(),
            amount_minor: number(rest[1]),
        }),
        "track" => {
            let tracking = Tracking { number: Some(rest[1].to_owned()), ..Tracking::default() };
            request(OrderRequest::Track { shipment: number(rest[0]), tracking })
        }
        "cancel-shipment" => {
            request(OrderRequest::CancelShipment { shipment: number(rest[0]), reason: None })
        }
        verb => request(change(verb, rest)),
    }
}

fn change(verb: &str, words: &[&str]) -> OrderRequest {
    let digest = Digest::of(format!("{verb} {}", words[1..].join(" ")).as_bytes());
    let key = RequestKey { key: words[0].to_owned(), digest };
    let words = &words[1..];
    let reason = Some("as the customer asked".to_owned());
    match verb {
        "cancel-lines" => {
            let line = |two: &[&str]| UnitsOfProduct {
                product_id: two[0].parse().expect("an id"),
                quantity: units_at(two[1]).0,
            };
            OrderRequest::CancelLines { key, lines: words.chunks(2).map(line).collect(), reason }
        }
        "ship" => {
            let line = |two: &[&str]| {
                let (quantity, location_id) = units_at(two[1]);
                let product_id = two[0].parse().expect("an id");
                ShipmentLine { product_id, location_id, quantity }
            };
            let lines: Vec<_> = words.chunks(2).map(line).collect();
            let lines = (!lines.is_empty()).then_some(lines);
            OrderRequest::Ship { key, lines, tracking: None }
        }
        "return" => {
            let line = |three: &[&str]| {
                let (quantity, location_id) = units_at(three[1]);
                let mut dispositions = Disposition::ALL.into_iter();
                let disposition = dispositions.find(|disposition| disposition.as_str() == three[2]);
                ReturnLine {
                    product_id: three[0].parse().expect("an id"),
                    quantity,
                    location_id,
                    disposition: disposition.expect("a disposition"),
                }
            };
            OrderRequest::Return { key, lines: words.chunks(3).map(line).collect(), reason }
        }
        other => panic!("no such line: {other}"),
    }
}

/// A request of a client that is not asked who it is.
pub(super) fn request_of(order_id: OrderId, request: OrderRequest) -> OrderCommand {
    let context = RequestContext::default();
    OrderCommand::Request { order_id, request: Box::new(request), context }
}

fn place(order_id: OrderId, words: &[&str]) -> OrderCommand {
    let option = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let lines: Vec<_> = words.iter().filter(|word| !word.contains('=')).copied().collect();
    let terms = terms(&lines, option("pay=").map(number));
    let digest = Intent::placed(terms.ordered()).digest();
    OrderCommand::Place(Box::new(Placement {
        order_id,
        key: option("key=").map(str::to_owned),
        terms,
        has_default_currency: false,
        digest,
        context: RequestContext::default(),
    }))
}

/// The terms of an order of these lines.
pub(super) fn terms(lines: &[&str], within_s: Option<u32>) -> Terms {
    let line = |text: &&str| {
        let parts: Vec<_> = text.split(':').collect();
        let (product, units, price) = match parts[..] {
            [units] => ("MUG", units, "1000"),
            [product, units, price] => (product, units, price),
            _ => panic!("no line: {text}"),
        };
        let quantity = Quantity::new(number(units)).expect("a quantity");
        let product_id = product.parse().expect("an id");
        OrderLine { product_id, quantity, price_minor: number(price) }
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    Terms {
        customer_id: "123456".parse().expect("an id"),
        currency: Currency::BRL,
        total_minor: lines.iter().map(|line| line.quantity.units() * line.price_minor).sum(),
        lines,
        payment: within_s.map(|within_s| PaymentTerms { within_s }),
    }
}

fn stock(words: &[&str]) -> Stock {
    match words {
        [] => Stock::Main,
        ["split"] => Stock::Split,
        ["short"] => Stock::Short,
        other => panic!("no such stock: {other:?}"),
    }
}

fn late(order_id: OrderId, words: &[&str]) -> Line {
    let revision = words.iter().find_map(|word| word.parse().ok());
    let revision = revision.map(|number: u32| Revision::try_from(number).expect("a revision"));
    let change: fn(&mut StockAllocated) = match words.iter().find(|word| word.contains('=')) {
        None => |_| {},
        Some(&"to=Z") => |answer| answer.order_id = id_of("Z"),
        Some(&"of=other") => |answer| answer.digest = Digest([9; 16]),
        Some(&"more=1") => |answer| change_units(answer, |units| units + 1),
        Some(&"less=1") => |answer| change_units(answer, |units| units - 1),
        Some(other) => panic!("no such change: {other}"),
    };
    Line::Answer { order_id, revision, change }
}

/// Changes the number of units of the first allocation.
fn change_units(answer: &mut StockAllocated, change: fn(u32) -> u32) {
    let mut list = answer.facts.allocated.to_vec();
    if let Ok(quantity) = Quantity::new(change(list[0].quantity.get())) {
        list[0].quantity = quantity;
    } else {
        list.remove(0);
    }
    answer.facts.allocated = list.try_into().expect("sorted allocations");
}

fn units_at(text: &str) -> (Quantity, Option<LocationId>) {
    let (units, location) = text.split_once('@').map_or((text, None), |(u, at)| (u, Some(at)));
    let quantity = Quantity::new(number(units)).expect("a quantity");
    (quantity, location.map(|id| id.parse().expect("an id")))
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// The id of an order with a name of one letter.
pub(super) fn id_of(name: &str) -> OrderId {
    OrderId(uuid::Uuid::from_u128(u128::from(name.as_bytes()[0])))
}

fn name_of(order_id: OrderId) -> char {
    char::from(order_id.0.as_bytes()[15])
}

/// An outcome as the scripts have it.
pub(super) fn text_of(outcome: &OrderOutcome) -> String {
    let status = |receipt: &Receipt| receipt.status.as_str();
    match outcome {
        OrderOutcome::Placed(receipt) => format!("placed {}", status(receipt)),
        OrderOutcome::Replayed(receipt) => {
            format!("replayed {} {}", name_of(receipt.order_id), status(receipt))
        }
        OrderOutcome::Accepted { receipt, entry, replayed } => {
            let again = if *replayed { "again " } else { "" };
            let entry = entry.map(|entry| format!(" #{entry}")).unwrap_or_default();
            format!("{again}{}{entry}", status(receipt))
        }
        OrderOutcome::Settled { receipt, .. } | OrderOutcome::Expired(receipt) => {
            status(receipt).to_owned()
        }
        OrderOutcome::Refused(refusal) => text_of_refusal(refusal),
        OrderOutcome::Stale => "stale".to_owned(),
        OrderOutcome::Anomaly(_) => "anomaly".to_owned(),
    }
}

fn text_of_refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound => "not found".to_owned(),
        Refusal::KeyReused => "key reused".to_owned(),
        Refusal::PaymentNotExpected => "payment not expected".to_owned(),
        Refusal::AlreadyPaid => "already paid".to_owned(),
        Refusal::AmountRequired => "amount required".to_owned(),
        Refusal::Underpaid { due_minor } => format!("underpaid, {due_minor} due"),
        Refusal::RefundExceedsPayment { most_minor } => format!("at most {most_minor}"),
        Refusal::ShipmentNotFound => "no such shipment".to_owned(),
        Refusal::InvalidTransition(status) => format!("not while {}", status.as_str()),
        Refusal::TooManyChanges => "too many changes".to_owned(),
        Refusal::OrderBusy => "busy".to_owned(),
        Refusal::TooManyReturnEntries(lines) => format!("no entries for lines {lines:?}"),
        Refusal::QuantityUnavailable(lines) => {
            let line = |one: &crate::decide::Unavailable| {
                format!(" line {} has {}", one.line, one.available)
            };
            format!("unavailable{}", lines.iter().map(line).collect::<String>())
        }
    }
}

/// What `units`, `money` and `shipments` say.
pub(super) fn show(what: &str, order: &Order) -> String {
    let registers = &order.registers;
    match what {
        "units" => {
            let of = |product_id: &ProductId| {
                let kept = registers.kept(product_id);
                let shipped = registers.intent.shipped.of(product_id);
                let returned = registers.intent.returned.of(product_id);
                format!("{product_id} {kept}/{shipped}/{returned}")
            };
            let ordered = order.terms.ordered();
            let products = ordered.iter().map(|line| of(&line.product_id));
            products.collect::<Vec<_>>().join(" ")
        }
        "money" => registers.balance(&order.terms).map_or_else(String::new, |balance| {
            let (paid, refunded) = (balance.paid_minor, balance.refunded_minor);
            let state = balance.state.as_str();
            let (amount, owed) = (balance.amount_minor, balance.refund_due_minor);
            format!("{state} of {amount}: paid {paid}, refunded {refunded}, owed {owed}")
        }),
        _ => {
            let shipment = |shipment: &crate::changes::Shipment| {
                let lines = shipment.lines.iter().map(|line| {
                    let (product, location) = (&line.product_id, &line.location_id);
                    format!(" {product} {}@{location}", line.quantity.get())
                });
                let state = shipment.state(registers.settled()).as_str();
                format!("#{} {state}{}", shipment.seq, lines.collect::<String>())
            };
            registers.shipments.iter().map(shipment).collect::<Vec<_>>().join(", ")
        }
    }
}
