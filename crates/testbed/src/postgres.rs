//! Throwaway PostgreSQL databases.

use std::hash::{BuildHasher, RandomState};

use tokio_postgres::{Client, NoTls};

/// The address of the server that `scripts/with-servers` runs, as its superuser.
///
/// **Errors:** panics, with what to do, if there is none.
pub fn postgres_url() -> String {
    std::env::var("LASTRO_TEST_POSTGRES_URL").expect("a PostgreSQL; run it as: scripts/with-servers cargo test …")
}

/// A new and empty database on that server. It goes when the server goes.
pub async fn fresh_database() -> String {
    let url = postgres_url();
    let name = format!("test_{:016x}", RandomState::new().hash_one(0));
    let operator = postgres(&url).await;
    operator.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.expect("a new database");
    database_on(&url, &name)
}

/// The same server's URL with another database.
pub fn database_on(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{name}")
}

/// A connection of the test's own.
pub async fn postgres(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection");
    // It ends with its client.
    tokio::spawn(connection);
    client
}
