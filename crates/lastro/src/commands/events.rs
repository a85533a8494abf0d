//! `lastro events`: the feed of a service, from a cursor on.

use std::time::Duration;

use http::Method;
use platform::lifecycle::on_signal;
use platform::process::ProgramError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::quarantine::Service;
use super::{Context, text};
use crate::client::{ConnectArgs, Failed, Item, PAGE, Page, Query, Request, done};
use crate::output::{line, note, show, time};

mod sentence;

use sentence::sentence;

/// How long a request waits for an event.
const WAIT: Duration = Duration::from_secs(20);
/// The pauses before a feed that was lost is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Refusals that pass by themselves.
const PASSING: [&str; 4] = ["storage_unavailable", "shutting_down", "overloaded", "rate_limited"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Whose events
    #[arg(long, value_name = "SERVICE", default_value = "orders")]
    service: Service,
    /// Go on as events happen, until Ctrl-C, also over lost connections
    #[arg(long)]
    follow: bool,
    /// Begin behind this cursor; `first` is the first event there ever was, `latest` now [default:
    /// latest with --follow, else first]
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Only these types, such as order.confirmed,order.rejected
    #[arg(long, value_name = "TYPE,…")]
    types: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// Runs the command.
///
/// # Errors
///
/// The service refuses the request or, without `--follow`, cannot be reached.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    done(carry_out(args).await)
}

async fn carry_out(args: Args) -> Result<(), Failed> {
    let context = Context::new(&args.connect)?;
    let stopping = on_signal().map_err(|error| Failed::line(error.to_string()))?;
    let mut feed = Feed::new(&args, stopping.clone());
    let ended = tokio::select! {
        ended = feed.read(&context) => ended,
        () = stopping.cancelled() => Ok(()),
    };
    if let Some(cursor) = &feed.cursor {
        note(format_args!("go on with --after {cursor}"));
    }
    ended
}

/// Why a page could not be read.
enum Trouble {
    /// It may be there a moment later.
    Passing(String),
    Lasting(Failed),
}

/// A feed as far as it was read.
struct Feed {
    query: Query,
    follow: bool,
    left: usize,
    /// Where to go on. An event counts as read when it was printed.
    cursor: Option<String>,
    stopping: CancellationToken,
}

impl Feed {
    fn new(args: &Args, stopping: CancellationToken) -> Self {
        let path = format!("/api/{}/events", args.service.name());
        let cursor = match args.after.as_deref() {
            Some("first") => None,
            None if !args.follow => None,
            None => Some("latest".to_owned()),
            Some(cursor) => Some(cursor.to_owned()),
        };
        let query = Query::of(path).with("types", args.types.as_ref());
        let left = args.limit.unwrap_or(usize::MAX);
        Self { query, follow: args.follow, left, cursor, stopping }
    }

    async fn read(&mut self, context: &Context) -> Result<(), Failed> {
        let mut pause = FIRST_PAUSE;
        let mut is_lost = false;
        while self.left > 0 && !self.stopping.is_cancelled() {
            let page = match self.page(context).await {
                Ok(page) => page,
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(why)) if !self.follow => return Err(Failed::line(why)),
                Err(Trouble::Passing(why)) => {
                    if !is_lost {
                        note(format_args!("{why}; trying again until the feed is back"));
                    }
                    is_lost = true;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            };
            if is_lost {
                note("the feed is back");
            }
            (is_lost, pause) = (false, FIRST_PAUSE);
            let is_end = page.items.is_empty() && page.next == self.cursor;
            for item in &page.items {
                print(context, item)?;
            }
            self.left = self.left.saturating_sub(page.items.len());
            self.cursor = page.next;
            // A page of rare types may be empty before the end.
            if is_end && !self.follow {
                break;
            }
        }
        Ok(())
    }

    /// Reads the next page.
    async fn page(&self, context: &Context) -> Result<Page, Trouble> {
        let query = self.query.clone().with("after", self.cursor.as_ref());
        let query = query.with("limit", Some(self.left.min(PAGE)));
        // The first request tells whether the address and the key are right.
        let is_begun = self.cursor.as_deref().is_some_and(|cursor| cursor != "latest");
        let request = Request::get(query.as_str());
        let request = if self.follow && is_begun { request.waiting(WAIT) } else { request };
        let answer = match context.client.once(&request, context.client.deadline()).await {
            Ok(answer) => answer,
            Err(lost) => {
                let unreachable =
                    Failed::unreachable(context.client.base_of(query.as_str()), &lost.why);
                let line = unreachable.first_line();
                return Err(if is_begun {
                    Trouble::Passing(line)
                } else {
                    Trouble::Lasting(unreachable)
                });
            }
        };
        if answer.status.is_success() {
            return Page::of(&answer).map_err(Trouble::Lasting);
        }
        let refused = Failed::refused(&Method::GET, query.as_str(), &answer);
        // A gateway answers for a service that is away, without a code.
        let code = answer.code();
        let passes = PASSING.contains(&code.as_str())
            || (code.is_empty() && answer.status.is_server_error());
        Err(if passes && is_begun {
            Trouble::Passing(refused.first_line())
        } else {
            Trouble::Lasting(refused)
        })
    }
}

fn print(context: &Context, item: &Item) -> Result<(), Failed> {
    if context.json {
        return line(&item.raw);
    }
    let Item { value: event, .. } = item;
    let kind = text(event, "type").trim_start_matches("dev.lastro.").to_owned();
    let (at, subject) = (time(&event["time"]), show(&event["subject"]));
    line(format_args!("{at}  {kind:<26}  {subject}  {}", sentence(&kind, &event["data"])))
}
