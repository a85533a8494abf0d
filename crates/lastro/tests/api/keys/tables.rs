//! Keys in the tables of both databases, which `lastro keys` changes while the services run.

use testbed::{Environment, RawConnection, ResponseReader};
use tokio::io::AsyncWriteExt;

use super::*;

/// What a key of both services may read of each.
const BOTH: [&str; 2] = ["/api/orders?limit=1", "/api/inventory/locations"];

/// A shop that asks for the keys of its databases.
async fn shop() -> Deployment {
    shop_with(|launch| launch).await
}

async fn shop_with(how: impl Fn(testbed::Launch) -> testbed::Launch) -> Deployment {
    Deployment::open_with(|launch| {
        let launch = launch.env("LASTRO_API_KEYS_IN_DATABASE", "true");
        how(launch.env("LASTRO_ADDRESS_RATE", "1000000"))
    })
    .await
}

fn databases(shop: &Deployment) -> [String; 2] {
    Environment::default().database_urls(shop.folder())
}

/// Runs `lastro keys` on the databases of a shop.
async fn tool(shop: &Deployment, args: &[&str]) -> Ended {
    let args = [&["keys"], args, &["--data-dir", "data"]].concat();
    lastro(shop.folder()).args(args).to_end().await
}

async fn create(shop: &Deployment, scopes: &str) -> (String, String) {
    let made = tool(shop, &["create", "--name", "test", "--scope", scopes]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stderr.contains(&databases(shop).join(" and ")), "{made:?}");
    let key = made.stdout.trim().to_owned();
    let id = key.split('_').nth(2).expect("an id").to_owned();
    (key, id)
}

/// One connection that stays open.
struct Connection {
    responses: ResponseReader,
    requests: tokio::net::tcp::OwnedWriteHalf,
}

impl Connection {
    async fn to(shop: &Deployment) -> Self {
        Self::to_address(shop.programs.orders[0].address()).await
    }

    async fn to_address(address: std::net::SocketAddr) -> Self {
        let connection = RawConnection::to(address).await.expect("it listens");
        let (responses, requests) = connection.split();
        Self { responses, requests }
    }

    async fn status(&mut self, path: &str, key: &str) -> u16 {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        self.requests.write_all(request.as_bytes()).await.expect("it is open");
        self.responses.next().await.expect("it stays open").0
    }

    /// Waits until both services answer so.
    async fn becomes(&mut self, key: &str, status: u16) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut found = Vec::new();
            for path in BOTH {
                found.push(self.status(path, key).await);
            }
            if found == [status; 2] {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found:?} and not {status}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_key_is_felt_by_both_services_when_it_is_made_rotated_and_revoked() {
    let shop = shop().await;
    let mut connection = Connection::to(&shop).await;
    let (unknown, _) = Keys::new().create("stock:read", &[]).await;
    for path in BOTH {
        assert_eq!(connection.status(path, &unknown).await, 401, "{path}");
        assert_eq!(shop.get(path).await.status, 401, "{path}");
    }
    let (key, id) = create(&shop, "orders:read,stock:read,ops:read").await;
    connection.becomes(&key, 200).await;
    assert_eq!(connection.status("/metrics", &key).await, 200);
    assert_eq!(connection.status("/metrics", &unknown).await, 401);

    let rotated = tool(&shop, &["rotate", &id, "--overlap", "1h"]).await;
    let new = rotated.stdout.trim().to_owned();
    connection.becomes(&new, 200).await;
    connection.becomes(&key, 200).await;
    let again = tool(&shop, &["rotate", &id]).await;
    again.must_be_refused(1, &["still has two secrets", "orders.db"]);
    let list = tool(&shop, &["list"]).await.stdout;
    assert!(list.contains("rotating") && list.contains("  both  "), "{list}");

    let revoked = tool(&shop, &["revoke", &id]).await;
    assert!(revoked.stderr.contains(&databases(&shop).join(" and ")), "{revoked:?}");
    connection.becomes(&new, 401).await;
    connection.becomes(&key, 401).await;
    assert_eq!(tool(&shop, &["revoke", &id]).await.code, Some(0), "it may be repeated");
    shop.close().await;
}

#[tokio::test]
async fn the_list_shows_when_a_key_was_used_and_the_admin_log_who_made_it() {
    let shop = shop().await;
    let mut connection = Connection::to(&shop).await;
    let (key, id) = create(&shop, "orders:read,stock:read").await;
    let listed = async || {
        let list = tool(&shop, &["list", "--json"]).await.stdout;
        serde_json::from_str::<Value>(list.lines().next().expect("a key")).expect("JSON")
    };
    let before = listed().await;
    assert_eq!((&before["id"], &before["last_used_at"]), (&json!(id), &Value::Null));
    assert_eq!(before["services"], json!(["orders", "inventory"]));
    let by = before["created_by"].as_str().expect("an operator").to_owned();
    assert!(by.starts_with("operator:") && by.len() > "operator:".len(), "{by}");
    connection.becomes(&key, 200).await;
    becomes("the use is noted", async || listed().await["last_used_at"].is_string()).await;
    assert!(!tool(&shop, &["list"]).await.stdout.contains("never"));

    tool(&shop, &["revoke", &id]).await;
    let log = ["admin-log", "--data-dir", "data", "--json"];
    let log = lastro(shop.folder()).args(log).to_end().await.stdout;
    let entries: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for service in ["orders", "inventory"] {
        let of_service: Vec<_> =
            entries.iter().filter(|entry| entry["service"] == service).collect();
        let actions: Vec<_> = of_service.iter().map(|entry| &entry["action"]).collect();
        assert_eq!(actions, ["key_revoked", "key_created"], "{log}");
        for entry in of_service {
            assert_eq!((&entry["actor"], &entry["subject"]), (&json!(by), &json!(id)));
        }
    }
    assert!(!log.contains("sha256"), "{log}");
    let lines = ["admin-log", "--data-dir", "data"];
    let lines = lastro(shop.folder()).args(lines).to_end().await.stdout;
    assert!(lines.contains("  orders  operator:") && lines.contains("  inventory  "), "{lines}");
}

/// What a program has seen is written once a minute, and once more when it stops.
#[tokio::test]
async fn the_list_shows_the_last_use_of_the_old_secret_also_when_the_program_has_just_stopped() {
    let shop = shop().await;
    let mut connection = Connection::to(&shop).await;
    let (old, id) = create(&shop, "orders:read,stock:read").await;
    let parsed = |list: Ended| -> Value {
        serde_json::from_str(list.stdout.lines().next().expect("a key")).expect("JSON")
    };
    connection.becomes(&old, 200).await;
    let noted = async || {
        let key = parsed(tool(&shop, &["list", "--json"]).await);
        key["last_used_at"].is_string().then_some(key)
    };
    let before = eventually(PATIENCE, "the use is noted", noted).await;
    assert_eq!(before["old_secret_last_used_at"], Value::Null);

    let new = tool(&shop, &["rotate", &id, "--overlap", "1h"]).await.stdout.trim().to_owned();
    let rotated = parsed(tool(&shop, &["list", "--json"]).await);
    assert_eq!(rotated["old_secret_last_used_at"], Value::Null, "uses before the rotation");
    let old_ends = rotated["previous"]["not_after"].as_str().expect("a time").replace('T', " ");
    connection.becomes(&new, 200).await;
    connection.becomes(&old, 200).await;
    let folder = shop.close().await;
    let list = async |more: &[&str]| {
        let words = [&["keys", "list", "--data-dir", "data"], more].concat();
        lastro(folder.path()).args(words).to_end().await
    };
    let after = parsed(list(&["--json"]).await);
    let time = |key: &Value, member: &str| key[member].as_str().expect("a time").to_owned();
    assert!(time(&after, "last_used_at") > time(&before, "last_used_at"), "{after}");
    assert_eq!(time(&after, "old_secret_last_used_at"), time(&after, "last_used_at"), "{after}");
    let table = list(&[]).await.stdout;
    assert!(table.contains("OLD SECRET ENDS   LAST USED         BY OLD SECRET"), "{table}");
    let minute = time(&after, "last_used_at").replace('T', " ")[..16].to_owned();
    let times = format!("  {}  {minute}  {minute}  both", &old_ends[..16]);
    assert!(table.contains("  rotating  ") && table.contains(&times), "{table}");
}

#[tokio::test]
async fn a_row_that_is_no_key_keeps_the_keys_and_shows_in_readyz() {
    let shop = shop().await;
    let (key, _) = create(&shop, "orders:read,stock:read,ops:read").await;
    let client = Client::new(&shop, &key);
    let (bad, id) = create(&shop, "orders:read,stock:read").await;
    let (leaked, leaked_id) = create(&shop, "orders:read,stock:read").await;
    let mut connection = Connection::to(&shop).await;
    for key in [&key, &bad, &leaked] {
        connection.becomes(key, 200).await;
    }
    let orders = shop.folder().join("data/orders.db");
    let change = |scopes: &str| {
        let connection = rusqlite::Connection::open(&orders).expect("the file");
        connection.busy_timeout(PATIENCE).expect("a timeout");
        let change = "UPDATE api_keys SET scopes = ?1 WHERE id = ?2";
        connection.execute(change, [scopes, &id]).expect("changed");
    };
    change("orders:everything");
    becomes("readyz says so", async || {
        let ready = client.get("/readyz").await;
        ready.status == 200
            && ready.text.contains("\"degraded\"")
            && ready.text.contains(&format!("api_keys {id}: scopes is orders:everything"))
    })
    .await;
    assert_eq!(connection.status(BOTH[0], &bad).await, 401);
    for id in [&leaked_id, &id] {
        assert_eq!(tool(&shop, &["revoke", id]).await.code, Some(0), "{id}");
    }
    connection.becomes(&leaked, 401).await;
    connection.becomes(&bad, 401).await;
    connection.becomes(&key, 200).await;
    let list = tool(&shop, &["list"]).await;
    assert!(list.code == Some(0) && list.stderr.contains("orders:everything"), "{list:?}");
    change("orders:read ops:read");
    becomes("it is ready", async || !client.get("/readyz").await.text.contains("degraded")).await;
    assert_eq!(connection.status(BOTH[0], &bad).await, 401, "it stays revoked");
}

#[tokio::test]
async fn a_key_of_the_file_and_a_key_of_the_tables_both_work() {
    let keys = Keys::new();
    let (emergency, id) = keys.create("orders:read,stock:read", &[]).await;
    let file = keys.file();
    let shop = shop_with(|launch| launch.env("LASTRO_API_KEYS_FILE", &file)).await;
    let (key, _) = create(&shop, "orders:read,stock:read").await;
    let mut connection = Connection::to(&shop).await;
    connection.becomes(&emergency, 200).await;
    connection.becomes(&key, 200).await;
    keys.run(&["revoke", &id]).await;
    connection.becomes(&emergency, 401).await;
    connection.becomes(&key, 200).await;
    // Where both are named, the file is meant unless the tables are asked for.
    let file = file.to_str().expect("text");
    let named = lastro(shop.folder()).env("LASTRO_API_KEYS_FILE", file);
    let named = named.env("LASTRO_DATA_DIR", "data");
    let of_file = named.clone().args(["keys", "list"]).to_end().await;
    assert!(of_file.stderr.contains("keys.toml") && of_file.stdout.contains(&id), "{of_file:?}");
    let of_tables = named.clone().args(["keys", "list", "--in-database"]).to_end().await;
    assert!(of_tables.stderr.contains("orders.db") && !of_tables.stdout.contains(&id));
    // Services with these variables read both.
    let both = named.env("LASTRO_API_KEYS_IN_DATABASE", "true");
    let unclear = both.clone().args(["keys", "list"]).to_end().await;
    unclear.must_be_refused(2, &["keys.toml and those of the databases", "--in-database"]);
    let of_file = both.args(["keys", "list", "--file", file]).to_end().await;
    assert!(of_file.stdout.contains(&id), "{of_file:?}");
}

/// The databases are changed one after the other.
#[tokio::test]
async fn a_change_that_fails_in_the_second_database_is_undone_in_the_first() {
    let shop = shop().await;
    let (key, id) = create(&shop, "orders:read,stock:read").await;
    let mut connection = Connection::to(&shop).await;
    connection.becomes(&key, 200).await;
    let in_stock = |sql: &str| {
        let file = shop.folder().join("data/inventory.db");
        let stock = rusqlite::Connection::open(file).expect("the file");
        stock.busy_timeout(PATIENCE).expect("a timeout");
        stock.execute_batch(sql).expect("done");
    };
    in_stock("CREATE TRIGGER no BEFORE INSERT ON admin_log BEGIN SELECT RAISE(ABORT, 'no'); END");
    let made = tool(&shop, &["create", "--name", "half", "--scope", "stock:read"]).await;
    let words = ["inventory.db", "was shown to nobody", "run the command again"];
    made.must_be_refused(1, &words);
    for overlap in ["1h", "0s"] {
        let rotated = tool(&shop, &["rotate", &id, "--overlap", overlap]).await;
        let words = ["inventory.db", "the key is as it was", "run the command again"];
        rotated.must_be_refused(1, &words);
    }
    let revoked = tool(&shop, &["revoke", &id]).await;
    let [orders, stock] = databases(&shop);
    let words = [format!("is revoked in {orders} only"), format!("not yet in {stock}")];
    revoked.must_be_refused(1, &words.each_ref().map(String::as_str));

    in_stock("DROP TRIGGER no");
    let list = tool(&shop, &["list"]).await.stdout;
    let state = |id: &str, service: &str| {
        let service = format!("  {service}  ");
        let line = |line: &&str| line.contains(id) && line.contains(&service);
        list.lines().find(line).unwrap_or_else(|| panic!("{id} in {service}: {list}")).to_owned()
    };
    assert!(state("half", "orders").contains("revoked"), "{list}");
    assert!(state(&id, "orders").contains("revoked"), "{list}");
    assert!(state(&id, "inventory").contains("valid"), "{list}");
    assert_eq!(tool(&shop, &["revoke", &id]).await.code, Some(0));
    connection.becomes(&key, 401).await;
    let again = tool(&shop, &["create", "--name", "whole", "--scope", "orders:read,stock:read"]);
    connection.becomes(again.await.stdout.trim(), 200).await;
}

#[tokio::test]
async fn a_rotation_that_cannot_be_undone_says_when_the_old_secret_ends() {
    let shop = shop().await;
    let (_, id) = create(&shop, "orders:read,stock:read").await;
    for (file, action) in [("orders.db", "key_restored"), ("inventory.db", "key_rotated")] {
        let file = rusqlite::Connection::open(shop.folder().join("data").join(file));
        let file = file.expect("the file");
        file.busy_timeout(PATIENCE).expect("a timeout");
        let no = format!(
            "CREATE TRIGGER no BEFORE INSERT ON admin_log WHEN NEW.action = '{action}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        );
        file.execute_batch(&no).expect("a trigger");
    }
    let list = tool(&shop, &["list", "--json"]).await.stdout;
    let key: Value = serde_json::from_str(list.lines().next().expect("a key")).expect("JSON");
    let ends =
        format!("its old one ends on {};", &key["not_after"].as_str().expect("a time")[..10]);
    let rotated = tool(&shop, &["rotate", &id, "--overlap", "5years"]).await;
    let [orders, _] = databases(&shop);
    rotated.must_be_refused(1, &[&format!("in {orders} the key has a secret"), &ends]);
}

/// A key that leaked must not stay valid in one service because the database of the other is away.
#[tokio::test]
async fn a_key_is_revoked_in_one_database_while_the_other_is_away() {
    let shop = shop().await;
    let (key, id) = create(&shop, "orders:read,stock:read").await;
    let mut connection = Connection::to(&shop).await;
    connection.becomes(&key, 200).await;
    let [_, stock] = databases(&shop);
    // Nothing listens at this port.
    let away = "postgres://lastro@127.0.0.1:1/orders";
    let revoke = ["keys", "revoke", &id, "--orders-database-url", away];
    let revoke = lastro(shop.folder()).args(revoke).args(["--inventory-database-url", &stock]);
    let here = format!("is revoked in {stock} only");
    revoke.to_end().await.must_be_refused(1, &[&here, "not yet in postgres://", "again"]);
    let list = tool(&shop, &["list"]).await.stdout;
    let state = |service: &str| list.lines().find(|line| line.contains(service)).expect("a key");
    assert!(state("  inventory  ").contains("revoked"), "{list}");
    assert!(state("  orders  ").contains("valid"), "{list}");
    assert_eq!(tool(&shop, &["revoke", &id]).await.code, Some(0));
    connection.becomes(&key, 401).await;
}

/// Neither the settings file nor the folder adds a database to one that a flag names.
#[tokio::test]
async fn a_database_that_a_flag_names_is_the_only_one() {
    let shop = shop().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let [orders, _] = databases(&shop);
    for setting in ["data_dir = \"none\"\n", "inventory_database_url = \"sqlite:none.db\"\n"] {
        std::fs::write(elsewhere.path().join("lastro.toml"), setting).expect("written");
        let list = lastro(elsewhere.path()).env("LASTRO_DATA_DIR", "none");
        let list = list.args(["keys", "list", "--orders-database-url", &orders]).to_end().await;
        assert!(list.code == Some(0) && !list.stderr.contains("none"), "{setting}: {list:?}");
    }
}

#[tokio::test]
async fn one_database_alone_may_have_a_key() {
    let shop = shop().await;
    let [orders, _] = databases(&shop);
    let create = ["keys", "create", "--name", "x", "--scope", "orders:read,stock:read"];
    let create = lastro(shop.folder()).args(create).args(["--orders-database-url", &orders]);
    let made = create.to_end().await;
    let client = Client::new(&shop, made.stdout.trim());
    becomes("it is felt", async || client.get(BOTH[0]).await.status == 200).await;
    assert_eq!(client.get(BOTH[1]).await.status, 401, "it is not a key of the other service");
    let list = tool(&shop, &["list"]).await.stdout;
    assert!(list.contains("  orders  ") && !list.contains("  both  "), "{list}");
}

#[tokio::test]
async fn where_nothing_is_named_keys_are_where_services_look_for_them() {
    let shop = shop().await;
    let keys =
        async |args: &[&str]| lastro(shop.folder()).args([&["keys"], args].concat()).to_end().await;
    let settings = |text: &str| {
        std::fs::write(shop.folder().join("lastro.toml"), text).expect("written");
    };
    let create = ["create", "--name", "x", "--scope", "orders:read"];
    // Services that do not read the tables accept no key of them, though there is ./data.
    for unset in ["", "api_keys_in_database = false\n"] {
        settings(unset);
        let words = ["neither api_keys_file nor api_keys_in_database", "--file", "--in-database"];
        keys(&create).await.must_be_refused(2, &words);
    }
    settings("api_keys_in_database = true\n");
    let made = keys(&create).await;
    let [orders, _] = databases(&shop);
    assert!(made.stderr.contains(&format!("it is in {orders} and ")), "{made:?}");
    let list = keys(&["list"]).await;
    assert_eq!(list.stdout, tool(&shop, &["list"]).await.stdout);
    settings("");
    let of_variable = lastro(shop.folder()).env("LASTRO_API_KEYS_IN_DATABASE", "true");
    assert_eq!(of_variable.args(["keys", "list"]).to_end().await.stdout, list.stdout);
    settings("api_keys_file = \"mine.toml\"\n");
    let made = keys(&create).await;
    assert!(made.stderr.contains("it is in mine.toml"), "{made:?}");
    let list = keys(&["list"]).await;
    assert!(list.stderr.contains("keys of mine.toml"), "{list:?}");
    let both = "api_keys_file = \"mine.toml\"\napi_keys_in_database = true\n";
    settings(both);
    keys(&create).await.must_be_refused(2, &["mine.toml and those of the databases", "--file"]);
    for text in [both, "nonsense = 1\n"] {
        settings(text);
        let list = keys(&["list", "--file", "mine.toml"]).await;
        assert_eq!(list.code, Some(0), "{list:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = async |args: &[&str]| lastro(folder.path()).args(args.to_vec()).to_end().await;
    run(&["--api-keys-in-database", "--no-auth"])
        .await
        .must_be_refused(2, &["api_keys_in_database and no_auth exclude each other"]);
    run(&["keys", "list"])
        .await
        .must_be_refused(2, &["api_keys_file", "--file", "--data-dir", "--in-database"]);
    for args in [&["keys", "list", "--data-dir", "none"][..], &["keys", "list", "--in-database"]] {
        run(args).await.must_be_refused(1, &["orders.db", "there is no such file"]);
    }
    run(&["keys", "list", "--file", "keys.toml", "--in-database"])
        .await
        .must_be_refused(2, &["--file and --in-database exclude each other"]);
    let create = ["keys", "create", "--name", "x", "--scope", "orders:read", "--file", "keys.toml"];
    for lifetime in ["11years", "9999999999days"] {
        let forever = run(&[&create[..], &["--expires", lifetime]].concat()).await;
        forever.must_be_a_usage_error(&["--expires", lifetime]);
        assert!(forever.stderr.contains("a key lasts 10 years at most"), "{}", forever.stderr);
    }
    assert_eq!(run(&[&create[..], &["--expires", "10years"]].concat()).await.code, Some(0));
    let shop = shop().await;
    tool(&shop, &["revoke", "4fT9xQ2mLp0a"])
        .await
        .must_be_refused(1, &["no key has the id 4fT9xQ2mLp0a", "inventory.db"]);
    let password = ["keys", "list", "--orders-database-url", "postgres://u:secret@127.0.0.1/x"];
    let refused = run(&password).await;
    assert!(refused.code == Some(2) && !refused.stderr.contains("secret"), "{refused:?}");
}

/// Where other machines reach it, a service with an empty table lets nobody in.
#[tokio::test]
async fn an_open_address_without_any_key_yet_is_closed_to_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = ["--listen", "0.0.0.0:0", "--data-dir", "data", "--api-keys-in-database"];
    let program = lastro(folder.path()).args(open).serving().await;
    let mut connection = Connection::to_address(program.address()).await;
    let (unknown, _) = Keys::new().create("stock:read", &[]).await;
    for path in BOTH {
        assert_eq!(connection.status(path, &unknown).await, 401, "{path}");
    }
    assert!(program.log().contains("the table api_keys has no keys"), "{}", program.log());
}
