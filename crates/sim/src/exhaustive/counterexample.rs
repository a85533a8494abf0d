//! The shortest path to a violation, as readable steps.

use super::actors;
use super::levels::Level;
use super::model::Model;
use super::state::State;
use super::transition::Transition;

const NAMES: [&str; 4] = ["orders-1", "orders-2", "inventory-1", "inventory-2"];

/// The states on the path to a violation. The last state, or the last transition, breaks an
/// invariant.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) states: Vec<State>,
    pub(super) last_transition: Option<Transition>,
}

/// Describes the path, a line for each transition: the replica, its action, and what the action
/// changed.
pub(super) fn describe(model: &mut Model, path: &Path) -> Vec<String> {
    let mut names = NAMES;
    let mut lines = Vec::new();
    for pair in path.states.windows(2) {
        let [before, after] = pair else { unreachable!("a window has two states") };
        let (transition, raw) = transition_between(model, before, after);
        let done = transition.describe(names[usize::from(transition.replica)], &model.messages);
        lines.push(format!("{done}{}", changes(model, before, &raw)));
        // A state sorts its replicas by their local state; their names go with them.
        let (_, swapped) = raw.sorted();
        for (service, _) in swapped.into_iter().enumerate().filter(|(_, swapped)| *swapped) {
            names.swap(service * 2, service * 2 + 1);
        }
    }
    lines.extend(path.last_transition.map(|transition| {
        transition.describe(names[usize::from(transition.replica)], &model.messages)
    }));
    lines
}

/// The transition that was taken, found again among all that were enabled.
fn transition_between(model: &mut Model, before: &State, after: &State) -> (Transition, State) {
    let mut enabled = Vec::new();
    model.enabled(before, &mut enabled);
    let mut reached = enabled.into_iter().filter_map(|transition| {
        let raw = model.after(before, transition).ok()?;
        (raw.sorted().0 == *after).then_some((transition, raw))
    });
    reached.next().expect("the search has taken one of them")
}

/// What the transition changed in the databases and the network.
fn changes(model: &Model, before: &State, after: &State) -> String {
    let mut changes = Vec::new();
    for (order, index) in actors::orders() {
        let name = actors::name(order);
        if before.orders[index] != after.orders[index] {
            let row = model.orders.row(after.orders[index]);
            let status = row.map_or("gone", |row| row.order.status().as_str());
            changes.push(format!("order {name} is {status}"));
        }
        if before.stock.reservations[index] != after.stock.reservations[index] {
            let reservation = model.stock.reservation(after.stock.reservations[index]);
            let state = reservation.map_or("gone", |found| found.state().as_str());
            changes.push(format!("reservation {name} is {state}"));
        }
    }
    let [before_rows, rows] =
        [before, after].map(|state| model.stock.levels(state.stock.levels).rows);
    if before_rows[actors::TEES] != rows[actors::TEES] {
        let Level { on_hand, reserved, .. } = rows[actors::TEES];
        changes.push(format!("of TEE {on_hand} on hand, {reserved} reserved"));
    }
    if before.sent != after.sent {
        changes.push(model.messages.names(after.sent & !before.sent));
    }
    if changes.is_empty() { String::new() } else { format!(" → {}", changes.join("; ")) }
}
