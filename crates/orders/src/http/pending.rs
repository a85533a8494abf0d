//! `GET /api/orders/pending` and `POST /api/orders/pending/{order_id}/retry`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use platform::failure::Failure;
use serde::Serialize;
use utoipa::ToSchema;
use web::body::Parsed;
use web::problem::{BodyProblems, FaultCode, Problem, ReadProblems, WriteProblems};
use web::{OptionalJson, Query, Requester, cursor};

use super::{codes, request};
use crate::service::Service;
use crate::store::{MadeDue, PendingFilter, PendingPage, WaitingCommand};

/// The name of the list in its cursors.
const LIST: &str = "pending";
/// The greatest age that can be asked for: a hundred years.
const MAX_AGE_S: u64 = 100 * 365 * 24 * 3600;

/// A command that waits for the answer of the Inventory Service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingCommand)]
pub(super) struct CommandView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    /// The revision of the order that the command carries.
    revision: i64,
    /// How often it was sent.
    attempt: i64,
    /// Since when it is pending.
    #[schema(value_type = String, format = "date-time")]
    since: String,
    /// When it was last sent, or written if it was not sent yet.
    #[schema(value_type = String, format = "date-time")]
    sent_at: String,
    /// When it is due to be sent again; in the past if it is due.
    #[schema(value_type = String, format = "date-time")]
    next_attempt_at: String,
}

/// A page of pending commands, the oldest order first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingCommandPage)]
pub(super) struct PageView {
    /// How many commands are pending in all.
    total: u64,
    /// The age of the oldest of all; null if none is pending.
    #[schema(example = 12.5)]
    oldest_age_s: Option<f64>,
    data: Vec<CommandView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// A pending command that was made due.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetriedCommand)]
pub(super) struct RetriedView {
    #[schema(value_type = String, format = "uuid")]
    order_id: String,
    /// The revision of the order that the command carries.
    revision: i64,
    /// How often it was sent before this retry.
    attempt: i64,
    /// Since when it is due.
    #[schema(value_type = String, format = "date-time")]
    next_attempt_at: String,
}

impl From<WaitingCommand> for CommandView {
    fn from(command: WaitingCommand) -> Self {
        Self {
            order_id: command.order_id.to_string(),
            revision: command.revision,
            attempt: command.attempt,
            since: command.since.to_rfc3339(),
            sent_at: command.sent_at.to_rfc3339(),
            next_attempt_at: command.next_attempt_at.to_rfc3339(),
        }
    }
}

impl From<PendingPage> for PageView {
    fn from(page: PendingPage) -> Self {
        let PendingPage { backlog, commands, next } = page;
        Self {
            total: backlog.commands,
            oldest_age_s: (backlog.commands > 0).then_some(backlog.oldest_age.as_secs_f64()),
            data: commands.into_iter().map(CommandView::from).collect(),
            next_cursor: next.map(|order_id| cursor::encode(LIST, &order_id.to_string())),
        }
    }
}

/// List pending commands
///
/// Lists the commands that wait for an answer of the Inventory Service, the oldest order first. Each
/// is sent again until it is answered. A page may have fewer commands than `limit`, also if
/// `next_cursor` is not null.
#[utoipa::path(
    get, path = "/api/orders/pending", tag = "orders", operation_id = "listPendingCommands",
    params(
        ("older_than_s" = Option<u64>, Query, minimum = 0, maximum = 3_153_600_000_i64, description = "Only commands that have been pending for at least this many seconds"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Commands per page (default 50)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
    ),
    responses(
        (status = 200, description = "A page of pending commands", body = PageView),
        (status = 400, description = "`invalid_cursor`", body = Problem, content_type = "application/problem+json"),
        ReadProblems,
    ),
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    mut query: Query,
) -> Result<Json<PageView>, Problem> {
    let older_than = query.optional("older_than_s", age);
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let after = after.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let page = service.store.pending(PendingFilter { older_than, after, limit }).await?;
    Ok(Json(page.into()))
}

fn age(text: &str) -> Parsed<Duration> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err((FaultCode::BAD_FORMAT, "must be a whole number of seconds".to_owned()));
    }
    let seconds = text.parse().ok().filter(|seconds| *seconds <= MAX_AGE_S);
    let rule = || (FaultCode::OUT_OF_RANGE, format!("must be from 0 to {MAX_AGE_S}"));
    seconds.map(Duration::from_secs).ok_or_else(rule)
}

/// Send a pending command again
///
/// Makes the pending command of the order due, so that it is sent at once, before others that are
/// due. It is sent as any other is. While Inventory does not answer, only a few commands are sent.
/// The request is recorded in the admin log.
#[utoipa::path(
    post, path = "/api/orders/pending/{order_id}/retry", tag = "orders", operation_id = "retryPendingCommand",
    params(("order_id" = String, Path)),
    responses(
        (status = 200, description = "The command, which is due", body = RetriedView),
        (status = 404, description = "`order_not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`nothing_pending`", body = Problem, content_type = "application/problem+json"),
        BodyProblems,
        WriteProblems,
    ),
)]
pub(super) async fn retry(
    State(service): State<Arc<Service>>,
    requester: Requester,
    Path(order_id): Path<String>,
    OptionalJson(body): OptionalJson,
) -> Result<Json<RetriedView>, Problem> {
    request::nothing(body.as_ref())?;
    let order_id = order_id.parse().map_err(|_| super::order_not_found())?;
    answer(&service, service.store.make_due(order_id, requester.into()).await)
}

/// The answer about a command that was to be made due. If it was, the sweeper is woken.
pub(super) fn answer(
    service: &Service,
    made_due: Result<MadeDue, Failure>,
) -> Result<Json<RetriedView>, Problem> {
    match made_due.map_err(Problem::not_written)? {
        MadeDue::NoOrder => Err(super::order_not_found()),
        MadeDue::NothingPending => Err(nothing_pending()),
        MadeDue::Due(command) => {
            service.answer_feed.wake();
            Ok(Json(RetriedView {
                order_id: command.order_id.to_string(),
                revision: command.revision,
                attempt: command.attempt,
                next_attempt_at: command.next_attempt_at.to_rfc3339(),
            }))
        }
    }
}

/// The problem of an order without a pending command.
pub(super) fn nothing_pending() -> Problem {
    Problem::new(codes::NOTHING_PENDING, "no command of the order is pending")
}
