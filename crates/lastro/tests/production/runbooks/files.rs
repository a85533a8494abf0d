//! SQLite files: a log that grows, a disk that is full, a row that was changed.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;
use testbed::{Deployment, Disk, Environment, Form, PATIENCE, Prometheus, data_in, eventually};

use super::Watched;

/// Writes this many bytes into a file that a service uses.
fn grow(file: &Path, bytes: u32) {
    let connection = Connection::open(file).expect("the file");
    connection.busy_timeout(PATIENCE).expect("a timeout");
    // The service is to run the checkpoints, not this connection.
    let alone = "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = off;
                 CREATE TABLE IF NOT EXISTS ballast (bytes BLOB)";
    connection.execute_batch(alone).expect("a table");
    connection.execute("INSERT INTO ballast VALUES (zeroblob(?1))", [bytes]).expect("a row");
}

/// A program that reads one snapshot for long, until it is ended.
#[tokio::test]
async fn a_log_that_grows_beside_a_long_reader() {
    const MIB: u32 = 1024 * 1024;
    let watched = Watched::with_files().await;
    let file = data_in(watched.shop.folder()).join("orders.db");
    let reader = Connection::open(&file).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM orders").expect("a snapshot");
    for _ in 0..18 {
        grow(&file, 16 * MIB);
    }
    watched.fires("LastroLogGrows").await;
    drop(reader);
    eventually(PATIENCE, "the log begins anew", async || {
        watched.place(1).await;
        watched.prometheus.firing("LastroLogGrows").await?.is_empty().then_some(())
    })
    .await;
    watched.clears("LastroLogGrows").await;
}

/// A disk that fills up: the service refuses what it cannot write, until there is room.
#[tokio::test]
async fn a_disk_that_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(data_in(folder.path())).expect("a folder");
    let disk = Disk::at(&data_in(folder.path()), "size=64m").await;
    let environment = Environment::of(Form::Processes).await.watched();
    let environment = Environment { disk: Some(disk), ..environment };
    let shop = Deployment::open_in(folder, Form::Processes, environment).await;
    shop.stock("MUG", 10_000).await;
    let prometheus = Prometheus::of(&shop.environment.metrics()).await;
    let watched = Watched { shop, prometheus };
    let disk = watched.shop.environment.disk.as_ref().expect("a disk");
    disk.fill();
    watched.fires("LastroDiskNearlyFull").await;
    eventually(PATIENCE, "orders are refused for lack of room", async || {
        watched.place(20).await;
        let firing = watched.prometheus.firing("LastroServerErrors").await?;
        firing.iter().any(|labels| labels["service"] == "orders").then_some(())
    })
    .await;
    watched.fires("LastroServerErrors").await;
    disk.free();
    watched.clears("LastroDiskNearlyFull").await;
    watched.clears("LastroServerErrors").await;
    watched.shop.confirmed(&[("MUG", 1)]).await;
}

/// Somebody has changed a row past the service, until it is put back.
#[tokio::test]
async fn a_row_that_was_changed() {
    let watched = Watched::with_files().await;
    let moved = json!({"kind": "receive", "quantity": 1});
    watched.shop.move_stock("MUG", &moved).await.ok();
    let change = |by: &str| format!("UPDATE stock SET on_hand = on_hand {by}");
    watched.shop.write_past("inventory", &change("+ 1"), &[]).await;
    let labels = watched.prometheus.fires("LastroInvariantViolated").await;
    assert_eq!((&labels["service"], &labels["invariant"]), (&json!("inventory"), &json!("INV-2")));
    watched.shop.write_past("inventory", &change("- 1"), &[]).await;
    watched.clears("LastroInvariantViolated").await;
}
