//! How fast a backlog is drained, beside how fast orders are accepted.
#![expect(clippy::float_arithmetic, reason = "rates are fractions")]

use std::cell::Cell;
use std::time::Duration;

use platform::process::ProgramError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Row;
use super::throughput::PER_S;
use crate::bench::metrics::{Numbers, Scraper, Sizes};
use crate::bench::suite::Suite;
use crate::bench::suite::loader::Reached;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::shop::{Data, Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};
use crate::bench::wire::Line as Connection;
use crate::bench::{catalogue, load};

/// Clients that make the backlog, and those of the acceptance.
const CLIENTS: usize = 256;
/// Units of each product.
const UNITS: u64 = 1_000_000;
/// The time between two looks at the backlog.
const PAUSE: Duration = Duration::from_millis(50);
/// How long no order may settle.
const PATIENCE: Duration = Duration::from_secs(60);

/// Different new orders.
const BODIES: usize = 1_000;
/// The time between two new orders while the backlog is drained.
const GAP: Duration = Duration::from_millis(20);

/// How a backlog was drained.
struct Drained {
    /// Orders per second.
    drained: f64,
    /// Orders per second that the same shop accepts without a backlog.
    accepted: f64,
    /// The longest time until the outcome of a new order, in milliseconds.
    slowest_ms: f64,
    orders: u64,
    /// How many commands the Inventory Service decided.
    commands: u64,
}

/// How fast a backlog is drained, how long new orders wait meanwhile, and how many commands are
/// sent for it.
///
/// The backlog of the embedded form is loaded, because its services start and stop together; the
/// program finds it when it starts. In the production form the Order Service accepts it while the
/// Inventory Service is away.
pub(super) async fn drain(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let mut drained = Quantity::new("drained", PER_S);
        let mut accepted = Quantity::new("accepted", PER_S);
        let mut slowest = Quantity::new("of new orders", "ms");
        let mut commands = Quantity::new("commands", "");
        let mut orders = Quantity::new("orders", "");
        for _ in 0..suite.scale.runs {
            let run = match form {
                Form::Embedded => embedded(suite).await?,
                Form::Production => production(suite).await?,
            };
            drained.values.push(run.drained);
            accepted.values.push(run.accepted);
            slowest.values.push(run.slowest_ms);
            commands.values.push(run.commands as f64);
            orders.values.push(run.orders as f64);
        }
        let line = |measure: &str, numerator, denominator, target| Line {
            row: Row::Drain.name(),
            form: form.name(),
            measure: measure.to_owned(),
            numerator,
            denominator,
            target: Some(target),
            at: None,
        };
        let backlog = suite.scale.backlog;
        let drain = format!("drain of {backlog} orders ÷ acceptance");
        lines.push(line(&drain, drained, Some(accepted), Target::AtLeast(1.5)));
        let measure = "slowest outcome of new orders meanwhile";
        lines.push(line(measure, slowest, None, Target::Below(2000.0)));
        lines.push(line("commands ÷ orders", commands, Some(orders), Target::AtMost(1.05)));
    }
    Ok(lines)
}

async fn embedded(suite: &mut Suite) -> Result<Drained, ProgramError> {
    let backlog = suite.scale.backlog;
    let data = Data::filled(suite, Form::Embedded, backlog, Reached::Received).await?;
    let begun = Instant::now();
    let shop = Shop::open(&data, 1).await?;
    let drained = watch_drain(suite, &shop, backlog, begun).await?;
    shop.close().await?;
    Ok(drained)
}

async fn production(suite: &mut Suite) -> Result<Drained, ProgramError> {
    let data = Data::new(suite, Form::Production).await?;
    // Once together, so that both know each other and the products are in stock.
    let shop = Shop::open(&data, 1).await?;
    catalogue::stock(&shop.inventory[0].endpoint(), suite.scale.products, UNITS, 1).await?;
    shop.close().await?;

    let backlog = suite.scale.backlog;
    suite.say(&format!("{backlog} orders without the Inventory Service"));
    let orders = vec![data.start_orders().await?];
    let mut shop = Shop { orders, inventory: Vec::new() };
    let waiting = measure::accept(suite, &shop, CLIENTS, backlog).await?;

    let begun = Instant::now();
    shop.inventory.push(data.start_inventory().await?);
    let drained = watch_drain(suite, &shop, waiting, begun).await?;
    shop.close().await?;
    data.discard(suite).await?;
    Ok(drained)
}

/// Watches how the shop drains so many orders, and then how many it accepts.
async fn watch_drain(
    suite: &Suite,
    shop: &Shop,
    backlog: u64,
    begun: Instant,
) -> Result<Drained, ProgramError> {
    suite.say("draining");
    let settled = CancellationToken::new();
    let new = Cell::new(0);
    let ordering = new_orders(suite, shop, &new, settled.clone());
    let watching = async {
        let result = until_settled(shop, || backlog + new.get()).await;
        settled.cancel();
        result.map(|numbers| (numbers, begun.elapsed()))
    };
    let (slowest_ms, (numbers, took)) = tokio::try_join!(ordering, watching)?;
    let drained = backlog as f64 / took.as_secs_f64();
    let pressure = Pressure::clients(&suite.scale, CLIENTS);
    let accepted = measure::healthy(suite, shop, pressure).await?.seen.accepted_per_s;
    let commands = numbers.batches.get(inventory::SERVICE).map(Sizes::sum);
    let commands = commands.ok_or_else(|| ProgramError::failed("Inventory counts no commands"))?;
    Ok(Drained { drained, accepted, slowest_ms, orders: numbers.settled(), commands })
}

/// One client that orders and waits for each outcome. Returns how long the slowest took, in
/// milliseconds: a client that waits does not order meanwhile, so a quantile would hide it.
async fn new_orders(
    suite: &Suite,
    shop: &Shop,
    placed: &Cell<u64>,
    stop: CancellationToken,
) -> Result<f64, ProgramError> {
    let mut connection = Connection::to(&shop.orders[0].endpoint());
    let mut slowest = Duration::ZERO;
    for body in measure::bodies(&suite.scale, BODIES).iter().cycle() {
        let begun = Instant::now();
        placed.set(placed.get() + 1);
        let answer = connection.place_and_wait(body, PATIENCE).await;
        if !answer.is_ok_and(|answer| load::is_outcome(&answer.body)) {
            return Err(ProgramError::failed("a new order has no outcome"));
        }
        slowest = slowest.max(begun.elapsed());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(GAP) => {}
        }
    }
    Ok(slowest.as_secs_f64() * 1000.0)
}

/// Waits until the services have settled this many orders since they started. Returns what they
/// have counted.
async fn until_settled(shop: &Shop, orders: impl Fn() -> u64) -> Result<Numbers, ProgramError> {
    let mut scraper = Scraper::new(&shop.processes());
    let mut settled = 0;
    let mut moved = Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let now = scraper.scrape().await?;
        if now.settled() >= orders() {
            return Ok(now);
        }
        if now.settled() > settled {
            settled = now.settled();
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Err(ProgramError::failed(format!(
                "{settled} of {} orders are drained",
                orders()
            )));
        }
    }
}
