//! API keys in the databases of replicas, which go on without the databases.

use std::path::Path;

use platform::keys::{KeyId, KeyMode, NewKey};
use testbed::{Databases, Deployment, Form, PATIENCE, Postgres, eventually, lastro};

use crate::environment_on;

/// What a key may read of each service, and of the program without any database.
const PATHS: [&str; 3] = ["/api/orders?limit=1", "/api/inventory/locations", "/metrics"];

/// Runs `lastro keys` with the addresses of the databases in files, as for passwords.
async fn tool(databases: &Databases, folder: &Path, args: &[&str]) -> String {
    let mut keys = lastro(folder).args(["keys"]).args(args.to_vec());
    for (name, url) in [("orders", &databases.orders), ("inventory", &databases.inventory)] {
        let file = folder.join(format!("{name}.url"));
        std::fs::write(&file, url).expect("written");
        keys = keys.args([format!("--{name}-database-url-file"), file.display().to_string()]);
    }
    let ended = keys.to_end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout
}

/// The answers of both replicas to a path: they take turns.
async fn verdicts(shop: &Deployment, path: &str, key: &str) -> [String; 2] {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let ask = async || shop.send("GET", path, &headers, "").await.verdict();
    [ask().await, ask().await]
}

async fn become_everywhere(shop: &Deployment, key: &str, expected: [&str; 3]) {
    for (path, expected) in PATHS.iter().zip(expected) {
        eventually(PATIENCE, &format!("{path} is {expected}"), async || {
            (verdicts(shop, path, key).await == [expected; 2]).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn keys_of_the_databases_are_felt_by_all_replicas_and_go_on_without_the_databases() {
    let mut server = Postgres::start(&[]).await;
    let environment = environment_on(&server).await;
    let databases = environment.databases.clone().expect("databases");
    let folder = tempfile::tempdir().expect("a folder");
    // Every program reads the file in its folder.
    let settings = "api_keys_in_database = true\naddress_rate = 1000000\n";
    std::fs::write(folder.path().join("lastro.toml"), settings).expect("written");
    let shop = Deployment::open_in(folder, Form::Replicas, environment).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let run = async |args: &[&str]| tool(&databases, elsewhere.path(), args).await;
    let scopes = "orders:read,stock:read,ops:read";
    let key = run(&["create", "--name", "test", "--scope", scopes]).await.trim().to_owned();
    let other = run(&["create", "--name", "other", "--scope", scopes]).await.trim().to_owned();
    become_everywhere(&shop, &key, ["200"; 3]).await;
    become_everywhere(&shop, &other, ["200"; 3]).await;

    server.kill().await;
    // The stores of the services fail, and not the keys; whoever has no key learns nothing of it.
    let away = "503 storage_unavailable";
    become_everywhere(&shop, &key, [away, away, "200"]).await;
    let id: KeyId = key.split('_').nth(2).expect("an id").parse().expect("an id");
    let wrong = NewKey::for_id(id.clone(), KeyMode::Live).expect("random numbers").text;
    become_everywhere(&shop, &wrong, ["401 unauthenticated"; 3]).await;
    eventually(PATIENCE, "the log says that the keys cannot be read", async || {
        let said = "the table api_keys of orders: ";
        shop.programs.orders.iter().all(|program| program.log().contains(said)).then_some(())
    })
    .await;

    server.resume().await;
    become_everywhere(&shop, &key, ["200"; 3]).await;
    run(&["revoke", id.as_str()]).await;
    become_everywhere(&shop, &key, ["401 unauthenticated"; 3]).await;
    become_everywhere(&shop, &other, ["200"; 3]).await;
    for database in [&databases.orders, &databases.inventory] {
        let operator = testbed::postgres(database).await;
        let unnoted = "SELECT FROM api_keys WHERE last_used_at IS NULL";
        eventually(PATIENCE, "the last use is noted", async || {
            operator.query(unnoted, &[]).await.expect("an answer").is_empty().then_some(())
        })
        .await;
    }
    let list = run(&["list"]).await;
    let is_noted = |line: &&str| line.contains("  both  ") && !line.contains("never");
    assert_eq!(list.lines().filter(is_noted).count(), 2, "{list}");
}
