//! `lastro stock put` and `lastro locations`.

use serde_json::json;
use testbed::Deployment;

use super::{document, lines, must_contain, printed, run};

#[tokio::test]
async fn a_product_is_created_and_keeps_what_a_change_does_not_name() {
    let shop = Deployment::open().await;
    let words = ["stock", "put", "MUG", "--name", "Mug, blue", "--low-stock", "5"];
    let created = printed(&shop, &words).await;
    must_contain(&created, &["product       MUG, created", "name          Mug, blue", "low at"]);
    let renamed = document(&shop, &["stock", "put", "MUG", "--name", "Mug, red"]).await;
    assert_eq!((&renamed["name"], &renamed["low_stock_at"]), (&json!("Mug, red"), &json!(5)));
    let lowered = printed(&shop, &["stock", "put", "MUG", "--low-stock", "none"]).await;
    must_contain(&lowered, &["MUG, saved", "name          Mug, red", "low at        –"]);
    let whole = document(&shop, &words).await;
    assert_eq!((&whole["name"], &whole["low_stock_at"]), (&json!("Mug, blue"), &json!(5)));
}

#[tokio::test]
async fn what_exists_is_not_created_and_what_does_not_is_not_changed() {
    let shop = Deployment::open().await;
    for (what, change) in [("stock", "--low-stock"), ("locations", "--priority")] {
        let put = async |words: &[&str]| run(&shop, &[&[what, "put", "X1"], words].concat()).await;
        let missing = put(&[change, "3"]).await;
        assert_eq!((missing.code, missing.stdout.as_str()), (Some(3), ""), "{missing:?}");
        must_contain(&missing.stderr, &["X1 does not exist", "hint: with --name, it is created"]);
        assert_eq!(put(&["--name", "first", "--new"]).await.code, Some(0));
        let equal = put(&["--name", "first", "--new"]).await;
        assert_eq!(equal.code, Some(0), "a repeat: {equal:?}");
        must_contain(&equal.stdout, &["X1, saved", "name          first"]);
        let twice = put(&["--name", "second", "--new"]).await;
        assert_eq!((twice.code, twice.stdout.as_str()), (Some(1), ""), "{twice:?}");
        must_contain(&twice.stderr, &["X1 exists with other values", "without --new"]);
        let shown = put(&[change, "4"]).await.stdout;
        must_contain(&shown, &["X1, saved", "name          first"]);
        for wrong in [&[][..], &["--new"], &[change, "3", "--new"], &[change, "-1"]] {
            put(wrong).await.must_be_a_usage_error(wrong);
        }
        let blank = put(&["--name", " "]).await;
        assert_eq!(blank.code, Some(1));
        must_contain(&blank.stderr, &["/name: ", "422 invalid_request"]);
    }
}

#[tokio::test]
async fn locations_are_created_and_listed_as_they_serve_orders() {
    let shop = Deployment::open().await;
    let created = printed(
        &shop,
        &["locations", "put", "store", "--name", "Corner store", "--priority", "10"],
    );
    must_contain(&created.await, &["location      store, created", "priority      10"]);
    let moved = ["locations", "put", "store", "--priority", "20"];
    assert_eq!(document(&shop, &moved).await["name"], "Corner store");
    printed(&shop, &["locations", "put", "attic", "--name", "Attic", "--priority", "15"]).await;
    let listed = printed(&shop, &["locations", "list"]).await;
    must_contain(&listed, &["LOCATION  NAME", "PRIORITY"]);
    let of_each = lines(&shop, &["locations", "list"]).await;
    let ids: Vec<_> = of_each.iter().map(|one| one["location_id"].as_str()).collect();
    assert_eq!(ids, [Some("main"), Some("attic"), Some("store")]);
    let two = run(&shop, &["locations", "list", "--limit", "2"]).await;
    must_contain(&two.stderr, &["there are more locations"]);
}

#[tokio::test]
async fn what_is_not_known_is_reported_with_the_command_that_creates_it() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let nowhere = run(&shop, &["stock", "receive", "MUG", "1", "--location", "attic"]).await;
    must_contain(&nowhere.stderr, &["422 invalid_request", "`lastro locations put LOCATION"]);
    let nothing = run(&shop, &["stock", "receive", "TEE", "1"]).await;
    must_contain(&nothing.stderr, &["404 product_not_found", "`lastro stock put PRODUCT"]);
    let file = shop.folder().join("count.csv");
    let text = "product_id,quantity,location_id\nMUG,2,attic\nTEE,3,main\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("text");
    let import = run(&shop, &["stock", "import", file, "--reason", "count"]).await;
    assert_eq!(import.code, Some(1));
    let words = ["2 of 2 rows refused", "`lastro stock put", "`lastro locations put", "correct"];
    must_contain(&import.stderr, &words);
}
