//! The metrics of the Inventory Service. No label names an order, a product or a location.

use contract::answers::StockAllocated;
use contract::commands::AllocateStock;
use inventory_core::decide::{DecidedInventory, InventoryCommand, InventoryOutcome};
use inventory_core::reservation::ReservationState;
use platform::batcher::Executed;
use platform::relay::Attempt;
use platform::telemetry::{self, QueueLength};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::SERVICE;

/// The states that a command can lead to.
const OUTCOMES: [ReservationState; 4] = [
    ReservationState::Reserved,
    ReservationState::Rejected,
    ReservationState::Released,
    ReservationState::Shipped,
];

/// What a row of an import can lead to.
const IMPORT_RESULTS: [&str; 5] = ["counted", "created", "unchanged", "replayed", "failed"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The service's own metrics, beside those that both services share.
#[derive(Debug)]
pub struct Metrics {
    shared: telemetry::Metrics,
    reservations: Family<OutcomeLabel, Counter>,
    pub(crate) imports: ImportMetrics,
}

/// The metrics of imports.
#[derive(Clone, Debug)]
pub(crate) struct ImportMetrics {
    rows: Family<ResultLabel, Counter>,
}

impl ImportMetrics {
    fn new(registry: &mut Registry) -> Self {
        let metrics = Self { rows: Family::default() };
        let help = "Rows of imports by result; those of dry runs are not counted";
        registry.register("import_rows", help, metrics.rows.clone());
        for result in IMPORT_RESULTS {
            drop(metrics.rows.get_or_create(&ResultLabel { result }));
        }
        metrics
    }

    /// Counts a row that was answered.
    pub(crate) fn count(&self, result: &'static str) {
        self.rows.get_or_create(&ResultLabel { result }).inc();
    }
}

impl Metrics {
    /// Registers the metrics. Call it once per registry.
    pub fn new(registry: &mut Registry, shared: telemetry::Metrics) -> Self {
        let imports = ImportMetrics::new(registry);
        let metrics = Self { shared, reservations: Family::default(), imports };
        let help = "Reservations by decision; repeated answers are not counted";
        registry.register("stock_reservations", help, metrics.reservations.clone());
        for state in OUTCOMES {
            drop(metrics.reservations.get_or_create(&OutcomeLabel { outcome: state.as_str() }));
        }
        metrics.shared.start_at_zero(SERVICE, "command");
        metrics
    }

    /// Counts what a command of the Order Service led to.
    pub(crate) fn count(&self, command: &InventoryCommand, decided: &DecidedInventory) {
        let InventoryOutcome::Answered { repeated: false } = decided.outcome else { return };
        if let (InventoryCommand::Allocate(command), Some(answer)) = (command, &decided.publish) {
            let outcome = outcome(command, answer).as_str();
            self.reservations.get_or_create(&OutcomeLabel { outcome }).inc();
        }
    }

    pub(crate) fn executed(&self, executed: Executed) {
        self.shared.executed(SERVICE, executed);
    }

    pub(crate) fn queue(&self, length: QueueLength) {
        self.shared.queue(SERVICE, length);
    }

    pub(crate) fn show_quarantine(&self, entries: u64) {
        self.shared.quarantine_entries(SERVICE, entries);
    }

    pub(crate) fn published(&self, attempt: Attempt) {
        self.shared.published(SERVICE, attempt);
    }
}

/// The state of the reservation after a command that was carried out.
fn outcome(command: &AllocateStock, answer: &StockAllocated) -> ReservationState {
    let allocated = answer.facts.allocated.total();
    if !answer.facts.shortages.is_empty() {
        ReservationState::Rejected
    } else if allocated == 0 {
        ReservationState::Released
    } else if command.intent.shipped.total() == allocated {
        ReservationState::Shipped
    } else {
        ReservationState::Reserved
    }
}
