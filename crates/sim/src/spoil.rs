//! Corrupted and forged messages.

use contract::answers::StockAllocated;
use contract::commands::{AllocateStock, COMMANDS_CHANNEL};
use contract::{
    Allocation, Allocations, Digest, Intent, LocationId, OrderId, Quantity, Returned,
    ReturnedUnits, Revision, Wanted, WantedLine, codec,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::databases::Databases;
use crate::random::Random;

/// When a forged message says that it was sent. The services only pass the time on.
const FORGED_AT_MICROS: i64 = -1;
/// How far ahead of its order a forged message is.
const FAR_AHEAD: u32 = 7;

/// A payload that is not a batch of messages, or a batch with an element that is not a message.
pub(crate) struct Garbage {
    pub(crate) payload: Vec<u8>,
    /// The part that must end in the quarantine.
    pub(crate) bad: Vec<u8>,
    /// Whether the payload also contains the good messages, which must go through.
    pub(crate) is_mixed: bool,
}

pub(crate) fn garbage(good: &[u8], random: &Random) -> Garbage {
    let alone = |payload: Vec<u8>| Garbage { bad: payload.clone(), payload, is_mixed: false };
    let element = |bad: String| {
        let payload = format!("[{bad}]").into_bytes();
        Garbage { payload, bad: bad.into_bytes(), is_mixed: false }
    };
    match random.below(4) {
        // Truncated.
        0 => alone(good[..random.index(good.len())].to_vec()),
        // Not text.
        1 => alone(random.bytes::<24>().to_vec()),
        2 => {
            let bad =
                format!(r#"{{"schema":1,"type":"AllocateStock","order_id":{}}}"#, random.u64())
                    .into_bytes();
            let (bracket, messages) = good.split_last().expect("a batch ends with a bracket");
            let payload = [messages, b",", &bad, &[*bracket]].concat();
            Garbage { payload, bad, is_mixed: true }
        }
        // A message without its registers.
        _ => element(r#"{"schema":1,"type":"StockAllocated","wanted":[]}"#.to_owned()),
    }
}

/// The same messages, as written by a program that is two versions ahead.
pub(crate) fn newer_version(payload: &[u8]) -> Option<Vec<u8>> {
    let mut messages: Vec<Value> = serde_json::from_slice(payload).ok()?;
    for message in &mut messages {
        message["schema"] = Value::from(contract::SCHEMA_VERSION + 2);
    }
    serde_json::to_vec(&messages).ok()
}

/// Whether a message is forged, by when it says that it was sent.
pub(crate) fn is_forged(sent_at_micros: i64) -> bool {
    sent_at_micros == FORGED_AT_MICROS
}

/// Whether these bytes, which a service has set aside as an anomaly, are a forged message.
pub(crate) fn are_forged(bytes: &[u8]) -> bool {
    let commands = codec::decode::<AllocateStock>(bytes).into_iter().flatten();
    let answers = codec::decode::<StockAllocated>(bytes).into_iter().flatten();
    let mut sent_at = commands
        .map(|command| command.sent_at_micros)
        .chain(answers.map(|answer| answer.sent_at_micros));
    sent_at.next().is_some_and(is_forged)
}

/// The same messages, changed so that no healthy service sends them. Whenever they arrive, they
/// must not change anything.
pub(crate) fn forgery(
    channel: &str,
    payload: &[u8],
    databases: &Databases,
    random: &Random,
) -> Vec<Vec<u8>> {
    if channel == COMMANDS_CHANNEL {
        forged(payload, |command: &mut AllocateStock| {
            let reservation = databases.reservation(command.order_id);
            let there = reservation.map_or(0, |reservation| reservation.revision);
            forge_command(command, there, random);
        })
    } else {
        forged(payload, |answer: &mut StockAllocated| forge_answer(answer, random))
    }
}

/// The same messages as another deployment would send them, about orders of its own.
pub(crate) fn foreign(channel: &str, payload: &[u8], random: &Random) -> Vec<Vec<u8>> {
    let other = || OrderId(Uuid::from_bytes(random.bytes()));
    if channel == COMMANDS_CHANNEL {
        forged(payload, |command: &mut AllocateStock| command.order_id = other())
    } else {
        forged(payload, |answer: &mut StockAllocated| answer.order_id = other())
    }
}

fn forged<M: Serialize + DeserializeOwned>(
    payload: &[u8],
    mut forge: impl FnMut(&mut M),
) -> Vec<Vec<u8>> {
    let mut messages: Vec<M> = codec::decode(payload).into_iter().flatten().collect();
    messages.iter_mut().for_each(&mut forge);
    codec::encode(&messages, usize::MAX).batches
}

/// Forges a command. `there` is the revision of its order at Inventory, which only rises.
///
/// Inventory trusts a command whose digest is that of its intent. So an intent that Orders never
/// made gets the right digest only if Inventory cannot carry it out, at any time from now on.
fn forge_command(command: &mut AllocateStock, there: i64, random: &Random) {
    command.sent_at_micros = FORGED_AT_MICROS;
    let Intent { revision, wanted, shipped, returned } = &mut command.intent;
    let revision_is_there = i64::from(revision.get()) <= there;
    match random.below(4) {
        // Another intent of the same revision, or of a lower one by now.
        0 if revision_is_there => *wanted = more(wanted),
        // A higher revision, of which more came back than is shipped.
        1 => {
            *revision = ahead(*revision);
            *returned = returned_more(wanted);
        }
        // A higher revision, which ships more than the order can have.
        2 => {
            *revision = ahead(*revision);
            *shipped = shipped_more(wanted);
        }
        // Another digest.
        _ => {
            command.digest = Digest(random.bytes());
            return;
        }
    }
    command.digest = command.intent.digest();
}

fn forge_answer(answer: &mut StockAllocated, random: &Random) {
    answer.sent_at_micros = FORGED_AT_MICROS;
    let facts = &mut answer.facts;
    match random.below(3) {
        // The answer to a revision that the order does not have, with the digest of another.
        0 => {
            facts.revision =
                if random.chance(500) { facts.revision.next() } else { ahead(facts.revision) }
        }
        // Units that do not add up, with the right digest.
        1 if !facts.shortages.is_empty() => facts.shortages.clear(),
        1 => facts.allocated = one_more(&facts.allocated),
        // Another digest.
        _ => answer.digest = Digest(random.bytes()),
    }
}

fn ahead(revision: Revision) -> Revision {
    Revision::try_from(revision.get() + FAR_AHEAD).expect("a revision")
}

/// More units of each product than any order wants.
fn more(wanted: &Wanted) -> Wanted {
    let line = |line: &WantedLine| WantedLine {
        product_id: line.product_id.clone(),
        quantity: line.quantity + Quantity::MAX / 2,
    };
    Wanted::try_from(wanted.iter().map(line).collect::<Vec<_>>()).expect("the same products")
}

/// More units of each product than any order has, at one location.
fn shipped_more(wanted: &Wanted) -> Allocations {
    let allocation = |line: &WantedLine| Allocation {
        product_id: line.product_id.clone(),
        location_id: LocationId::main(),
        quantity: Quantity::new(Quantity::MAX).expect("a quantity"),
    };
    Allocations::sorted(wanted.iter().map(allocation).collect()).expect("one per product")
}

/// More units of each product than any order has shipped, back at one location.
fn returned_more(wanted: &Wanted) -> Returned {
    let entry = |line: &WantedLine| ReturnedUnits {
        product_id: line.product_id.clone(),
        location_id: LocationId::main(),
        restocked: Quantity::MAX,
        quarantined: 0,
        written_off: 0,
    };
    Returned::sorted(wanted.iter().map(entry).collect()).expect("one per product")
}

/// One unit more than the order has.
fn one_more(allocated: &Allocations) -> Allocations {
    let mut parts = allocated.to_vec();
    match parts.first_mut() {
        Some(first) => {
            first.quantity = Quantity::new(first.quantity.get() + 1).expect("few units");
        }
        None => parts.push(Allocation {
            product_id: "p0".parse().expect("an id"),
            location_id: LocationId::main(),
            quantity: Quantity::new(1).expect("a quantity"),
        }),
    }
    Allocations::sorted(parts).expect("the same stock keys")
}
