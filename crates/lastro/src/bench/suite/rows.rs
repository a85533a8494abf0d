//! The rows of the suite's table.

use platform::process::ProgramError;

use super::Suite;
use super::table::Line;

mod backlog;
mod cost;
mod growth;
mod latency;
mod overload;
mod stored;
mod throughput;

/// A row of the table; some have a line for each form, or for each measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Row {
    /// Confirmed orders ÷ requests to a server that stores nothing
    Embedded,
    /// Confirmed orders with API keys ÷ without
    Keys,
    /// CPU time and bytes written per order
    Cost,
    /// Confirmed orders on PostgreSQL and NATS ÷ pgbench with one transaction per step
    Pgbench,
    /// One hot product ÷ all products alike
    Hot,
    /// With many stored orders ÷ with few
    Stored,
    /// Time until the receipt and until the outcome at half of the peak
    Latency,
    /// Orders confirmed at 20 times the peak, memory, and the time until all is normal
    Overload,
    /// Memory after many orders
    Memory,
    /// Time of a start with many stored orders
    Start,
    /// Drain of a backlog ÷ acceptance of orders
    Drain,
    /// Two replicas of each service ÷ one
    Replicas,
    /// How the cost of an order grows with lines, products, locations, clients and stored orders
    Growth,
}

impl Row {
    /// All rows in the order of the table.
    pub(super) fn all() -> Vec<Self> {
        <Self as clap::ValueEnum>::value_variants().to_vec()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Keys => "keys",
            Self::Cost => "cost",
            Self::Pgbench => "pgbench",
            Self::Hot => "hot",
            Self::Stored => "stored",
            Self::Latency => "latency",
            Self::Overload => "overload",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Drain => "drain",
            Self::Replicas => "replicas",
            Self::Growth => "growth",
        }
    }

    /// Whether the row needs PostgreSQL and NATS.
    pub(super) fn needs_servers(self) -> bool {
        use Row::{Cost, Embedded, Growth, Keys, Memory, Start};
        !matches!(self, Embedded | Keys | Cost | Memory | Start | Growth)
    }

    /// Measures the row.
    ///
    /// # Errors
    ///
    /// A server or a service failed.
    pub(super) async fn measure(self, suite: &mut Suite) -> Result<Vec<Line>, ProgramError> {
        match self {
            Self::Embedded => throughput::against_null(suite).await,
            Self::Keys => throughput::keys(suite).await,
            Self::Cost => cost::cost(suite).await,
            Self::Pgbench => throughput::pgbench(suite).await,
            Self::Hot => throughput::hot(suite).await,
            Self::Stored => stored::stored(suite).await,
            Self::Latency => latency::latency(suite).await,
            Self::Overload => overload::overload(suite).await,
            Self::Memory => cost::memory(suite).await,
            Self::Start => stored::start(suite).await,
            Self::Drain => backlog::drain(suite).await,
            Self::Replicas => throughput::replicas(suite).await,
            Self::Growth => growth::growth(suite).await,
        }
    }
}
