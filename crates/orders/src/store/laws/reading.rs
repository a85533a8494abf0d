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

    let status = Some(Status::Confirmed);
    let confirmed = fresh
        .store
        .orders(Filter { status, limit: 100, ..Filter::default() })
        .await
        .expect("a page");
    assert_eq!(confirmed.len(), 13);
    for (customer, expected) in [("c-1", 1), ("nobody", 0)] {
        let customer_id = Some(customer.parse().expect("an id"));
        let found = fresh
            .store
            .orders(Filter { customer_id, status, limit: 100, before: None })
            .await
            .expect("a page");
        assert_eq!(found.len(), expected, "{customer}");
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
