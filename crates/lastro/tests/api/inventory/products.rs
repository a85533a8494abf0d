//! Products: put, looked up, listed.

use serde_json::json;

use testbed::{Deployment, JSON, members};

#[tokio::test]
async fn a_product_is_replaced_only_if_nobody_else_did_so_meanwhile() {
    let shop = Deployment::open().await;
    let path = "/api/inventory/products/MUG";
    let put = async |header: (&str, &str), name: &str| {
        let body = json!({"name": name}).to_string();
        shop.send("PUT", path, &[JSON, header], body).await
    };
    let made = put(("if-none-match", "*"), "Mug").await;
    let etag = made.header("etag").expect("an ETag").to_owned();
    shop.receive("MUG", "main", 3).await;
    assert_eq!(shop.get(path).await.header("etag"), Some(etag.as_str()), "the stock is not in it");

    let replaced = put(("if-match", &etag), "Cup").await;
    assert_eq!(replaced.status, 200);
    assert_ne!(replaced.header("etag"), Some(etag.as_str()));
    assert_eq!(put(("if-match", &etag), "Jug").await.verdict(), "412 precondition_failed");
    assert_eq!(put(("if-match", &etag), "Cup").await.status, 200, "a repeat");
    assert_eq!(shop.get(path).await.json()["name"], "Cup");
}

#[tokio::test]
async fn a_product_is_made_and_then_replaced_as_a_whole() {
    let shop = Deployment::open().await;
    let path = "/api/inventory/products/MUG";
    let made = shop.put(path, &json!({"name": "Blue mug", "low_stock_at": 5})).await;
    assert_eq!((made.status, made.json()["low_stock_at"].as_i64()), (201, Some(5)));
    let expected = ["product_id", "name", "low_stock_at", "on_hand", "reserved", "quarantined"];
    let more = ["available", "locations", "created_at", "updated_at"];
    assert_eq!(members(&made.json()), [&expected[..], &more].concat());

    shop.receive("MUG", "main", 3).await;
    let replaced = shop.put(path, &json!({"name": "Red mug"})).await;
    let product = replaced.json();
    assert_eq!(
        (replaced.status, &product["name"], &product["low_stock_at"]),
        (200, &json!("Red mug"), &json!(null))
    );
    assert_eq!(
        (&product["on_hand"], &product["created_at"]),
        (&json!(3), &made.json()["created_at"])
    );
    let main = json!([{"location_id": "main", "on_hand": 3, "reserved": 0, "quarantined": 0, "available": 3}]);
    assert_eq!(product["locations"], main);
    assert_eq!(shop.get(path).await.ok(), product);
}

#[tokio::test]
async fn a_product_that_is_not_there_is_not_found() {
    let shop = Deployment::open().await;
    for id in ["MUG", "%00", &"m".repeat(65)] {
        assert_eq!(
            shop.get(&format!("/api/inventory/products/{id}")).await.verdict(),
            "404 product_not_found"
        );
        let ledger = shop.get(&format!("/api/inventory/products/{id}/movements")).await;
        assert_eq!(ledger.verdict(), "404 product_not_found");
        let movement = shop.move_stock(id, &json!({"kind": "receive", "quantity": 1})).await;
        assert_eq!(movement.verdict(), "404 product_not_found");
    }
}

/// Six products. `low` has 2 left and reports low stock at 2; `enough` has one unit more than that.
async fn assortment() -> Deployment {
    let shop = Deployment::open().await;
    for (id, name, low_stock_at, units) in [
        ("cup", "Copo de café", json!(null), 0),
        ("CUP-2", "Tall cup", json!(0), 0),
        ("enough", "Éclair", json!(2), 3),
        ("low", "100% cotton_shirt", json!(2), 2),
        ("mug", "Blue MUG", json!(null), 1),
        ("X.1", "something else", json!(null), 9),
    ] {
        shop.put(
            &format!("/api/inventory/products/{id}"),
            &json!({"name": name, "low_stock_at": low_stock_at}),
        )
        .await
        .ok();
        if units > 0 {
            shop.receive(id, "main", units).await;
        }
    }
    shop
}

#[tokio::test]
async fn products_are_found_by_the_start_of_their_id_or_a_part_of_their_name() {
    let shop = assortment().await;
    for (query, expected) in [
        ("", &["CUP-2", "X.1", "cup", "enough", "low", "mug"][..]),
        ("?q=CUP", &["CUP-2", "cup"]),
        ("?q=up", &["CUP-2"]),
        ("?q=mug", &["mug"]),
        ("?q=CAF%C3%89", &["cup"]),
        ("?q=%C3%A9cl", &["enough"]),
        ("?q=%25", &["low"]),
        ("?q=_", &["low"]),
        ("?q=100%25+cotton", &["low"]),
        ("?q=nothing", &[]),
        ("?ids=mug,cup,absent", &["cup", "mug"]),
        ("?low_stock=true", &["CUP-2", "low"]),
        ("?low_stock=false&q=e", &["X.1", "cup", "enough", "mug"]),
        ("?low_stock=true&q=c", &["CUP-2", "low"]),
        ("?ids=low,mug&low_stock=true", &["low"]),
    ] {
        assert_eq!(
            shop.column(&format!("/api/inventory/products{query}"), "product_id").await,
            expected,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_name_is_one_name_however_its_letters_are_composed() {
    let shop = Deployment::open().await;
    let path = "/api/inventory/products/MUG";
    let composed = shop.put(path, &json!({"name": "Café ὁδός"})).await;
    let decomposed = shop.put(path, &json!({"name": "Cafe\u{301} ο\u{314}δο\u{301}ς"})).await;
    assert_eq!((composed.status, decomposed.status), (201, 200));
    assert_eq!(decomposed.header("etag"), composed.header("etag"));
    assert_eq!(decomposed.ok(), composed.ok());
    for query in
        ["CAF%C3%89", "cafe%CC%81", "%E1%BD%89%CE%94%CE%8C%CE%A3", "%E1%BD%81%CE%B4%CF%8C%CF%83"]
    {
        let list = format!("/api/inventory/products?q={query}");
        assert_eq!(shop.column(&list, "product_id").await, ["MUG"], "{query}");
    }
}

#[tokio::test]
async fn products_come_page_by_page() {
    let shop = assortment().await;
    for (query, sizes) in
        [("limit=4", &[4, 2][..]), ("limit=6", &[6]), ("limit=1&q=c", &[1, 1, 1, 1])]
    {
        let (rows, found) = shop.pages(&format!("/api/inventory/products?{query}")).await;
        assert_eq!(found, sizes, "{query}");
        let ids: Vec<_> =
            rows.iter().map(|row| row["product_id"].as_str().expect("an id")).collect();
        assert!(ids.is_sorted() && ids.len() == sizes.iter().sum::<usize>(), "{ids:?}");
    }
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let shop = assortment().await;
    let (hundred, hundred_and_one) = (vec!["a"; 100].join(","), vec!["a"; 101].join(","));
    assert_eq!(shop.get(&format!("/api/inventory/products?ids={hundred}")).await.status, 200);
    for (query, verdict, faults) in [
        ("low_stock=yes", "422 invalid_request", &["low_stock bad_format"][..]),
        ("ids=a,,b&q=%FF", "422 invalid_request", &["ids bad_format", "q bad_format"]),
        (&format!("ids={hundred_and_one}"), "422 invalid_request", &["ids out_of_range"]),
        ("name=mug", "422 invalid_request", &["name unknown_field"]),
        ("cursor=AAAA", "400 invalid_cursor", &[]),
    ] {
        let answer = shop.get(&format!("/api/inventory/products?{query}")).await;
        let faults: Vec<_> = faults.iter().map(|fault| (*fault).to_owned()).collect();
        assert_eq!((answer.verdict().as_str(), answer.faults()), (verdict, faults), "{query}");
    }
}
