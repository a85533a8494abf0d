//! `lastro admin-log`: what people changed by hand, from the databases of both services, or from the
//! services over HTTP.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::Duration;

use platform::admin::AdminEntry;
use platform::clock::{Clock, SystemClock};
use platform::config::File;
use platform::process::{COMMON_KEYS, ProgramError};
use serde_json::{Value, json};

use crate::client::{ConnectArgs, done};
use crate::output::{clean, line, note};
use crate::serve::{DatabaseArgs, KEYS};
use source::{Named, Source};

mod over_http;
mod source;

#[derive(Debug, clap::Args)]
#[command(
    mut_arg("url", |arg| arg
        .help("Read over HTTP, and not from the databases: from a gateway, `lastro`, or the Order Service")
        .hide_default_value(true)),
    mut_arg("json", |arg| arg.help("As JSON, one entry per line").help_heading(None::<&str>))
)]
pub(crate) struct Args {
    /// The first member: the others take their arguments away.
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    databases: DatabaseArgs,
    /// The settings file, which may name the databases [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many of the newest entries to show
    #[arg(long, value_name = "ENTRIES", default_value_t = 50)]
    limit: u32,
    /// Show only entries of the last TIME, such as 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// An entry, and the service whose log has it.
struct Logged {
    service: &'static str,
    entry: AdminEntry,
}

/// Shows the newest entries of the admin logs, newest first. If the databases are read, the services
/// may be running or not.
///
/// # Errors
///
/// A database does not exist, is unreachable, or is of another version; or a service cannot be
/// reached, or refuses the request. What the other service has was shown.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let Args { named, databases, config, limit, since, connect } = args;
    let (mut entries, unread) = match named.source()? {
        Source::Databases => (of_databases(databases, config, limit).await?, None),
        Source::Services => match over_http::read(&connect, limit).await {
            Ok(read) => read,
            Err(failed) => return done(Err(failed)),
        },
    };
    if let Some(since) = since {
        let from = SystemClock.now().before(since);
        entries.retain(|logged| logged.entry.at >= from);
        if entries.len() >= limit as usize {
            note(format_args!("there may be more entries: --limit sets how many are shown"));
        }
    }
    entries.sort_by_key(|logged| Reverse(logged.entry.at));
    entries.truncate(limit as usize);
    let shown = entries.iter().try_for_each(|logged| match connect.json {
        true => line(logged.as_json()),
        false => line(logged.as_line()),
    });
    done(match (shown, unread) {
        (Ok(()), Some(failed)) => Err(failed),
        (shown, _) => shown,
    })
}

/// The entries of the databases that are named.
async fn of_databases(
    databases: DatabaseArgs,
    config: Option<PathBuf>,
    limit: u32,
) -> Result<Vec<Logged>, ProgramError> {
    let file = File::load(config, &[&COMMON_KEYS[..], &KEYS].concat())?;
    let [of_orders, of_stock] = databases.named(&file)?;
    let mut entries = Vec::new();
    if let Some(url) = of_orders {
        let found = orders::admin_log(&url, limit).await?;
        entries.extend(found.into_iter().map(|entry| Logged { service: orders::SERVICE, entry }));
    }
    if let Some(url) = of_stock {
        let found = inventory::admin_log(&url, limit).await?;
        let logged = |entry| Logged { service: inventory::SERVICE, entry };
        entries.extend(found.into_iter().map(logged));
    }
    Ok(entries)
}

impl Logged {
    fn as_json(&self) -> Value {
        let Self { service, entry } = self;
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

    fn as_line(&self) -> String {
        let Self { service, entry } = self;
        let at = entry.at.to_rfc3339();
        let actor = clean(entry.actor.as_deref().unwrap_or("anyone"));
        let address = clean(entry.address.as_deref().unwrap_or("-"));
        let before = clean(entry.before.as_deref().unwrap_or("nothing"));
        let [action, subject, after] =
            [&entry.action, &entry.subject, &entry.after].map(|text| clean(text));
        format!("{at}  {service}  {actor}  {address}  {action} {subject}: {before} -> {after}")
    }
}
