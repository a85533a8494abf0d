//! `lastro migrate`: migrates PostgreSQL schemas as their owner, for services whose role may not.

use platform::config::{DatabaseUrl, File, UsageError};
use platform::lifecycle::on_signal;
use platform::process::ProgramError;
use platform::telemetry;

use crate::serve::UrlArgs;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("orders_database_url", |arg| arg.help("Database of the orders, as its owner")),
    mut_arg("inventory_database_url", |arg| arg.help("Database of the stock, as its owner"))
)]
pub(crate) struct Args {
    #[command(flatten)]
    urls: UrlArgs,
    /// Role that the services log in as: it may do what they do, and not change or delete entries
    /// of the ledgers
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Role that `lastro verify` logs in as: it may read what that reads
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
}

/// Migrates the named databases.
///
/// # Errors
///
/// A database is not PostgreSQL, is unreachable, or was migrated by another version, or a role could
/// do more than it is granted. The failed migration leaves it unchanged.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    telemetry::init_logs();
    let Args { urls, role, reader } = args;
    let [orders, inventory] = urls.resolve(&File::default())?;
    if orders.is_none() && inventory.is_none() {
        return Err(UsageError(
            "name a database with --orders-database-url or --inventory-database-url".to_owned(),
        )
        .into());
    }
    if role.is_some() && role == reader {
        return Err(UsageError(
            "--role and --reader are the same role; the one writes and the other must not"
                .to_owned(),
        )
        .into());
    }
    // Process 1 of a container does not even die of a signal that it does not handle.
    let stop = on_signal().map_err(ProgramError::failed)?;
    let migrating = migrate(orders, inventory, role.as_deref(), reader.as_deref());
    stop.run_until_cancelled(migrating).await.unwrap_or_else(|| {
        let why = "interrupted; a migration that was not finished leaves its database unchanged";
        Err(ProgramError::failed(why))
    })
}

async fn migrate(
    orders: Option<DatabaseUrl>,
    inventory: Option<DatabaseUrl>,
    role: Option<&str>,
    reader: Option<&str>,
) -> Result<(), ProgramError> {
    if let Some(url) = orders {
        orders::migrate(&url, role, reader).await?;
        println!("{url} is up to date");
    }
    if let Some(url) = inventory {
        inventory::migrate(&url, role, reader).await?;
        println!("{url} is up to date");
    }
    Ok(())
}
