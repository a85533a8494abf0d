//! The list of orders: newest first, filtered, page by page.

use serde_json::json;

use testbed::{Deployment, members, order};

/// A shop with seven orders, oldest first, of some customers and in some states.
async fn busy_shop() -> (Deployment, Vec<String>) {
    let shop = Deployment::open().await;
    shop.stock("MUG", 100).await;
    let mut ids = Vec::new();
    for (customer, product) in
        [("A", "MUG"), ("B", "MUG"), ("A", "X"), ("A", "MUG"), ("B", "X"), ("A", "X"), ("A", "MUG")]
    {
        let mut order = order(&[(product, 1)]);
        order["customer_id"] = json!(customer);
        let id = shop.place(&order).await.text_at("/order_id");
        shop.order_once(&id, if product == "MUG" { "confirmed" } else { "rejected" }).await;
        ids.push(id);
    }
    (shop, ids)
}

#[tokio::test]
async fn orders_are_listed_newest_first_and_filtered() {
    let (shop, ids) = busy_shop().await;
    for (query, expected) in [
        ("", &[6, 5, 4, 3, 2, 1, 0][..]),
        ("?customer_id=A", &[6, 5, 3, 2, 0]),
        ("?customer_id=B", &[4, 1]),
        ("?customer_id=C", &[]),
        ("?status=rejected", &[5, 4, 2]),
        ("?status=cancelled", &[]),
        ("?status=confirmed&customer_id=A", &[6, 3, 0]),
    ] {
        let expected: Vec<_> = expected.iter().map(|index| ids[*index].clone()).collect();
        assert_eq!(
            shop.column(&format!("/api/orders{query}"), "order_id").await,
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_list_comes_page_by_page() {
    let (shop, ids) = busy_shop().await;
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    for (query, sizes, expected) in [
        ("limit=3", &[3, 3, 1][..], &newest_first[..]),
        ("limit=7", &[7], &newest_first),
        ("limit=200", &[7], &newest_first),
        ("customer_id=B&limit=1", &[1, 1], &[ids[4].clone(), ids[1].clone()]),
    ] {
        let (rows, found) = shop.pages(&format!("/api/orders?{query}")).await;
        let listed: Vec<_> =
            rows.iter().map(|row| row["order_id"].as_str().expect("an id")).collect();
        assert_eq!(
            (found.as_slice(), listed),
            (sizes, expected.iter().map(String::as_str).collect()),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_page_stands_still_while_orders_come_in() {
    let (shop, ids) = busy_shop().await;
    let first = shop.get("/api/orders?limit=2").await.ok();
    shop.place(&order(&[("MUG", 1)])).await.ok();
    let cursor = first["next_cursor"].as_str().expect("another page");
    let second = shop.get(&format!("/api/orders?limit=2&cursor={cursor}")).await.ok();
    assert_eq!(
        (&second["data"][0]["order_id"], &second["data"][1]["order_id"]),
        (&json!(ids[4]), &json!(ids[3]))
    );
}

#[tokio::test]
async fn a_row_of_the_list_is_the_order_without_its_parts() {
    let (shop, ids) = busy_shop().await;
    let page = shop.get("/api/orders?limit=1").await.ok();
    assert_eq!(members(&page), ["data", "next_cursor"]);
    let row = &page["data"][0];
    let expected = ["order_id", "customer_id", "status", "currency", "total", "refund_due"];
    let expected = [&expected[..], &["pay_by", "created_at", "updated_at"]].concat();
    assert_eq!(members(row), expected);
    let order = shop.order(&ids[6]).await;
    assert!(expected.iter().all(|name| row[*name] == order[*name]), "{row} {order}");
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused_with_every_fault() {
    let (shop, _) = busy_shop().await;
    let cursor_of_another = {
        shop.stock("A", 0).await;
        let page = shop.get("/api/inventory/products?limit=1").await.ok();
        page["next_cursor"].as_str().expect("two products").to_owned()
    };
    for (query, verdict, faults) in [
        ("limit=0", "422 invalid_request", &["limit out_of_range"][..]),
        ("limit=201", "422 invalid_request", &["limit out_of_range"]),
        (
            "limit=ten&limt=5&status=new&payment=owed",
            "422 invalid_request",
            &["limit bad_format", "limt unknown_field", "status bad_format", "payment bad_format"],
        ),
        ("status=confirmed&status=rejected", "422 invalid_request", &["status bad_format"]),
        ("customer_id=%00", "422 invalid_request", &["customer_id bad_format"]),
        ("cursor=nonsense", "400 invalid_cursor", &[]),
        (&format!("cursor={cursor_of_another}"), "400 invalid_cursor", &[]),
    ] {
        let answer = shop.get(&format!("/api/orders?{query}")).await;
        assert_eq!(
            (answer.verdict().as_str(), answer.faults()),
            (verdict, faults.iter().map(|f| (*f).to_owned()).collect()),
            "{query}"
        );
    }
}
