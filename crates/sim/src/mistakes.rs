//! Mistakes that are planted in the services: a simulator that has never found one proves nothing.
//!
//! Production code contains none of them. Each is a wrapper of a port or a decider, which calls the
//! right one and spoils its input or its output, or a changed schema of a database.

mod bus;
mod databases;
mod edge;
mod order_changes;
mod order_decider;
mod orders_store;
mod shell;
mod stock_changes;
mod stock_decider;

use inventory_core::decide::DecideInventory;
use orders_core::decide::DecideOrders;

use crate::exhaustive::numbering;
use crate::exhaustive::shell::Shell;
use crate::wrappers::Wrappers;

/// One mistake, and how it is planted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mistake {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The mistake in the services that a seed runs.
    pub(crate) wrappers: Wrappers,
    /// The mistake in the model that is explored exhaustively.
    pub(crate) reach: Reach,
}

/// Whether the exhaustive search can express a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    Within(Shell),
    /// Not expressible, and why.
    Beyond(&'static str),
}

pub(crate) const ALL: [Mistake; 27] = [
    in_shell(
        "answer_before_commit",
        "2xx is answered before the commit",
        Wrappers { router: edge::answer_before_commit, ..Wrappers::NONE },
        Shell { accept: shell::answer_before_commit, ..Shell::RIGHT },
    ),
    in_shell(
        "unknown_is_failed",
        "a commit of unknown fate is reported as failed",
        Wrappers { orders_store: orders_store::unknown_is_failed, ..Wrappers::NONE },
        Shell { unknown_is_failed: true, ..Shell::RIGHT },
    ),
    in_shell(
        "publish_before_commit",
        "commands are published before the commit",
        Wrappers { orders_store: orders_store::publish_before_commit, ..Wrappers::NONE },
        Shell { accept: shell::publish_before_commit, ..Shell::RIGHT },
    ),
    in_shell(
        "sweeper_stops",
        "the sweeper stops after the first publish",
        Wrappers { orders_store: orders_store::sweeper_stops, ..Wrappers::NONE },
        Shell { resend: shell::sweeper_stops, ..Shell::RIGHT },
    ),
    in_stock(
        "no_tombstone",
        "a cancellation that came first leaves no tombstone",
        stock_decider::no_tombstone,
    ),
    in_stock("release_twice", "a release gives back twice", stock_decider::release_twice),
    in_shell(
        "stock_read_before_lock",
        "stock is read before the lock, written as an absolute value",
        Wrappers {
            decide_stock: stock_decider::stock_read_before_lock,
            begin: stock_decider::forget_stock,
            ..Wrappers::NONE
        },
        Shell { decide_on_old_stock: Some(stock_decider::decide_on_old_levels), ..Shell::RIGHT },
    ),
    in_stock(
        "deltas_not_summed",
        "the deltas of one row are not summed",
        stock_decider::deltas_not_summed,
    ),
    in_stock(
        "forgets_answers",
        "Inventory forgets its answers after a while",
        stock_decider::forgets_answers,
    ),
    in_shell(
        "no_compare_and_set",
        "an order is read before the lock, written without compare-and-set",
        Wrappers {
            decide_orders: order_decider::no_compare_and_set,
            begin: order_decider::forget_orders,
            ..Wrappers::NONE
        },
        Shell { decide_on_old_orders: Some(order_decider::decide_on_old_orders), ..Shell::RIGHT },
    ),
    Mistake {
        name: "bad_message_aborts_batch",
        what: "a bad message aborts its batch, which is retried for ever",
        wrappers: Wrappers { bus: bus::bad_message_aborts_batch, ..Wrappers::NONE },
        reach: Reach::Beyond(
            "nothing is acknowledged here, so nothing is tried for ever: messages come alone as \
             well",
        ),
    },
    Mistake {
        name: "strangers_decided",
        what: "what another deployment sends is decided",
        wrappers: Wrappers { bus: bus::strangers_decided, ..Wrappers::NONE },
        reach: Reach::Beyond("nobody else sends anything here"),
    },
    in_stock("everything_rejected", "every order is rejected", stock_decider::everything_rejected),
    in_stock(
        "revision_ignored",
        "a command is carried out although a newer one was",
        stock_decider::revision_ignored,
    ),
    in_orders(
        "settle_takes_older_facts",
        "facts of a lower revision settle an order",
        order_decider::settle_takes_older_facts,
    ),
    in_shell(
        "retry_repeats_writes",
        "a retry repeats its old writes",
        Wrappers {
            decide_orders: order_decider::retry_repeats_writes,
            begin: order_decider::forget_orders,
            ..Wrappers::NONE
        },
        Shell {
            decide_on_old_orders: Some(order_decider::decide_on_old_orders),
            decide_on_old_stock: Some(stock_decider::decide_on_old_stock),
            retry_is_old: true,
            ..Shell::RIGHT
        },
    ),
    in_orders(
        "cancel_although_shipped",
        "a shipped order is cancelled",
        order_decider::cancel_although_shipped,
    ),
    in_orders(
        "facts_rewrite_intent",
        "facts rewrite the intent at its revision",
        order_decider::facts_rewrite_intent,
    ),
    in_stock(
        "shipped_added",
        "the units of an intent are added to those that are shipped",
        stock_changes::shipped_added,
    ),
    in_orders(
        "ship_beside_reduction",
        "units are shipped while Inventory takes some from the order",
        order_changes::ship_beside_reduction,
    ),
    in_orders(
        "deadline_by_revision",
        "a deadline expires an order that was paid, as it has the same revision",
        order_changes::deadline_by_revision,
    ),
    in_orders(
        "refund_as_event",
        "what is owed is written when something is cancelled, and only then",
        order_changes::refund_as_event,
    ),
    in_orders(
        "payment_revives_cancelled",
        "a payment brings a cancelled order back",
        order_changes::payment_revives_cancelled,
    ),
    in_stock(
        "unship_to_shelf",
        "the units of a cancelled shipment go to the shelf",
        stock_changes::unship_to_shelf,
    ),
    in_orders(
        "cancellation_frees_shipped",
        "a cancellation frees units that are shipped",
        order_changes::cancellation_frees_shipped,
    ),
    in_orders("key_forgotten", "the key of a change is forgotten", order_changes::key_forgotten),
    Mistake {
        name: "forgets_journal_entries",
        what: "a transaction with several entries is missing in the journal",
        wrappers: Wrappers { databases: databases::forgets_journal_entries, ..Wrappers::NONE },
        reach: Reach::Beyond("no journal is kept here"),
    },
];

/// A mistake in the shell around the deciders, which the search models.
const fn in_shell(
    name: &'static str,
    what: &'static str,
    wrappers: Wrappers,
    shell: Shell,
) -> Mistake {
    Mistake { name, what, wrappers, reach: Reach::Within(shell) }
}

/// A mistake of the Order Service's decider, planted in both simulators.
const fn in_orders(name: &'static str, what: &'static str, decide: DecideOrders) -> Mistake {
    let wrappers = Wrappers { decide_orders: decide, ..Wrappers::NONE };
    let shell = Shell { decide_orders: decide, ..Shell::RIGHT };
    in_shell(name, what, wrappers, shell)
}

/// A mistake of the Inventory Service's decider.
const fn in_stock(name: &'static str, what: &'static str, decide: DecideInventory) -> Mistake {
    let wrappers = Wrappers { decide_stock: decide, ..Wrappers::NONE };
    let shell = Shell { decide_stock: decide, ..Shell::RIGHT };
    in_shell(name, what, wrappers, shell)
}

/// What is planted, one at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Planted {
    pub(crate) services: &'static [Mistake],
    /// Only the exhaustive search can express these: on SQLite, a transaction numbers its own row.
    pub(crate) numbering: &'static [numbering::Mistake],
}

/// The mistake of this name, or all of them for `all`.
///
/// # Errors
///
/// Fails if there is no such mistake; the text lists the names.
pub(crate) fn find(name: &str) -> Result<Planted, String> {
    if name == "all" {
        return Ok(Planted { services: &ALL, numbering: &numbering::MISTAKES });
    }
    let services = ALL.iter().filter(|mistake| mistake.name == name);
    let numbering = numbering::MISTAKES.iter().filter(|mistake| mistake.name == name);
    let services = services.map(std::slice::from_ref).next().unwrap_or_default();
    let numbering = numbering.map(std::slice::from_ref).next().unwrap_or_default();
    if services.is_empty() && numbering.is_empty() {
        let names = ALL.iter().map(|mistake| mistake.name);
        let names = names.chain(numbering::MISTAKES.iter().map(|mistake| mistake.name));
        let names = names.collect::<Vec<_>>().join(", ");
        return Err(format!("there is no such mistake; choose one of: all, {names}"));
    }
    Ok(Planted { services, numbering })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_found_by_its_name() {
        let all = find("all").expect("all");
        assert_eq!((all.services.len(), all.numbering.len()), (ALL.len(), 6));
        let one = find("release_twice").expect("a mistake of the services");
        assert_eq!((one.services[0].name, one.numbering.len()), ("release_twice", 0));
        let one = find("relay_without_lock").expect("a mistake of the numbering");
        assert_eq!((one.services.len(), one.numbering[0].name), (0, "relay_without_lock"));
        let refused = find("none").expect_err("there is none of this name");
        assert!(refused.contains("release_twice") && refused.contains("relay_without_lock"));
    }
}
