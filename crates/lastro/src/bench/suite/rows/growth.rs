//! How the cost of an order grows, one variable at a time.
#![expect(clippy::float_arithmetic, reason = "costs per order are fractions")]

use platform::process::ProgramError;

use super::Row;
use super::throughput::CLIENTS;
use crate::bench::suite::Suite;
use crate::bench::suite::loader::Reached;
use crate::bench::suite::measure::{self, Pressure};
use crate::bench::suite::resources::written_bytes;
use crate::bench::suite::shop::{Data, Form, Shop};
use crate::bench::suite::table::{Line, Quantity};

/// What is varied.
#[derive(Clone, Copy, Debug)]
enum Variable {
    Lines,
    Products,
    Locations,
    Clients,
    StoredOrders,
}

impl Variable {
    const ALL: [Self; 5] =
        [Self::Lines, Self::Products, Self::Locations, Self::Clients, Self::StoredOrders];

    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Products => "products",
            Self::Locations => "locations",
            Self::Clients => "clients",
            Self::StoredOrders => "stored orders",
        }
    }

    /// The values that it takes; only the least and the greatest in a short run.
    fn values(self, suite: &Suite) -> Vec<u32> {
        let many = u32::try_from(suite.scale.long).unwrap_or(u32::MAX);
        let values = match self {
            Self::Lines => vec![1, 2, 4, 8, 16],
            Self::Products => vec![16, 100, 1_000, 9_000],
            Self::Locations => vec![1, 2, 4, 8],
            Self::Clients => vec![1, 4, 16, 64, 256],
            Self::StoredOrders => vec![1_000.min(many), many / 10, many],
        };
        let short = [values[0], values[values.len() - 1]];
        if suite.quick { short.to_vec() } else { values }
    }
}

/// What was measured at one value.
struct Point {
    cpu_us: f64,
    written_bytes: f64,
}

/// CPU time and bytes written per order, embedded. All else is as in the other rows.
pub(super) async fn growth(suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
    let mut lines = Vec::new();
    let usual = suite.scale.clone();
    for variable in Variable::ALL {
        for value in variable.values(suite) {
            let mut cpu = Quantity::new("in lastro", "µs");
            let mut written = Quantity::new("written", "bytes");
            for _ in 0..suite.scale.runs {
                suite.say(&format!("{} {value}", variable.name()));
                let measured = point(suite, variable, value).await;
                suite.scale = usual.clone();
                let point = measured?;
                cpu.values.push(point.cpu_us);
                written.values.push(point.written_bytes);
            }
            let line = |measure: &str, numerator| Line {
                row: Row::Growth.name(),
                form: Form::Embedded.name(),
                measure: format!("{measure}, {} {value}", variable.name()),
                numerator,
                denominator: None,
                target: None,
                at: Some((variable.name(), u64::from(value))),
            };
            lines.push(line("CPU per order", cpu));
            lines.push(line("bytes per order", written));
        }
    }
    Ok(lines)
}

async fn point(suite: &mut Suite, variable: Variable, value: u32) -> Result<Point, ProgramError> {
    let mut pressure = Pressure::clients(&suite.scale, CLIENTS);
    let mut stored = 0;
    match variable {
        Variable::Lines => pressure.lines = value,
        Variable::Products => suite.scale.products = value,
        Variable::Locations => suite.scale.locations = value,
        Variable::Clients => pressure = Pressure::clients(&suite.scale, value as usize),
        Variable::StoredOrders => stored = u64::from(value),
    }
    let (_data, shop) = match stored {
        0 => Shop::stocked(suite, Form::Embedded, 1).await?,
        orders => {
            let data = Data::filled(suite, Form::Embedded, orders, Reached::Confirmed).await?;
            let shop = Shop::open(&data, 1).await?;
            (data, shop)
        }
    };
    let before = written_bytes(shop.orders[0].pid())?;
    // There are many points, and none of them is held against a target.
    let pressure = Pressure { duration: suite.scale.probe, ..pressure };
    let measured = measure::healthy(suite, &shop, pressure).await?;
    let bytes = shop.close().await?.saturating_sub(before);
    Ok(Point { cpu_us: measured.services_us, written_bytes: bytes as f64 / measured.placed as f64 })
}
