//! Keys in the tables of both services, or of one. Neither service reads the database of the other,
//! so a key for both is written twice, one database after the other.

use std::time::Duration;

use platform::clock::Timestamp;
use platform::config::{DatabaseUrl, File, UsageError};
use platform::failure::{Chain, Failure};
use platform::keys::{KeyChange, KeyId, KeyRecord, NewKey};
use platform::process::ProgramError;
use storage::Misfit;
use storage::keys::{ChangeError, KeyDatabase, StoredKey};

use super::list::{Listed, day};
use super::{new_secret, rotation};
use crate::operator::operator;
use crate::serve::DatabaseArgs;

/// The databases that are named.
pub(super) struct Named {
    orders: Option<DatabaseUrl>,
    inventory: Option<DatabaseUrl>,
    by: String,
}

/// The databases that are named, each of which was reached.
pub(super) struct Tables {
    tables: Vec<Table>,
    by: String,
}

/// The keys of one service.
struct Table {
    service: &'static str,
    database: KeyDatabase,
    keys: Vec<StoredKey>,
    /// Its rows that are no keys.
    misfits: Vec<Misfit>,
}

impl Table {
    fn find(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.keys.iter().map(|key| &key.record).find(|key| key.id == *id)
    }

    fn misfit(&self, id: &KeyId) -> Option<&Misfit> {
        self.misfits.iter().find(|misfit| misfit.row() == id.as_str())
    }

    fn says(&self, error: &dyn std::error::Error) -> ProgramError {
        ProgramError::Failed(format!("{}: {}", self.database.name(), Chain(error)))
    }
}

impl Named {
    /// Finds out which databases are meant.
    ///
    /// # Errors
    ///
    /// A flag, a variable or a setting is wrong.
    pub(super) fn by(databases: DatabaseArgs, settings: &File) -> Result<Self, UsageError> {
        let [orders, inventory] = databases.named(settings)?;
        Ok(Self { orders, inventory, by: operator() })
    }

    /// Opens the databases and reads their keys: a database that is away is found out before
    /// anything is changed.
    ///
    /// # Errors
    ///
    /// A database does not exist, cannot be reached, or is of another version.
    pub(super) async fn open(self) -> Result<Tables, ProgramError> {
        let mut opened = Vec::new();
        if let Some(url) = self.orders {
            opened.push((orders::SERVICE, orders::open_keys(&url).await?));
        }
        if let Some(url) = self.inventory {
            opened.push((inventory::SERVICE, inventory::open_keys(&url).await?));
        }
        let mut tables = Vec::new();
        for (service, database) in opened {
            let mut table = Table { service, database, keys: Vec::new(), misfits: Vec::new() };
            for row in table.database.keys().await.map_err(|failure| table.says(&failure))? {
                match row {
                    Ok(key) => table.keys.push(key),
                    Err(misfit) => table.misfits.push(misfit),
                }
            }
            tables.push(table);
        }
        Ok(Tables { tables, by: self.by })
    }

    /// Ends the key wherever it is, and at once: neither database waits for the other one, which may
    /// be away.
    ///
    /// # Errors
    ///
    /// No database has the key, or it could not be ended everywhere. The line says where.
    pub(super) async fn revoke(self, id: &KeyId, now: Timestamp) -> Result<String, ProgramError> {
        let Self { orders, inventory, by } = self;
        let revoke = KeyChange::Revoke(id.clone());
        let end = async |database: Result<KeyDatabase, ProgramError>| match database?
            .change(&revoke, &by, now)
            .await
        {
            Ok(()) => Ok(true),
            Err(ChangeError::Refused(_)) => Ok(false),
            Err(error) => Err(ProgramError::failed(Chain(&error))),
        };
        let in_orders = async {
            let url = orders?;
            Some((url.to_string(), end(orders::open_keys(&url).await).await))
        };
        let in_stock = async {
            let url = inventory?;
            Some((url.to_string(), end(inventory::open_keys(&url).await).await))
        };
        let (in_orders, in_stock) = tokio::join!(in_orders, in_stock);
        let (mut revoked, mut unknown, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, ended) in in_orders.into_iter().chain(in_stock) {
            match ended {
                Ok(true) => revoked.push(name),
                Ok(false) => unknown.push(name),
                Err(error) => failed.push(format!("not yet in {name}: {error}")),
            }
        }
        if failed.is_empty() {
            return match revoked.is_empty() {
                true => Err(unknown_id(id, &unknown.join(" and "))),
                false => Ok(revoked.join(" and ")),
            };
        }
        let done = match revoked.is_empty() {
            true => "is not revoked".to_owned(),
            false => format!("is revoked in {} only", revoked.join(" and ")),
        };
        let failed = failed.join("; ");
        Err(ProgramError::Failed(format!("key {id} {done}; {failed}; run the command again")))
    }
}

impl Tables {
    pub(super) async fn list(self) -> Result<Vec<Listed>, ProgramError> {
        eprintln!("keys of {}:", names(&self.tables.iter().collect::<Vec<_>>()));
        let mut listed: Vec<Listed> = Vec::new();
        for table in self.tables {
            for misfit in &table.misfits {
                eprintln!("{}: {misfit}; nobody gets in with this key", table.database.name());
            }
            for key in table.keys {
                let by_old_secret = key.old_secret_last_used_at();
                let StoredKey { record, created_by, last_used_at, .. } = key;
                // The same key in both: one line.
                match listed.iter_mut().find(|its| its.record == record) {
                    Some(its) => {
                        its.services.push(table.service);
                        its.last_used_at = its.last_used_at.max(last_used_at);
                        its.old_secret_last_used_at =
                            its.old_secret_last_used_at.max(by_old_secret);
                    }
                    None => listed.push(Listed {
                        record,
                        created_by: Some(created_by),
                        last_used_at,
                        old_secret_last_used_at: by_old_secret,
                        services: vec![table.service],
                    }),
                }
            }
        }
        Ok(listed)
    }

    /// Stores a new key. If it cannot be stored everywhere, it is revoked where it is: nobody has
    /// seen its secret, so the command can be run again.
    pub(super) async fn create(
        self,
        record: KeyRecord,
        now: Timestamp,
    ) -> Result<String, ProgramError> {
        let id = record.id.clone();
        let tables: Vec<_> = self.tables.iter().collect();
        let step = |table| Step {
            table,
            change: KeyChange::Create(record.clone()),
            undo: KeyChange::Revoke(id.clone()),
        };
        let steps: Vec<_> = self.tables.iter().map(step).collect();
        let changed = self.everywhere(&steps, now).await;
        changed.map_err(|half| {
            let undone = match half.not_undone.is_empty() {
                true => String::new(),
                false => format!("it stays in {}, where nobody can use it; ", names(&half.not_undone)),
            };
            ProgramError::Failed(format!(
                "{}; the key {id} was shown to nobody and is not used; {undone}run the command again",
                half.line
            ))
        })?;
        Ok(names(&tables))
    }

    /// Replaces the secret wherever the key is. If that fails somewhere, the old one is put back
    /// where it was replaced.
    pub(super) async fn rotate(
        self,
        id: &KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<(NewKey, String), ProgramError> {
        let misfit = |table: &Table| table.misfit(id).map(|misfit| table.says(misfit));
        if let Some(refused) = self.tables.iter().find_map(misfit) {
            return Err(refused);
        }
        let tables = self.with(id)?;
        let (_, found) = &tables[0];
        let new = new_secret(found)?;
        let mut steps = Vec::new();
        for (table, found) in &tables {
            let change = rotation(found, &new, overlap);
            change.apply(Some(found), now).map_err(|refused| table.says(&refused))?;
            let undo = KeyChange::Restore { record: KeyRecord::clone(found), expects: new.hash };
            steps.push(Step { table, change, undo });
        }
        let changed = self.everywhere(&steps, now).await;
        changed.map_err(|half| {
            let undone = match half.not_undone.is_empty() {
                true => "the key is as it was; run the command again".to_owned(),
                false => format!(
                    "in {} the key has a secret that was shown to nobody, and its old one ends on {}; run the command again with --overlap 0s",
                    names(&half.not_undone),
                    day(found.not_after.min(now.after(overlap))),
                ),
            };
            ProgramError::Failed(format!("{}; {undone}", half.line))
        })?;
        Ok((new, names(&tables.iter().map(|(table, _)| *table).collect::<Vec<_>>())))
    }

    /// Those that have the key, at least one.
    fn with(&self, id: &KeyId) -> Result<Vec<(&Table, &KeyRecord)>, ProgramError> {
        let found = self.tables.iter().filter_map(|table| Some((table, table.find(id)?)));
        let tables: Vec<_> = found.collect();
        if tables.is_empty() {
            return Err(unknown_id(id, &names(&self.tables.iter().collect::<Vec<_>>())));
        }
        Ok(tables)
    }

    /// Makes a change in one database after the other. If one fails, it is undone in those before,
    /// and also there if nobody knows whether it was made.
    async fn everywhere<'tables>(
        &self,
        steps: &[Step<'tables>],
        now: Timestamp,
    ) -> Result<(), Half<'tables>> {
        for (at, Step { table, change, .. }) in steps.iter().enumerate() {
            let Err(error) = table.database.change(change, &self.by, now).await else { continue };
            let line = table.says(&error).to_string();
            let mut not_undone = Vec::new();
            let is_unknown =
                matches!(error, ChangeError::Failed(Failure::Unknown(_) | Failure::Fatal(_)));
            let maybe_changed = &steps[..at + usize::from(is_unknown)];
            for Step { table, undo, .. } in maybe_changed {
                match table.database.change(undo, &self.by, now).await {
                    // The key is not as the change makes it: it was not made, or somebody else has
                    // changed the key since.
                    Ok(()) | Err(ChangeError::Refused(_)) => {}
                    Err(_) => not_undone.push(*table),
                }
            }
            return Err(Half { line, not_undone });
        }
        Ok(())
    }
}

/// A change in one database.
struct Step<'tables> {
    table: &'tables Table,
    change: KeyChange,
    undo: KeyChange,
}

/// A change that was not made everywhere.
struct Half<'tables> {
    /// What failed.
    line: String,
    /// Where the change may have been made, and could not be undone.
    not_undone: Vec<&'tables Table>,
}

fn unknown_id(id: &KeyId, names: &str) -> ProgramError {
    ProgramError::Failed(format!("no key has the id {id} in {names}; see `lastro keys list`"))
}

fn names(tables: &[&Table]) -> String {
    tables.iter().map(|table| table.database.name()).collect::<Vec<_>>().join(" and ")
}
