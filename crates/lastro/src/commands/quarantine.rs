//! `lastro quarantine`: messages that were set aside, at both services.
//!
//! To retry is to send the order's command again, from the order as it is now. The stored bytes are
//! never processed: they may be cut, forged, or older than the order, and a command that is still
//! pending says the same again.

use clap::{Subcommand, ValueEnum};
use platform::process::ProgramError;
use serde_json::Value;

use super::{Context, ListArgs, field, pending, text};
use crate::client::{ConnectArgs, Failed, Item, Query, Request, done};
use crate::output::{Columns, line, note, show, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Which service set it aside [default: either]
    #[arg(long, value_name = "SERVICE", global = true)]
    service: Option<Service>,
    #[command(subcommand)]
    command: Command,
}

/// A service by its name in paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Service {
    Orders,
    Inventory,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List messages, the one that came last first
    List {
        /// Also those that were discarded, and whether they were
        #[arg(long)]
        seen: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a message
    Show {
        /// The message, or the beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Send the command of the order that a message is about again, from the order as it is now
    Retry {
        /// The message, or the beginning of its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        wait: pending::AnswerArgs,
    },
    /// Note that a message was seen; it stays, and counts as unseen if it comes again
    Discard {
        /// The message, or the beginning of its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl Service {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Inventory => "inventory",
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// There is no such message, or the service refuses the request or cannot be reached.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    let services = match args.service {
        Some(service) => vec![service],
        None => vec![Service::Orders, Service::Inventory],
    };
    match args.command {
        Command::List { seen, list } => self::list(&context, &services, seen, &list).await,
        Command::Show { id } => show_one(&context, &services, &id).await,
        Command::Retry { id, wait } => retry(&context, &services, &id, wait).await,
        Command::Discard { id } => discard(&context, &services, &id).await,
    }
}

async fn list(
    context: &Context,
    services: &[Service],
    seen: bool,
    args: &ListArgs,
) -> Result<(), Failed> {
    let state: &[&str] = if seen { &["STATE"] } else { &[] };
    let headings = ["ID", "SERVICE", "KIND", "CAME", "LAST", "ORDER"];
    let mut table = Columns::new(&[&headings[..], state, &["REASON"]].concat());
    let (mut shown, mut unread) = (0, Vec::new());
    for service in services {
        let query = path(*service, "").with("seen", (!seen).then_some(false));
        let name = service.name();
        let more = context.client.pages(&query, args.count(), |items| {
            for Item { raw, value: entry } in items {
                shown += 1;
                if context.json {
                    // The service is the one thing that an entry does not say itself.
                    line(format_args!(r#"{{"service":"{name}",{}"#, &raw[1..]))?;
                    continue;
                }
                let mut row = vec![
                    text(&entry, "id").chars().take(12).collect(),
                    name.to_owned(),
                    show(&entry["kind"]),
                    format!("{}×", entry["count"]),
                    time(&entry["last_at"]),
                    show(&entry["order_id"]),
                ];
                row.extend(seen.then(|| self::state(&entry)));
                row.push(show(&entry["reason"]));
                table.row(row);
            }
            Ok(())
        });
        match more.await {
            Ok(true) => note(format_args!("there are more messages at {name}: --all shows them")),
            Ok(false) => {}
            Err(Failed::Closed) => return Err(Failed::Closed),
            // What the other service has is shown all the same.
            Err(failed) => unread.push((*service, failed)),
        }
    }
    table.print()?;
    if !unread.is_empty() {
        return Err(not_read(services, unread));
    }
    if shown == 0 {
        note(if seen {
            "no message was set aside"
        } else {
            "no message was set aside that nobody has seen; --seen shows the others"
        });
    } else if !context.json {
        note(
            "hint: a message is a record and blocks nothing: what it asked for is sent again while \
             it is pending. `lastro quarantine show ID` shows it, `lastro quarantine retry ID` sends \
             the order's command now, `lastro quarantine discard ID` marks it as seen",
        );
    }
    Ok(())
}

/// Whether somebody has discarded a message since it last came. A retry leaves it as it is.
fn state(entry: &Value) -> String {
    if !entry["discarded_at"].is_string() {
        return "unseen".to_owned();
    }
    let by = entry["discarded_by"].as_str().map(|by| format!(" by {}", show(&by.into())));
    format!("discarded {}{}", time(&entry["discarded_at"]), by.unwrap_or_default())
}

/// Some services could not be asked.
fn not_read(services: &[Service], mut unread: Vec<(Service, Failed)>) -> Failed {
    let (service, failed) = unread.swap_remove(0);
    let Some(other) = services.iter().find(|other| **other != service) else { return failed };
    if !unread.is_empty() {
        return failed;
    }
    let (name, other, why) = (service.name(), other.name(), failed.first_line());
    Failed::line(format!(
        "the messages of {name} could not be read: {why}\nhint: --service {other} asks the other \
         service alone"
    ))
}

fn path(service: Service, rest: &str) -> Query {
    Query::of(format!("/api/{}/quarantine{rest}", service.name()))
}

/// Finds a message by its id, or by the beginning of it.
async fn find(
    context: &Context,
    services: &[Service],
    id: &str,
) -> Result<(Service, String), Failed> {
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id.is_empty() || id.len() > 64 || !is_hexadecimal(id) {
        return Err(Failed::usage("the id of a message has up to 64 hexadecimal digits"));
    }
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for service in services {
        let all = match context.client.list(&path(*service, ""), usize::MAX).await {
            Ok(all) => all,
            Err(failed) => {
                unread.push((*service, failed));
                continue;
            }
        };
        let ids = all.iter().map(|item| text(&item.value, "id"));
        let named = ids.filter(|its| its.starts_with(id)).map(|its| (*service, its.to_owned()));
        found.extend(named);
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 if !unread.is_empty() => Err(not_read(services, unread)),
        0 => Err(Failed::not_found(format!(
            "no message has the id {id}\nhint: `lastro quarantine list --seen` shows all"
        ))),
        many => Err(Failed::usage(format!(
            "{many} messages have an id that begins with {id}: write more of it, or --service"
        ))),
    }
}

async fn show_one(context: &Context, services: &[Service], id: &str) -> Result<(), Failed> {
    let (service, id) = find(context, services, id).await?;
    let answer = context.client.get(path(service, &format!("/{id}")).as_str()).await?;
    if context.json {
        return line(answer.raw()?);
    }
    let entry = answer.json()?;
    field("id", show(&entry["id"]))?;
    field("service", service.name())?;
    field("kind", show(&entry["kind"]))?;
    field("reason", show(&entry["reason"]))?;
    field("order", show(&entry["order_id"]))?;
    let (first, last) = (time(&entry["first_at"]), time(&entry["last_at"]));
    field("came", format_args!("{} times, from {first} to {last}", entry["count"]))?;
    field("length", format_args!("{} bytes", entry["length"]))?;
    field("state", state(&entry))?;
    let kept = entry["message"].as_str().or(entry["message_base64"].as_str()).unwrap_or_default();
    let how = match (entry["message"].is_string(), entry["truncated"] == true) {
        (true, false) => "the message",
        (true, true) => "the beginning of the message",
        (false, false) => "the message, in base64",
        (false, true) => "the beginning of the message, in base64",
    };
    line(format_args!("\n{how}:\n{}\n", crate::output::clean(kept)))?;
    line(meaning(&entry))
}

/// What a message means, and what to do.
fn meaning(entry: &Value) -> String {
    let what = match text(entry, "kind") {
        "malformed" => {
            "It could not be read: something else than the other service publishes there, or a \
             program of another version."
        }
        "poisoned" => "It failed even alone: the log of the service has the reason.",
        "anomaly" => {
            "It cannot occur in a healthy system: was a database restored, or a service connected \
             to another deployment? `lastro verify` checks the data."
        }
        _ => "This version of lastro does not know this kind.",
    };
    let next = match entry["order_id"].as_str() {
        Some(id) => format!(
            "`lastro orders show {}` says where its order is; `lastro quarantine retry ID` sends the \
             order's command again, and `lastro quarantine discard ID` marks the message as seen.",
            show(&id.into())
        ),
        None => "It names no order, so there is nothing to send again: what it asked for, if \
                 anything, is sent again by itself. `lastro quarantine discard ID` marks it as seen."
            .to_owned(),
    };
    format!("{what} {next}")
}

/// Sends the command again that a message is about. Only the Order Service has commands to send,
/// also those that Inventory has set aside.
async fn retry(
    context: &Context,
    services: &[Service],
    id: &str,
    wait: pending::AnswerArgs,
) -> Result<(), Failed> {
    wait.check(context)?;
    let (service, id) = find(context, services, id).await?;
    let entry = context.client.get(path(service, &format!("/{id}")).as_str()).await?.json()?;
    let Some(order_id) = entry["order_id"].as_str() else {
        return Err(Failed::line(
            "the message names no order, so there is nothing to send again\nhint: whatever is \
             pending is sent again by itself: `lastro pending`. `lastro quarantine discard ID` marks \
             the message as seen",
        ));
    };
    let request = match service {
        Service::Orders => Request::post(path(service, &format!("/{id}/retry")).as_str(), ""),
        Service::Inventory => pending::request(order_id),
    };
    pending::retry(context, &request, wait).await?;
    if !context.json && !entry["discarded_at"].is_string() {
        let id: String = id.chars().take(12).collect();
        note(format_args!(
            "the message is still listed as unseen: `lastro quarantine discard {id}` marks it as seen"
        ));
    }
    Ok(())
}

async fn discard(context: &Context, services: &[Service], id: &str) -> Result<(), Failed> {
    let (service, id) = find(context, services, id).await?;
    let path = path(service, &format!("/{id}/discard"));
    let answer = context.client.send(&Request::post(path.as_str(), "")).await?;
    if context.json {
        return line(answer.raw()?);
    }
    let entry = answer.json()?;
    field("id", show(&entry["id"]))?;
    field("service", service.name())?;
    field("discarded", time(&entry["discarded_at"]))
}
