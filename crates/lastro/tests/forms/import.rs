//! A file of counted stock, on each engine: what is counted once is counted once, whatever ends the
//! import.

use std::time::Duration;

use serde_json::Value;
use testbed::{Deployment, Form, PATIENCE, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

tried_on!(each engine:
    an_import_that_is_killed_and_repeated_counts_every_row_once
    an_import_whose_client_hangs_up_stops_and_is_finished_by_a_repeat
    an_import_ends_with_a_last_line_when_the_program_is_terminated
);

tried_on!(@each [] a_client_that_reads_nothing_before_it_has_sent_everything_gets_every_line embedded);
tried_on!(@each [] a_file_above_64_mib_is_refused_and_no_file_is_held_in_memory embedded);

/// Enough rows for many batches; the test with 100 000 is in `tests/long`.
const ROWS: usize = 5_000;
const QUERY: &str = "/api/inventory/import?reason=annual";
const CSV: (&str, &str) = ("content-type", "text/csv");
const KEY: (&str, &str) = ("idempotency-key", "K");
/// How long a program may take to end after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// A file of this many products, of each of which a different number was counted.
fn file(rows: usize) -> String {
    let row = |n: usize| format!("P{n},Product {n},{}\n", n % 1000);
    let rows: String = (0..rows).map(row).collect();
    format!("product_id,name,quantity\n{rows}")
}

/// The numbers of the last line of a whole import.
fn numbers(answer: &str) -> [u64; 4] {
    let last = answer.lines().last().expect("a last line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["done"], true, "{last}");
    ["rows", "changed", "replayed", "failed"].map(|name| last[name].as_u64().expect("a number"))
}

/// The on-hand units of all products, and how many movements some of them have.
async fn check_counted(shop: &Deployment, rows: usize) {
    let (products, _) = shop.pages("/api/inventory/products?limit=200").await;
    assert_eq!(products.len(), rows);
    for product in &products {
        let id = product["product_id"].as_str().expect("an id");
        let number: usize = id[1..].parse().expect("a number");
        assert_eq!(product["on_hand"], number % 1000, "{id}");
    }
    for n in (0..rows).step_by(rows / 20) {
        let ledger = shop.get(&format!("/api/inventory/products/P{n}/movements")).await.ok();
        assert_eq!(ledger["data"].as_array().map(Vec::len), Some(1), "P{n} is counted once");
    }
}

async fn an_import_that_is_killed_and_repeated_counts_every_row_once(form: Form) {
    let mut shop = Deployment::in_form_with_fault(form, "kill import.batch_committed 5").await;
    let file = file(ROWS);
    let killed = shop.try_send("POST", QUERY, &[CSV, KEY], file.clone()).await;
    assert!(killed.is_err(), "the program is killed: {killed:?}");
    shop.environment.fault = None;
    shop.restart_ended().await;

    let began = Instant::now();
    let answer = shop.send("POST", QUERY, &[CSV, KEY], file.clone()).await;
    let rate = ROWS as u128 * 1000 / began.elapsed().as_millis().max(1);
    println!("{ROWS} rows, {rate} a second");
    let [rows, changed, replayed, failed] = numbers(&answer.text);
    assert_eq!((rows, changed + replayed, failed), (ROWS as u64, ROWS as u64, 0));
    assert!(replayed >= 1000, "five batches were committed before, not {replayed} rows");
    check_counted(&shop, ROWS).await;

    let again = shop.send("POST", QUERY, &[CSV, KEY], file).await;
    assert_eq!(numbers(&again.text), [ROWS as u64, 0, ROWS as u64, 0]);
    check_counted(&shop, ROWS).await;
    shop.must_verify().await;
}

/// Sends a request by hand: its head, and the beginning of its body.
async fn begun(shop: &Deployment, query: &str, length: usize, body: &str) -> TcpStream {
    let mut stream =
        TcpStream::connect(shop.programs.address_of(query)).await.expect("a connection");
    let head = format!(
        "POST {query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nIdempotency-Key: K\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("a server that reads");
    stream.write_all(body.as_bytes()).await.expect("a server that reads");
    stream
}

async fn an_import_whose_client_hangs_up_stops_and_is_finished_by_a_repeat(form: Form) {
    let shop = Deployment::in_form(form).await;
    let file = file(1000);
    let mut stream = begun(&shop, QUERY, file.len(), &file[..file.len() / 2]).await;
    // The answer begins while the body still arrives.
    let mut read = vec![0; 64 * 1024];
    let mut answer = Vec::new();
    while !answer.windows(9).any(|part| part == b"\"line\":40") {
        let length = stream.read(&mut read).await.expect("an answer");
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&read[..length]);
    }
    drop(stream);
    eventually(PATIENCE, "the admin log has that the import is incomplete", || async {
        let log = shop.get("/api/inventory/admin-log").await.ok();
        let ended = &log["data"][0];
        (ended["action"] == "import_ended" && ended["after"]["complete"] == false).then_some(())
    })
    .await;
    let answer = shop.send("POST", QUERY, &[CSV, KEY], file).await;
    let [rows, _, replayed, failed] = numbers(&answer.text);
    assert_eq!((rows, failed), (1000, 0));
    assert!((1..1000).contains(&replayed), "{replayed}");
    check_counted(&shop, 1000).await;
    shop.must_verify().await;
}

async fn an_import_ends_with_a_last_line_when_the_program_is_terminated(form: Form) {
    let mut shop = Deployment::in_form(form).await;
    let file = file(300);
    // The rest of the body never comes.
    let mut stream = begun(&shop, QUERY, 10 * file.len(), &file).await;
    let mut answer = vec![0];
    stream.read_exact(&mut answer).await.expect("an answer has begun");
    shop.programs.terminate();
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0, "it is cut");
    }
    // The program would wait a while for the rest of the body.
    drop(stream);
    let answer = String::from_utf8_lossy(&answer);
    let last = answer.lines().rfind(|line| line.starts_with('{')).expect("a last line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((&last["done"], &last["problem"]["code"]), (&false.into(), &"shutting_down".into()));
    assert_eq!(shop.programs.ended(SHUTDOWN).await, Some(0), "{}", shop.programs.log());
    shop.reopen().await;
    let answer = shop.send("POST", QUERY, &[CSV, KEY], file).await;
    assert_eq!(numbers(&answer.text)[0], 300);
    check_counted(&shop, 300).await;
}

/// Browsers do it like that. The lines are far more than the buffers of a connection hold.
async fn a_client_that_reads_nothing_before_it_has_sent_everything_gets_every_line(form: Form) {
    const BAD_ROWS: usize = 100_000;
    let shop = Deployment::in_form(form).await;
    let file = format!("product_id,quantity\n{}", "MUG,few\n".repeat(BAD_ROWS));
    let mut stream = begun(&shop, QUERY, file.len(), &file).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the whole answer");
    println!("{} bytes were sent, {} answered", file.len(), answer.len());
    assert!(answer.len() > 12_000_000, "{}", answer.len());
    let lines = answer.lines().filter(|line| line.starts_with("{\"line\":")).count();
    assert_eq!(lines, BAD_ROWS);
    assert!(answer.contains("\"failed\":100000"));
}

async fn a_file_above_64_mib_is_refused_and_no_file_is_held_in_memory(form: Form) {
    const MIB: usize = 1024 * 1024;
    let shop = Deployment::in_form(form).await;
    let head = format!(
        "POST {QUERY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nConnection: close\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        64 * MIB + 1
    );
    let mut announced =
        TcpStream::connect(shop.programs.address_of(QUERY)).await.expect("a connection");
    announced.write_all(head.as_bytes()).await.expect("a server that reads");
    let mut answer = String::new();
    announced.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");

    let before = shop.programs.resident_bytes();
    let row = format!("MUG,{},1\n", "x".repeat(8000));
    let mut stream =
        TcpStream::connect(shop.programs.address_of(QUERY)).await.expect("a connection");
    let head = format!(
        "POST {QUERY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nIdempotency-Key: K\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let (mut reading, mut writing) = stream.split();
    let mut largest = 0;
    let sending = async {
        writing.write_all(head.as_bytes()).await?;
        let header = "product_id,name,quantity\n";
        writing.write_all(format!("{:x}\r\n{header}\r\n", header.len()).as_bytes()).await?;
        let piece = row.repeat(100);
        for _ in 0..=64 * MIB / piece.len() {
            let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
            writing.write_all(chunk.as_bytes()).await?;
            largest = largest.max(shop.programs.resident_bytes());
        }
        writing.write_all(b"0\r\n\r\n").await
    };
    let mut answer = Vec::new();
    let (_, read) = tokio::join!(sending, reading.read_to_end(&mut answer));
    read.expect("the answer ends");
    let answer = String::from_utf8_lossy(&answer);
    let last = answer.lines().rfind(|line| line.starts_with("{\"done\"")).expect("a last line");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(
        (&last["done"], &last["problem"]["code"]),
        (&false.into(), &"body_too_large".into())
    );
    let grown = largest.saturating_sub(before) / MIB as u64;
    println!("the program grew by {grown} MiB");
    assert!(grown < 32, "it grew by {grown} MiB");
}
