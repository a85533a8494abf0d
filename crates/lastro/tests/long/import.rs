//! A large file of counted stock, in the middle of which the program is killed again and again.

use serde_json::Value;
use testbed::{Deployment, Random};
use tokio::time::Instant;

use super::{AFTERMATH, tell};

const ROWS: usize = 100_000;
const KILLS: u32 = 5;
/// Between two kills, at most this many batches are committed.
const MAX_BATCHES: u64 = 80;
const QUERY: &str = "/api/inventory/import?reason=annual";
const HEADERS: [(&str, &str); 2] = [("content-type", "text/csv"), ("idempotency-key", "K")];

/// The number of units that were counted of the product with this number.
fn counted(n: usize) -> usize {
    n % 1000
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_100_000_rows_that_is_killed_and_repeated_counts_every_row_once() {
    let mut random = Random::seeded("import");
    let mut shop = Deployment::open().await;
    let rows: String = (0..ROWS).map(|n| format!("P{n},Product {n},{}\n", counted(n))).collect();
    let file = format!("product_id,name,quantity\n{rows}");
    for _ in 0..KILLS {
        let batch = 1 + random.below(MAX_BATCHES);
        shop.environment.fault = Some(format!("kill import.batch_committed {batch}"));
        shop.reopen().await;
        let killed = shop.try_send("POST", QUERY, &HEADERS, file.clone()).await;
        assert!(killed.is_err(), "the program is killed");
        shop.environment.fault = None;
        shop.restart_ended().await;
    }
    for round in ["first", "again"] {
        let began = Instant::now();
        let answer = shop.send("POST", QUERY, &HEADERS, file.clone()).await;
        let took = began.elapsed();
        let last: Value =
            serde_json::from_str(answer.text.lines().last().expect("a last line")).expect("JSON");
        let rate = ROWS as u128 * 1000 / took.as_millis().max(1);
        let line = format!("took={:.1}s rows_per_s={rate} {last}", took.as_secs_f32());
        tell(&format!("import of 100 000 rows, {round}"), &shop, &line);
        assert_eq!((&last["done"], &last["failed"]), (&true.into(), &0.into()), "{last}");
        let numbers = ["changed", "replayed"].map(|name| last[name].as_u64().unwrap_or_default());
        assert_eq!(numbers[0] + numbers[1], ROWS as u64);
    }
    let (products, _) = shop.pages("/api/inventory/products?limit=200").await;
    assert_eq!(products.len(), ROWS);
    for product in products {
        let n = product["product_id"].as_str().expect("an id")[1..].parse().expect("a number");
        assert_eq!(product["on_hand"], counted(n), "{product}");
    }
    let movements = shop.verify_with(AFTERMATH, &[]).await;
    assert_eq!(movements.code, Some(0), "{}{}", movements.stdout, movements.stderr);
}
