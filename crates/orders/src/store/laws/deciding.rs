//! What a store decides and writes: whole batches, under the conditions that the decision saw.

use orders_core::history::Event;

use super::*;

pub(crate) async fn an_order_reads_back_as_it_was_placed(fresh: Fresh) {
    let context = asked_by("key:till");
    let placement = Placement { context, ..placement(1, Some("key")) };
    fresh.run(vec![OrderCommand::Place(Box::new(placement.clone()))]).await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    assert_eq!((order.terms, order.actor), (placement.terms, placement.context.actor));
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
        .run(vec![OrderCommand::Request {
            order_id: id(1),
            request: Box::new(OrderRequest::Cancel { reason: reason.clone() }),
            context: asked_by("user:office"),
        }])
        .await;
    let order = fresh.store.order(id(1)).await.expect("a read").expect("the order");
    let story: Vec<_> =
        order.history.iter().map(|entry| (entry.seq, entry.status, entry.at_micros)).collect();
    let at = |seconds: i64| START.0 + seconds * 1_000_000;
    assert_eq!(story, [(2, Status::Confirmed, at(1)), (3, Status::Cancelling, at(2))]);
    let allocated = Some(all_units());
    let (shortages, booked_at) = (Vec::new(), None);
    let answer = Event::Settled { decided_at_micros: 5, allocated, shortages, booked_at };
    assert_eq!(order.history[0].event, answer);
    let Event::Intended(intended) = &order.history[1].event else { panic!("{order:?}") };
    assert_eq!(intended.shipped, None);
    assert_eq!((intended.actor.as_deref(), &intended.reason), (Some("user:office"), &reason));
    assert_eq!((order.created_at_micros, order.updated_at_micros), (at(0), at(2)));
    assert_eq!((order.allocated, order.shortages), (all_units(), Vec::new()));
}

fn asked_by(actor: &str) -> RequestContext {
    RequestContext { actor: Some(actor.to_owned()), traceparent: None }
}

/// The sweeper builds a command of what is stored: it is the one that was published first.
pub(crate) async fn the_registers_of_an_order_are_read_back_as_they_were_written(fresh: Fresh) {
    for (n, commands) in [
        (1, vec![place(1)]),
        (2, vec![place(2), cancel(2)]),
        (3, vec![place(3), reserved(3), fulfill(3)]),
    ] {
        let mut published = None;
        for command in commands {
            let decided = fresh.store.run(Arc::new([command]), decide).await.expect("executed");
            published = decided.into_iter().find_map(|one| one.publish).or(published);
        }
        fresh.clock.advance(DELAY);
        let leased = fresh.store.lease(lease(10, DUE)).await.expect("a lease");
        let again = leased.into_iter().find(|command| command.order_id == id(n));
        let (first, again) = (published.expect("a command"), again.expect("a command"));
        assert_eq!((again.intent.clone(), again.digest), (first.intent, first.digest));
        assert_eq!(again.digest, again.intent.digest());
    }
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
    /// Decides on an order that it takes for confirmed, whatever was loaded.
    fn stubborn(now: i64, batch: &[OrderCommand], mut loaded: LoadedOrders) -> OrdersDecision {
        let facts = Facts { allocated: all_units(), ..Facts::nothing(Revision::FIRST) };
        for order in loaded.orders.values_mut() {
            order.registers.facts = Some(facts.clone());
            order.last_seq = 2;
        }
        decide(now, batch, loaded)
    }
    /// Decides on an order that it takes for received, whatever was loaded.
    fn forgetful(now: i64, batch: &[OrderCommand], mut loaded: LoadedOrders) -> OrdersDecision {
        for order in loaded.orders.values_mut() {
            order.registers.facts = None;
            order.last_seq = 1;
        }
        decide(now, batch, loaded)
    }
    fresh.run(vec![place(1), place(2), reserved(2)]).await;
    for (command, mistaken) in
        [(fulfill(1), stubborn as orders_core::decide::DecideOrders), (cancel(2), forgetful)]
    {
        let refused = fresh.store.run(Arc::new([command]), mistaken).await;
        assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    }
    assert_eq!(fresh.status(1).await, Some(Status::Received));
    assert_eq!(fresh.status(2).await, Some(Status::Confirmed));
}

pub(crate) async fn a_batch_is_written_whole_or_not_at_all(fresh: Fresh) {
    /// Decides well, but twice makes the first order.
    fn twice(now: i64, batch: &[OrderCommand], loaded: LoadedOrders) -> OrdersDecision {
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
    fn broken(_: i64, _: &[OrderCommand], _: LoadedOrders) -> OrdersDecision {
        panic!("a bug in the decider (this test wants it)")
    }
    let refused = fresh.store.run(Arc::new([place(1)]), broken).await;
    assert!(matches!(refused, Err(Failure::Suspect(_))), "{refused:?}");
    fresh.run(vec![place(1)]).await;
    assert_eq!(fresh.status(1).await, Some(Status::Received));
}

pub(crate) async fn a_command_is_pending_exactly_while_the_intent_is_ahead(fresh: Fresh) {
    let steps =
        [(place(1), Some(1)), (reserved(1), None), (cancel(1), Some(2)), (released(1), None)];
    for (command, expected) in steps {
        fresh.run(vec![command]).await;
        let audit = fresh.audit.orders_by_id(vec![id(1)]).await.expect("a read").remove(0);
        assert_eq!(audit.pending.map(|pending| pending.revision), expected);
    }
    // The whole life in one batch ends without a pending command as well.
    fresh.run(vec![place(2), reserved(2), fulfill(2), shipped(2)]).await;
    let audit = fresh.audit.orders_by_id(vec![id(2)]).await.expect("a read").remove(0);
    assert_eq!((status_of(&audit), audit.pending), (Status::Fulfilled, None));
    assert_eq!(audit.history.len(), 3);
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
    assert!(
        all.iter().all(|audit| status_of(audit) == Status::Confirmed && audit.pending.is_none())
    );
}
