//! The cursor of a feed: a position in the journal of one database.

use platform::journal::Position;
use platform::pairing::DatabaseId;

use crate::cursor;
use crate::problem::{Code, Problem};

/// The value of `after` that stands for the end of the journal.
pub(super) const LATEST: &str = "latest";

/// Where a client begins to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// At the very beginning.
    Nothing,
    /// With what is made from now on.
    Latest,
    /// Behind what the cursor says.
    Cursor(String),
}

/// Encodes and decodes the cursors of one feed.
#[derive(Debug)]
pub(super) struct Cursors {
    list: String,
    /// The first 16 hexadecimal digits of the id of the database.
    database: String,
}

impl Cursors {
    pub(super) fn of(service: &str, database: DatabaseId) -> Self {
        let mut database = database.0.simple().to_string();
        database.truncate(16);
        Self { list: format!("events/{service}"), database }
    }

    /// The cursor of this position.
    pub(super) fn encode(&self, at: Position) -> String {
        let Position { commit, entry } = at;
        cursor::encode(&self.list, &format!("{}.{commit}.{entry}", self.database))
    }

    /// The position that a cursor stands for. It may be beyond the end.
    ///
    /// # Errors
    ///
    /// 400 `invalid_cursor` for what is no cursor of this feed, or one of another database.
    pub(super) fn decode(&self, text: &str) -> Result<Position, Problem> {
        let key = cursor::decode(&self.list, text).map_err(|_| not_a_cursor())?;
        let mut parts = key.split('.');
        let (Some(database), Some(commit), Some(entry), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(not_a_cursor());
        };
        let commit = commit.parse().ok().filter(|commit| *commit >= Position::START.commit);
        let (Some(commit), Ok(entry)) = (commit, entry.parse()) else {
            return Err(not_a_cursor());
        };
        if database != self.database {
            let detail = "the cursor belongs to another database than the one that answers; \
                          leave it out to begin at the start, or send after=latest";
            return Err(Problem::new(Code::INVALID_CURSOR, detail));
        }
        Ok(Position { commit, entry })
    }
}

fn not_a_cursor() -> Problem {
    let detail = "send next_cursor, or the id of a message of the stream, unchanged to the feed \
                  that returned it, or leave it out to begin at the start";
    Problem::new(Code::INVALID_CURSOR, detail)
}

/// The problem of a cursor that the journal has not reached.
pub(super) fn beyond_the_end() -> Problem {
    let detail = "the cursor is beyond the last event, so the database was restored to an older \
                  state; begin at the start, or at a position that you know";
    Problem::new(Code::INVALID_CURSOR, detail)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn cursors(service: &str, database: u128) -> Cursors {
        Cursors::of(service, DatabaseId(Uuid::from_u128(database << 64)))
    }

    #[test]
    fn a_cursor_leads_back_to_its_position() {
        let ours = cursors("orders", 7);
        for at in [
            Position::START,
            Position { commit: 1, entry: 3 },
            Position { commit: i64::MAX, entry: u32::MAX },
        ] {
            assert_eq!(ours.decode(&ours.encode(at)), Ok(at));
        }
    }

    #[test]
    fn a_cursor_of_another_feed_or_database_is_refused_and_says_so() {
        let ours = cursors("orders", 7);
        let refused = |text: &str| ours.decode(text).expect_err("refused");
        let others = cursors("orders", 8).encode(Position::START);
        let (code, detail) = (refused(&others).code, refused(&others).detail);
        assert!(code == Code::INVALID_CURSOR && detail.contains("another database"), "{detail}");
        let database = "0000000000000007";
        for bad in [
            cursors("inventory", 7).encode(Position::START),
            cursor::encode("events/orders", &format!("{database}.0.0")),
            cursor::encode("events/orders", &format!("{database}.-1.0")),
            cursor::encode("events/orders", &format!("{database}.1")),
            cursor::encode("events/orders", &format!("{database}.1.0.0")),
            cursor::encode("events/orders", &format!("{database}.1.4294967296")),
            cursor::encode("orders", "1"),
            "nonsense".to_owned(),
            String::new(),
        ] {
            assert_eq!(refused(&bad).code, Code::INVALID_CURSOR, "{bad}");
        }
    }
}
