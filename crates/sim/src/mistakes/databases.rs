//! Mistaken databases, for what no port shows: their schemas are changed.

use std::path::Path;

use rusqlite::Connection;

/// A transaction of the Order Service that changes orders more than once leaves nothing in the
/// journal. Its row gives its number to the next one, so no number is missing.
pub(super) fn forgets_journal_entries(folder: &Path) {
    let forget = "DROP TRIGGER the_journal_is_not_deleted;
        CREATE TRIGGER the_journal_forgets AFTER INSERT ON journal
        WHEN length(NEW.entries) > 21
        BEGIN DELETE FROM journal WHERE no = NEW.no; END";
    let database = Connection::open(folder.join("orders.db")).expect("the database exists");
    database.execute_batch(forget).expect("a schema with a journal");
}
