//! `lastro keys list`.

use platform::clock::Timestamp;
use platform::keys::{KeyRecord, Scope};
use platform::process::ProgramError;
use serde_json::{Value, json};

/// A key, and where it is.
pub(super) struct Listed {
    pub(super) record: KeyRecord,
    /// Who made it, and when it was last used: tables know that.
    pub(super) created_by: Option<String>,
    pub(super) last_used_at: Option<Timestamp>,
    /// When the old secret was last used since the rotation.
    pub(super) old_secret_last_used_at: Option<Timestamp>,
    /// The services whose tables have it.
    pub(super) services: Vec<&'static str>,
}

impl Listed {
    pub(super) fn of_file(record: KeyRecord) -> Self {
        Self {
            record,
            created_by: None,
            last_used_at: None,
            old_secret_last_used_at: None,
            services: Vec::new(),
        }
    }

    fn state(&self, now: Timestamp) -> &'static str {
        match self.record.revoked_at {
            Some(_) => "revoked",
            None if self.record.not_after <= now => "expired",
            None if self.record.has_two_secrets(now) => "rotating",
            None => "valid",
        }
    }

    /// The minute in which the old secret ends, while there are two.
    fn old_secret_ends(&self, now: Timestamp) -> String {
        let previous = self.record.previous.as_ref().filter(|_| self.record.has_two_secrets(now));
        previous.map_or_else(|| "–".to_owned(), |old| minute(old.not_after))
    }

    fn scopes(&self) -> String {
        let scopes: Vec<_> = self.record.scopes.iter().map(Scope::to_string).collect();
        let customer = self.record.customer_id.as_ref();
        let only = customer.map(|customer| format!("  (only customer {customer})"));
        scopes.join(" ") + &only.unwrap_or_default()
    }

    /// The columns that only tables have.
    fn of_tables(&self, now: Timestamp) -> String {
        let used = self.last_used_at.map_or_else(|| "never".to_owned(), minute);
        let by_old_secret = match self.old_secret_last_used_at {
            _ if !self.record.has_two_secrets(now) => "–".to_owned(),
            last_use => last_use.map_or_else(|| "never".to_owned(), minute),
        };
        let services = match &self.services[..] {
            [one] => one,
            _ => "both",
        };
        format!("  {used:16}  {by_old_secret:16}  {services:9}")
    }

    fn as_json(&self, has_tables: bool, now: Timestamp) -> Result<Value, ProgramError> {
        let mut key = serde_json::to_value(&self.record).map_err(ProgramError::failed)?;
        if has_tables && let Some(key) = key.as_object_mut() {
            let last_used_at = self.last_used_at.map(Timestamp::to_rfc3339);
            key.insert("created_by".to_owned(), json!(self.created_by));
            key.insert("last_used_at".to_owned(), json!(last_used_at));
            if self.record.has_two_secrets(now) {
                let by_old_secret = self.old_secret_last_used_at.map(Timestamp::to_rfc3339);
                key.insert("old_secret_last_used_at".to_owned(), json!(by_old_secret));
            }
            key.insert("services".to_owned(), json!(self.services));
        }
        Ok(key)
    }
}

/// Prints the keys: valid ones first, those that end soonest first.
pub(super) fn show(
    keys: &[Listed],
    has_tables: bool,
    now: Timestamp,
    json: bool,
) -> Result<(), ProgramError> {
    if json {
        for key in keys {
            println!("{}", key.as_json(has_tables, now)?);
        }
        return Ok(());
    }
    let mut keys: Vec<_> = keys.iter().collect();
    keys.sort_by_key(|key| (key.record.revoked_at.is_some(), key.record.not_after));
    let more = match has_tables {
        true => format!("  {:16}  {:16}  {:9}", "LAST USED", "BY OLD SECRET", "IN"),
        false => String::new(),
    };
    let [old, ends] = ["OLD SECRET ENDS", "ENDS"];
    println!("{:12}  {:20}  {:10}  {ends:10}  {old:16}{more}  SCOPES", "ID", "NAME", "STATE");
    for key in keys {
        let KeyRecord { id, name, not_after, .. } = &key.record;
        let (state, ends, scopes) = (key.state(now), day(*not_after), key.scopes());
        let more = if has_tables { key.of_tables(now) } else { String::new() };
        let old_ends = key.old_secret_ends(now);
        println!("{id:12}  {name:20}  {state:10}  {ends:10}  {old_ends:16}{more}  {scopes}");
    }
    Ok(())
}

/// The day of a time.
pub(super) fn day(at: Timestamp) -> String {
    at.to_rfc3339().chars().take(10).collect()
}

/// A time to the minute.
fn minute(at: Timestamp) -> String {
    at.to_rfc3339().replace('T', " ").chars().take(16).collect()
}
