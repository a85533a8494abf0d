//! Scripts that read like a day in the warehouse, played command by command and again as one batch.

use std::collections::BTreeMap;

use contract::commands::StockCommandKind;
use contract::{LocationId, OrderId, ProductId, Quantity, StockLines, commands};
use uuid::Uuid;

use super::*;
use crate::stock::{Level, Levels, Location, MovementKind, ProductStock, RequestCause, RequestId};
use stock::Stock;

mod movement_requests;
mod properties;
mod sourcing;
mod stock;
mod stock_commands;
mod table;

/// Plays a script twice: every command in a batch of its own, and all commands between two looks at the stock in one.
///
/// ```text
/// product  MUG                          makes a product
/// location SHOP 10                      makes a location, or moves its priority
/// stock    MUG 2 @SHOP                  makes the product, if need be, and receives
/// receive  MUG 2 / adjust MUG -1 / count MUG 7 expect 5   (key K: as the request K)
/// reserve  A MUG 1 TEE 1 / release A / ship A             lines are needed the first time only
/// levels   MUG                          on_hand/reserved of each location
/// ```
/// After `->` stands what is expected: one word, or one word and all of its details.
fn check(script: &str) {
    let lines: Vec<_> = script.lines().map(|line| line.split("//").next().unwrap_or("").trim()).collect();
    let steps = Script::default().read(lines.into_iter().filter(|line| !line.is_empty()));
    play(&steps, 1);
    play(&steps, usize::MAX);
}

/// One line of a script.
struct Step {
    line: String,
    act: Act,
    expected: Option<String>,
}

enum Act {
    Run(Vec<InventoryCommand>),
    Look(ProductId),
}

fn play(steps: &[Step], batch: usize) {
    let mut stock = Stock::default();
    for section in steps.chunk_by(|a, b| matches!((&a.act, &b.act), (Act::Run(_), Act::Run(_)))) {
        for steps in section.chunks(batch.min(section.len())) {
            play_batch(&mut stock, steps);
        }
    }
    stock.audit();
}

fn play_batch(stock: &mut Stock, steps: &[Step]) {
    let commands = |step: &Step| match &step.act {
        Act::Run(commands) => commands.clone(),
        Act::Look(_) => Vec::new(),
    };
    let decided = stock.run(&steps.iter().flat_map(commands).collect::<Vec<_>>());
    let mut outcomes = decided.iter();
    for step in steps {
        let actual = match &step.act {
            Act::Look(product) => tell_levels(stock.levels(product)),
            Act::Run(commands) => outcomes.by_ref().take(commands.len()).last().map(tell).unwrap_or_default(),
        };
        if let Some(expected) = &step.expected {
            assert!(fits(expected, &actual), "{}: it is {actual}, in a batch of {}", step.line, steps.len());
        }
    }
}

fn fits(expected: &str, actual: &str) -> bool {
    let (expected, actual) = (words(expected), words(actual));
    let fits_word =
        |(expected, actual): (&&str, &&str)| expected == actual || actual.starts_with(&format!("{expected}("));
    expected.iter().zip(&actual).all(fits_word) && (expected.len() == 1 || expected.len() == actual.len())
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// `reserved MUG@main(2)`, `rejected TEE(1>0)`, `moved #3 5/2`, or the name of a refusal.
fn tell(decided: &Decided) -> String {
    use contract::answers::StockOutcome;
    let Some(answer) = &decided.publish else { return tell_request(&decided.outcome) };
    match &answer.outcome {
        StockOutcome::StockReserved { allocations } => allocations.iter().fold("reserved".to_owned(), |text, part| {
            format!("{text} {}@{}({})", part.product_id, part.location_id, part.quantity.get())
        }),
        StockOutcome::StockRejected { shortages } => shortages.iter().fold("rejected".to_owned(), |text, short| {
            format!("{text} {}({}>{})", short.product_id, short.requested.get(), short.available)
        }),
        StockOutcome::StockReleased => "released".to_owned(),
        StockOutcome::StockShipped => "shipped".to_owned(),
    }
}

fn tell_request(outcome: &InventoryOutcome) -> String {
    match outcome {
        InventoryOutcome::Answered { .. } => "an answer that is not published".to_owned(),
        InventoryOutcome::Anomaly(_) => "anomaly".to_owned(),
        InventoryOutcome::Moved { movement, replayed } => {
            let verb = if *replayed { "replayed" } else { "moved" };
            format!("{verb} #{} {}/{}", movement.seq(), movement.after.on_hand, movement.after.reserved)
        }
        InventoryOutcome::ProductPut { created, .. } | InventoryOutcome::LocationPut { created, .. } => {
            if *created { "created" } else { "replaced" }.to_owned()
        }
        InventoryOutcome::Refused(refusal) => match refusal {
            Refusal::KeyReused => "key_reused",
            Refusal::ProductNotFound => "product_not_found",
            Refusal::UnknownLocation => "unknown_location",
            Refusal::StockChanged { .. } => "stock_changed",
            Refusal::BelowReserved { .. } => "below_reserved",
            Refusal::OutOfRange => "out_of_range",
        }
        .to_owned(),
    }
}

fn tell_levels(levels: &Levels) -> String {
    let level = |(location, level): (&LocationId, &Level)| format!("{location} {}/{}", level.on_hand, level.reserved);
    levels.iter().map(level).collect::<Vec<_>>().join(" ")
}

/// What the reader of a script remembers.
#[derive(Default)]
struct Script {
    orders: BTreeMap<String, StockLines>,
    requests: u32,
}

impl Script {
    fn read<'a>(mut self, lines: impl Iterator<Item = &'a str>) -> Vec<Step> {
        lines.map(|line| self.step(line)).collect()
    }

    fn step(&mut self, line: &str) -> Step {
        let (act, expected) = match line.split_once("->") {
            Some((act, expected)) => (act, Some(expected.trim().to_owned())),
            None => (line, None),
        };
        Step { line: line.to_owned(), act: self.act(&words(act)), expected }
    }

    fn act(&mut self, words: &[&str]) -> Act {
        Act::Run(match words {
            ["levels", product] => return Act::Look(product_id(product)),
            ["product", product] => vec![put_product(product)],
            ["location", location, priority] => vec![put_location(location, priority.parse().expect("a priority"))],
            ["stock", product, rest @ ..] => vec![put_product(product), self.request("receive", product, rest)],
            [kind @ ("receive" | "adjust" | "count"), product, rest @ ..] => vec![self.request(kind, product, rest)],
            [kind, order, lines @ ..] => vec![self.order(kind, order, lines)],
            other => panic!("no line of a script: {other:?}"),
        })
    }

    fn order(&mut self, kind: &str, order: &str, lines: &[&str]) -> InventoryCommand {
        let kind = match kind {
            "reserve" => StockCommandKind::ReserveStock,
            "release" => StockCommandKind::ReleaseStock,
            "ship" => StockCommandKind::ShipStock,
            other => panic!("no verb of a script: {other}"),
        };
        if !lines.is_empty() {
            let line =
                |pair: &[&str]| (product_id(pair[0]), Quantity::new(pair[1].parse().expect("units")).expect("few"));
            let lines = StockLines::sum(lines.chunks(2).map(line)).expect("lines of an order");
            self.orders.insert(order.to_owned(), lines);
        }
        stock_command(kind, order_id(order), self.orders[order].clone())
    }

    fn request(&mut self, kind: &str, product: &str, rest: &[&str]) -> InventoryCommand {
        self.requests += 1;
        let named = |name: &str| rest.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let units: i64 = rest[0].parse().expect("units");
        let change = match kind {
            "receive" => Change::Receive(Quantity::new(u32::try_from(units).expect("units")).expect("a quantity")),
            "adjust" => Change::Adjust(units),
            _ => Change::Count { on_hand: units, expected: named("expect").map(|text| text.parse().expect("units")) },
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
    InventoryCommand::PutProduct(PutProduct { product_id: product_id(name), name: name.to_owned(), low_stock_at: None })
}

fn put_location(name: &str, priority: u32) -> InventoryCommand {
    InventoryCommand::PutLocation(Location {
        location_id: name.parse().expect("an id"),
        name: name.to_owned(),
        priority,
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
    InventoryCommand::Move(Box::new(MovementRequest { product_id: product_id(product), location_id, change, cause }))
}

fn stock_command(kind: StockCommandKind, order_id: OrderId, lines: StockLines) -> InventoryCommand {
    InventoryCommand::Stock(Box::new(commands::StockCommand {
        schema: 1,
        kind,
        order_id,
        digest: lines.digest(),
        lines,
        attempt: 1,
        sent_at_micros: 0,
        traceparent: None,
    }))
}
