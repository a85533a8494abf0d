//! What a store decides and writes: whole batches, under the conditions that the decision saw.

use super::*;

pub(crate) async fn an_order_reads_back_as_it_was_placed(fresh: Fresh) {
    let placement = placement(1, Some("key"));
    fresh.run(vec![OrderCommand::Place(Box::new(placement.clone()))]).await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    assert_eq!(order.terms, placement.terms);
    assert_eq!((order.status, order.created_at_micros), (Status::Received, START.0));
    assert!(fresh.store.order(id(2)).await.expect("a read").is_none());
}

pub(crate) async fn the_history_of_an_order_keeps_the_answers_of_inventory(fresh: Fresh) {
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    fresh.run(vec![reserved(1)]).await;
    fresh.clock.advance(Duration::from_secs(1));
    let reason = Some("changed my mind".to_owned());
    fresh
        .run(vec![OrderCommand::Cancel {
            order_id: id(1),
            reason: reason.clone(),
            traceparent: None,
        }])
        .await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    let story: Vec<_> =
        order.history.iter().map(|entry| (entry.seq, entry.status, entry.at_micros)).collect();
    let at = |seconds: i64| START.0 + seconds * 1_000_000;
    assert_eq!(
        story,
        [
            (1, Status::Received, at(0)),
            (2, Status::Confirmed, at(1)),
            (3, Status::Cancelling, at(2))
        ]
    );
    let answer = order.history[1].answer.as_ref().expect("Inventory's part");
    assert_eq!((answer.decided_at_micros, answer.allocations.len()), (5, 1));
    assert_eq!(order.history[2].reason, reason);
    assert_eq!(order.updated_at_micros, at(2));
}

pub(crate) async fn a_replay_finds_the_order_that_its_key_made(fresh: Fresh) {
    let with_key = |n| OrderCommand::Place(Box::new(placement(n, Some("key"))));
    let outcomes = fresh.run(vec![with_key(1), with_key(2)]).await;
    assert!(
        matches!(&outcomes[1], OrderOutcome::Replayed(receipt) if receipt.order_id == id(1)),
        "within a batch"
    );
    let outcomes = fresh.run(vec![with_key(3)]).await;
    assert!(
        matches!(&outcomes[0], OrderOutcome::Replayed(receipt) if receipt.order_id == id(1)),
        "and later"
    );
    assert!(fresh.store.order(id(3)).await.expect("a read").is_none());
}

pub(crate) async fn concurrent_twins_with_one_key_make_one_order(fresh: Fresh) {
    let twins = (1..=20).map(|n| {
        let store = fresh.store.clone();
        let twin: Arc<[OrderCommand]> =
            Arc::new([OrderCommand::Place(Box::new(placement(n, Some("key"))))]);
        tokio::spawn(async move { run_until_done(&*store, twin).await })
    });
    let mut made = BTreeSet::new();
    for twin in twins.collect::<Vec<_>>() {
        match twin.await.expect("no panic").remove(0) {
            OrderOutcome::Placed(receipt) | OrderOutcome::Replayed(receipt) => {
                made.insert(receipt.order_id)
            }
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(made.len(), 1);
    assert_eq!(fresh.audit.orders_after(None, 100).await.expect("a page").len(), 1);
}

pub(crate) async fn an_order_moves_only_from_where_the_decision_saw_it(fresh: Fresh) {
    /// Decides on an order that it takes to be confirmed, whatever was loaded.
    fn stubborn(now: i64, batch: &[OrderCommand], mut loaded: Loaded) -> Decision {
        loaded.orders.values_mut().for_each(|order| order.status = Status::Confirmed);
        decide(now, batch, loaded)
    }
    fresh.run(vec![place(1)]).await;
    let refused = fresh.store.run(Arc::new([fulfill(1)]), stubborn).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(fresh: Fresh) {
    /// Decides well, but twice makes the first order.
    fn twice(now: i64, batch: &[OrderCommand], loaded: Loaded) -> Decision {
        let mut decision = decide(now, batch, loaded);
        decision.changes.push(decision.changes[0].clone());
        decision
    }
    let refused = fresh.store.run(Arc::new([place(1), place(2)]), twice).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    assert_eq!((fresh.status(1).await, fresh.status(2).await), (None, None));
    fresh.run(vec![place(1), place(2)]).await;
    assert_eq!(fresh.store.backlog().await.expect("a read").commands, 2);
}

pub(crate) async fn a_panicking_decider_leaves_nothing_behind_and_the_store_working(fresh: Fresh) {
    fn broken(_: i64, _: &[OrderCommand], _: Loaded) -> Decision {
        panic!("a bug in the decider (this test wants it)")
    }
    let refused = fresh.store.run(Arc::new([place(1)]), broken).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    fresh.run(vec![place(1)]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn a_command_is_pending_exactly_while_it_is_in_flight(fresh: Fresh) {
    let steps = [
        (place(1), Some(StockCommandKind::ReserveStock)),
        (reserved(1), None),
        (cancel(1), Some(StockCommandKind::ReleaseStock)),
        (settle(1, StockOutcome::StockReleased), None),
    ];
    for (command, expected) in steps {
        fresh.run(vec![command]).await;
        let audit = fresh.audit.orders_by_id(vec![id(1)]).await.expect("a read").remove(0);
        assert_eq!(audit.pending, expected);
    }
    // The whole life in one batch ends without a pending command as well.
    fresh.run(vec![place(2), reserved(2), fulfill(2), settle(2, StockOutcome::StockShipped)]).await;
    let audit = fresh.audit.orders_by_id(vec![id(2)]).await.expect("a read").remove(0);
    assert_eq!((audit.status, audit.pending, audit.history.len()), (Status::Fulfilled, None, 4));
}

pub(crate) async fn concurrent_batches_lose_nothing(fresh: Fresh) {
    let writers = (0..8u128).map(|writer| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                let order = writer * 100 + n;
                let own: Arc<[OrderCommand]> = Arc::new([place(order), reserved(order)]);
                run_until_done(&*store, own).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let all = fresh.audit.orders_after(None, 1000).await.expect("a page");
    assert_eq!(all.len(), 80);
    assert!(all.iter().all(|audit| audit.status == Status::Confirmed && audit.pending.is_none()));
}
