//! `lastro orders`.

use serde_json::json;
use testbed::Deployment;

use super::{document, lines, must_contain, printed, run};

#[tokio::test]
async fn an_order_is_placed_listed_and_shown() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let place = ["orders", "place", "--customer", "C7", "--line", "MUG:2:19.90"];
    let receipt = document(&shop, &place).await;
    assert_eq!(receipt["status"], "confirmed");
    let id = receipt["order_id"].as_str().expect("an id");
    let placed = printed(&shop, &place).await;
    must_contain(&placed, &["status        confirmed", "message       Order confirmed."]);
    let short = ["orders", "place", "--customer", "C8", "--line", "MUG:50:1", "--currency", "JPY"];
    must_contain(&printed(&shop, &short).await, &["MUG: 50 requested, 5 available (out_of_stock)"]);

    let listed = printed(&shop, &["orders", "list", "--customer", "C7"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    must_contain(&listed, &["ORDER", "STATUS", id, "confirmed", "C7", "BRL 39.80"]);
    must_contain(&printed(&shop, &["orders", "list"]).await, &["rejected", "JPY 50"]);
    let rejected = lines(&shop, &["orders", "list", "--status", "rejected"]).await;
    assert_eq!((rejected.len(), &rejected[0]["customer_id"]), (1, &json!("C8")));

    let shown = printed(&shop, &["orders", "show", id]).await;
    let words = [
        "status        confirmed, for",
        "total         BRL 39.80",
        "command       none is pending",
        "inventory     reserved at revision 1: 2 × MUG at main",
        "reserve MUG at main: reserved +2",
        "Nothing is stuck.",
    ];
    must_contain(&shown, &words);
    let shown = document(&shop, &["orders", "show", id]).await;
    assert_eq!(shown["order"], shop.order(id).await);
    assert_eq!((&shown["command"], &shown["set_aside"]), (&json!(null), &json!([])));
    assert_eq!(shown["reservation"]["state"], "reserved");
    assert!(shown["advice"].as_str().is_some_and(|advice| advice.contains("stuck")), "{shown}");
}

#[tokio::test]
async fn a_list_goes_on_over_pages_and_says_when_there_is_more() {
    let shop = Deployment::open().await;
    for _ in 0..3 {
        shop.settle(&[("MUG", 1)]).await;
    }
    let two = run(&shop, &["orders", "list", "--limit", "2", "--json"]).await;
    assert_eq!((two.code, two.stdout.lines().count()), (Some(0), 2));
    assert_eq!(two.stderr, "there are more orders: --all shows them, --limit sets how many\n");
    let all = run(&shop, &["orders", "list", "--all", "--json"]).await;
    assert_eq!((all.stdout.lines().count(), all.stderr.as_str()), (3, ""));
    let none = run(&shop, &["orders", "list", "--customer", "nobody"]).await;
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no orders\n"));
}

#[tokio::test]
async fn an_order_is_paid_shipped_returned_refunded_and_cancelled() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let place =
        ["orders", "place", "--customer", "C1", "--line", "MUG:3:10", "--pay-within", "10m"];
    let receipt = document(&shop, &place).await;
    assert_eq!(receipt["status"], "reserved");
    let id = receipt["order_id"].as_str().expect("an id");
    assert_eq!(lines(&shop, &["orders", "list", "--payment", "due"]).await.len(), 1);
    let shown = printed(&shop, &["orders", "show", id]).await;
    must_contain(&shown, &["due, amount 30.00, to be paid by", "It waits for its payment until"]);

    let paid = printed(&shop, &["orders", "pay", id, "--reference", "charge-1"]).await;
    must_contain(&paid, &["confirmed", "payment       paid, amount 30.00, paid 30.00"]);
    let cancelled = ["orders", "cancel", id, "--line", "MUG:1", "--reason", "too many"];
    must_contain(&printed(&shop, &cancelled).await, &["refund due 10.00"]);
    let ship = ["orders", "ship", id, "--line", "MUG:1:main", "--carrier", "Correios"];
    must_contain(&printed(&shop, &ship).await, &["shipped, 1 × MUG at main"]);
    let shown = printed(&shop, &["orders", "show", id]).await;
    let stock = "reserved at revision 3: 1 × MUG at main; shipped: 1 × MUG at main";
    must_contain(&shown, &[stock]);
    let fulfilled = printed(&shop, &["orders", "fulfill", id]).await;
    must_contain(&fulfilled, &["status        fulfilled"]);
    let back = ["orders", "return", id, "--line", "MUG:1", "--disposition", "quarantine"];
    must_contain(&printed(&shop, &back).await, &["1 × MUG at main, quarantine"]);
    let refund = ["orders", "refund", id, "--reference", "back-1", "--amount", "5.00"];
    must_contain(&printed(&shop, &refund).await, &["refunded 5.00"]);
    let shown = printed(&shop, &["orders", "show", id]).await;
    must_contain(&shown, &["shipment", "return", "are owed to the customer"]);

    let other = shop.confirmed(&[("MUG", 1)]).await;
    let cancelled = document(&shop, &["orders", "cancel", &other, "--reason", "a mistake"]).await;
    assert_eq!(cancelled["status"], "cancelled");
}

#[tokio::test]
async fn a_list_of_money_ends_with_its_sum_in_each_currency() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    for (price, currency) in [("10.05", "BRL"), ("0.10", "BRL"), ("700", "JPY")] {
        let line = format!("MUG:1:{price}");
        let place = ["orders", "place", "--customer", "C1", "--line", &line, "--currency"];
        let place = [&place[..], &[currency, "--pay-within", "10m"]].concat();
        let receipt = document(&shop, &place).await;
        assert_eq!(receipt["status"], "reserved");
        let id = receipt["order_id"].as_str().expect("an id");
        if currency == "BRL" {
            printed(&shop, &["orders", "pay", id, "--reference", "charge"]).await;
            printed(&shop, &["orders", "cancel", id]).await;
        }
    }
    let owed = ["orders", "list", "--payment", "refund_due"];
    let listed = printed(&shop, &owed).await;
    assert_eq!(listed.lines().last(), Some("owed to customers: BRL 10.15 (2 orders)"));
    let one = printed(&shop, &[&owed[..], &["--limit", "1"]].concat()).await;
    let expected = "owed to customers: BRL 0.10 (1 order shown; there are more)";
    assert_eq!(one.lines().last(), Some(expected));
    let due = printed(&shop, &["orders", "list", "--payment", "due"]).await;
    assert_eq!(due.lines().last(), Some("to be paid: JPY 700 (1 order)"));
    assert_eq!(lines(&shop, &owed).await.len(), 2, "a script gets the orders alone");
    let none = run(&shop, &[&owed[..], &["--customer", "C2"]].concat()).await;
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no orders\n"));
}

#[tokio::test]
async fn a_command_that_is_repeated_with_its_key_finds_the_same_order() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 9).await;
    let place = ["orders", "place", "--customer", "C1", "--line", "MUG:1:10"];
    let first = run(&shop, &place).await;
    let key = first.stderr.trim().strip_prefix("idempotency key: ").expect("the key is shown");
    let again = run(&shop, &[&place[..], &["--idempotency-key", key]].concat()).await;
    must_contain(&again.stdout, &["repeated"]);
    assert_eq!(first.stdout.lines().next(), again.stdout.lines().next(), "the same order");
    assert_eq!(again.stderr, "", "a key that the user names is not shown");
    assert_eq!(lines(&shop, &["orders", "list"]).await.len(), 1);
}

#[tokio::test]
async fn an_order_is_placed_from_a_file_as_the_api_takes_it() {
    let shop = Deployment::open().await;
    let file = shop.folder().join("order.json");
    let order = json!({"customer_id": "C1", "products": [{"product_id": "MUG", "quantity": 1, "price": 1}]});
    std::fs::write(&file, order.to_string()).expect("a file");
    let file = file.to_str().expect("text");
    let receipt = document(&shop, &["orders", "place", "--file", file]).await;
    assert_eq!(receipt["status"], "rejected", "it has an outcome: {receipt}");
    let both = ["orders", "place", "--file", file, "--customer", "C1"];
    run(&shop, &both).await.must_be_a_usage_error(&both);
}
