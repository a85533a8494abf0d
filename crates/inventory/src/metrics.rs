//! The metrics of the Inventory Service. No label names an order, a product or a location.

use contract::answers::StockOutcome;
use inventory_core::decide::{Decided, InventoryOutcome};
use inventory_core::reservation::StateName;
use platform::telemetry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::SERVICE;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The service's own metrics, beside those that both services share.
#[derive(Debug)]
pub struct Metrics {
    shared: telemetry::Metrics,
    reservations: Family<OutcomeLabel, Counter>,
}

impl Metrics {
    /// Registers the metrics. Call it once per registry.
    pub fn new(registry: &mut Registry, shared: telemetry::Metrics) -> Self {
        let metrics = Self { shared, reservations: Family::default() };
        let help = "Reservations by decision; repeated answers are not counted";
        registry.register("stock_reservations", help, metrics.reservations.clone());
        for state in StateName::ALL {
            drop(metrics.reservations.get_or_create(&OutcomeLabel { outcome: state.as_str() }));
        }
        metrics.shared.start_at_zero(SERVICE, "command");
        metrics
    }

    pub(crate) fn count(&self, decided: &Decided) {
        let (InventoryOutcome::Answered { repeated: false }, Some(answer)) =
            (&decided.outcome, &decided.publish)
        else {
            return;
        };
        let state = match answer.outcome {
            StockOutcome::StockReserved { .. } => StateName::Reserved,
            StockOutcome::StockRejected { .. } => StateName::Rejected,
            StockOutcome::StockReleased => StateName::Released,
            StockOutcome::StockShipped => StateName::Shipped,
        };
        self.reservations.get_or_create(&OutcomeLabel { outcome: state.as_str() }).inc();
    }

    pub(crate) fn batch(&self, commands: usize) {
        self.shared.batch(SERVICE, commands);
    }

    pub(crate) fn published(&self, batches: usize, got_through: bool) {
        self.shared.published(SERVICE, batches, got_through);
    }
}
