//! `lastro admin-log`: what people changed by hand, from the databases of both services.

use std::cmp::Reverse;
use std::path::PathBuf;

use platform::admin::AdminEntry;
use platform::config::File;
use platform::process::{COMMON_KEYS, ProgramError};
use serde_json::{Value, json};

use crate::serve::{DatabaseArgs, KEYS};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many of the newest entries to show
    #[arg(long, value_name = "ENTRIES", default_value_t = 50)]
    limit: u32,
    /// As JSON, one entry per line
    #[arg(long)]
    json: bool,
}

/// Shows the newest entries of the admin logs, newest first. The services may be running.
///
/// # Errors
///
/// A database does not exist, is unreachable, or is of another version.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { databases, config, limit, json } = args;
    let file = File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?;
    let [of_orders, of_stock] = databases.named(&file)?;
    let mut entries = Vec::new();
    if let Some(url) = of_orders {
        let found = orders::admin_log(&url, limit).await?;
        entries.extend(found.into_iter().map(|entry| (orders::SERVICE, entry)));
    }
    if let Some(url) = of_stock {
        let found = inventory::admin_log(&url, limit).await?;
        entries.extend(found.into_iter().map(|entry| (inventory::SERVICE, entry)));
    }
    entries.sort_by_key(|(_, entry)| Reverse(entry.at));
    for (service, entry) in entries.iter().take(limit as usize) {
        if json {
            println!("{}", as_json(service, entry));
        } else {
            println!("{}", as_line(service, entry));
        }
    }
    Ok(())
}

fn as_json(service: &str, entry: &AdminEntry) -> Value {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "at": entry.at.to_rfc3339(),
        "service": service,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before.as_deref().map(value),
        "after": value(&entry.after),
        "request_id": entry.request_id,
        "address": entry.address,
    })
}

fn as_line(service: &str, entry: &AdminEntry) -> String {
    let at = entry.at.to_rfc3339();
    let actor = entry.actor.as_deref().unwrap_or("anyone");
    let address = entry.address.as_deref().unwrap_or("-");
    let before = entry.before.as_deref().unwrap_or("nothing");
    let AdminEntry { action, subject, after, .. } = entry;
    format!("{at}  {service}  {actor}  {address}  {action} {subject}: {before} -> {after}")
}
