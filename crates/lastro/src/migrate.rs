//! `lastro migrate`: migrates PostgreSQL schemas as their owner, for services whose role may not.

use platform::config::{DatabaseUrl, UsageError};
use platform::process::ProgramError;
use platform::telemetry;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Database of the orders, with the name and the password of the schema's owner
    #[arg(long, env = "LASTRO_ORDERS_DATABASE_URL", value_name = "URL")]
    orders_database_url: Option<DatabaseUrl>,
    /// Database of the stock, with the name and the password of the schema's owner
    #[arg(long, env = "LASTRO_INVENTORY_DATABASE_URL", value_name = "URL")]
    inventory_database_url: Option<DatabaseUrl>,
    /// Role that the services log in as: it may append to the ledgers, but not change or delete
    /// entries
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

/// Migrates the named databases.
///
/// # Errors
///
/// A database is not PostgreSQL, is unreachable, or was migrated by another version. The failed
/// migration leaves it unchanged.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    telemetry::init_logs();
    let Args { orders_database_url, inventory_database_url, role } = args;
    if orders_database_url.is_none() && inventory_database_url.is_none() {
        return Err(UsageError(
            "name a database with --orders-database-url or --inventory-database-url".to_owned(),
        )
        .into());
    }
    if let Some(url) = orders_database_url {
        orders::migrate(&url, role.as_deref()).await?;
        println!("{url} is up to date");
    }
    if let Some(url) = inventory_database_url {
        inventory::migrate(&url, role.as_deref()).await?;
        println!("{url} is up to date");
    }
    Ok(())
}
