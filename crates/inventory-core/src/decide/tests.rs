//! Scripts of commands, which run command by command and again in batches.

use std::collections::BTreeMap;

use contract::commands::AllocateStock;
use contract::{
    Allocation, Allocations, Intent, LocationId, OrderId, ProductId, Quantity, Returned,
    ReturnedUnits, Revision, Wanted, WantedLine,
};
use uuid::Uuid;

use super::*;
use crate::admin::Requester;
use crate::stock::{Level, Levels, Location, MovementKind, ProductStock, RequestCause, RequestId};
use stock::Stock;

mod allocate;
mod import;
mod less_and_more;
mod movement_requests;
mod properties;
mod repair;
mod returns;
mod shipments;
mod sourcing;
mod stock;
mod table;
mod walk;

/// Runs a script twice: with one command per batch, and with all commands between two `levels`
/// lines in one batch.
///
/// ```text
/// product  MUG                          puts a product
/// location SHOP 10                      puts a location with a priority
/// stock    MUG 2 @SHOP                  puts the product and receives units
/// receive  MUG 2 / adjust MUG -1 / count MUG 7 expect 5   (key K: as the request K)
/// quarantine MUG 2 / unquarantine MUG 1 / write_off MUG 1
/// import   MUG 7 named Mug @SHOP key K  a row of an import
/// place    A MUG 1 TEE 1                revision 1 of an order, which wants these units
/// cancel   A                            revision 2, which wants nothing
/// fulfill  A MUG@main 1 TEE@main 1      revision 2, which ships these units
/// revise   A 3 wants MUG 2 TEE 0 ships MUG@main 1 returns MUG@main 1/0/0
///                                       any revision; of what came back, the units that were
///                                       restocked, quarantined and written off
/// levels   MUG                          on_hand/reserved of each location, /quarantined unless 0
/// ```
/// The text after `->` is the expected outcome: its first word, or all of its words. A line that
/// begins with `returns` or `->` continues the one before it.
fn check(script: &str) {
    let mut lines: Vec<String> = Vec::new();
    for line in script.lines().map(|line| line.split("//").next().unwrap_or("").trim()) {
        match lines.last_mut() {
            Some(last) if line.starts_with("returns") || line.starts_with("->") => {
                *last += &format!(" {line}");
            }
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    let lines = Script::default().read(lines.iter().map(String::as_str));
    run(&lines, 1);
    run(&lines, usize::MAX);
}

struct ScriptLine {
    text: String,
    act: Act,
    expected: Option<String>,
}

enum Act {
    Run(Vec<InventoryCommand>),
    ShowLevels(ProductId),
}

fn run(lines: &[ScriptLine], batch: usize) {
    let mut stock = Stock::default();
    for section in lines.chunk_by(|a, b| matches!((&a.act, &b.act), (Act::Run(_), Act::Run(_)))) {
        for lines in section.chunks(batch.min(section.len())) {
            run_batch(&mut stock, lines);
        }
    }
    stock.audit();
}

fn run_batch(stock: &mut Stock, lines: &[ScriptLine]) {
    let commands = |line: &ScriptLine| match &line.act {
        Act::Run(commands) => commands.clone(),
        Act::ShowLevels(_) => Vec::new(),
    };
    let decided = stock.run(&lines.iter().flat_map(commands).collect::<Vec<_>>());
    let mut outcomes = decided.iter();
    for line in lines {
        let actual = match &line.act {
            Act::ShowLevels(product) => describe_levels(stock.levels(product)),
            Act::Run(commands) => {
                outcomes.by_ref().take(commands.len()).last().map(describe).unwrap_or_default()
            }
        };
        if let Some(expected) = &line.expected {
            assert!(
                fits(expected, &actual),
                "{}: got {actual}, in a batch of {}",
                line.text,
                lines.len()
            );
        }
    }
}

fn fits(expected: &str, actual: &str) -> bool {
    let expected = words(expected);
    let actual = words(actual);
    let fits_word = |(expected, actual): (&&str, &&str)| {
        expected == actual || actual.starts_with(&format!("{expected}("))
    };
    expected.iter().zip(&actual).all(fits_word)
        && (expected.len() == 1 || expected.len() == actual.len())
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// `allocated MUG@main(2)`, `rejected TEE(1>0)` or `nothing` with the revision that is answered, as
/// in `nothing(2)`, and where returns are booked if it is elsewhere, `MUG@NOWHERE>main`;
/// `moved #3 5/2`; or the name of a refusal.
fn describe(decided: &DecidedInventory) -> String {
    let Some(answer) = &decided.publish else { return describe_outcome(&decided.outcome) };
    let facts = &answer.facts;
    facts.booked_at.iter().fold(describe_facts(facts), |text, entry| {
        format!("{text} {}@{}>{}", entry.product_id, entry.location_id, entry.booked_at)
    })
}

fn describe_facts(facts: &contract::Facts) -> String {
    let revision = facts.revision;
    if !facts.shortages.is_empty() {
        return facts.shortages.iter().fold(format!("rejected({revision})"), |text, short| {
            let requested = short.requested.get();
            format!("{text} {}({requested}>{})", short.product_id, short.available)
        });
    }
    if facts.allocated.is_empty() {
        return format!("nothing({revision})");
    }
    facts.allocated.iter().fold(format!("allocated({revision})"), |text, part| {
        format!("{text} {}@{}({})", part.product_id, part.location_id, part.quantity.get())
    })
}

fn describe_outcome(outcome: &InventoryOutcome) -> String {
    match outcome {
        InventoryOutcome::Answered { .. } => "an answer without a message".to_owned(),
        InventoryOutcome::Anomaly(_) => "anomaly".to_owned(),
        InventoryOutcome::Moved { movement, replayed } => {
            let verb = if *replayed { "replayed" } else { "moved" };
            format!("{verb} #{} {}", movement.seq(), describe_level(&movement.after))
        }
        InventoryOutcome::ProductPut { created, .. }
        | InventoryOutcome::LocationPut { created, .. } => {
            if *created { "created" } else { "replaced" }.to_owned()
        }
        InventoryOutcome::Imported(row) => {
            let names = match &row.name_before {
                _ if row.replayed => format!("replayed {}", row.name),
                None => format!("created {}", row.name),
                Some(before) if *before == row.name => "counted".to_owned(),
                Some(before) => format!("renamed {before} {}", row.name),
            };
            let movement = &row.movement;
            format!("{names} #{} {}", movement.seq(), movement.after.on_hand)
        }
        InventoryOutcome::Noted => "noted".to_owned(),
        InventoryOutcome::Refused(refusal) => describe_refusal(refusal).to_owned(),
        InventoryOutcome::RowRefused(refusals) => {
            refusals.iter().map(describe_refusal).collect::<Vec<_>>().join(" ")
        }
    }
}

fn describe_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::KeyReused => "key_reused",
        Refusal::PreconditionFailed => "precondition_failed",
        Refusal::TooManyLocations => "too_many_locations",
        Refusal::ProductNotFound => "product_not_found",
        Refusal::UnknownLocation => "unknown_location",
        Refusal::StockChanged { .. } => "stock_changed",
        Refusal::BelowReserved { .. } => "below_reserved",
        Refusal::QuantityUnavailable { .. } => "quantity_unavailable",
        Refusal::OutOfRange => "out_of_range",
    }
}

fn describe_levels(levels: &Levels) -> String {
    let level =
        |(location, level): (&LocationId, &Level)| format!("{location} {}", describe_level(level));
    levels.iter().map(level).collect::<Vec<_>>().join(" ")
}

fn describe_level(level: &Level) -> String {
    let Level { on_hand, reserved, quarantined, .. } = level;
    match quarantined {
        0 => format!("{on_hand}/{reserved}"),
        _ => format!("{on_hand}/{reserved}/{quarantined}"),
    }
}

/// Reads a script. Knows what the orders want that were named, and counts the requests.
#[derive(Default)]
struct Script {
    orders: BTreeMap<String, Wanted>,
    requests: u32,
}

impl Script {
    fn read<'a>(mut self, lines: impl Iterator<Item = &'a str>) -> Vec<ScriptLine> {
        lines.map(|line| self.line(line)).collect()
    }

    fn line(&mut self, line: &str) -> ScriptLine {
        let (act, expected) = match line.split_once("->") {
            Some((act, expected)) => (act, Some(expected.trim().to_owned())),
            None => (line, None),
        };
        ScriptLine { text: line.to_owned(), act: self.act(&words(act)), expected }
    }

    fn act(&mut self, words: &[&str]) -> Act {
        Act::Run(match words {
            ["levels", product] => return Act::ShowLevels(product_id(product)),
            ["product", product] => vec![put_product(product)],
            ["location", location, priority] => {
                vec![put_location(location, priority.parse().expect("a priority"))]
            }
            ["stock", product, rest @ ..] => {
                vec![put_product(product), self.request("receive", product, rest)]
            }
            [
                kind @ ("receive" | "adjust" | "count" | "quarantine" | "unquarantine"
                | "write_off"),
                product,
                rest @ ..,
            ] => vec![self.request(kind, product, rest)],
            ["revise", order, revision, rest @ ..] => {
                vec![allocate(order_id(order), revised(revision, rest))]
            }
            ["import", product, rest @ ..] => vec![self.row(product, rest)],
            [kind, order, lines @ ..] => vec![self.order(kind, order, lines)],
            other => panic!("not a line of a script: {other:?}"),
        })
    }

    fn order(&mut self, verb: &str, order: &str, lines: &[&str]) -> InventoryCommand {
        if verb == "fulfill" {
            let shipped = Allocations::sorted(lines.chunks(2).map(allocation).collect());
            let shipped = shipped.expect("one line per stock key");
            return allocate(order_id(order), fulfilled(self.orders[order].clone(), shipped));
        }
        if !lines.is_empty() {
            let wanted = Wanted::sum(lines.chunks(2).map(line)).expect("lines of an order");
            self.orders.insert(order.to_owned(), wanted);
        }
        let placed = Intent::placed(self.orders[order].clone());
        match verb {
            "place" => allocate(order_id(order), placed),
            "cancel" => allocate(order_id(order), cancelled(&placed.wanted)),
            other => panic!("not a command of a script: {other}"),
        }
    }

    /// A row of an import: a count with a name.
    fn row(&mut self, product: &str, rest: &[&str]) -> InventoryCommand {
        let name = rest.windows(2).find(|pair| pair[0] == "named").map(|pair| pair[1].to_owned());
        let InventoryCommand::Move(count) = self.request("count", product, rest) else {
            panic!("a count is a movement");
        };
        let MovementRequest { product_id, location_id, change, mut cause, requester } = *count;
        let Change::Count { on_hand, .. } = change else { panic!("{change:?} is no count") };
        cause.digest = contract::Digest::of(format!("{:?} {name:?}", cause.digest).as_bytes());
        let row = ImportRow { product_id, name, location_id, on_hand, cause, requester };
        InventoryCommand::Import(Box::new(row))
    }

    fn request(&mut self, kind: &str, product: &str, rest: &[&str]) -> InventoryCommand {
        self.requests += 1;
        let named = |name: &str| rest.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let units: i64 = rest[0].parse().expect("units");
        let some = || quantity(u32::try_from(units).expect("units"));
        let change = match kind {
            "receive" => Change::Receive(some()),
            "quarantine" => Change::Quarantine(some()),
            "unquarantine" => Change::Unquarantine(some()),
            "write_off" => Change::WriteOff(some()),
            "adjust" => Change::Adjust(units),
            _ => Change::Count {
                on_hand: units,
                expected: named("expect").map(|text| text.parse().expect("units")),
            },
        };
        let location = rest.iter().find_map(|word| word.strip_prefix('@')).unwrap_or("main");
        let key = named("key").map_or_else(|| format!("request {}", self.requests), str::to_owned);
        movement_request(product, location, change, &key)
    }
}

fn product_id(name: &str) -> ProductId {
    name.parse().expect("an id")
}

fn order_id(name: &str) -> OrderId {
    OrderId(Uuid::from_bytes(contract::Digest::of(name.as_bytes()).0))
}

fn put_product(name: &str) -> InventoryCommand {
    InventoryCommand::PutProduct(PutProduct {
        product_id: product_id(name),
        name: name.to_owned(),
        low_stock_at: None,
        precondition: Precondition::None,
        requester: Requester::default(),
    })
}

fn put_location(name: &str, priority: u32) -> InventoryCommand {
    let location =
        Location { location_id: name.parse().expect("an id"), name: name.to_owned(), priority };
    InventoryCommand::PutLocation(PutLocation {
        location,
        precondition: Precondition::None,
        requester: Requester::default(),
    })
}

fn movement_request(product: &str, location: &str, change: Change, key: &str) -> InventoryCommand {
    let cause = RequestCause {
        request_id: RequestId(contract::Digest::of(key.as_bytes()).0),
        digest: contract::Digest::of(format!("{product} {location} {change:?}").as_bytes()),
        reason: None,
        reference: None,
        actor: None,
    };
    let location_id = location.parse().expect("an id");
    InventoryCommand::Move(Box::new(MovementRequest {
        product_id: product_id(product),
        location_id,
        change,
        cause,
        requester: Requester::default(),
    }))
}

/// `MUG 2`
fn line(pair: &[&str]) -> (ProductId, Quantity) {
    (product_id(pair[0]), quantity(pair[1].parse().expect("units")))
}

/// `wants MUG 2 TEE 0 ships MUG@main 1 returns MUG@main 1/0/0`, in this order.
fn revised(revision: &str, words: &[&str]) -> Intent {
    let behind = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        let rest = at.map_or(&[][..], |at| &words[at + 1..]);
        let end = rest.iter().position(|word| ["ships", "returns"].contains(word));
        &rest[..end.unwrap_or(rest.len())]
    };
    let lines = behind("wants").chunks(2).map(|pair| WantedLine {
        product_id: product_id(pair[0]),
        quantity: pair[1].parse().expect("units"),
    });
    let shipped = behind("ships").chunks(2).map(allocation).collect();
    let returned = behind("returns").chunks(2).map(returned).collect();
    Intent {
        revision: Revision::try_from(revision.parse::<u32>().expect("a number")).expect("from 1"),
        wanted: Wanted::try_from(lines.collect::<Vec<_>>()).expect("sorted lines"),
        shipped: Allocations::sorted(shipped).expect("one entry per stock key"),
        returned: Returned::sorted(returned).expect("one entry per stock key"),
    }
}

/// `MUG@main 1/0/0`
fn returned(pair: &[&str]) -> ReturnedUnits {
    let (product, location) = pair[0].split_once('@').expect("a product and a location");
    let units: Vec<u32> = pair[1].split('/').map(|n| n.parse().expect("units")).collect();
    let [restocked, quarantined, written_off] = units[..] else { panic!("not three: {pair:?}") };
    let location_id = location.parse().expect("an id");
    ReturnedUnits {
        product_id: product_id(product),
        location_id,
        restocked,
        quarantined,
        written_off,
    }
}

/// `MUG@main 2`
fn allocation(pair: &[&str]) -> Allocation {
    let (product, location) = pair[0].split_once('@').expect("a product and a location");
    Allocation {
        product_id: product_id(product),
        location_id: location.parse().expect("an id"),
        quantity: quantity(pair[1].parse().expect("units")),
    }
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a quantity")
}

/// What an order wants of one product.
fn wanted(product: &str, units: u32) -> Wanted {
    Wanted::sum([(product_id(product), quantity(units))]).expect("one line")
}

/// The second revision of an order that was cancelled.
fn cancelled(ordered: &Wanted) -> Intent {
    let revision = Revision::FIRST.next();
    Intent { revision, ..Intent::placed(ordered.nothing()) }
}

/// The second revision of an order that was fulfilled.
fn fulfilled(wanted: Wanted, shipped: Allocations) -> Intent {
    Intent { revision: Revision::FIRST.next(), shipped, ..Intent::placed(wanted) }
}

fn allocate(order_id: OrderId, intent: Intent) -> InventoryCommand {
    let digest = intent.digest();
    InventoryCommand::Allocate(Box::new(AllocateStock::first(order_id, intent, digest, 0)))
}
