//! Rows that compare two throughputs: a closed loop on fresh data, against another one.

use platform::process::ProgramError;

use super::Row;
use crate::bench::suite::Suite;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::naive;
use crate::bench::suite::shop::{Data, Form, Shop, null_server};
use crate::bench::suite::table::{Line, Quantity, Target};
use crate::bench::workload::Popularity;

/// Clients of a closed loop, where the row names no other number.
pub(super) const CLIENTS: usize = 64;
const MANY_CLIENTS: usize = 256;
pub(super) const PER_S: &str = "/s";

/// Confirmed orders ÷ requests of the null server.
pub(super) async fn against_null(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut confirmed = Quantity::new("confirmed", PER_S);
    let mut null = Quantity::new("null server", PER_S);
    let mut load = Quantity::new("load", "µs");
    for _ in 0..suite.scale.runs {
        let pressure = Pressure::clients(&suite.scale, CLIENTS);
        confirmed.values.push(confirmed_per_s(suite, Form::Embedded, 1, pressure).await?);
        suite.say("the null server");
        let mut server = null_server(suite.folder().to_owned()).await?;
        let measured = measure::server(suite, server.endpoint(), pressure).await?;
        null.values.push(measured.accepted_per_s);
        load.values.push(measured.load_us);
        server.terminate();
        server.ended().await?;
    }
    let ratio = Line {
        row: Row::Embedded.name(),
        form: Form::Embedded.name(),
        measure: "confirmed orders ÷ requests of the null server".to_owned(),
        numerator: confirmed,
        denominator: Some(null),
        target: Some(Target::AtLeast(0.5)),
        at: None,
    };
    let load = Line {
        row: Row::Embedded.name(),
        form: "load",
        measure: "CPU per request of the load itself".to_owned(),
        numerator: load,
        denominator: None,
        target: None,
        at: None,
    };
    Ok(vec![ratio, load])
}

/// Confirmed orders of clients with an API key ÷ of clients that nobody asks for one.
pub(super) async fn keys(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut with = Quantity::new("with keys", PER_S);
    let mut without = Quantity::new("without", PER_S);
    for _ in 0..suite.scale.runs {
        let pressure = Pressure::clients(&suite.scale, CLIENTS);
        without.values.push(confirmed_per_s(suite, Form::Embedded, 1, pressure).await?);
        let data = Data::with_key(suite).await?;
        let shop = Shop::on(&data, suite, 1).await?;
        suite.say("embedded, with API keys");
        with.values.push(confirmed_by(suite, data, shop, pressure).await?);
    }
    Ok(vec![Line {
        row: Row::Keys.name(),
        form: Form::Embedded.name(),
        measure: "confirmed orders with API keys ÷ without".to_owned(),
        numerator: with,
        denominator: Some(without),
        target: Some(Target::AtLeast(0.97)),
        at: None,
    }])
}

/// Confirmed orders with 64 and with 256 clients ÷ orders of pgbench.
pub(super) async fn pgbench(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut naive = Quantity::new("pgbench", PER_S);
    let mut confirmed = [CLIENTS, MANY_CLIENTS].map(|_| Quantity::new("confirmed", PER_S));
    for _ in 0..suite.scale.runs {
        suite.say("pgbench");
        naive.values.push(naive::orders_per_s(suite).await?);
        for (clients, confirmed) in [CLIENTS, MANY_CLIENTS].into_iter().zip(&mut confirmed) {
            let pressure = Pressure::clients(&suite.scale, clients);
            confirmed.values.push(confirmed_per_s(suite, Form::Production, 1, pressure).await?);
        }
    }
    let targets = [6.0, 8.0];
    let lines = [CLIENTS, MANY_CLIENTS].into_iter().zip(confirmed).zip(targets);
    let lines = lines.map(|((clients, numerator), target)| Line {
        row: Row::Pgbench.name(),
        form: Form::Production.name(),
        measure: format!("confirmed, {clients} clients ÷ pgbench -c 16"),
        numerator,
        denominator: Some(naive.clone()),
        target: Some(Target::AtLeast(target)),
        at: None,
    });
    Ok(lines.collect())
}

/// One hot product ÷ all products alike.
pub(super) async fn hot(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let mut hot = Quantity::new("hot", PER_S);
        let mut uniform = Quantity::new("uniform", PER_S);
        for _ in 0..suite.scale.runs {
            let pressure = Pressure::clients(&suite.scale, CLIENTS);
            uniform.values.push(confirmed_per_s(suite, form, 1, pressure).await?);
            let pressure = Pressure { popularity: Popularity::Hot, ..pressure };
            hot.values.push(confirmed_per_s(suite, form, 1, pressure).await?);
        }
        lines.push(Line {
            row: Row::Hot.name(),
            form: form.name(),
            measure: format!("one hot product ÷ uniform over {}", suite.scale.products),
            numerator: hot,
            denominator: Some(uniform),
            target: Some(Target::AtLeast(0.95)),
            at: None,
        });
    }
    Ok(lines)
}

/// Two replicas of each service ÷ one.
pub(super) async fn replicas(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut one = Quantity::new("one", PER_S);
    let mut two = Quantity::new("two", PER_S);
    for _ in 0..suite.scale.runs {
        let pressure = Pressure::clients(&suite.scale, MANY_CLIENTS);
        one.values.push(confirmed_per_s(suite, Form::Production, 1, pressure).await?);
        two.values.push(confirmed_per_s(suite, Form::Production, 2, pressure).await?);
    }
    Ok(vec![Line {
        row: Row::Replicas.name(),
        form: Form::Production.name(),
        measure: "two replicas of each service ÷ one".to_owned(),
        numerator: two,
        denominator: Some(one),
        target: Some(Target::AtLeast(0.9)),
        at: None,
    }])
}

/// Confirmed orders per second of a fresh shop.
async fn confirmed_per_s(
    suite: &mut Suite,
    form: Form,
    replicas: usize,
    pressure: Pressure,
) -> Result<f64, ProgramError> {
    let (data, shop) = Shop::stocked(suite, form, replicas).await?;
    suite.say(&format!("{}, {:?}, {:?}", form.name(), pressure.kind, pressure.popularity));
    confirmed_by(suite, data, shop, pressure).await
}

/// Confirmed orders per second of this shop.
async fn confirmed_by(
    suite: &mut Suite,
    data: Data,
    shop: Shop,
    pressure: Pressure,
) -> Result<f64, ProgramError> {
    let measured = measure::healthy(suite, &shop, pressure).await?;
    shop.close().await?;
    data.discard(suite).await?;
    Ok(measured.confirmed_per_s)
}
