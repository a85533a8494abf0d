//! Commands that `lastro repair` lets Inventory carry out past the bus, after one of both databases
//! went back in time. They are decided and written as any other, and recorded in the admin log.

use std::sync::Arc;

use contract::commands::AllocateStock;
use contract::{Intent, Wanted, WantedLine};
use inventory_core::admin::Requester;
use inventory_core::decide::{InventoryCommand, InventoryOutcome, RepairOrder, decide};
use inventory_core::reservation::Reservation;
use platform::clock::{Clock, SystemClock};
use platform::config::DatabaseUrl;
use platform::process::ProgramError;

use crate::run::open_to_repair;
use crate::store::StockStore;

/// The stock of a shop, to be repaired.
#[derive(Debug)]
pub struct Repair {
    store: Box<dyn StockStore>,
}

impl Repair {
    /// Opens the database. A file stays locked for as long as this lives.
    ///
    /// # Errors
    ///
    /// The database cannot be opened, or a service has locked its file.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, ProgramError> {
        Ok(Self { store: open_to_repair(url).await? })
    }

    /// Carries out a command that the Order Service would send if it knew that it is needed. The same
    /// transaction records in the admin log what it changed, and for which operator.
    ///
    /// # Errors
    ///
    /// The database cannot be written, or the reservation does not fit the command. A repetition
    /// changes nothing.
    pub async fn carry_out(
        &self,
        command: AllocateStock,
        operator: &str,
    ) -> Result<(), ProgramError> {
        let order_id = command.order_id;
        let requester = Requester { actor: Some(operator.to_owned()), ..Requester::default() };
        let batch = [InventoryCommand::Repair(Box::new(RepairOrder { command, requester }))];
        let decided = self.store.run(Arc::new(batch), decide).await?;
        match decided.first().map(|decided| &decided.outcome) {
            Some(InventoryOutcome::Answered { .. }) => Ok(()),
            Some(InventoryOutcome::Anomaly(why)) => Err(ProgramError::failed(format_args!(
                "order {order_id} cannot be repaired: {why}"
            ))),
            other => Err(ProgramError::failed(format_args!("order {order_id}: {other:?}"))),
        }
    }
}

/// Releases the units that the reservation of a lost order holds, and leaves what is shipped and what
/// came back: the next revision, as a cancellation of the rest would make it.
///
/// # Errors
///
/// The reservation is damaged.
pub fn release_rest(reservation: &Reservation) -> Result<AllocateStock, ProgramError> {
    let mut lines: Vec<WantedLine> = Vec::new();
    for holding in &reservation.holdings {
        let shipped = u32::try_from(holding.shipped).map_err(ProgramError::failed)?;
        match lines.last_mut().filter(|line| line.product_id == holding.product_id) {
            Some(line) => line.quantity += shipped,
            None => {
                let product_id = holding.product_id.clone();
                lines.push(WantedLine { product_id, quantity: shipped });
            }
        }
    }
    let intent = Intent {
        revision: reservation.revision.next(),
        wanted: Wanted::try_from(lines).map_err(ProgramError::failed)?,
        shipped: reservation.shipped(),
        returned: reservation.returned(),
    };
    let digest = intent.digest();
    Ok(AllocateStock::first(reservation.order_id, intent, digest, SystemClock.now().0))
}
