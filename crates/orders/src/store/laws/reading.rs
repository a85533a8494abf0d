//! What requests read.

use super::*;
use crate::store::PaymentFilter;

pub(crate) async fn lists_are_newest_first_filtered_and_complete_page_by_page(fresh: Fresh) {
    fresh.run((1..=25).map(place).collect()).await;
    fresh.run((1..=25).step_by(2).map(reserved).collect()).await;
    let mut seen = Vec::new();
    loop {
        let before = seen.last().copied();
        let filter = Filter { before, limit: 4, ..Filter::default() };
        let page = fresh.store.orders(filter).await.expect("a page");
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|order| order.order_id));
    }
    assert_eq!(seen, (1..=25).rev().map(id).collect::<Vec<_>>());

    // The page of each condition, and of two together.
    let list = async |status: Option<Status>, customer: Option<&str>, before: Option<u128>| {
        let customer_id = customer.map(|customer| customer.parse().expect("an id"));
        let (statuses, before) = (status.into_iter().collect(), before.map(id));
        let filter = Filter { statuses, customer_id, before, limit: 100, ..Filter::default() };
        let orders = fresh.store.orders(filter).await.expect("a page");
        assert!(orders.iter().all(|order| status.is_none_or(|status| order.status == status)));
        orders.iter().map(|order| order.order_id.0.as_u128()).collect::<Vec<_>>()
    };
    let odd: Vec<u128> = (1..=25).rev().filter(|n| n % 2 == 1).collect();
    let even: Vec<u128> = (1..=25).rev().filter(|n| n % 2 == 0).collect();
    let confirmed = Some(Status::Confirmed);
    let received = Some(Status::Received);
    assert_eq!(list(confirmed, None, None).await, odd);
    assert_eq!(list(confirmed, None, Some(5)).await, [3, 1]);
    assert_eq!(list(received, None, None).await, even);
    assert_eq!(list(received, None, Some(5)).await, [4, 2]);
    assert_eq!(list(Some(Status::Fulfilled), None, None).await, []);
    for (customer, status, before, expected) in [
        ("c-1", None, None, &[1][..]),
        ("c-1", None, Some(1), &[]),
        ("c-1", confirmed, None, &[1]),
        ("c-1", received, None, &[]),
        ("c-2", received, Some(9), &[2]),
        ("c-2", confirmed, None, &[]),
        ("nobody", None, None, &[]),
    ] {
        assert_eq!(list(status, Some(customer), before).await, expected, "{customer}");
    }
}

impl Fresh {
    /// The numbers of a list, read in pages of this size.
    async fn numbers(&self, filter: &Filter, limit: u32) -> Vec<u128> {
        let mut found: Vec<u128> = Vec::new();
        loop {
            let before = found.last().copied().map(id).or(filter.before);
            let filter = Filter { before, limit, ..filter.clone() };
            let page = self.store.orders(filter).await.expect("a page");
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                return found;
            }
            found.extend(page.iter().map(|order| order.order_id.0.as_u128()));
        }
    }
}

pub(crate) async fn a_list_of_several_statuses_is_one_list_newest_first(fresh: Fresh) {
    fresh.run((1..=30).map(place).collect()).await;
    fresh.run((1..=30).filter(|n| n % 5 == 0).map(reserved).collect()).await;
    fresh.run((1..=30).filter(|n| n % 5 == 1).map(rejected).collect()).await;
    fresh.run((1..=30).filter(|n| n % 5 == 2).map(cancel).collect()).await;
    let all = [
        (Status::Confirmed, 0),
        (Status::Rejected, 1),
        (Status::Cancelling, 2),
        (Status::Fulfilled, 9),
        (Status::Received, 3),
    ];
    for chosen in 1..1_u32 << all.len() {
        let chosen: Vec<_> =
            (0..all.len()).filter(|at| chosen >> at & 1 == 1).map(|at| all[at]).collect();
        let statuses: Vec<Status> = chosen.iter().map(|(status, _)| *status).collect();
        let listed = |n: &u128| {
            // The rest of the placed ones has no answer: remainders 3 and 4.
            let rest = if n % 5 == 4 { 3 } else { n % 5 };
            chosen.iter().any(|(_, remainder)| *remainder == rest)
        };
        let expected: Vec<u128> = (1..=30).rev().filter(listed).collect();
        let filter = Filter { statuses: statuses.clone(), ..Filter::default() };
        for limit in [1, 4, 100] {
            assert_eq!(fresh.numbers(&filter, limit).await, expected, "{statuses:?}");
        }
        let customer_id = Some("c-10".parse().expect("an id"));
        let of_customer = Filter { customer_id, ..filter };
        let expected: Vec<u128> = expected.into_iter().filter(|n| *n == 10).collect();
        assert_eq!(fresh.numbers(&of_customer, 4).await, expected, "{statuses:?}");
    }
}

pub(crate) async fn lists_by_payment_have_what_is_due_and_what_is_to_be_given_back(fresh: Fresh) {
    let number = |n| made_at(START, n);
    let some = |is_one: fn(&u128) -> bool| (1..=40).filter(is_one).map(number);
    // Remainder 0 is received, 1 reserved, 2 paid and confirmed, 3 paid and then cancelled.
    fresh.run(some(|_| true).map(|n| place_to_pay(n, 60)).collect()).await;
    fresh.run(some(|n| n % 4 != 0).map(reserved).collect()).await;
    fresh.run(some(|n| n % 4 > 1).map(|n| pay(n, "ch")).collect()).await;
    fresh.run(some(|n| n % 4 == 3).map(cancel).collect()).await;
    fresh.run(some(|n| n % 8 == 3).map(released).collect()).await;
    let all = |remainder: u128, of: u128| -> Vec<u128> {
        (1..=40).rev().filter(|n| n % of == remainder).map(number).collect()
    };
    let (due, owed) = (Some(PaymentFilter::Due), Some(PaymentFilter::RefundDue));
    let [reserved, confirmed, cancelled] = [Status::Reserved, Status::Confirmed, Status::Cancelled];
    let future = Some(Timestamp(START.0 + 1));
    for (payment, statuses, from, expected) in [
        (due, vec![], None, all(1, 4)),
        (due, vec![reserved, confirmed], None, all(1, 4)),
        (due, vec![confirmed], None, Vec::new()),
        (owed, vec![], None, all(3, 4)),
        (owed, vec![cancelled, reserved], None, all(3, 8)),
        (owed, vec![Status::Cancelling], None, all(7, 8)),
        (owed, vec![Status::Received], None, Vec::new()),
        (owed, vec![], Some(START), all(3, 4)),
        (owed, vec![], future, Vec::new()),
        (due, vec![], future, Vec::new()),
    ] {
        let filter = Filter { payment, statuses, from, ..Filter::default() };
        for limit in [1, 4, 100] {
            assert_eq!(fresh.numbers(&filter, limit).await, expected, "{filter:?}");
        }
        for n in [3, 5, 7].map(number) {
            let customer_id = Some(format!("c-{n}").parse().expect("an id"));
            let filter = Filter { customer_id, ..filter.clone() };
            let of_customer: Vec<_> = expected.iter().copied().filter(|one| *one == n).collect();
            assert_eq!(fresh.numbers(&filter, 4).await, of_customer, "{filter:?}");
        }
    }
    let filter = Filter { payment: owed, limit: 1, ..Filter::default() };
    let listed = fresh.store.orders(filter).await.expect("a page");
    assert_eq!(listed[0].refund_due_minor, 6997);
    let filter = Filter { payment: due, limit: 1, ..Filter::default() };
    let listed = fresh.store.orders(filter).await.expect("a page");
    assert_eq!(listed[0].pay_by_micros, Some(START.0 + 60_000_000));
    for of_customer in [false, true] {
        let customer_id = of_customer.then(|| format!("c-{}", number(1)).parse().expect("an id"));
        let filter = Filter { customer_id, limit: 40, ..Filter::default() };
        for order in fresh.store.orders(filter).await.expect("a page") {
            let is_reserved = order.status == Status::Reserved;
            assert_eq!(order.pay_by_micros.is_some(), is_reserved, "{order:?}");
        }
    }
    fresh.must_be_sound().await;
}

pub(crate) async fn orders_that_owe_money_are_counted_until_it_is_returned(fresh: Fresh) {
    let counted = async || fresh.store.refunds_due(100).await.expect("a read");
    let refund = |n, reference: &str, amount_minor| {
        ask(n, OrderRequest::Refund { reference: reference.to_owned(), amount_minor })
    };
    fresh.run((1..=6).map(|n| place_to_pay(n, 60)).collect()).await;
    fresh.run((1..=5).map(reserved).collect()).await;
    fresh.run((1..=4).map(|n| pay(n, "ch")).collect()).await;
    assert_eq!(counted().await, 0, "what is paid is not owed");
    fresh.run((2..=5).map(cancel).collect()).await;
    assert_eq!(counted().await, 3, "nobody has paid for the last one");
    assert_eq!(fresh.store.refunds_due(2).await.expect("a read"), 2);
    fresh.run(vec![refund(3, "back", 6996)]).await;
    assert_eq!(counted().await, 3, "a cent is owed");
    fresh.run(vec![refund(3, "rest", 1), refund(4, "back", 6997)]).await;
    assert_eq!(counted().await, 1);
}

pub(crate) async fn the_header_of_an_order_is_read_without_its_history(fresh: Fresh) {
    fresh.run(vec![place(1), reserved(1)]).await;
    let terms = placement(1, None).terms;
    let header = fresh.store.header(id(1)).await.expect("a read").expect("an order");
    assert_eq!((header.customer_id, header.currency), (terms.customer_id, terms.currency));
    assert_eq!(fresh.store.header(id(2)).await.expect("a read"), None);
}

/// An id as a replica makes it whose clock shows this time.
fn made_at(at: Timestamp, n: u128) -> u128 {
    let millis = u128::try_from(at.0 / 1000).expect("after 1970");
    millis << 80 | n
}

/// The clocks of the replicas go before and after that of the store, and that of the store is set
/// back, all by some minutes.
pub(crate) async fn a_list_by_time_has_what_was_accepted_within_it(fresh: Fresh) {
    let second = |n: i64| Timestamp(START.0 + n * 1_000_000);
    let mut accepted = Vec::new();
    for (n, at) in (0..80_u32).zip((0..60).chain(56..76).map(|minute| minute * 60)) {
        fresh.clock.set(second(at));
        let skew = i64::from(n % 5) * 60 - 120;
        let number = made_at(second(at + skew), n.into());
        fresh.run(vec![place(number)]).await;
        if n % 3 == 0 {
            fresh.run(vec![reserved(number)]).await;
        }
        accepted.push((number, second(at), n % 3 == 0));
    }
    // As the engine lists them without a condition.
    let order = fresh.numbers(&Filter::default(), 100).await;
    assert_eq!(order.len(), accepted.len());
    let times =
        [None, Some(0), Some(-9), Some(600), Some(2_759), Some(2_760), Some(3_100), Some(9_999)];
    for (from, to) in times.iter().flat_map(|from| times.iter().map(move |to| (*from, *to))) {
        let (from, to) = (from.map(second), to.map(second));
        for statuses in [vec![], vec![Status::Confirmed], vec![Status::Received, Status::Confirmed]]
        {
            let is_listed = |number: &u128| {
                let one = accepted.iter().find(|(its, ..)| its == number).expect("placed");
                from.is_none_or(|from| one.1 >= from)
                    && to.is_none_or(|to| one.1 < to)
                    && (statuses.len() != 1 || one.2)
            };
            let expected: Vec<u128> = order.iter().copied().filter(is_listed).collect();
            let filter = Filter { statuses: statuses.clone(), from, to, ..Filter::default() };
            assert_eq!(fresh.numbers(&filter, 7).await, expected, "{from:?} {to:?} {statuses:?}");
            if let Some(one) = expected.get(1) {
                let customer_id = Some(format!("c-{one}").parse().expect("an id"));
                let filter = Filter { customer_id, ..filter };
                assert_eq!(fresh.numbers(&filter, 7).await, [*one], "{from:?} {to:?}");
            }
        }
    }
}

pub(crate) async fn the_backlog_is_counted_with_its_oldest_age(fresh: Fresh) {
    assert_eq!(fresh.store.backlog().await.expect("a read"), crate::store::Backlog::default());
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(7));
    fresh.run(vec![place(2)]).await;
    let backlog = fresh.store.backlog().await.expect("a read");
    assert_eq!((backlog.commands, backlog.oldest_age), (2, Duration::from_secs(7)));
}

pub(crate) async fn pending_commands_are_listed_oldest_order_first_page_by_page(fresh: Fresh) {
    for n in 1..=9 {
        fresh.run(vec![place(n)]).await;
        fresh.clock.advance(Duration::from_secs(1));
    }
    fresh.run(vec![reserved(2), reserved(3)]).await;
    // A new command of an old order.
    fresh.run(vec![cancel(3)]).await;
    let list = async |older_than: Option<u64>, limit| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let older_than = older_than.map(Duration::from_secs);
            let filter = PendingFilter { older_than, after, limit };
            let page = fresh.store.pending(filter).await.expect("a page");
            assert!(page.commands.len() <= limit as usize);
            assert_eq!((page.backlog.commands, page.backlog.oldest_age.as_secs()), (8, 9));
            found.extend(page.commands);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    let numbers = |found: &[WaitingCommand]| {
        found.iter().map(|one| one.order_id.0.as_u128()).collect::<Vec<_>>()
    };
    for limit in [1, 3, 8, 9] {
        let all = list(None, limit).await;
        assert_eq!(numbers(&all), [1, 3, 4, 5, 6, 7, 8, 9], "{limit}");
        assert_eq!((all[0].revision, all[1].revision, all[0].attempt), (1, 2, 1));
        assert_eq!(all[0].since, START);
        assert!(all[0].next_attempt_at > all[0].sent_at);
        assert_eq!(numbers(&list(Some(5), limit).await), [1, 4, 5], "{limit}");
        assert_eq!(numbers(&list(Some(10), limit).await), [], "{limit}");
    }
}

/// The oldest orders have new commands, so most rows are read and not listed.
pub(crate) async fn a_page_of_pending_commands_reads_a_bounded_number_of_rows(fresh: Fresh) {
    fresh.run((1..=1101).map(place).collect()).await;
    fresh.clock.advance(Duration::from_secs(60));
    fresh.run((1..=1100).map(cancel).collect()).await;
    let older_than = Some(Duration::from_secs(30));
    let mut filter = PendingFilter { older_than, after: None, limit: 9 };
    let first = fresh.store.pending(filter).await.expect("a page");
    assert_eq!((first.commands.len(), first.next), (0, Some(id(1000))));
    filter.after = first.next;
    let second = fresh.store.pending(filter).await.expect("a page");
    let listed: Vec<_> = second.commands.iter().map(|command| command.order_id).collect();
    assert_eq!((listed, second.next), (vec![id(1101)], None));
}
