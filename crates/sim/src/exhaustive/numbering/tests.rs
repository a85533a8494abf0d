use super::super::search::Explored;
use super::state::State;
use super::steps::{Rules, Step, Write};
use super::*;

const NO_LIMIT: u32 = u32::MAX - 1;

fn whole(bounds: Bounds) -> Explored<()> {
    let explored = explore(bounds, None, NO_LIMIT);
    assert!(explored.found.is_none() && explored.left_over == 0, "{explored:#?}");
    explored
}

#[test]
fn numbers_are_dense_and_in_order_in_every_interleaving() {
    let explored =
        whole(Bounds { orders: [A, A, 0, 0], attempts: 1, relays: 2, at_once: 1, page: 1 });
    assert!(explored.states > 900, "{explored:?}");
}

#[test]
fn a_transaction_of_two_orders_is_one_row() {
    let bounds = Bounds { orders: [A | B, A, 0, 0], attempts: 1, relays: 2, at_once: 2, page: 1 };
    let two = whole(bounds).states;
    let wider = whole(Bounds { page: 2, ..bounds }).states;
    assert_ne!(two, wider, "a page ends within the row, or does not");
}

#[test]
fn a_transaction_that_was_done_unheard_is_not_done_twice() {
    let rules = Rules {
        bounds: Bounds { orders: [A, 0, 0, 0], attempts: 2, relays: 1, at_once: 1, page: 1 },
        flaw: None,
    };
    let take = |state: State, write| rules.after(&state, Step::Writer(0, write)).expect("a step");
    let first = [Write::Lock, Write::Draw, Write::Insert, Write::CommitUnheard, Write::Lock];
    let end = first.into_iter().fold(State::start(rules.bounds), take);
    assert_eq!((end.writers[0].attempts, end.rows[0].commit, end.drawn), (0, 1, 1));
}

#[test]
fn a_trace_says_who_did_what() {
    let bounds = Bounds { orders: [A, 0, 0, 0], attempts: 1, relays: 2, at_once: 1, page: 1 };
    let found = explore(bounds, Some(Flaw::NoLock), NO_LIMIT).found.expect("it is found");
    let expected = [
        "transaction 1 (A) locks A",
        "transaction 1 (A) draws id 1",
        "transaction 1 (A) writes its row",
        "transaction 1 (A) commits",
        "relay 1 takes the head, which is 0",
        "relay 1 reads rows of transactions [1]",
        "relay 1 writes their numbers",
        "relay 2 takes the head, which is 0",
        "relay 2 reads rows of transactions [1]",
        "relay 1 commits: [1 to 1]",
        "relay 2 writes their numbers",
        "relay 2 commits: []",
    ];
    assert_eq!(found.trace, expected);
    assert_eq!(found.violation.what, "the head is 0, and the numbers are [1]");
}
