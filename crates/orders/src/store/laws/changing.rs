//! Orders that are paid, shipped in parts, returned and cancelled in part.

use orders_core::changes::Tracking;
use orders_core::decide::Refusal;

use super::*;

/// A change of an order with this number, made of what the order is by then.
type Step = fn(u128) -> OrderCommand;

/// What a client does to an order, one after the other, and Inventory answers each.
const LIFE: [Step; 8] = [
    |n| pay(n, "ch_1"),
    |n| ship(n, "s-1", "789", 1),
    |n| cancel_units(n, "c-1", "789", 1),
    |n| ship(n, "s-2", "456", 1),
    |n| ask(n, OrderRequest::CancelShipment { shipment: 8, reason: Some("lost".to_owned()) }),
    |n| take_back(n, "r-1", "789", 1),
    |n| {
        let number = Some("7".to_owned());
        let tracking = Tracking { number, ..Tracking::default() };
        ask(n, OrderRequest::Track { shipment: 4, tracking })
    },
    |n| ask(n, OrderRequest::Refund { reference: "re_1".to_owned(), amount_minor: 1999 }),
];

impl Fresh {
    /// Lets an order live through all of it, command by command, and returns the commands.
    async fn live(&self, n: u128) -> Vec<OrderCommand> {
        let mut commands = vec![place_to_pay(n, 900)];
        self.run(commands.clone()).await;
        let first = self.answer(n).await;
        self.run(vec![first.clone()]).await;
        commands.push(first);
        for step in LIFE {
            let outcomes = self.run(vec![step(n)]).await;
            assert!(
                matches!(&outcomes[..], [OrderOutcome::Accepted { replayed: false, .. }]),
                "{outcomes:?}"
            );
            commands.push(step(n));
            self.must_be_sound().await;
            if self.view(n).await.registers.in_flight().is_some() {
                let answer = self.answer(n).await;
                self.run(vec![answer.clone()]).await;
                commands.push(answer);
                self.must_be_sound().await;
            }
        }
        commands
    }

    async fn pending(&self, n: u128) -> Option<i64> {
        let audit = self.audit.orders_by_id(vec![id(n)]).await.expect("a read").remove(0);
        audit.pending.map(|pending| pending.revision)
    }
}

/// The same command about another order.
fn about(n: u128, command: &OrderCommand) -> OrderCommand {
    match command.clone() {
        OrderCommand::Place(_) => place_to_pay(n, 900),
        OrderCommand::Request { request, context, .. } => {
            OrderCommand::Request { order_id: id(n), request, context }
        }
        OrderCommand::Expire { .. } => OrderCommand::expire(id(n)),
        OrderCommand::Settle(mut answer) => {
            answer.order_id = id(n);
            OrderCommand::Settle(answer)
        }
    }
}

pub(crate) async fn a_whole_life_is_read_back_as_it_was_written(fresh: Fresh) {
    fresh.live(1).await;
    let order = fresh.view(1).await;
    assert_eq!(order.terms.payment, Some(PaymentTerms { within_s: 900 }));
    let registers = &order.registers;
    let shipments: Vec<_> = registers
        .shipments
        .iter()
        .map(|one| (one.seq, one.lines.total(), one.state(registers.settled()).as_str()))
        .collect();
    assert_eq!(shipments, [(4, 1, "shipped"), (8, 1, "cancelled")]);
    let tracking = registers.shipments[0].tracking.as_ref().expect("how to follow it");
    assert_eq!(tracking.number.as_deref(), Some("7"));
    assert_eq!((registers.returns.len(), registers.cancellations.len()), (1, 1));
    assert_eq!(registers.returns[0].lines.total(), 1);
    let keys: Vec<_> = registers.keys.iter().map(|used| used.key.clone()).collect();
    assert_eq!(keys, ["s-1", "c-1", "s-2", "r-1"].map(request_key));
    let balance = order.balance.expect("it is paid");
    assert_eq!((balance.paid_minor, balance.refunded_minor), (6997, 1999));
    assert_eq!((balance.amount_minor, balance.refund_due_minor), (4998, 0));
    assert_eq!(order.status, Status::Confirmed);
    let made = order.history.iter().map(|entry| entry.seq);
    assert!(made.eq(2..=15), "{:?}", order.history);
}

/// The clock stands still, so the entries are the same to the letter.
pub(crate) async fn a_life_in_one_batch_ends_as_one_in_many(fresh: Fresh) {
    let commands = fresh.live(1).await;
    fresh.run(commands.iter().map(|command| about(2, command)).collect()).await;
    let [one_by_one, at_once] = [fresh.view(1).await, fresh.view(2).await];
    assert_eq!(at_once.history, one_by_one.history);
    assert_eq!(at_once.registers, one_by_one.registers);
    for cut in 1..commands.len() {
        let n = 10 + cut as u128;
        let (first, rest) = commands.split_at(cut);
        for batch in [first, rest] {
            fresh.run(batch.iter().map(|command| about(n, command)).collect()).await;
        }
        assert_eq!(fresh.view(n).await.history, one_by_one.history, "cut at {cut}");
    }
    fresh.must_be_sound().await;
}

pub(crate) async fn a_change_with_a_known_key_is_made_once(fresh: Fresh) {
    fresh.run(vec![place(1), reserved(1)]).await;
    let accepted = |outcome: &OrderOutcome| match outcome {
        OrderOutcome::Accepted { entry, replayed, .. } => (*entry, *replayed),
        other => panic!("{other:?}"),
    };
    let outcomes = fresh.run(vec![ship(1, "k", "789", 1), ship(1, "k", "789", 1)]).await;
    let outcomes: Vec<_> = outcomes.iter().map(accepted).collect();
    assert_eq!(outcomes, [(Some(3), false), (Some(3), true)], "within a batch");
    let later = fresh.run(vec![ship(1, "k", "789", 1)]).await;
    assert_eq!(accepted(&later[0]), (Some(3), true), "and later");
    let key = RequestKey { digest: Digest([9; 16]), ..request_key("k") };
    let other = OrderRequest::Ship { key, lines: None, tracking: None };
    let refused = fresh.run(vec![ask(1, other)]).await;
    assert_eq!(refused, [OrderOutcome::Refused(Refusal::KeyReused)]);
    assert_eq!((fresh.view(1).await.history.len(), fresh.pending(1).await), (2, Some(2)));
    fresh.run(vec![place(2), reserved(2)]).await;
    let of_another = fresh.run(vec![ship(2, "k", "789", 1)]).await;
    assert_eq!(accepted(&of_another[0]), (Some(3), false), "a key belongs to one order");
    fresh.must_be_sound().await;
}

pub(crate) async fn two_changes_of_one_batch_are_one_command(fresh: Fresh) {
    fresh.run(vec![place(1), reserved(1)]).await;
    fresh.run(vec![ship(1, "a", "789", 2), ship(1, "b", "456", 1)]).await;
    assert_eq!(
        (fresh.status(1).await, fresh.pending(1).await),
        (Some(Status::Fulfilling), Some(3))
    );
    fresh.must_be_sound().await;
    let answer = fresh.answer(1).await;
    fresh.run(vec![answer]).await;
    assert_eq!((fresh.status(1).await, fresh.pending(1).await), (Some(Status::Fulfilled), None));
    fresh.must_be_sound().await;
}

/// Each change takes the place of the command before it, which was not answered.
pub(crate) async fn changes_during_an_outage_are_one_command(fresh: Fresh) {
    fresh.run(vec![place(1), reserved(1)]).await;
    for (revision, change) in
        (2..).zip([ship(1, "a", "789", 1), ship(1, "b", "789", 1), take_back(1, "c", "789", 1)])
    {
        fresh.run(vec![change]).await;
        assert_eq!(fresh.pending(1).await, Some(revision));
    }
    assert_eq!(fresh.store.backlog().await.expect("a read").commands, 1);
    fresh.clock.advance(DELAY);
    let leased = fresh.store.lease(lease(10, DUE)).await.expect("a lease");
    let intent = fresh.view(1).await.registers.sent_intent();
    assert_eq!((leased.len(), &leased[0].intent), (1, &intent));
    assert_eq!(leased[0].digest, intent.digest());
    fresh.must_be_sound().await;
}

pub(crate) async fn a_payment_and_a_deadline_of_one_batch_have_one_winner(fresh: Fresh) {
    let expire = |n| OrderCommand::expire(id(n));
    for n in [1, 2] {
        fresh.run(vec![place_to_pay(n, 60), reserved(n)]).await;
        assert_eq!(fresh.status(n).await, Some(Status::Reserved));
    }
    let outcomes = fresh.run(vec![pay(1, "a"), expire(1)]).await;
    assert!(matches!(&outcomes[1], OrderOutcome::Stale), "{outcomes:?}");
    assert_eq!((fresh.status(1).await, fresh.pending(1).await), (Some(Status::Confirmed), None));
    fresh.must_be_sound().await;

    let outcomes = fresh.run(vec![expire(2), pay(2, "a")]).await;
    assert!(matches!(&outcomes[0], OrderOutcome::Expired(_)), "{outcomes:?}");
    assert_eq!((fresh.status(2).await, fresh.pending(2).await), (Some(Status::Reviving), Some(3)));
    fresh.must_be_sound().await;
    let leased = {
        fresh.clock.advance(DELAY);
        fresh.store.lease(lease(10, DUE)).await.expect("a lease")
    };
    assert_eq!(leased[0].intent.wanted, ordered(2), "it asks for its units again");

    // The deadline alone: what is sent is 0 of each product.
    fresh.run(vec![place_to_pay(3, 60), reserved(3)]).await;
    fresh.run(vec![expire(3)]).await;
    fresh.clock.advance(DELAY);
    let leased = fresh.store.lease(lease(10, DUE)).await.expect("a lease");
    let of_3 = leased.iter().find(|command| command.order_id == id(3)).expect("its command");
    assert_eq!((of_3.intent.wanted.total(), of_3.digest), (0, of_3.intent.digest()));
    fresh.must_be_sound().await;
}

pub(crate) async fn an_order_that_is_paid_before_it_is_answered_stays_received(fresh: Fresh) {
    fresh.run(vec![place_to_pay(1, 60), place_to_pay(2, 60), place_to_pay(3, 60)]).await;
    fresh.run(vec![pay(1, "a"), pay(2, "b")]).await;
    let received = Filter { statuses: vec![Status::Received], limit: 9, ..Filter::default() };
    let listed = fresh.store.orders(received).await.expect("a page");
    let listed: Vec<_> = listed.iter().map(|order| (order.order_id, order.status)).collect();
    assert_eq!(listed, [3, 2, 1].map(|n| (id(n), Status::Received)));
    assert_eq!((fresh.view(1).await.history.len(), fresh.pending(1).await), (1, Some(1)));
    fresh.must_be_sound().await;
    fresh.run(vec![reserved(1), rejected(2), reserved(3)]).await;
    let [paid, owed, due] = [fresh.view(1).await, fresh.view(2).await, fresh.view(3).await];
    assert_eq!(
        [paid.status, owed.status, due.status],
        [Status::Confirmed, Status::Rejected, Status::Reserved]
    );
    assert_eq!(owed.balance.map(|balance| balance.refund_due_minor), Some(6997));
    fresh.must_be_sound().await;
}

pub(crate) async fn a_refund_is_due_exactly_while_the_arithmetic_says_so(fresh: Fresh) {
    let stored = async |n| {
        let audit = fresh.audit.orders_by_id(vec![id(n)]).await.expect("a read").remove(0);
        audit.state.map_or(0, |state| state.refund_due_minor)
    };
    let refund = |amount_minor| {
        let reference = format!("re-{amount_minor}");
        ask(1, OrderRequest::Refund { reference, amount_minor })
    };
    fresh.run(vec![place_to_pay(1, 60), reserved(1), pay(1, "ch_1")]).await;
    assert_eq!(stored(1).await, 0);
    for (command, due) in [
        (cancel_units(1, "k", "456", 1), 2999),
        (refund(1000), 1999),
        (refund(1999), 0),
        (refund(1), 0),
    ] {
        fresh.run(vec![command]).await;
        assert_eq!(stored(1).await, due);
        fresh.must_be_sound().await;
    }
}

/// Each change is a batch of its own, and all of them are of one order.
pub(crate) async fn changes_side_by_side_lose_nothing(fresh: Fresh) {
    fresh.run(vec![place(1), reserved(1)]).await;
    let tracking = |n: u32| Tracking { number: Some(n.to_string()), ..Tracking::default() };
    fresh.run(vec![ship(1, "s", "789", 1)]).await;
    let changes = (0..20).map(|n| {
        let store = fresh.store.clone();
        let change = ask(1, OrderRequest::Track { shipment: 3, tracking: tracking(n) });
        tokio::spawn(async move { run_until_done(&*store, Arc::new([change])).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.expect("no panic");
    }
    let order = fresh.view(1).await;
    // How to follow a shipment is no change that is counted.
    assert_eq!((order.history.len(), order.registers.changes), (22, 1));
    fresh.must_be_sound().await;
}
