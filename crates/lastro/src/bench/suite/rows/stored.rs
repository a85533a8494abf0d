//! Rows about databases that hold many orders already.

use platform::process::ProgramError;

use super::Row;
use super::throughput::{CLIENTS, PER_S};
use crate::bench::suite::Suite;
use crate::bench::suite::loader::Reached;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::shop::{Data, Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};

/// Throughput with many stored orders ÷ with few.
pub(super) async fn stored(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let few = suite.scale.few;
    let many = suite.scale.many;
    let mut lines = Vec::new();
    for form in Form::BOTH {
        let mut with_few = Quantity::new(format!("with {few}"), PER_S);
        let mut with_many = Quantity::new(format!("with {many}"), PER_S);
        let data = filled(suite, form).await?;
        for _ in 0..suite.scale.runs {
            let small = Data::filled(suite, form, few, Reached::Confirmed).await?;
            with_few.values.push(confirmed_per_s(suite, &small).await?);
            audit(suite, &small).await?;
            small.discard(suite).await?;
            with_many.values.push(confirmed_per_s(suite, &data).await?);
        }
        suite.stored.push((form, data));
        lines.push(Line {
            row: Row::Stored.name(),
            form: form.name(),
            measure: format!("throughput with {many} stored ÷ {few}"),
            numerator: with_many,
            denominator: Some(with_few),
            target: Some(Target::AtLeast(0.85)),
            at: None,
        });
    }
    Ok(lines)
}

/// The time until the program is ready.
pub(super) async fn start(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut ready = Quantity::new("until ready", "s");
    let data = filled(suite, Form::Embedded).await?;
    for _ in 0..suite.scale.runs {
        let shop = Shop::open(&data, 1).await?;
        ready.values.push(shop.orders[0].ready_after.as_secs_f64());
        shop.close().await?;
    }
    suite.stored.push((Form::Embedded, data));
    Ok(vec![Line {
        row: Row::Start.name(),
        form: Form::Embedded.name(),
        measure: format!("start with {} stored orders", suite.scale.many),
        numerator: ready,
        denominator: None,
        target: Some(Target::Below(1.0)),
        at: None,
    }])
}

/// The data with many stored orders, which is loaded once in a run of the suite.
async fn filled(suite: &mut Suite, form: Form) -> Result<Data, ProgramError> {
    match suite.stored.iter().position(|(its, _)| *its == form) {
        Some(at) => Ok(suite.stored.swap_remove(at).1),
        None => Data::filled(suite, form, suite.scale.many, Reached::Confirmed).await,
    }
}

async fn confirmed_per_s(suite: &Suite, data: &Data) -> Result<f64, ProgramError> {
    let shop = Shop::open(data, 1).await?;
    suite.say("a closed loop");
    let pressure = Pressure::clients(&suite.scale, CLIENTS);
    let measured = measure::healthy(suite, &shop, pressure).await?;
    shop.close().await?;
    Ok(measured.confirmed_per_s)
}

/// Checks that what was loaded and what the services made of it fit together.
async fn audit(suite: &Suite, data: &Data) -> Result<(), ProgramError> {
    suite.say("auditing the databases");
    let report = crate::verify::verify(&data.databases).await?;
    if report.is_clean() {
        return Ok(());
    }
    Err(ProgramError::failed(format!("an invariant is violated:\n{report}")))
}
