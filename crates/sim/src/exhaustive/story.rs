//! The way to a violation, told so that it can be followed.

use super::cast;
use super::model::Model;
use super::search::Path;
use super::state::{Level, State};
use super::step::Step;

const NAMES: [&str; 4] = ["orders-1", "orders-2", "inventory-1", "inventory-2"];

/// **Shape:** one line per step: who does what, and what has changed by it.
pub(super) fn tell(model: &mut Model, path: &Path) -> Vec<String> {
    let mut names = NAMES;
    let mut lines = Vec::new();
    for pair in path.states.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let (step, raw) = step_between(model, before, after);
        let done = step.told(names[usize::from(step.replica)], &model.wire);
        lines.push(format!("{done}{}", changes(model, before, &raw)));
        // Replicas are sorted by what they have in hand; their names go with them.
        let (_, swapped) = raw.sorted();
        for (service, _) in swapped.into_iter().enumerate().filter(|(_, swapped)| *swapped) {
            names.swap(service * 2, service * 2 + 1);
        }
    }
    lines.extend(path.last_step.map(|step| step.told(names[usize::from(step.replica)], &model.wire)));
    lines
}

/// The step that was taken, found again among all that could have been.
fn step_between(model: &mut Model, before: &State, after: &State) -> (Step, State) {
    let mut steps = Vec::new();
    model.steps(before, &mut steps);
    let reached = steps.into_iter().filter_map(|step| Some((step, model.after(before, step).ok()?)));
    let mut reached = reached.filter(|(_, raw)| raw.sorted().0 == *after);
    reached.next().expect("it was reached from there")
}

/// What the step has changed in the databases, the network, and the clients' heads.
fn changes(model: &Model, before: &State, after: &State) -> String {
    let mut told = Vec::new();
    for (order, place) in cast::orders() {
        let status = |state: &State| model.orders.row(state.orders[place]).map(|row| row.order.status.as_str());
        let name = cast::name(order);
        if before.orders[place] != after.orders[place] {
            told.push(format!("order {name} is {}", status(after).unwrap_or("gone")));
        }
        let stand = |state: &State| model.stock.reservation(state.reservations[place]).map(|found| found.state.name());
        if before.reservations[place] != after.reservations[place] {
            told.push(format!("reservation {name} is {}", stand(after).map_or("gone", |stand| stand.as_str())));
        }
    }
    if before.level != after.level {
        let Level { on_hand, reserved, .. } = after.level;
        told.push(format!("{on_hand} on hand, {reserved} reserved"));
    }
    if before.sent != after.sent {
        told.push(model.wire.names(after.sent & !before.sent));
    }
    if told.is_empty() { String::new() } else { format!(" → {}", told.join("; ")) }
}
