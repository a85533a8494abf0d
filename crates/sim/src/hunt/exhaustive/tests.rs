use super::{first_found, first_found_in_numbering};
use crate::exhaustive::Args;
use crate::exhaustive::bounds::USUAL;
use crate::exhaustive::model::Model;
use crate::exhaustive::numbering;
use crate::exhaustive::search::explore;
use crate::exhaustive::shell::Shell;
use crate::exhaustive::state::State;
use crate::mistakes::{ALL, Mistake, Reach};
use crate::states::Violation;

const NO_LIMIT: u32 = u32::MAX - 1;

fn shell(mistake: &Mistake) -> Option<(&'static str, Shell)> {
    match mistake.reach {
        Reach::Within(shell) => Some((mistake.name, shell)),
        Reach::Beyond(_) => None,
    }
}

fn shell_of(name: &str) -> Shell {
    let mut all = ALL.iter().filter_map(shell);
    all.find(|(its, _)| *its == name).expect(name).1
}

/// The first of the bounds that show each mistake, the invariant that it breaks there, and the
/// number of steps.
#[test]
fn every_planted_mistake_within_reach_is_found_by_its_shortest_trace() {
    let expected = [
        ("answer_before_commit", 0, "INV-6", 1),
        ("unknown_is_failed", 0, "INV-6", 2),
        ("publish_before_commit", 0, "INV-5", 2),
        ("sweeper_stops", 0, "INV-7", 1),
        ("no_tombstone", 0, "INV-5", 8),
        ("release_twice", 0, "R11", 8),
        ("stock_read_before_lock", 0, "R11", 9),
        ("deltas_not_summed", 0, "INV-1", 7),
        ("forgets_answers", 0, "INV-3", 5),
        ("no_compare_and_set", 0, "R11", 8),
        ("everything_rejected", 0, "INV-8", 4),
        ("revision_ignored", 0, "R12", 8),
        ("settle_takes_older_facts", 0, "INV-5", 8),
        ("retry_repeats_writes", 0, "R11", 5),
        ("cancel_although_shipped", 0, "INV-4", 10),
        ("facts_rewrite_intent", 1, "INV-4", 6),
        ("shipped_added", 7, "INV-5", 18),
        ("ship_beside_reduction", 7, "INV-4", 12),
        ("deadline_by_revision", 5, "INV-4", 11),
        ("refund_as_event", 4, "INV-9", 8),
        ("payment_revives_cancelled", 4, "INV-4", 12),
        ("unship_to_shelf", 7, "INV-11", 18),
        ("cancellation_frees_shipped", 7, "INV-4", 12),
        ("key_forgotten", 7, "INV-6", 10),
    ];
    let within_reach: Vec<_> = ALL.iter().filter_map(shell).collect();
    assert!(within_reach.iter().map(|(name, _)| *name).eq(expected.map(|(name, ..)| name)));
    for ((name, bounds, invariant, steps), (_, shell)) in expected.into_iter().zip(within_reach) {
        let found = explore(USUAL[bounds], shell, NO_LIMIT).found.expect(name);
        assert_eq!(
            (found.violation.invariant, found.trace.len()),
            (invariant, steps),
            "{name}: {found:#?}"
        );
    }
}

#[test]
fn every_mistake_in_the_numbering_is_found() {
    let expected = [
        ("relay_reads_before_lock", "INV-13"),
        ("id_drawn_before_locks", "INV-13"),
        ("relay_without_lock", "INV-13"),
        ("reader_follows_ids", "R29"),
        ("frozen_relay_keeps_lock", "R29"),
        ("late_relay_writes", "INV-13"),
    ];
    let found = numbering::MISTAKES.map(|mistake| {
        let found = first_found_in_numbering(mistake.flaw, &Args::default());
        (mistake.name, found.expect(mistake.name).1.violation.invariant)
    });
    assert_eq!(found, expected);
}

/// Compares with a search that keeps no visited states, and so cannot miss a shorter path.
#[test]
fn no_trace_is_longer_than_it_has_to_be() {
    for name in ["unknown_is_failed", "publish_before_commit", "everything_rejected"] {
        let shell = shell_of(name);
        let (_, found) = first_found(shell, &Args::default()).expect(name);
        let mut model = Model::new(USUAL[0], shell);
        let start = model.start();
        let length = (1..).find(|length| is_broken_within(&mut model, &start, *length));
        assert_eq!(length, Some(found.trace.len()), "{name}");
    }
}

fn is_broken_within(model: &mut Model, state: &State, steps: usize) -> bool {
    let mut possible = Vec::new();
    model.enabled(state, &mut possible);
    possible.into_iter().any(|step| match model.after(state, step) {
        Ok(next) => {
            model.check(&next).is_err() || steps > 1 && is_broken_within(model, &next, steps - 1)
        }
        Err(Violation { .. }) => true,
    })
}

#[test]
fn a_trace_says_who_did_what_and_what_came_of_it() {
    let (_, found) =
        first_found(shell_of("everything_rejected"), &Args::default()).expect("it is found");
    let expected = [
        "orders-1 gets place A",
        "orders-1 commits [place A] → order A is received",
        "orders-1 publishes → AllocateStock A 1 place",
        "inventory-1 commits [AllocateStock A 1 place]",
    ];
    assert_eq!(found.trace, expected);
    let what = "order A is rejected: it wanted 2 MUG, and 2 were there";
    assert_eq!(found.violation.what, what);
}
