//! The admin log of a service: who changed what by hand.

use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::failure::Failure;

/// Who asks for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requester {
    /// Who it is; `None` if clients are not asked who they are.
    pub actor: Option<String>,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
}

/// An entry of the admin log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminEntry {
    /// The number of the entry: later entries have greater ones. The database gives it; it is 0
    /// in an entry to insert.
    pub number: i64,
    /// When the change was made.
    pub at: Timestamp,
    /// Who asked for it; `None` if clients were not asked who they are.
    pub actor: Option<String>,
    /// What was done, such as `key_created`.
    pub action: String,
    /// The id of what was changed.
    pub subject: String,
    /// What it was before, as JSON; `None` if it did not exist.
    pub before: Option<String>,
    /// What it is after, as JSON.
    pub after: String,
    /// The id of the request, as in logs.
    pub request_id: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
}

impl AdminEntry {
    /// An entry to insert: what the requester did to the subject, and what it is after that, as
    /// JSON.
    pub fn new(
        requester: Requester,
        at: Timestamp,
        action: &str,
        subject: String,
        after: String,
    ) -> Self {
        let Requester { actor, request_id, address } = requester;
        let action = action.to_owned();
        Self { number: 0, at, actor, action, subject, before: None, after, request_id, address }
    }
}

/// Something that happened and changed nothing else, for the admin log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminNote {
    /// Who asked for it.
    pub requester: Requester,
    /// What happened, such as `refused`.
    pub action: &'static str,
    /// What it is about.
    pub subject: String,
    /// What else is known of it, as JSON.
    pub after: String,
}

impl AdminNote {
    /// The entry about it.
    pub fn entry(self, at: Timestamp) -> AdminEntry {
        let Self { requester, action, subject, after } = self;
        AdminEntry::new(requester, at, action, subject, after)
    }
}

/// The table `admin_log`, which operators read. Each service has one in its own database. What
/// changes something is recorded in the transaction of the change.
#[async_trait]
pub trait AdminLog: Send + Sync + fmt::Debug {
    /// Returns the newest `limit` entries with a number below `before`, newest first.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry; nothing was changed.
    async fn page(&self, before: Option<i64>, limit: u32) -> Result<Vec<AdminEntry>, Failure>;

    /// Appends a note, at the time of the database.
    ///
    /// # Errors
    ///
    /// [`Failure`] says whether to retry. After [`Failure::Unknown`] the note may be there.
    async fn note(&self, note: AdminNote) -> Result<(), Failure>;
}
