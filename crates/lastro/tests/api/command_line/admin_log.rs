//! `lastro admin-log`, which reads the databases or asks the services.

use serde_json::Value;
use testbed::{Deployment, Ended, PATIENCE, eventually, lastro};

use super::{must_contain, printed, run, tool};
use crate::operators::set_aside;

/// What the log says, read from the files of a shop.
async fn of_databases(shop: &Deployment, more: &[&str]) -> String {
    let words = [&["admin-log", "--data-dir", "data"], more].concat();
    // No service answers there: a flag decides, and not the variable.
    let launch = lastro(shop.folder()).args(words).env("LASTRO_URL", "http://127.0.0.1:1");
    let ended = launch.to_end().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout
}

/// A shop with entries of both services in turn, and more of one service than a page has.
async fn shop_with_entries() -> Deployment {
    let shop = Deployment::open().await;
    let discard = async |service: &str, id: &str| {
        set_aside(&shop, service, id, None, 7);
        let path = format!("/api/{service}/quarantine/{}/discard", id.repeat(64));
        shop.send("POST", &path, &[], "").await.ok();
    };
    discard("orders", "a").await;
    // The second file renames what the first one makes.
    for name in ["Mug", "Big mug"] {
        let rows: String = (0..205).map(|n| format!("P{n},{name} {n},1\n")).collect();
        let file = shop.folder().join("count.csv");
        std::fs::write(&file, format!("product_id,name,quantity\n{rows}")).expect("a file");
        let file = file.to_str().expect("text");
        printed(&shop, &["stock", "import", file, "--reason", "opening"]).await;
    }
    discard("inventory", "b").await;
    discard("orders", "c").await;
    shop
}

#[tokio::test]
async fn the_services_show_the_same_admin_log_as_their_databases() {
    let shop = shop_with_entries().await;
    for more in [
        &[][..],
        &["--since", "1h", "--limit", "300"],
        &["--json"],
        &["--limit", "2"],
        &["--limit", "300", "--json"],
    ] {
        let asked = printed(&shop, &[&["admin-log"], more].concat()).await;
        assert_eq!(asked, of_databases(&shop, more).await, "{more:?}");
    }
    let all = printed(&shop, &["admin-log", "--limit", "300", "--json"]).await;
    let all: Vec<Value> =
        all.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(printed(&shop, &["admin-log", "--since", "0s"]).await, "");
    assert_eq!(of_databases(&shop, &["--since", "0s"]).await, "");
    let cut = run(&shop, &["admin-log", "--since", "1h"]).await;
    assert_eq!(cut.stdout.lines().count(), 50);
    must_contain(&cut.stderr, &["there may be more entries: --limit "]);
    let of = |at: usize| (all[at]["service"].clone(), all[at]["action"].clone());
    assert_eq!(of(0), ("orders".into(), "discard_message".into()));
    assert_eq!(of(1), ("inventory".into(), "discard_message".into()));
    assert_eq!(of(2), ("inventory".into(), "import_ended".into()));
    assert_eq!(of(all.len() - 1), ("orders".into(), "discard_message".into()));
    assert_eq!(all.len(), 205 + 4 + 3, "the products, the imports, and the messages");
    let times: Vec<_> = all.iter().map(|entry| entry["at"].to_string()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
}

#[tokio::test]
async fn what_a_key_may_not_read_of_the_admin_logs_is_named_and_left_out() {
    let shop = Deployment::open_with(|launch| {
        let launch = launch.env("LASTRO_API_KEYS_IN_DATABASE", "true");
        launch.env("LASTRO_ADDRESS_RATE", "1000000")
    })
    .await;
    let create = ["keys", "create", "--data-dir", "data", "--name", "admin"];
    let create = lastro(shop.folder()).args(create).args(["--scope", "keys:admin"]);
    let key = create.to_end().await.stdout.trim().to_owned();
    let log = async || tool(&shop).args(["admin-log"]).env("LASTRO_KEY", &key).to_end().await;
    let comes_to = async |what: &str, holds: &dyn Fn(&Ended) -> bool| {
        eventually(PATIENCE, what, async || Some(log().await).filter(|ended| holds(ended))).await
    };
    let both = comes_to("the key is known", &|ended| ended.code == Some(0)).await;
    must_contain(&both.stdout, &["  orders  operator:", "  inventory  operator:", "key_created"]);
    assert_eq!(both.stderr, "");

    // A key with these scopes in one database, and with other ones in the other.
    let narrow = |database: &str| {
        let file = shop.folder().join("data").join(database);
        let connection = rusqlite::Connection::open(file).expect("the file");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        connection.execute("UPDATE api_keys SET scopes = 'stock:read'", ()).expect("changed");
    };
    narrow("inventory.db");
    let left_out = "the admin log of inventory is not shown: ";
    let one = comes_to("one log is left out", &|ended| ended.stderr.contains(left_out)).await;
    assert_eq!(one.code, Some(0), "{one:?}");
    assert!(one.stdout.contains("  orders  ") && !one.stdout.contains("  inventory  "), "{one:?}");

    narrow("orders.db");
    let none = comes_to("both are refused", &|ended| ended.code != Some(0)).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    must_contain(&none.stderr, &["403 forbidden", "hint: the key needs the scope keys:admin"]);
}

/// A service that is away does not keep the other one's log from being shown.
#[tokio::test]
async fn the_admin_log_of_one_service_is_shown_while_the_other_is_away() {
    let shop = Deployment::open().await;
    set_aside(&shop, "orders", "a", None, 7);
    printed(&shop, &["quarantine", "discard", "aa"]).await;
    let away = ["admin-log", "--inventory-url", "http://127.0.0.1:1"];
    let one = run(&shop, &away).await;
    assert_eq!(one.code, Some(1), "{one:?}");
    must_contain(&one.stdout, &["  orders  ", "discard_message"]);
    must_contain(&one.stderr, &["error: the admin log of inventory is not shown: no answer from"]);
}

#[tokio::test]
async fn flags_that_name_databases_and_services_exclude_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = ["--url", "http://127.0.0.1:1"];
    for (words, says) in [
        (&["--data-dir", "data", url[0], url[1]][..], "--data-dir and --url exclude each other"),
        (&["--config", "x.toml", "--timeout", "1s"], "--config and --timeout exclude each other"),
        (&["--key-file", "key"], "--key-file needs --url or LASTRO_URL"),
    ] {
        let ended = lastro(folder.path()).args(["admin-log"]).args(words.iter().copied());
        ended.to_end().await.must_be_refused(2, &[says]);
    }
    let nobody = lastro(folder.path()).args(["admin-log"]).args(url).to_end().await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    must_contain(&nobody.stderr, &["error: no answer from http://127.0.0.1:1"]);
    // Without an address, it is about the databases.
    let none = lastro(folder.path()).args(["admin-log"]).to_end().await;
    none.must_be_refused(1, &["orders.db"]);
}
