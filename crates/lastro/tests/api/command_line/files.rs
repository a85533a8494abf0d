//! `lastro stock import` and `export`.

use std::path::Path;

use serde_json::{Value, json};
use testbed::{Deployment, Launch, program_under_test};

use super::{must_contain, printed, run, tool};

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a file");
    file.to_str().expect("text").to_owned()
}

/// The levels of all products.
async fn levels(shop: &Deployment) -> Vec<Value> {
    let (products, _) = shop.pages("/api/inventory/products").await;
    products.iter().map(|it| json!([it["product_id"], it["name"], it["locations"]])).collect()
}

#[tokio::test]
async fn what_is_exported_is_imported_into_another_shop_and_is_the_same() {
    let shop = Deployment::open().await;
    for id in ["MUG", "TEE", "NONE"] {
        shop.put(
            &format!("/api/inventory/products/{id}"),
            &json!({"name": format!("{id}, 12\"; ç")}),
        )
        .await
        .ok();
    }
    shop.put("/api/inventory/locations/store", &json!({"name": "Store"})).await.ok();
    shop.receive("MUG", "main", 9).await;
    shop.receive("MUG", "store", 4).await;
    shop.receive("TEE", "store", 7).await;
    let file = shop.folder().join("stock.csv");
    let file = file.to_str().expect("text");
    printed(&shop, &["stock", "export", file]).await;
    let text = std::fs::read_to_string(file).expect("the file");
    assert_eq!(printed(&shop, &["stock", "export"]).await, text, "on standard output as well");
    assert_eq!(text.lines().next(), Some("product_id,name,quantity,location_id"));
    assert_eq!(text.lines().count(), 5, "{text}");
    let twice = run(&shop, &["stock", "export", file]).await;
    assert_eq!(twice.code, Some(2), "an existing file is not replaced: {twice:?}");

    let summary = printed(&shop, &["stock", "import", file, "--dry-run"]).await;
    must_contain(&summary, &["4 rows: 0 would be changed", "0 refused"]);
    let other = Deployment::open().await;
    other.put("/api/inventory/locations/store", &json!({"name": "Store"})).await.ok();
    printed(&other, &["stock", "import", file, "--reason", "moved"]).await;
    let units = |levels: &[Value]| -> Vec<String> {
        let levels = levels.iter().filter(|level| level[0] != "NONE");
        levels.map(Value::to_string).collect()
    };
    assert_eq!(units(&levels(&other).await), units(&levels(&shop).await));
    assert_eq!(levels(&other).await.len(), 3, "also a product that was never anywhere");
}

#[tokio::test]
async fn rows_that_are_refused_are_named_and_the_others_are_counted_once() {
    let shop = Deployment::open().await;
    shop.stock("MUG", 1).await;
    let text = "product_id,quantity\nMUG,5\nnope,3\nMUG,x\n";
    let file = write(shop.folder(), "count.csv", text);
    let import = ["stock", "import", &file, "--reason", "count", "--idempotency-key", "K"];
    let ended = run(&shop, &import).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    must_contain(&ended.stdout, &["line 3, product nope: ", "line 4", "2 refused"]);
    must_contain(&ended.stderr, &["error: 2 of 3 rows refused", "hint: "]);
    assert_eq!(shop.levels("MUG").await[0], 5);

    let again = run(&shop, &[&import[..], &["--json"]].concat()).await;
    let lines: Vec<Value> =
        again.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4, "every line of the API: {lines:#?}");
    assert_eq!((&lines[0]["result"], &lines[3]["done"]), (&json!("replayed"), &json!(true)));

    let rows = "{\"product_id\":\"MUG\",\"quantity\":6}\n";
    let file = write(shop.folder(), "count.ndjson", rows);
    printed(&shop, &["stock", "import", &file, "--reason", "count"]).await;
    assert_eq!(shop.levels("MUG").await[0], 6);
}

#[tokio::test]
async fn a_large_file_is_imported_from_standard_input_while_nobody_reads_the_answer() {
    let shop = Deployment::open().await;
    let row = |n: usize| format!("P{n},Product {n},{}\n", n % 100);
    let rows: String = (0..3000).map(row).collect();
    write(shop.folder(), "many.csv", &format!("product_id,name,quantity\n{rows}"));
    let import = format!(
        "'{}' stock import - --reason count --json < many.csv | head -1",
        program_under_test().display()
    );
    let launch = Launch::of("sh", shop.folder()).args(["-c", &import]);
    let url = format!("http://{}", shop.programs.address_of("/api/inventory/products"));
    let ended = launch.env("LASTRO_URL", url).to_end().await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(0), 1), "{ended:?}");
    must_contain(&ended.stderr, &["3000 rows: 3000 changed"]);
    let last = shop.get("/api/inventory/products/P2999").await.ok();
    assert_eq!(last["on_hand"], 99);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_a_usage_error_before_anything_is_sent() {
    let shop = Deployment::open().await;
    for words in [
        &["stock", "import", "missing.csv", "--reason", "count"][..],
        &["stock", "import", ".", "--reason", "count"],
        &["stock", "import", "missing.csv"],
    ] {
        let ended = tool(&shop).args(words.iter().copied()).to_end().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{words:?}: {ended:?}");
    }
}
