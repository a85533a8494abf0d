//! The admin logs of both services, over HTTP.

use platform::admin::AdminEntry;
use platform::clock::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Logged;
use crate::client::{Client, ConnectArgs, Failed, Item, Query};
use crate::output::note;

/// An entry as a service answers it.
#[derive(Deserialize)]
struct Answered {
    at: String,
    actor: Option<String>,
    action: String,
    subject: String,
    before: Option<Box<RawValue>>,
    after: Box<RawValue>,
    request_id: Option<String>,
    address: Option<String>,
}

impl TryFrom<Item> for AdminEntry {
    type Error = Failed;

    fn try_from(item: Item) -> Result<Self, Failed> {
        let unknown = |why: &dyn std::fmt::Display| {
            Failed::line(format!("the answer is not an admin log: {why}"))
        };
        let answered: Answered =
            serde_json::from_str(&item.raw).map_err(|error| unknown(&error))?;
        let Answered { at, actor, action, subject, before, after, request_id, address } = answered;
        let at = Timestamp::from_rfc3339(&at)
            .ok_or_else(|| unknown(&"`at` must be an RFC 3339 time"))?;
        let (before, after) = (before.map(|it| it.get().to_owned()), after.get().to_owned());
        // Only the database knows the number.
        Ok(Self { number: 0, at, actor, action, subject, before, after, request_id, address })
    }
}

/// The newest entries of each service, and why those of a service are missing that could not be
/// asked. What the key may not read is named, and left out.
///
/// # Errors
///
/// Neither service has shown its log.
pub(super) async fn read(
    connect: &ConnectArgs,
    limit: u32,
) -> Result<(Vec<Logged>, Option<Failed>), Failed> {
    let client = connect.client().map_err(Failed::Usage)?;
    let mut entries = Vec::new();
    let mut failed = Vec::new();
    for service in [orders::SERVICE, inventory::SERVICE] {
        match of_service(&client, service, limit).await {
            Ok(found) => {
                entries.extend(found.into_iter().map(|entry| Logged { service, entry }));
            }
            Err(why) => failed.push((service, why)),
        }
    }
    let Some((service, why)) = failed.pop() else { return Ok((entries, None)) };
    let line = format!("the admin log of {service} is not shown: {}", why.first_line());
    if let Some((_, first)) = failed.pop() {
        if first.first_line() != why.first_line() {
            note(line);
        }
        return Err(first);
    }
    if why.code() == Some("forbidden") {
        note(line);
        return Ok((entries, None));
    }
    Ok((entries, Some(Failed::line(line))))
}

async fn of_service(client: &Client, service: &str, limit: u32) -> Result<Vec<AdminEntry>, Failed> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let log = Query::of(format!("/api/{service}/admin-log"));
    let items = client.list(&log, limit as usize).await?;
    items.into_iter().map(AdminEntry::try_from).collect()
}
