//! What an order costs: CPU time, bytes written, memory.
#![expect(clippy::float_arithmetic, reason = "costs per order are fractions")]

use platform::process::ProgramError;

use super::Row;
use super::throughput::CLIENTS;
use crate::bench::suite::Suite;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::resources::{resident_bytes, written_bytes};
use crate::bench::suite::shop::{Form, Shop};
use crate::bench::suite::table::{Line, Quantity, Target};

pub(super) const MIB: f64 = 1_048_576.0;
const MANY_CLIENTS: usize = 256;

/// CPU time and bytes written per order, with what the stop writes.
pub(super) async fn cost(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut cpu = Quantity::new("in lastro", "µs");
    let mut load = Quantity::new("in the load", "µs");
    let mut written = Quantity::new("written", "bytes");
    for _ in 0..suite.scale.runs {
        let (_data, shop) = Shop::stocked(suite, Form::Embedded, 1).await?;
        suite.say("a closed loop");
        let before = written_bytes(shop.orders[0].pid())?;
        let pressure = Pressure::clients(&suite.scale, CLIENTS);
        let measured = measure::healthy(suite, &shop, pressure).await?;
        let bytes = shop.close().await?.saturating_sub(before);
        cpu.values.push(measured.services_us);
        load.values.push(measured.seen.load_us);
        written.values.push(bytes as f64 / measured.placed as f64);
    }
    let line = |form, measure: &str, numerator, target| Line {
        row: Row::Cost.name(),
        form,
        measure: measure.to_owned(),
        numerator,
        denominator: None,
        target,
        at: None,
    };
    let form = Form::Embedded.name();
    Ok(vec![
        line(form, "CPU per order", cpu, Some(Target::AtMost(90.0))),
        line(form, "bytes written per order", written, Some(Target::AtMost(4096.0))),
        line("load", "CPU per order of the load itself", load, None),
    ])
}

/// Memory after many orders, and whether it grew with them.
pub(super) async fn memory(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let orders = suite.scale.long;
    let mut all = Quantity::new(format!("after {orders} orders"), "MiB");
    let mut half = Quantity::new(format!("after {}", orders / 2), "MiB");
    for _ in 0..suite.scale.runs {
        let (_data, shop) = Shop::stocked(suite, Form::Embedded, 1).await?;
        for (orders, memory) in [(orders / 2, &mut half), (orders - orders / 2, &mut all)] {
            suite.say(&format!("{orders} orders"));
            measure::place(suite, &shop, MANY_CLIENTS, orders).await?;
            memory.values.push(resident_bytes(shop.orders[0].pid())? as f64 / MIB);
        }
        shop.close().await?;
    }
    let line = |measure: String, numerator, denominator, target| Line {
        row: Row::Memory.name(),
        form: Form::Embedded.name(),
        measure,
        numerator,
        denominator,
        target: Some(target),
        at: None,
    };
    let below = Target::Below(200.0);
    Ok(vec![
        line(format!("memory after {orders} orders"), all.clone(), None, below),
        line("memory after all ÷ after half of them".into(), all, Some(half), Target::AtMost(1.1)),
    ])
}
