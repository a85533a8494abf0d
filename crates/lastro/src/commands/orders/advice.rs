//! What to do about an order, in a sentence or two.

use std::time::Duration;

use platform::clock::Timestamp;
use serde_json::Value;

use super::super::text;
use super::look::{Found, Look};
use super::owed;
use crate::output::{show, span, time};

/// An order that is in flight for longer than this is stuck: Inventory answers in milliseconds, and
/// a lost message is sent again after a second.
const STUCK: Duration = Duration::from_secs(10);
/// A deadline that passed this long ago should have been kept.
const LATE: Duration = Duration::from_secs(60);

/// Says what an order waits for, why, and what to do.
pub(super) fn advice(look: &Look) -> String {
    let said = if look.is_in_flight() { in_flight(look) } else { settled(look) };
    let Some(owed) = owed(&look.order.value) else { return said };
    format!(
        "{said} {owed} are owed to the customer: return the money, then `lastro orders refund {} \
         --reference TEXT --amount {}`.",
        id(look),
        owed.amount
    )
}

fn id(look: &Look) -> &str {
    text(&look.order.value, "order_id")
}

/// About an order that waits for nothing from Inventory.
fn settled(look: &Look) -> String {
    let id = id(look);
    match look.status() {
        "reserved" => reserved(look),
        "confirmed" => format!(
            "Nothing is stuck. It holds its units: `lastro orders ship {id}` or \
             `lastro orders fulfill {id}` ships them."
        ),
        "rejected" => "Nothing is stuck, and nothing more will happen: there was not enough stock when it was decided.".to_owned(),
        "cancelled" => "Nothing is stuck, and nothing more will happen.".to_owned(),
        "fulfilled" => "Nothing is stuck: all that it keeps has left the stock.".to_owned(),
        "expired" => format!(
            "Nothing is stuck: it was not paid in time, and its units are released. `lastro orders pay {id} --reference TEXT` brings it back if there still is stock."
        ),
        other => format!("This version of lastro does not know the status {}.", show(&other.into())),
    }
}

fn reserved(look: &Look) -> String {
    let by = &look.order.value["payment"]["pay_by"];
    let at = by.as_str().and_then(Timestamp::from_rfc3339);
    match at {
        Some(at) if look.now.since(at) > LATE => format!(
            "Stuck: its deadline passed {} ago, and it did not expire. Look at /readyz and the log of the Order Service.",
            span(look.now.since(at))
        ),
        Some(at) => format!(
            "It waits for its payment until {} (in {}): `lastro orders pay {} --reference TEXT` records it. Without one it expires by itself.",
            time(by),
            span(at.since(look.now)),
            id(look)
        ),
        None => "It waits for its payment.".to_owned(),
    }
}

/// About an order that waits for Inventory's answer.
fn in_flight(look: &Look) -> String {
    let id = id(look);
    if let Found::NotKnown(why) = &look.command {
        return format!("It waits for Inventory's answer; its command could not be read: {why}.");
    }
    let (Some(command), Some(waiting)) = (look.command.value(), look.waiting()) else {
        return "Inventory has answered just now: look again. If it stays like this, `lastro verify` checks the databases (INV-7).".to_owned();
    };
    if waiting < STUCK && look.set_aside.is_empty() {
        return "In flight: Inventory has not answered yet. Look again in a few seconds."
            .to_owned();
    }
    let stuck = format!("Stuck for {}.", span(waiting));
    let again = format!(
        "The command is sent again by itself{}; `lastro pending retry {id}` sends it now.",
        next_in(command, look.now)
    );
    let why = match &look.reservation {
        Found::NotKnown(why) => {
            format!("Inventory could not be asked ({why}): see whether it runs.")
        }
        Found::Item(item) if has_decided(&item.value, command) => {
            "Inventory has decided, and its answer has not arrived: see /readyz of the Order Service and the broker.".to_owned()
        }
        Found::Item(_) | Found::Nothing => {
            "Inventory has not carried it out: see /readyz of both services, and the broker."
                .to_owned()
        }
    };
    let why = match set_aside(look) {
        Some(set_aside) => format!("{why} {set_aside}"),
        None => why,
    };
    format!("{stuck} {why} {again}")
}

/// The messages about it that were set aside, if there are any: the last one by its id.
fn set_aside(look: &Look) -> Option<String> {
    let (service, entry) = look.set_aside.first()?;
    let others = match look.set_aside.len() {
        1 => String::new(),
        more => format!(", and {} more", more - 1),
    };
    Some(format!(
        "A message about it was set aside at {service} ({}{others}): `lastro quarantine show {}`.",
        show(&entry["reason"]),
        show(&entry["id"]).chars().take(12).collect::<String>()
    ))
}

/// When the command is sent again, unless that is now.
fn next_in(command: &Value, now: Timestamp) -> String {
    let next = command["next_attempt_at"].as_str().and_then(Timestamp::from_rfc3339);
    match next.map(|at| at.since(now)) {
        Some(wait) if wait >= Duration::from_secs(1) => format!(", next in {}", span(wait)),
        _ => String::new(),
    }
}

/// Whether Inventory has carried out what the command asks for.
pub(super) fn has_decided(reservation: &Value, command: &Value) -> bool {
    let revision = |value: &Value| value["revision"].as_i64();
    revision(reservation).is_some() && revision(reservation) >= revision(command)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::client::Item;

    const NOW: &str = "2026-11-28T12:00:00.000000Z";

    fn item(value: Value) -> Item {
        Item { raw: value.to_string(), value }
    }

    fn look(order: Value) -> Look {
        Look {
            order: item(order),
            command: Found::Nothing,
            reservation: Found::Nothing,
            set_aside: Vec::new(),
            now: Timestamp::from_rfc3339(NOW).expect("a time"),
        }
    }

    fn pending(since: &str, next: &str) -> Found {
        Found::Item(item(json!({"revision": 2, "since": since, "next_attempt_at": next})))
    }

    #[track_caller]
    fn must_say(look: &Look, words: &[&str]) {
        let said = advice(look);
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said:?}");
        }
    }

    #[test]
    fn a_settled_order_says_what_can_be_done_with_it() {
        let with = |status: &str| look(json!({"order_id": "O", "status": status}));
        must_say(&with("confirmed"), &["Nothing is stuck", "lastro orders ship O"]);
        must_say(&with("rejected"), &["not enough stock"]);
        must_say(&with("expired"), &["lastro orders pay O"]);
        must_say(&with("queued"), &["does not know the status queued"]);
        let owing =
            json!({"order_id": "O", "status": "cancelled", "refund_due": 5, "currency": "BRL"});
        must_say(
            &look(owing),
            &["BRL 5.00", "lastro orders refund O --reference TEXT --amount 5.00`"],
        );
    }

    #[test]
    fn an_order_that_waits_for_its_payment_says_until_when() {
        let until = |by: &str| {
            look(json!({"order_id": "O", "status": "reserved", "payment": {"pay_by": by}}))
        };
        must_say(&until("2026-11-28T12:12:00Z"), &["2026-11-28 12:12:00", "in 12m"]);
        must_say(&until("2026-11-28T11:55:00Z"), &["Stuck", "passed 5m ago"]);
    }

    #[test]
    fn a_stuck_order_says_where_its_command_is() {
        let mut stuck = look(json!({"order_id": "O", "status": "cancelling"}));
        must_say(&stuck, &["look again", "INV-7"]);
        stuck.command = pending("2026-11-28T11:59:58Z", NOW);
        must_say(&stuck, &["In flight"]);
        stuck.command = pending("2026-11-28T11:57:00Z", "2026-11-28T12:00:20Z");
        let again = ["Stuck for 3m", "next in 20s", "lastro pending retry O"];
        must_say(&stuck, &[&again[..], &["Inventory has not carried it out"]].concat());
        stuck.reservation = Found::Item(item(json!({"revision": 1})));
        must_say(&stuck, &["Inventory has not carried it out"]);
        stuck.reservation = Found::Item(item(json!({"revision": 2})));
        must_say(&stuck, &[&again[..], &["Inventory has decided"]].concat());
        stuck.reservation = Found::NotKnown("no answer".to_owned());
        must_say(&stuck, &["could not be asked (no answer)"]);
        stuck.set_aside = vec![("inventory", json!({"id": "0123456789abcdef", "reason": "odd"}))];
        let aside = ["set aside at inventory (odd)", "lastro quarantine show 0123456789ab`"];
        must_say(&stuck, &[&aside[..], &["could not be asked (no answer)"]].concat());
        stuck.reservation = Found::Item(item(json!({"revision": 2})));
        stuck.set_aside.push(("orders", json!({"id": "f", "reason": "other"})));
        must_say(&stuck, &["Inventory has decided", "set aside at inventory (odd, and 1 more)"]);
    }
}
