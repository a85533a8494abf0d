//! The quarantine of a service as its API shows it: messages that were set aside.

use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::clock::Timestamp;
use platform::quarantine::{EntryId, QuarantineEntry, QuarantineFilter, QuarantineTable};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::Reader;
use crate::problem::{Code, FaultCode, Problem};
use crate::{OptionalJson, Query, Requester, cursor, page};

/// The name of the list in its cursors.
const LIST: &str = "quarantine";

/// A message that was set aside, or an anomaly.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantineEntry)]
pub struct EntryView {
    /// 64 hexadecimal digits, by which repeats are the same entry.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    id: String,
    /// `malformed`: it cannot be read. `poisoned`: it fails even alone. `anomaly`: it cannot occur
    /// in a healthy system.
    #[schema(example = "malformed")]
    kind: &'static str,
    /// The order that the message is about, if that could be read.
    #[schema(format = "uuid")]
    order_id: Option<String>,
    /// The reason, for an operator.
    reason: String,
    /// How many bytes the message has.
    length: i64,
    /// How often it came.
    count: i64,
    #[schema(value_type = String, format = "date-time")]
    first_at: String,
    #[schema(value_type = String, format = "date-time")]
    last_at: String,
    /// When an operator discarded it; null if nobody has, or if it came again since.
    #[schema(value_type = Option<String>, format = "date-time")]
    discarded_at: Option<String>,
    /// Who discarded it; null also if clients are not asked who they are.
    #[schema(example = "key:4fT9xQ2mLp0a")]
    discarded_by: Option<String>,
}

/// An entry with its message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantineMessage)]
pub struct MessageView {
    #[serde(flatten)]
    entry: EntryView,
    /// The message, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The message in base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    /// Whether only the beginning of the message is kept.
    truncated: bool,
}

/// A page of entries; the one that came last is the first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QuarantinePage)]
pub struct EntryPage {
    data: Vec<EntryView>,
    /// Send it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

impl EntryPage {
    /// The page of entries that [`filter`] asked for.
    fn new(mut entries: Vec<QuarantineEntry>, limit: usize) -> Self {
        let next_cursor = page::cut(&mut entries, limit, |last| {
            cursor::encode(LIST, &format!("{} {}", last.last_at.0, last.id))
        });
        Self { data: entries.into_iter().map(EntryView::from).collect(), next_cursor }
    }
}

impl From<QuarantineEntry> for EntryView {
    fn from(entry: QuarantineEntry) -> Self {
        let (discarded_at, discarded_by) =
            entry.discarded.map_or((None, None), |it| (Some(it.at), it.by));
        Self {
            id: entry.id.to_string(),
            kind: entry.kind.as_str(),
            order_id: entry.subject.filter(|subject| is_uuid(subject)),
            reason: entry.reason,
            length: entry.length,
            count: entry.count,
            first_at: entry.first_at.to_rfc3339(),
            last_at: entry.last_at.to_rfc3339(),
            discarded_at: discarded_at.map(Timestamp::to_rfc3339),
            discarded_by,
        }
    }
}

impl From<(QuarantineEntry, Vec<u8>)> for MessageView {
    fn from((entry, bytes): (QuarantineEntry, Vec<u8>)) -> Self {
        let kept = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let truncated = kept < entry.length;
        let (message, message_base64) = match text(bytes, truncated) {
            Ok(text) => (Some(text), None),
            Err(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { entry: entry.into(), message, message_base64, truncated }
    }
}

/// The bytes as text. The last character of a message that was cut may be incomplete; it is left
/// out.
fn text(bytes: Vec<u8>, truncated: bool) -> Result<String, Vec<u8>> {
    let cut = match std::str::from_utf8(&bytes) {
        Err(error) if truncated && error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let whole = bytes[..cut].to_vec();
    String::from_utf8(whole).map_err(|_| bytes)
}

/// Whether a text is a UUID as the API writes it.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// A page of the entries that a client asks for.
///
/// # Errors
///
/// As [`Query::finish`], 400 `invalid_cursor`, and the problem of a failed read.
pub async fn list(
    quarantine: &dyn QuarantineTable,
    query: Query,
) -> Result<Json<EntryPage>, Problem> {
    let (filter, limit) = filter(query)?;
    let entries = quarantine.list(filter).await?;
    Ok(Json(EntryPage::new(entries, limit)))
}

/// The entry with the id that a path has, and its message.
///
/// # Errors
///
/// 404 `quarantine_entry_not_found`, and the problem of a failed read.
pub async fn entry(
    quarantine: &dyn QuarantineTable,
    id: &str,
) -> Result<(QuarantineEntry, Vec<u8>), Problem> {
    quarantine.entry(entry_id(id)?).await?.ok_or_else(not_found)
}

/// The same as a client sees it.
///
/// # Errors
///
/// As [`entry`], and as [`Query::finish`]: there are no parameters.
pub async fn get(
    quarantine: &dyn QuarantineTable,
    id: &str,
    query: Query,
) -> Result<Json<MessageView>, Problem> {
    query.finish()?;
    Ok(Json(entry(quarantine, id).await?.into()))
}

/// Notes that the requester has seen the entry with the id that a path has.
///
/// # Errors
///
/// 422 `invalid_request` if the body has members, 404 `quarantine_entry_not_found`, and the problem
/// of a failed write.
pub async fn discard(
    quarantine: &dyn QuarantineTable,
    id: &str,
    requester: Requester,
    OptionalJson(body): OptionalJson,
) -> Result<Json<EntryView>, Problem> {
    if let Some(body) = &body {
        Reader::new(body).finish(|| Some(()))?;
    }
    let entry = quarantine.discard(entry_id(id)?, requester.into()).await;
    let entry = entry.map_err(Problem::not_written)?;
    Ok(Json(entry.ok_or_else(not_found)?.into()))
}

/// Reads which entries a client asks for, and how many at most.
///
/// # Errors
///
/// As [`Query::finish`].
fn filter(mut query: Query) -> Result<(QuarantineFilter, usize), Problem> {
    let seen = query.optional("seen", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err((FaultCode::BAD_FORMAT, "must be true or false".to_owned())),
    });
    let limit = query.limit();
    let after = query.cursor(LIST);
    query.finish()?;
    let after = after.map(|key| position(&key).ok_or_else(cursor::invalid)).transpose()?;
    Ok((QuarantineFilter { seen, after, limit: page::one_more(limit) }, limit))
}

fn position(key: &str) -> Option<(Timestamp, EntryId)> {
    let (at, id) = key.split_once(' ')?;
    Some((Timestamp(at.parse().ok()?), id.parse().ok()?))
}

/// Parses the id of an entry in a path.
///
/// # Errors
///
/// 404: no entry has it.
fn entry_id(text: &str) -> Result<EntryId, Problem> {
    text.parse().map_err(|_| not_found())
}

/// The problem of an entry that does not exist.
fn not_found() -> Problem {
    Problem::new(Code::QUARANTINE_ENTRY_NOT_FOUND, "no entry of the quarantine has this id")
}

#[cfg(test)]
mod tests {
    use platform::quarantine::QuarantineKind;

    use super::*;

    fn entry(length: i64) -> QuarantineEntry {
        QuarantineEntry {
            id: EntryId([7; 32]),
            subject: None,
            kind: QuarantineKind::Malformed,
            reason: "not JSON".to_owned(),
            length,
            count: 2,
            first_at: Timestamp(1),
            last_at: Timestamp(2),
            discarded: None,
        }
    }

    #[test]
    fn a_message_is_text_if_it_can_be_and_base64_otherwise() {
        for (bytes, length, message, base64, truncated) in [
            (b"".as_slice(), 0, Some(""), None, false),
            ("é!".as_bytes(), 3, Some("é!"), None, false),
            (b"\xff!", 2, None, Some("/yE="), false),
            (b"a\xc3", 2, None, Some("YcM="), false),
            // Cut within a character.
            (b"a\xc3", 9, Some("a"), None, true),
            (b"\xff\xc3", 9, None, Some("/8M="), true),
        ] {
            let view = MessageView::from((entry(length), bytes.to_vec()));
            let shown = (view.message.as_deref(), view.message_base64.as_deref(), view.truncated);
            assert_eq!(shown, (message, base64, truncated), "{bytes:?}");
        }
    }

    #[test]
    fn an_order_is_named_only_if_the_subject_is_its_id() {
        let of = |subject: &str| {
            let subject = Some(subject.to_owned());
            EntryView::from(QuarantineEntry { subject, ..entry(1) }).order_id
        };
        let id = "0197b1c0-0000-7000-8000-00000000000a";
        assert_eq!(of(id).as_deref(), Some(id));
        for other in ["order_no 7", "", &id.to_uppercase(), &id.replace('-', "0")] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_cursor_leads_behind_the_last_entry_of_its_page() {
        let page = EntryPage::new(vec![entry(1), entry(1)], 1);
        let next = page.next_cursor.expect("a page follows");
        let (filter, limit) =
            filter(Query::new(Some(&format!("seen=false&limit=3&cursor={next}"))))
                .expect("a query");
        assert_eq!(filter.after, Some((Timestamp(2), EntryId([7; 32]))));
        assert_eq!((filter.seen, filter.limit, limit), (Some(false), 4, 3));
        for wrong in ["seen=1", "seen=", "cursor=x"] {
            assert!(super::filter(Query::new(Some(wrong))).is_err(), "{wrong}");
        }
    }
}
