//! How fast a backlog is drained, beside how fast orders are accepted.
#![expect(clippy::float_arithmetic, reason = "rates are fractions")]

use std::time::Duration;

use platform::process::ProgramError;
use tokio::time::Instant;

use super::Row;
use super::throughput::{CLIENTS, PER_S};
use crate::bench::catalogue;
use crate::bench::metrics::Scraper;
use crate::bench::suite::Suite;
use crate::bench::suite::loader::Reached;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::shop::{Data, Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};

/// Clients that make the backlog.
const MANY_CLIENTS: usize = 256;
/// Units of each product.
const UNITS: u64 = 1_000_000;
/// The time between two looks at the backlog.
const PAUSE: Duration = Duration::from_millis(50);
/// How long no order may settle.
const PATIENCE: Duration = Duration::from_secs(60);

/// The drain of a backlog ÷ the acceptance of orders.
///
/// The backlog of the embedded form is loaded, because its services start and stop together; the
/// program finds it when it starts. In the production form the Order Service accepts it while the
/// Inventory Service is away.
pub(super) async fn drain(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let mut drained = Quantity::new("drained", PER_S);
        let mut accepted = Quantity::new("accepted", PER_S);
        for _ in 0..suite.scale.runs {
            let [drain, accept] = match form {
                Form::Embedded => embedded(suite).await?,
                Form::Production => production(suite).await?,
            };
            drained.values.push(drain);
            accepted.values.push(accept);
        }
        lines.push(Line {
            row: Row::Drain.name(),
            form: form.name(),
            measure: format!("drain of {} orders ÷ acceptance", suite.scale.backlog),
            numerator: drained,
            denominator: Some(accepted),
            target: Some(Target::AtLeast(1.5)),
        });
    }
    Ok(lines)
}

async fn embedded(suite: &mut Suite) -> Result<[f64; 2], ProgramError> {
    let backlog = suite.scale.backlog;
    let data = Data::filled(suite, Form::Embedded, backlog, Reached::Received).await?;
    let begun = Instant::now();
    let shop = Shop::open(&data, 1).await?;
    suite.say("draining");
    until_settled(&shop, backlog).await?;
    let drained = backlog as f64 / begun.elapsed().as_secs_f64();
    let pressure = Pressure::clients(&suite.scale, CLIENTS);
    let accepted = measure::closed(suite, &shop, pressure).await?.seen.accepted_per_s;
    shop.close().await?;
    Ok([drained, accepted])
}

async fn production(suite: &mut Suite) -> Result<[f64; 2], ProgramError> {
    let data = Data::new(suite, Form::Production).await?;
    // Once together, so that both know each other and the products are in stock.
    let shop = Shop::open(&data, 1).await?;
    catalogue::stock(&shop.inventory[0].endpoint(), suite.scale.products, UNITS).await?;
    shop.close().await?;

    let backlog = suite.scale.backlog;
    suite.say(&format!("{backlog} orders without the Inventory Service"));
    let orders = vec![data.start_orders().await?];
    let mut shop = Shop { orders, inventory: Vec::new() };
    let begun = Instant::now();
    let accepted = measure::accept(suite, &shop, MANY_CLIENTS, backlog).await?;
    let acceptance = accepted as f64 / begun.elapsed().as_secs_f64();

    suite.say("draining");
    let begun = Instant::now();
    shop.inventory.push(data.start_inventory().await?);
    until_settled(&shop, accepted).await?;
    let drained = accepted as f64 / begun.elapsed().as_secs_f64();
    shop.close().await?;
    data.discard(suite).await?;
    Ok([drained, acceptance])
}

/// Waits until the services have settled this many orders since they started.
async fn until_settled(shop: &Shop, orders: u64) -> Result<(), ProgramError> {
    let mut scraper = Scraper::new(&shop.processes());
    let mut settled = 0;
    let mut moved = Instant::now();
    while settled < orders {
        tokio::time::sleep(PAUSE).await;
        let now = scraper.scrape().await?.settled();
        if now > settled {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Err(ProgramError::failed(format!("{settled} of {orders} orders are drained")));
        }
        settled = now;
    }
    Ok(())
}
