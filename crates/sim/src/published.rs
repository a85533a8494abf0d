//! Checks every message that a service publishes, when it does and again at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use contract::answers::{ANSWERS_CHANNEL, StockAllocated};
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use contract::{Allocations, BookedAt, Facts, OrderId, Returned, Revision, Shortage, codec};

use crate::databases::{Databases, OrderRow, ReservationRow, StockKey, StockUnits};
use crate::fold::{self, Back, FactsThen, ProductUnits, of_product};
use crate::states::{Violation, broken};

/// A revision of an order.
type OrderRevision = (OrderId, Revision);

/// The first message of each kind about each revision of an order.
#[derive(Debug, Default)]
pub(crate) struct Published {
    first: Mutex<First>,
}

#[derive(Debug, Default)]
struct First {
    commands: BTreeMap<OrderRevision, AllocateStock>,
    answers: BTreeMap<OrderRevision, StockAllocated>,
}

impl Published {
    /// Checks what a service publishes, whether or not it will arrive: it is committed (R6), and
    /// says of a revision what was said before (R20, R24).
    pub(crate) fn check(
        &self,
        channel: &str,
        payload: &[u8],
        databases: &Databases,
    ) -> Result<(), Violation> {
        match channel {
            COMMANDS_CHANNEL => {
                read::<AllocateStock>(payload)?.into_iter().try_for_each(|command| {
                    check_command(&command, databases.order(command.order_id).as_ref())?;
                    self.remember_command(&command)
                })
            }
            ANSWERS_CHANNEL => {
                read::<StockAllocated>(payload)?.into_iter().try_for_each(|answer| {
                    check_answer(&answer, databases)?;
                    self.remember_answer(&answer)
                })
            }
            _ => broken("R6", format!("a message on the channel {channel}")),
        }
    }

    fn remember_command(&self, command: &AllocateStock) -> Result<(), Violation> {
        let key = (command.order_id, command.intent.revision);
        let mut said = self.first();
        let first = said.commands.entry(key).or_insert_with(|| command.clone());
        if first.intent == command.intent && first.digest == command.digest {
            Ok(())
        } else {
            broken("R20", format!("{first:?} was sent, and then {command:?}"))
        }
    }

    fn remember_answer(&self, answer: &StockAllocated) -> Result<(), Violation> {
        let key = (answer.order_id, answer.facts.revision);
        let mut said = self.first();
        let first = said.answers.entry(key).or_insert_with(|| answer.clone());
        let is_same = first.facts == answer.facts
            && first.digest == answer.digest
            && first.decided_at_micros == answer.decided_at_micros;
        if is_same {
            Ok(())
        } else {
            broken("R24", format!("{first:?} was answered, and then {answer:?}"))
        }
    }

    /// Checks all messages against both databases once more, and the databases against them: every
    /// outcome of an order was an answer of Inventory (R15).
    pub(crate) fn check_all(&self, databases: &Databases) -> Result<(), Violation> {
        let said = self.first();
        for command in said.commands.values() {
            check_command(command, databases.order(command.order_id).as_ref())?;
        }
        for answer in said.answers.values() {
            check_answer(answer, databases)?;
        }
        for order in databases.orders() {
            for facts in order.registers()?.answers {
                let is_its = |revision: &Revision| i64::from(revision.get()) == facts.revision;
                let mut answers = said.answers.iter();
                let its = answers.find(|((of, at), _)| *of == order.order_id && is_its(at));
                if !its.is_some_and(|(_, answer)| is_of(answer, &facts)) {
                    return broken("R15", format!("no answer said {facts:?}: {order:?}"));
                }
            }
        }
        Ok(())
    }

    fn first(&self) -> MutexGuard<'_, First> {
        self.first.lock().expect("nothing panics under this lock")
    }
}

/// Reads what a service publishes, which is all good.
fn read<M: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<Vec<M>, Violation> {
    let messages: Result<Vec<M>, _> = codec::decode(payload).into_iter().collect();
    messages.or_else(|error| broken("R16", format!("a service published a bad message: {error}")))
}

/// A command carries the intent that its order has or had at the command's revision.
fn check_command(command: &AllocateStock, order: Option<&OrderRow>) -> Result<(), Violation> {
    let revision = i64::from(command.intent.revision.get());
    let registers = order.map(OrderRow::registers).transpose()?;
    let intent = registers.as_ref().and_then(|registers| registers.intent(revision));
    let wanted = command.intent.wanted.iter();
    let wanted: ProductUnits =
        wanted.map(|line| (line.product_id.to_string(), line.quantity.into())).collect();
    let (shipped, returned) = (units(&command.intent.shipped), back(&command.intent.returned));
    let is_its = intent.is_some_and(|intent| {
        intent.sent_wanted() == wanted && intent.shipped == shipped && intent.returned == returned
    });
    if is_its && command.digest == fold::digest(revision, &wanted, &shipped, &returned) {
        Ok(())
    } else {
        broken("R6", format!("{command:?} was sent for {order:?}"))
    }
}

/// An answer says what the reservation has, or what it had at the answer's revision: what the order
/// wanted then, of units that it was promised.
fn check_answer(answer: &StockAllocated, databases: &Databases) -> Result<(), Violation> {
    let revision = i64::from(answer.facts.revision.get());
    let reservation = databases.reservation(answer.order_id);
    let allocated = units(&answer.facts.allocated);
    let is_newest = |row: &ReservationRow| {
        let short = row.short_at(revision).iter().map(|short| {
            (short.product_id.clone(), short.requested, short.available, short.reason.clone())
        });
        allocated == row.allocated()
            && shortages(&answer.facts.shortages).eq(short)
            && booked(&answer.facts) == row.booked_at()
            && answer.digest.0.as_slice() == row.digest
            && answer.decided_at_micros == row.updated_at
    };
    let right = match &reservation {
        Some(row) if row.revision == revision => is_newest(row),
        Some(row) if row.revision > revision => was_true(answer, &allocated, row, databases)?,
        _ => false,
    };
    if right { Ok(()) } else { broken("INV-5", format!("{answer:?} was sent for {reservation:?}")) }
}

/// Whether the answer to an earlier revision can have been true.
fn was_true(
    answer: &StockAllocated,
    allocated: &StockUnits,
    row: &ReservationRow,
    databases: &Databases,
) -> Result<bool, Violation> {
    let Some(order) = databases.order(answer.order_id) else { return Ok(false) };
    let registers = order.registers()?;
    let revision = i64::from(answer.facts.revision.get());
    let Some(intent) = registers.intent(revision) else { return Ok(false) };
    let promised = row.promised();
    let was_promised =
        allocated.iter().all(|(key, units)| promised.get(key).is_some_and(|most| units <= most));
    let is_short = !answer.facts.shortages.is_empty();
    let got = |(product, units): (&String, &i64)| of_product(allocated, product) == *units;
    let as_wanted = if is_short {
        intent.asks_for_stock() && allocated.is_empty()
    } else {
        intent.sent_wanted().iter().all(got)
    };
    Ok(was_promised && as_wanted && answer.digest == intent.digest(revision))
}

fn is_of(answer: &StockAllocated, facts: &FactsThen) -> bool {
    units(&answer.facts.allocated) == facts.allocated
        && shortages(&answer.facts.shortages).eq(facts.shortages.iter().cloned())
        && booked(&answer.facts) == facts.booked_at
        && answer.decided_at_micros == facts.decided_at
}

fn units(allocations: &Allocations) -> StockUnits {
    let unit = |part: &contract::Allocation| {
        ((part.product_id.to_string(), part.location_id.to_string()), part.quantity.units())
    };
    allocations.iter().map(unit).collect()
}

fn back(returned: &Returned) -> Back {
    let entry = |entry: &contract::ReturnedUnits| {
        let units = [entry.restocked, entry.quarantined, entry.written_off].map(i64::from);
        ((entry.product_id.to_string(), entry.location_id.to_string()), units)
    };
    returned.iter().map(entry).collect()
}

fn booked(facts: &Facts) -> BTreeMap<StockKey, String> {
    let entry = |at: &BookedAt| {
        ((at.product_id.to_string(), at.location_id.to_string()), at.booked_at.to_string())
    };
    facts.booked_at.iter().map(entry).collect()
}

fn shortages(shortages: &[Shortage]) -> impl Iterator<Item = (String, i64, i64, String)> {
    shortages.iter().map(|short| {
        let reason = short.reason.as_str().to_owned();
        (short.product_id.to_string(), short.requested.units(), short.available, reason)
    })
}
