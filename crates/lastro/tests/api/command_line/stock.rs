//! `lastro stock` without files.

use serde_json::json;
use testbed::Deployment;

use super::{document, lines, must_contain, printed, run};

#[tokio::test]
async fn units_are_received_adjusted_and_counted() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 0).await;
    let receive = ["stock", "receive", "MUG", "10", "--reference", "note 1"];
    must_contain(&printed(&shop, &receive).await, &["receive, +10 on hand", "10 available"]);
    let adjust = ["stock", "adjust", "MUG", "-2", "--reason", "broken"];
    assert_eq!(document(&shop, &adjust).await["on_hand"], 8);
    let count = ["stock", "count", "MUG", "7", "--reason", "stocktaking", "--expected", "8"];
    must_contain(&printed(&shop, &count).await, &["count, -1 on hand", "7 on hand"]);
    let changed = run(&shop, &count).await;
    assert_eq!(changed.code, Some(1), "{changed:?}");
    must_contain(&changed.stderr, &["409 stock_changed", "hint: `lastro stock show PRODUCT`"]);
    let without = ["stock", "adjust", "MUG", "1"];
    run(&shop, &without).await.must_be_a_usage_error(&without);
}

#[tokio::test]
async fn a_product_says_why_its_stock_is_what_it_is_and_who_holds_it() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    shop.stock("TEE", 1).await;
    let id = shop.confirmed(&[("MUG", 2)]).await;
    let adjust = json!({"kind": "adjust", "quantity": -3, "reason": "fell down"});
    shop.move_stock("MUG", &adjust).await.ok();
    let shown = printed(&shop, &["stock", "show", "MUG"]).await;
    let words = [
        "product       MUG",
        "LOCATION  ON HAND  RESERVED  QUARANTINED  AVAILABLE",
        "main      6        2         0            4",
        "fell down",
        &format!("order {id}"),
        "orders that hold units, the latest first (2 units):",
    ];
    must_contain(&shown, &words);
    let shown = document(&shop, &["stock", "show", "MUG", "--movements", "1"]).await;
    assert_eq!(shown["product"]["available"], 4);
    assert_eq!(shown["movements"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["holders"][0]["order_id"], id.as_str());

    let listed = printed(&shop, &["stock", "list"]).await;
    must_contain(&listed, &["PRODUCT", "AVAILABLE", "MUG", "TEE"]);
    let found = lines(&shop, &["stock", "list", "--search", "te"]).await;
    assert_eq!((found.len(), &found[0]["product_id"]), (1, &json!("TEE")));
}
