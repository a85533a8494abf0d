//! The pending commands, as an operator reads them and makes them due.
//!
//! Orders alone has this file: the Inventory Service waits for nothing.

use std::time::Duration;

use contract::OrderId;
use platform::admin::{AdminEntry, Requester};
use platform::clock::Timestamp;
use serde_json::json;

use super::Backlog;

/// How many pending commands one page reads, if only some of them are listed.
const SCANNED: u32 = 1000;

/// The `next_attempt_at` of a command that an operator made due, until it is sent: before every time
/// of a clock, so that each lease takes it before others (R8).
pub(super) const FIRST: i64 = 0;

/// When a command is due to be sent again. One that was made due is so now.
pub(super) fn due_at(next_attempt_at: i64, now: Timestamp) -> Timestamp {
    if next_attempt_at == FIRST { now } else { Timestamp(next_attempt_at) }
}

/// Which pending commands to list.
#[derive(Clone, Copy, Debug)]
pub struct PendingFilter {
    /// Only commands that have been pending for at least this long.
    pub older_than: Option<Duration>,
    /// Only commands of orders that were accepted after this one.
    pub after: Option<OrderId>,
    /// The most commands to return.
    pub limit: u32,
}

/// A command that waits for Inventory's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingCommand {
    /// Its order.
    pub order_id: OrderId,
    /// The revision that it carries.
    pub revision: i64,
    /// The number of its last sending, from 1.
    pub attempt: i64,
    /// Since when it is pending.
    pub since: Timestamp,
    /// When it was last sent.
    pub sent_at: Timestamp,
    /// When it is due to be sent again.
    pub next_attempt_at: Timestamp,
}

/// A page of pending commands, the oldest order first.
#[derive(Clone, Debug)]
pub struct PendingPage {
    /// All of them, whatever the page shows.
    pub backlog: Backlog,
    /// The commands of the page. They may be fewer than asked for, also if a page follows.
    pub commands: Vec<WaitingCommand>,
    /// The order after which the next page begins, if there is one.
    pub next: Option<OrderId>,
}

/// What became of a request to make a command due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeDue {
    /// It is due now, and is sent before others.
    Due(WaitingCommand),
    /// No command of the order is pending.
    NothingPending,
    /// The order does not exist.
    NoOrder,
}

impl PendingFilter {
    /// How many rows to read for a page.
    pub(super) fn scanned(&self) -> u32 {
        if self.older_than.is_some() { SCANNED } else { self.limit.saturating_add(1) }
    }

    /// Cuts a page out of the rows that were read, the oldest order first.
    pub(super) fn page(
        &self,
        rows: Vec<WaitingCommand>,
        now: Timestamp,
        backlog: Backlog,
    ) -> PendingPage {
        let limit = self.limit as usize;
        let are_all = rows.len() < self.scanned() as usize;
        let last_read = rows.last().map(|command| command.order_id).filter(|_| !are_all);
        let is_old = |command: &WaitingCommand| {
            self.older_than.is_none_or(|age| now.since(command.since) >= age)
        };
        let mut commands: Vec<_> = rows.into_iter().filter(is_old).collect();
        let next = if commands.len() > limit {
            commands.truncate(limit);
            commands.last().map(|command| command.order_id)
        } else {
            last_read
        };
        PendingPage { backlog, commands, next }
    }
}

/// The entry of the admin log about a command that was made due.
pub(super) fn retried(requester: Requester, now: Timestamp, due: &WaitingCommand) -> AdminEntry {
    let after = json!({"revision": due.revision, "attempt": due.attempt}).to_string();
    AdminEntry::new(requester, now, "retry_command", due.order_id.to_string(), after)
}
