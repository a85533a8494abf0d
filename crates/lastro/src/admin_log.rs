//! `lastro admin-log`: what people changed by hand, from the Inventory Service's database.

use std::path::PathBuf;

use inventory::AdminEntry;
use platform::clock::Timestamp;
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

/// Shows the newest entries of the audit log, newest first. The service may be running.
///
/// # Errors
///
/// The database does not exist, is unreachable, or is of another version.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { databases, config, limit, json } = args;
    let file = File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?;
    let url = databases.resolve(&file)?.inventory;
    let (audit, _) = inventory::open_for_audit(&url).await?;
    let entries = audit.admin_log(None, limit).await?;
    for entry in &entries {
        if json {
            println!("{}", as_json(entry));
        } else {
            println!("{}", as_line(entry));
        }
    }
    Ok(())
}

fn as_json(entry: &AdminEntry) -> Value {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "at": Timestamp(entry.at_micros).to_rfc3339(),
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "before": entry.before.as_deref().map(value),
        "after": value(&entry.after),
        "request_id": entry.request_id,
        "address": entry.address,
    })
}

fn as_line(entry: &AdminEntry) -> String {
    let at = Timestamp(entry.at_micros).to_rfc3339();
    let actor = entry.actor.as_deref().unwrap_or("anyone");
    let address = entry.address.as_deref().unwrap_or("-");
    let before = entry.before.as_deref().unwrap_or("nothing");
    let AdminEntry { action, subject, after, .. } = entry;
    format!("{at}  {actor}  {address}  {action} {subject}: {before} -> {after}")
}
