//! What the sweeper leases: due commands, once, in the right order.

use super::*;

pub(crate) async fn a_lease_is_taken_once_until_it_is_due_again(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    assert!(
        fresh.lease(10, DUE).await.is_empty(),
        "the first sending is given time for its answer"
    );
    fresh.clock.advance(Duration::from_secs(2));
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    assert!(fresh.lease(10, DUE).await.is_empty());
    fresh.clock.advance(DELAY);
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    fresh.run(vec![reserved(1)]).await;
    fresh.clock.advance(DELAY);
    assert!(fresh.lease(10, DUE).await.is_empty(), "answered");
}

pub(crate) async fn a_patient_lease_leaves_what_became_due_lately(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(3));
    fresh.run(vec![place(2)]).await;
    fresh.clock.advance(Duration::from_secs(2));
    let patient = Pick::Due { patience: Duration::from_secs(2) };
    assert_eq!(fresh.lease(10, patient).await, [1], "due for four seconds and for one");
    assert_eq!(fresh.lease(10, DUE).await, [2]);
}

pub(crate) async fn a_lease_raises_the_attempt_and_keeps_the_digest(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    for attempt in 2..5 {
        fresh.clock.advance(DELAY);
        let leased = fresh.store.lease(lease(10, DUE)).await.expect("a lease");
        let placement = placement(1, None);
        assert_eq!((leased[0].attempt, leased[0].digest), (attempt, placement.digest));
        assert_eq!(leased[0].intent, Intent::placed(placement.terms.ordered()));
    }
}

pub(crate) async fn a_lease_gives_a_fifth_to_the_oldest_and_the_rest_to_the_freshest(fresh: Fresh) {
    for n in 1..=20 {
        fresh.run(vec![place(n)]).await;
        fresh.clock.advance(Duration::from_secs(2));
    }
    let mut first = fresh.lease(10, DUE).await;
    first.sort_unstable();
    assert_eq!(first, [1, 2, 13, 14, 15, 16, 17, 18, 19, 20]);
    let mut second = fresh.lease(100, DUE).await;
    second.sort_unstable();
    assert_eq!(second, (3..=12).collect::<Vec<_>>());
}

pub(crate) async fn after_a_silence_what_was_sent_before_is_due_oldest_first(fresh: Fresh) {
    for n in 1..=6 {
        fresh.run(vec![place(n)]).await;
        fresh.clock.advance(Duration::from_millis(10));
    }
    let pick = Pick::SentBefore { ago: Duration::from_millis(5) };
    let mut first = fresh.lease(4, pick).await;
    first.sort_unstable();
    assert_eq!(first, [1, 2, 3, 4]);
    let mut rest = fresh.lease(4, pick).await;
    rest.sort_unstable();
    assert_eq!(rest, [5, 6], "and nothing is sent twice");
    assert!(fresh.lease(4, pick).await.is_empty());
}

pub(crate) async fn a_clock_set_back_makes_pending_commands_due_not_lost(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.set(Timestamp(START.0 - 365 * 24 * 3_600_000_000));
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    assert!(fresh.lease(10, DUE).await.is_empty());
    fresh.clock.advance(DELAY);
    assert_eq!(fresh.lease(10, DUE).await, [1]);
}

pub(crate) async fn a_command_that_is_made_due_is_leased_first_with_its_next_attempt(fresh: Fresh) {
    fresh.run((1..=3).map(place).collect()).await;
    fresh.clock.advance(Duration::from_secs(2));
    assert_eq!(fresh.lease(10, DUE).await.len(), 3);
    let requester = Requester { actor: Some("key:ana".to_owned()), ..Requester::default() };
    let made_due = fresh.store.make_due(id(2), requester).await.expect("a commit");
    let MadeDue::Due(command) = made_due else { panic!("{made_due:?}") };
    assert_eq!((command.order_id, command.revision, command.attempt), (id(2), 1, 2));
    assert!(command.next_attempt_at <= fresh.clock.now());
    // The least patient lease takes it, and so does the most patient one.
    let patient = Pick::Due { patience: orders_core::backoff::LONGEST };
    let leased = fresh.store.lease(lease(1, patient)).await.expect("a lease");
    let leased: Vec<_> = leased.iter().map(|one| (one.order_id, one.attempt)).collect();
    assert_eq!(leased, [(id(2), 3)]);
    assert!(fresh.lease(10, DUE).await.is_empty(), "it is postponed as after any lease");

    // Made due twice, it is sent once.
    for _ in 0..2 {
        let again = fresh.store.make_due(id(1), Requester::default()).await.expect("a commit");
        assert!(matches!(again, MadeDue::Due(command) if command.attempt == 2), "{again:?}");
    }
    assert_eq!(fresh.lease(10, DUE).await, [1]);
    assert!(fresh.lease(10, DUE).await.is_empty());
}

/// As after an outage of hours: everything is overdue, also by more than any wait.
pub(crate) async fn a_command_that_is_made_due_is_leased_before_a_backlog(fresh: Fresh) {
    let picks = [
        DUE,
        Pick::Due { patience: orders_core::backoff::LONGEST },
        Pick::SentBefore { ago: Duration::from_secs(60) },
    ];
    fresh.run((1..=40).map(place).collect()).await;
    for (n, pick) in (21..).zip(picks) {
        fresh.clock.advance(2 * orders_core::backoff::LONGEST);
        // All have been sent before.
        fresh.lease(40, DUE).await;
        fresh.clock.advance(2 * orders_core::backoff::LONGEST);
        for n in [n, n + 10] {
            let made_due = fresh.store.make_due(id(n), Requester::default()).await;
            let Ok(MadeDue::Due(command)) = made_due else { panic!("{made_due:?}") };
            assert_eq!(command.next_attempt_at, fresh.clock.now(), "as people see it");
        }
        assert_eq!(fresh.lease(1, pick).await, [n], "{pick:?}");
        let second = fresh.lease(5, pick).await;
        assert!(second.contains(&(n + 10)) && !second.contains(&n), "{pick:?}: {second:?}");
        assert_eq!(second.len(), 5, "{pick:?}");
    }
    fresh.store.make_due(id(1), Requester::default()).await.expect("a commit");
    let long_ago = Pick::SentBefore { ago: Duration::from_secs(3600) };
    assert_eq!(fresh.lease(5, long_ago).await, [1], "however lately it was sent");
    assert!(fresh.lease(5, long_ago).await.is_empty(), "once");
}

pub(crate) async fn nothing_is_made_due_where_nothing_is_pending(fresh: Fresh) {
    fresh.run(vec![place(1), place(2)]).await;
    fresh.run(vec![reserved(1)]).await;
    for (n, expected) in [(1, MadeDue::NothingPending), (9, MadeDue::NoOrder)] {
        let made_due = fresh.store.make_due(id(n), Requester::default()).await;
        assert_eq!(made_due.expect("a read"), expected);
    }
    assert!(fresh.lease(10, DUE).await.is_empty(), "and the other command is not due");
}
