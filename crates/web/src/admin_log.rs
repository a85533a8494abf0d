//! The admin log of a service as its API shows it: who changed what by hand.

use axum::Json;
use platform::admin::{AdminEntry, AdminLog};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::{Query, cursor, page};

/// The name of the list in its cursors.
const LIST: &str = "admin-log";

/// What a person changed by hand, or tried to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AdminEntry)]
pub struct EntryView {
    #[schema(value_type = String, format = "date-time")]
    at: String,
    /// Who asked for it; null if clients were not asked who they are.
    #[schema(example = "key:4fT9xQ2mLp0a")]
    actor: Option<String>,
    /// At both services `discard_message` for an entry of the quarantine; `key_created`,
    /// `key_rotated`, `key_revoked` or `key_restored` for an API key in the database; `refused` for a
    /// request that only an administrator may make; `serves_anyone` when the service began to serve
    /// clients from other machines without asking who they are. At the Order Service also
    /// `retry_command` for a command that was sent again. At the Inventory Service also `put_product`,
    /// `put_location`, `adjust` or `count`; `import_began` and `import_ended` for a file of counted
    /// stock, whose counts are in the ledger; `repair_order` for an order that `lastro repair` put
    /// right, whose movements are in the ledger.
    #[schema(example = "put_product")]
    action: String,
    /// The id of the product, location, order, key or entry; the `Idempotency-Key` of an import; the
    /// method and path of a refused request; the address where the service listens.
    #[schema(example = "789")]
    subject: String,
    /// What it was before; null if it did not exist, or if nothing of it was replaced.
    #[schema(value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// What it is after; of a refused request, the `required_scope`.
    #[schema(value_type = Object)]
    after: Box<RawValue>,
    /// The `X-Request-Id` of the request.
    request_id: Option<String>,
    /// The address that the request came from.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
}

/// A page of the admin log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminLogPage {
    data: Vec<EntryView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl AdminLogPage {
    /// The page of entries, of which one more than the limit was asked for.
    fn new(mut entries: Vec<AdminEntry>, limit: usize) -> Self {
        let next_cursor =
            page::cut(&mut entries, limit, |last| cursor::encode(LIST, &last.number.to_string()));
        Self { data: entries.into_iter().map(EntryView::from).collect(), next_cursor }
    }
}

impl From<AdminEntry> for EntryView {
    fn from(entry: AdminEntry) -> Self {
        Self {
            at: entry.at.to_rfc3339(),
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            before: entry.before.map(json),
            after: json(entry.after),
            request_id: entry.request_id,
            address: entry.address,
        }
    }
}

fn json(text: String) -> Box<RawValue> {
    RawValue::from_string(text).expect("the store wrote JSON")
}

/// The page of a service's admin log that a client asks for.
///
/// # Errors
///
/// As [`Query::finish`], 400 `invalid_cursor`, and the problem of a failed read.
pub async fn list(log: &dyn AdminLog, mut query: Query) -> Result<Json<AdminLogPage>, Problem> {
    let limit = query.limit();
    let before = query.cursor(LIST);
    query.finish()?;
    let before = before.map(|key| key.parse().map_err(|_| cursor::invalid())).transpose()?;
    let entries = log.page(before, page::one_more(limit)).await?;
    Ok(Json(AdminLogPage::new(entries, limit)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use platform::admin::{AdminNote, Requester};
    use platform::clock::Timestamp;
    use platform::failure::Failure;

    use super::*;

    /// A log with so many entries, and what it was asked for.
    #[derive(Debug)]
    struct Log {
        entries: i64,
        asked: Mutex<Vec<(Option<i64>, u32)>>,
    }

    #[async_trait]
    impl AdminLog for Log {
        async fn page(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEntry>, Failure> {
            self.asked.lock().expect("a lock").push((before, limit));
            let entry = |number: i64| {
                let (at, subject) = (Timestamp(number), number.to_string());
                let after = r#"{"b":1,"a":[2.50]}"#.to_owned();
                let entry = AdminEntry::new(Requester::default(), at, "count", subject, after);
                AdminEntry { number, ..entry }
            };
            let newest = before.map_or(self.entries, |before| before - 1);
            Ok((1..=newest).rev().take(limit as usize).map(entry).collect())
        }

        async fn note(&self, _: AdminNote) -> Result<(), Failure> {
            panic!("it is only read")
        }
    }

    async fn page(log: &Log, query: &str) -> serde_json::Value {
        let Json(page) = list(log, Query::new(Some(query))).await.expect("a page");
        serde_json::to_value(page).expect("JSON")
    }

    #[tokio::test]
    async fn each_page_begins_below_the_last_entry_of_the_one_before() {
        let log = Log { entries: 5, asked: Mutex::default() };
        let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
        loop {
            let page = page(&log, &query).await;
            let data = page["data"].as_array().expect("a list");
            seen.extend(data.iter().map(|entry| entry["subject"].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            query = format!("limit=2&cursor={next}");
        }
        assert_eq!(seen, [r#""5""#, r#""4""#, r#""3""#, r#""2""#, r#""1""#]);
        let asked = log.asked.into_inner().expect("a lock");
        assert_eq!(asked, [(None, 3), (Some(4), 3), (Some(2), 3)]);
    }

    #[tokio::test]
    async fn what_was_stored_is_shown_as_it_was_written() {
        let log = Log { entries: 1, asked: Mutex::default() };
        let Json(page) = list(&log, Query::new(None)).await.expect("a page");
        let text = serde_json::to_string(&page).expect("JSON");
        assert!(text.contains(r#""before":null,"after":{"b":1,"a":[2.50]}"#), "{text}");
    }

    #[tokio::test]
    async fn a_wrong_query_reads_nothing() {
        let log = Log { entries: 1, asked: Mutex::default() };
        let foreign = cursor::encode("quarantine", "1");
        let no_number = cursor::encode(LIST, "one");
        for wrong in ["limit=0", "limit=201", "seen=true"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("cursor={foreign}"), format!("cursor={no_number}")])
        {
            assert!(list(&log, Query::new(Some(&wrong))).await.is_err(), "{wrong}");
        }
        assert!(log.asked.into_inner().expect("a lock").is_empty());
    }
}
