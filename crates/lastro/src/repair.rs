//! `lastro repair`: what helps after one of both databases went back in time.

use std::collections::BTreeMap;
use std::path::PathBuf;

use contract::OrderId;
use contract::commands::AllocateStock;
use inventory_core::reservation::{Holding, Reservation};
use orders::audit::folded;
use orders_core::order::Order;
use platform::clock::{Clock, SystemClock};
use platform::config::File;
use platform::process::{COMMON_KEYS, ProgramError};

use crate::operator::operator;
use crate::pair::refuse_strangers;
use crate::serve::{DatabaseArgs, Databases, KEYS};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An order that `lastro verify` names under INV-5
    #[arg(long = "order", value_name = "ORDER_ID", required = true)]
    orders: Vec<OrderId>,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file, which may name the databases [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What helps an order.
#[derive(Debug)]
enum Remedy {
    /// Inventory has forgotten what the order settled: it carries the order's intent out again.
    Again(AllocateStock),
    /// The order is lost, and its reservation holds so many units.
    Release(AllocateStock, i64),
    /// Nothing here.
    Nothing(&'static str),
}

/// Runs the command.
///
/// # Errors
///
/// A database cannot be read or written, or an order does not fit its reservation. What was printed
/// is done.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { orders: ids, databases, config } = args;
    let databases = databases.resolve(&File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?)?;
    let (orders, reservations) = read(&databases, &ids).await?;
    let operator = operator();
    let mut stock = None;
    for id in ids {
        let (command, did) = match remedy(orders.get(&id), reservations.get(&id))? {
            Remedy::Again(command) => {
                let did = format!("the stock does what revision {} says", command.intent.revision);
                (command, did)
            }
            Remedy::Release(command, units) => (command, format!("released {units} units")),
            Remedy::Nothing(why) => {
                println!("{id}: {why}");
                continue;
            }
        };
        let stock = match &stock {
            Some(stock) => stock,
            None => stock.insert(inventory::Repair::open(&databases.inventory).await?),
        };
        stock.carry_out(command, &operator).await?;
        println!("{id}: {did}");
    }
    Ok(())
}

type Read = (BTreeMap<OrderId, Order>, BTreeMap<OrderId, Reservation>);

/// Reads the reservations first. An order is committed before its reservation, so one that is not
/// there afterwards is lost.
async fn read(databases: &Databases, ids: &[OrderId]) -> Result<Read, ProgramError> {
    let (inventory, of_stock) = inventory::open_for_audit(&databases.inventory).await?;
    let (orders, of_orders) = orders::open_for_audit(&databases.orders).await?;
    refuse_strangers(of_orders, of_stock)?;
    let mut reservations = BTreeMap::new();
    for stored in inventory.reservations_by_id(ids.to_vec()).await? {
        reservations.insert(stored.key, stored.row?);
    }
    let mut found = BTreeMap::new();
    for audit in orders.orders_by_id(ids.to_vec()).await? {
        let order = folded(&audit)
            .map_err(|why| ProgramError::failed(format_args!("order {}: {why}", audit.order_id)))?;
        found.insert(audit.order_id, order);
    }
    Ok((found, reservations))
}

fn remedy(
    order: Option<&Order>,
    reservation: Option<&Reservation>,
) -> Result<Remedy, ProgramError> {
    Ok(match (order, reservation) {
        (None, None) => Remedy::Nothing("there is no such order, and no reservation"),
        (None, Some(reservation)) => match reservation.holdings.iter().map(Holding::held).sum() {
            0 => Remedy::Nothing("the order is lost, and its reservation holds nothing"),
            units => Remedy::Release(inventory::release_rest(reservation)?, units),
        },
        (Some(order), Some(found)) if order.registers.settled() > Some(found.revision) => {
            let intent = order.registers.sent_intent();
            let now = SystemClock.now().0;
            Remedy::Again(AllocateStock::first(order.order_id, intent, order.digest, now))
        }
        (Some(_), Some(_)) => Remedy::Nothing("Inventory has not forgotten what the order settled"),
        (Some(_), None) => {
            Remedy::Nothing("its reservation is lost, and is not made again: cancel the order")
        }
    })
}
