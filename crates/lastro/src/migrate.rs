//! `lastro migrate`: migrates PostgreSQL schemas as their owner, for services whose role may not.

use platform::config::{File, UsageError};
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
    let (role, reader) = (role.as_deref(), reader.as_deref());
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
