//! What requests read.

use super::*;

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
    let list = async |status, customer: Option<&str>, before: Option<u128>| {
        let customer_id = customer.map(|customer| customer.parse().expect("an id"));
        let filter = Filter { status, customer_id, before: before.map(id), limit: 100 };
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

pub(crate) async fn the_backlog_is_counted_with_its_oldest_age(fresh: Fresh) {
    assert_eq!(fresh.store.backlog().await.expect("a read"), crate::store::Backlog::default());
    fresh.run(vec![place(1)]).await;
    fresh.clock.advance(Duration::from_secs(7));
    fresh.run(vec![place(2)]).await;
    let backlog = fresh.store.backlog().await.expect("a read");
    assert_eq!((backlog.commands, backlog.oldest_age), (2, Duration::from_secs(7)));
}
