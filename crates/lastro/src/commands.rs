//! The commands that ask the services over HTTP: what they have in common.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use platform::clock::{Ids, SystemClock, SystemIds};
use serde_json::Value;

use crate::client::{Client, ConnectArgs, Failed, Item, Query};
use crate::output::{Columns, line, note};

pub(crate) mod events;
pub(crate) mod locations;
pub(crate) mod orders;
pub(crate) mod pending;
mod put;
pub(crate) mod quarantine;
pub(crate) mod shell;
pub(crate) mod stock;

/// What a command works with.
#[derive(Debug)]
struct Context {
    client: Client,
    /// Whether a script reads what is printed.
    json: bool,
}

impl Context {
    fn new(connect: &ConnectArgs) -> Result<Self, Failed> {
        let client = connect.client().map_err(Failed::Usage)?;
        Ok(Self { client, json: connect.json })
    }

    /// Whether lines of JSON appear on a terminal, where a progress would come between them.
    fn shows_lines(&self) -> bool {
        self.json && io::stdout().is_terminal()
    }
}

/// How much of a list to show.
#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    /// How many to show [default: 50]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Show all
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl ListArgs {
    fn count(&self) -> usize {
        if self.all { usize::MAX } else { self.limit.unwrap_or(50) }
    }

    /// Whether the user has named one of them.
    fn is_given(&self) -> bool {
        self.all || self.limit.is_some()
    }
}

/// The key of a change that must be made once.
#[derive(Clone, Debug, clap::Args)]
struct KeyArgs {
    /// The key by which a repeat of this command is recognized [default: a new one, which is shown]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl KeyArgs {
    /// The key that the user named, or a new one, which the user is told.
    fn key(&self) -> String {
        self.idempotency_key.clone().unwrap_or_else(|| {
            let key = SystemIds::new(Arc::new(SystemClock)).uuid().to_string();
            note(format_args!("idempotency key: {key}"));
            key
        })
    }
}

/// How long a change waits for its outcome.
#[derive(Clone, Copy, Debug, clap::Args)]
struct WaitArgs {
    /// How long to wait for Inventory's answer, up to 30s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// How much of a list was printed.
#[derive(Clone, Copy, Debug)]
struct Shown {
    items: usize,
    /// Whether there are more.
    more: bool,
}

/// Prints a list: a table, or a line of JSON per item.
async fn show_list(
    context: &Context,
    query: &Query,
    args: &ListArgs,
    what: &str,
    headings: &[&str],
    mut row: impl FnMut(&Item) -> Vec<String>,
) -> Result<Shown, Failed> {
    let mut table = Columns::new(headings);
    let mut count = 0;
    let has_progress = args.all && !context.shows_lines();
    let bar = if has_progress { counter(what) } else { ProgressBar::hidden() };
    let more = context.client.pages(query, args.count(), |items| {
        for item in items {
            count += 1;
            bar.inc(1);
            if context.json {
                line(&item.raw)?;
            } else {
                table.row(row(&item));
            }
        }
        Ok(())
    });
    let more = more.await;
    bar.finish_and_clear();
    let more = more?;
    table.print()?;
    if count == 0 {
        note(format_args!("no {what}"));
    } else if more {
        note(format_args!("there are more {what}: --all shows them, --limit sets how many"));
    }
    Ok(Shown { items: count, more })
}

/// A progress that counts.
fn counter(what: &str) -> ProgressBar {
    progress(None, "{spinner} {human_pos} {msg}, {elapsed}").with_message(what.to_owned())
}

/// A progress up to a length, if that is known, on standard error if that is a terminal.
fn progress(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A name and its value on a line.
fn field(name: &str, value: impl std::fmt::Display) -> Result<(), Failed> {
    line(format_args!("{name:<13} {value}"))
}

/// The text of a member; empty if it is none.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// The items of a list in an answer.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
