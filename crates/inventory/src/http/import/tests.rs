use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use inventory_core::decide::InventoryCommand;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tower::ServiceExt;

use crate::http::tests::Api;
use crate::store::laws::{place, put_location};

const KEY: &str = "idempotency-key";
const TEN_ROWS: &str = "product_id,name,quantity,location_id
A,Alpha,1,
B,Beta,2,main
C,Gamma,3,SHOP
D,,4,
E,Epsilon,five,
F,Phi,6,NOWHERE
A,,9,main
G,Gamma ray,7,
H,Eta,8,
MUG,Cup,5,main
";

/// An answer, which may not be there as a whole yet.
async fn begun(api: &Api, query: &str, key: Option<&str>, file: Body) -> Response {
    let mut request = Request::post(format!("/api/inventory/import{query}"));
    request = request.header("content-type", "text/csv");
    if let Some(key) = key {
        request = request.header(KEY, key);
    }
    let request = request.body(file).expect("a request");
    api.router.clone().oneshot(request).await.expect("an answer")
}

/// The status of an answer, and its lines.
async fn post(
    api: &Api,
    query: &str,
    key: Option<&str>,
    file: impl Into<Body>,
) -> (StatusCode, Vec<Value>) {
    let response = begun(api, query, key, file.into()).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    (status, lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect())
}

/// A body of this beginning, after which the connection is lost.
fn cut_after(file: &'static str) -> Body {
    let lost = std::io::Error::other("the connection is lost");
    Body::from_stream(stream::iter([Ok(file.as_bytes()), Err(lost)]))
}

/// A body that arrives in pieces of this many bytes. What is returned beside it ends as soon as the
/// body was read to its end, or was given up.
fn in_pieces(file: &str, length: usize) -> (Body, oneshot::Receiver<()>) {
    let (read, reading) = oneshot::channel();
    let pieces: Vec<_> = file.as_bytes().chunks(length).map(<[u8]>::to_vec).collect();
    let pieces = stream::iter(pieces).then(async |piece| {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(piece)
    });
    let end = stream::once(async {
        let _ = read.send(());
        Ok(Vec::new())
    });
    (Body::from_stream(pieces.chain(end)), reading)
}

/// The answer to an import that is read to its end: `line result`, or `line column code …`.
async fn imported(api: &Api, key: &str, file: &str) -> (Vec<String>, Value) {
    let (status, mut lines) = post(api, "?reason=annual", Some(key), file.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{lines:?}");
    let last = lines.pop().expect("a last line");
    (lines.iter().map(told).collect(), last)
}

fn told(line: &Value) -> String {
    let number = &line["line"];
    if let Some(result) = line["result"].as_str() {
        return format!("{number} {result} {}→{}", line["on_hand_before"], line["on_hand"]);
    }
    let errors = line["errors"].as_array().expect("errors").iter();
    let shown = errors.map(|error| {
        format!(
            " {} {}",
            error["column"].as_str().unwrap_or("-"),
            error["code"].as_str().expect("a code")
        )
    });
    format!("{number}{}", shown.collect::<String>())
}

async fn shop() -> Api {
    let api = Api::new().await;
    api.receive("MUG", 5).await;
    submit(&api, put_location("SHOP", 1)).await;
    api
}

async fn submit(api: &Api, command: InventoryCommand) {
    api.service.batcher.submit(command).await.expect("a decision");
}

async fn on_hand(api: &Api, product: &str) -> Value {
    api.get(&format!("/products/{product}")).await.body["on_hand"].clone()
}

#[tokio::test]
async fn each_row_has_a_result_and_bad_rows_stop_no_others() {
    let api = shop().await;
    let (lines, last) = imported(&api, "K", TEN_ROWS).await;
    assert_eq!(
        lines,
        [
            "2 created 0→1",
            "3 created 0→2",
            "4 created 0→3",
            "5 product_id unknown_product",
            "6 quantity bad_format",
            "7 location_id unknown_location",
            "8 - duplicate_row",
            "9 created 0→7",
            "10 created 0→8",
            "11 counted 5→5",
        ]
    );
    let expected = json!({"done": true, "dry_run": false, "rows": 10, "changed": 6, "unchanged": 0, "replayed": 0, "failed": 4});
    assert_eq!(last, expected);
    assert_eq!(api.get("/products/D").await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/products/F").await.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/products/MUG").await.body["name"], "Cup");
    let ledger = api.get("/products/C/movements").await.body["data"][0].clone();
    assert_eq!(
        (&ledger["kind"], &ledger["reason"], &ledger["reference"], &ledger["location_id"]),
        (&json!("count"), &json!("annual"), &json!("K"), &json!("SHOP"))
    );
}

#[tokio::test]
async fn a_dry_run_judges_the_same_and_writes_nothing() {
    let api = shop().await;
    let (status, mut lines) = post(&api, "?dry_run=true", None, TEN_ROWS).await;
    assert_eq!(status, StatusCode::OK);
    let last = lines.pop().expect("a last line");
    assert_eq!(
        (&last["dry_run"], &last["changed"], &last["failed"]),
        (&json!(true), &json!(6), &json!(4))
    );
    assert_eq!((&lines[9]["name"], &lines[9]["name_before"]), (&json!("Cup"), &json!("MUG")));
    assert_eq!(api.get("/products").await.ids("product_id"), ["MUG"]);
    assert_eq!(api.get("/products/MUG").await.body["name"], "MUG");
    assert_eq!(
        api.get("/products/MUG/movements").await.body["data"].as_array().map(Vec::len),
        Some(1)
    );

    let preview: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(imported(&api, "K", TEN_ROWS).await.0, preview);
}

/// A product that the first batch creates and renames is there for the rows of later batches. How
/// the file is cut into pieces, and so into batches, changes nothing.
#[tokio::test]
async fn a_dry_run_of_many_batches_judges_as_the_import_does_however_it_arrives() {
    let api = shop().await;
    let others: String = (0..600).map(|n| format!("P{n},Product {n},1,main\n")).collect();
    let head = "product_id,name,quantity,location_id\nNEW,First,1,main\nMUG,Cup,5,main\n";
    let file = format!("{head}{others}NEW,,2,SHOP\nMUG,,3,SHOP\nNEW,Second,3,NOWHERE\n");
    let mut previews = Vec::new();
    for piece in [file.len(), 10_000, 4096, 100] {
        let (body, _) = in_pieces(&file, piece);
        let (status, lines) = post(&api, "?dry_run=true", None, body).await;
        assert_eq!((status, lines.len()), (StatusCode::OK, 606));
        previews.push(lines);
    }
    let preview = previews.pop().expect("some");
    assert!(previews.iter().all(|other| *other == preview), "they depend on the pieces");
    let last: Vec<_> = preview[602..605].iter().map(told).collect();
    assert_eq!(last, ["604 counted 0→2", "605 counted 0→3", "606 location_id unknown_location"]);
    let names = [&preview[602], &preview[603]].map(|line| (&line["name"], &line["name_before"]));
    assert_eq!(names, [(&json!("First"), &Value::Null), (&json!("Cup"), &Value::Null)]);

    let (_, mut lines) = post(&api, "?reason=annual", Some("K"), file).await;
    lines.pop();
    assert_eq!(lines, preview[..605], "the import does what its preview said");
}

#[tokio::test]
async fn the_same_import_again_counts_nothing_and_undoes_no_later_change() {
    let api = shop().await;
    imported(&api, "K", TEN_ROWS).await;
    api.put("/products/MUG", json!({"name": "Big cup", "low_stock_at": 2})).await;
    let adjust = json!({"kind": "adjust", "quantity": 1, "reason": "found"});
    api.post("/products/A/movements", None, adjust).await;
    let (lines, last) = imported(&api, "K", TEN_ROWS).await;
    assert_eq!((lines[0].as_str(), lines[9].as_str()), ("2 replayed 0→1", "11 replayed 5→5"));
    let counts = ["changed", "unchanged", "replayed", "failed"].map(|name| last[name].as_u64());
    assert_eq!(counts, [0, 6, 6, 4].map(Some));
    let mug = api.get("/products/MUG").await.body;
    assert_eq!((&mug["name"], &mug["low_stock_at"]), (&json!("Big cup"), &json!(2)));
    assert_eq!(on_hand(&api, "A").await, json!(2));

    let other = TEN_ROWS.replace("B,Beta,2", "B,Beta,3");
    let (lines, _) = imported(&api, "K", &other).await;
    assert_eq!(lines[1], "3 - idempotency_key_reused");
    assert_eq!(imported(&api, "L", TEN_ROWS).await.0[1], "3 unchanged 2→2");
    assert_eq!(api.get("/products/MUG").await.body["low_stock_at"], 2, "it is kept");
}

/// What a row counts is known only if the row can be read.
#[tokio::test]
async fn a_corrected_row_may_follow_one_that_cannot_be_read() {
    let api = shop().await;
    let file = "product_id,name,quantity\nA,Alpha,five\nA,Alpha,5\nA,Alpha,six\nA,Alpha,7\n";
    let (lines, last) = imported(&api, "K", file).await;
    let expected = [
        "2 quantity bad_format",
        "3 created 0→5",
        "4 quantity bad_format - duplicate_row",
        "5 - duplicate_row",
    ];
    assert_eq!(lines, expected);
    assert_eq!((&last["changed"], &last["failed"]), (&json!(1), &json!(3)));
    let (status, preview) = post(&api, "?dry_run=true", None, file).await;
    assert_eq!(status, StatusCode::OK);
    let preview: Vec<_> = preview[..4].iter().map(told).collect();
    assert_eq!((&preview[0], &preview[2..]), (&lines[0], &lines[2..]));
}

/// Otherwise a repeat, for which the first row is good, would count another quantity than the first
/// time.
#[tokio::test]
async fn a_row_that_is_refused_for_what_the_stock_is_keeps_later_ones_out() {
    let api = shop().await;
    let file = "product_id,name,quantity\nA,,5\nA,Alpha,7\n";
    let expected = ["2 product_id unknown_product", "3 - duplicate_row"];
    assert_eq!(imported(&api, "K", file).await.0, expected);
    assert_eq!(imported(&api, "K", file).await.0, expected);
    assert_eq!(api.get("/products/A").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_count_below_what_is_reserved_is_refused_with_how_many() {
    let api = shop().await;
    submit(&api, place(1, &[("MUG", 3)])).await;
    let file = "product_id,name,quantity\nMUG,Cup,2\n";
    let (_, lines) = post(&api, "?reason=x", Some("K"), file).await;
    let error = &lines[0]["errors"][0];
    assert_eq!(
        (&error["column"], &error["code"], &error["reserved"]),
        (&json!("quantity"), &json!("below_reserved"), &json!(3))
    );
    assert_eq!(error["quarantined"], Value::Null);
    let mug = api.get("/products/MUG").await.body;
    assert_eq!((&mug["name"], &mug["on_hand"]), (&json!("MUG"), &json!(5)));

    let quarantined = json!({"kind": "quarantine", "quantity": 1, "reason": "scratched"});
    api.post("/products/MUG/movements", None, quarantined).await;
    let file = "product_id,name,quantity\nMUG,Cup,3\n";
    let (_, lines) = post(&api, "?reason=x", Some("L"), file).await;
    let error = &lines[0]["errors"][0];
    assert_eq!((&error["reserved"], &error["quarantined"]), (&json!(3), &json!(1)));
    let detail =
        "quantity must be at least 4: 3 units are reserved for orders, and 1 are quarantined";
    assert_eq!(error["detail"], detail);
}

#[tokio::test]
async fn what_an_import_needs_is_asked_for_before_anything_is_done() {
    let api = shop().await;
    let file = "product_id,quantity\nMUG,1\n";
    for (query, key, file, expected) in [
        ("", None, file, "[\"reason required\",\"Idempotency-Key required\"]"),
        ("?reason=x", None, file, "[\"Idempotency-Key required\"]"),
        (
            "?reason=%20&dry_run=maybe&x=1",
            Some("K"),
            file,
            "[\"reason out_of_range\",\"dry_run bad_format\",\"x unknown_field\"]",
        ),
        ("?reason=x", Some("K"), "product_id\nMUG\n", "[\"/quantity required\"]"),
    ] {
        let (status, problem) = post(&api, query, key, file).await;
        let errors = problem[0]["errors"].as_array().expect("errors").iter();
        let faults = errors.map(|error| {
            let at = error["pointer"].as_str().or(error["parameter"].as_str()).expect("a place");
            format!("{at} {}", error["code"].as_str().expect("a code"))
        });
        assert_eq!(
            (status.as_u16(), json!(faults.collect::<Vec<_>>()).to_string()),
            (422, expected.to_owned()),
            "{query}"
        );
    }
    assert_eq!(on_hand(&api, "MUG").await, json!(5));
}

#[tokio::test]
async fn at_most_two_imports_run_at_the_same_time_and_one_of_a_client() {
    let api = shop().await;
    let imports = &api.service.imports;
    let refused = async || {
        let (status, problem) = post(&api, "?dry_run=true", None, TEN_ROWS).await;
        (status.as_u16(), problem[0]["code"].as_str().expect("a code").to_owned())
    };
    let held = [imports.place("one"), imports.place("two")];
    assert_eq!(refused().await, (503, "overloaded".to_owned()));
    drop(held);
    // Requests from within the process have neither a key nor an address.
    let held = imports.place("");
    assert_eq!(refused().await, (429, "rate_limited".to_owned()));
    drop(held);
    assert_eq!(post(&api, "?dry_run=true", None, TEN_ROWS).await.0, StatusCode::OK);
    assert!(imports.running().is_empty(), "the place is free again");
}

#[tokio::test]
async fn a_client_that_sends_nothing_takes_no_place() {
    let api = shop().await;
    let nothing = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
    tokio::select! {
        biased;
        _ = post(&api, "?dry_run=true", None, nothing) => panic!("it waits for the header"),
        (status, _) = post(&api, "?dry_run=true", None, TEN_ROWS) => {
            assert_eq!(status, StatusCode::OK);
        }
    }
}

/// The next piece is an error already, so no row was counted before.
#[tokio::test]
async fn rows_that_arrived_before_the_connection_was_lost_are_counted() {
    let api = shop().await;
    let file = "product_id,name,quantity\nA,Alpha,1\nB,Beta,2\nC,Gamma,3";
    let response = begun(&api, "?reason=annual", Some("K"), cut_after(file)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err(), "the answer does not look whole");
    let entry = the_end_of(&api, "K").await;
    assert_eq!((&entry["complete"], &entry["rows"]), (&json!(false), &json!(2)));
    assert_eq!([on_hand(&api, "A").await, on_hand(&api, "B").await], [json!(1), json!(2)]);
    let absent = api.get("/products/C").await.status;
    assert_eq!(absent, StatusCode::NOT_FOUND, "the last row may go on");
}

/// What the admin log has about the end of the import with this key, once it is there.
async fn the_end_of(api: &Api, key: &str) -> Value {
    testbed::eventually(testbed::PATIENCE, "the end of the import is noted", async || {
        let entry = api.get("/admin-log").await.body["data"][0].clone();
        (entry["action"] == "import_ended" && entry["subject"] == key)
            .then(|| entry["after"].clone())
    })
    .await
}

/// Whoever sees in the admin log that the import has ended can begin the next one.
#[tokio::test]
async fn the_place_of_a_client_that_hung_up_is_free_when_the_end_is_noted() {
    let api = shop().await;
    for key in ["K", "L", "M"] {
        let body = cut_after("product_id,name,quantity\nA,Alpha,1\n");
        // The connection has not ended yet: the answer is kept.
        let response = begun(&api, "?reason=annual", Some(key), body).await;
        assert_eq!(response.status(), StatusCode::OK, "{key}");
        the_end_of(&api, key).await;
        assert!(api.service.imports.running().is_empty(), "the place is free");
        drop(response);
    }
}

#[tokio::test]
async fn what_is_left_of_the_file_is_read_after_the_last_line_of_an_import_that_stopped() {
    let api = shop().await;
    api.service.imports.stopping.cancel();
    let (body, read) = in_pieces(TEN_ROWS, 60);
    let (_, lines) = post(&api, "?reason=x", Some("K"), body).await;
    assert_eq!(lines.last().map(|last| &last["done"]), Some(&json!(false)));
    read.await.expect("the file is read to its end");
}

#[tokio::test]
async fn the_admin_log_has_the_import_and_the_names_that_were_replaced() {
    let api = shop().await;
    let before = api.get("/admin-log").await.body["data"].as_array().map_or(0, Vec::len);
    imported(&api, "K", TEN_ROWS).await;
    let log = api.get("/admin-log").await.body["data"].clone();
    let entries = log.as_array().expect("a list");
    let acts: Vec<_> =
        entries.iter().map(|entry| entry["action"].as_str().expect("text")).collect();
    assert_eq!(acts[..acts.len() - before], ["import_ended", "put_product", "import_began"]);
    assert_eq!((&log[0]["subject"], &log[0]["after"]["complete"]), (&json!("K"), &json!(true)));
    assert_eq!((&log[0]["after"]["rows"], &log[0]["after"]["failed"]), (&json!(10), &json!(4)));
    assert_eq!(log[0]["after"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(log[2]["after"], json!({"reason": "annual"}));

    // A file without a good row is no act.
    let bad = "product_id,quantity\nMUG,x\n";
    imported(&api, "L", bad).await;
    assert_eq!(api.get("/admin-log").await.body["data"][0]["subject"], "K");
}

#[tokio::test]
async fn an_import_stops_with_a_last_line_when_the_service_stops() {
    let api = shop().await;
    api.service.imports.stopping.cancel();
    let (status, lines) = post(&api, "?reason=x", Some("K"), TEN_ROWS).await;
    let last = lines.last().expect("a last line");
    assert_eq!(
        (status, &last["done"], &last["problem"]["code"]),
        (StatusCode::OK, &json!(false), &json!("shutting_down"))
    );
}
