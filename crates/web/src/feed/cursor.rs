//! The cursor of a feed: a position in the journal of one database.

use platform::journal::Position;
use platform::pairing::DatabaseId;
use sha2::{Digest, Sha256};

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

/// What a cursor encodes: a position, and a fingerprint of the entry before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    /// The fingerprint of the entry before; `None` if the client has read none.
    pub(super) print: Option<u32>,
}

impl Mark {
    /// A position before which the client has read nothing.
    pub(super) fn at(position: Position) -> Self {
        Self { position, print: None }
    }

    /// The position behind the entry with this id.
    pub(super) fn behind(position: Position, id: &str) -> Self {
        Self { position, print: Some(Self::print(id)) }
    }

    /// The fingerprint of an entry. It need not keep anybody from forging a cursor: they would
    /// mislead themselves.
    pub(super) fn print(id: &str) -> u32 {
        let hash = Sha256::digest(id);
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// Where to look for the entry before: the position has its number in the row, unless it was the
    /// last of the row before.
    pub(super) fn row(&self) -> Position {
        let Position { commit, entry } = self.position;
        match entry.checked_sub(1) {
            Some(entry) => Position { commit, entry },
            None => Position { commit: commit - 1, entry: 0 },
        }
    }
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

    /// The cursor of this mark.
    pub(super) fn encode(&self, mark: Mark) -> String {
        let Mark { position: Position { commit, entry }, print } = mark;
        let print = print.map_or_else(|| "-".to_owned(), |print| print.to_string());
        cursor::encode(&self.list, &format!("{}.{commit}.{entry}.{print}", self.database))
    }

    /// Decodes a cursor. Its mark may be beyond the end, or behind an entry that no longer exists.
    ///
    /// # Errors
    ///
    /// 400 `invalid_cursor` for what is no cursor of this feed, or one of another database.
    pub(super) fn decode(&self, text: &str) -> Result<Mark, Problem> {
        let key = cursor::decode(&self.list, text).map_err(|_| not_a_cursor())?;
        let (database, mark) = key.split_once('.').ok_or_else(not_a_cursor)?;
        let mark = read(mark).ok_or_else(not_a_cursor)?;
        if database != self.database {
            let detail = "the cursor belongs to another database than the one that answers; \
                          leave it out to begin at the start, or send after=latest";
            return Err(Problem::new(Code::INVALID_CURSOR, detail));
        }
        Ok(mark)
    }
}

fn read(text: &str) -> Option<Mark> {
    let mut parts = text.split('.');
    let commit = parts.next()?.parse().ok().filter(|commit| *commit >= Position::START.commit)?;
    let position = Position { commit, entry: parts.next()?.parse().ok()? };
    let print = match parts.next()? {
        "-" => None,
        print => Some(print.parse().ok()?),
    };
    parts.next().is_none().then_some(Mark { position, print })
}

fn not_a_cursor() -> Problem {
    let detail = "send next_cursor, or the id of a message of the stream, unchanged to the feed \
                  that returned it, or leave it out to begin at the start";
    Problem::new(Code::INVALID_CURSOR, detail)
}

/// The problem of a cursor whose entry is not in the journal.
pub(super) fn not_reached() -> Problem {
    let detail = "the database does not have the event before this cursor, so it was restored to an \
                  older state; begin at the start, or at a position that you know";
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
        for mark in [
            Mark::at(Position::START),
            Mark::behind(Position { commit: 1, entry: 3 }, "a.1"),
            Mark { position: Position { commit: i64::MAX, entry: u32::MAX }, print: Some(0) },
        ] {
            assert_eq!(ours.decode(&ours.encode(mark)), Ok(mark));
        }
    }

    #[test]
    fn a_cursor_of_another_feed_or_database_is_refused_and_says_so() {
        let ours = cursors("orders", 7);
        let refused = |text: &str| ours.decode(text).expect_err("refused");
        let start = Mark::at(Position::START);
        let others = cursors("orders", 8).encode(start);
        let (code, detail) = (refused(&others).code, refused(&others).detail);
        assert!(code == Code::INVALID_CURSOR && detail.contains("another database"), "{detail}");
        let database = "0000000000000007";
        for bad in [
            cursors("inventory", 7).encode(start),
            cursor::encode("events/orders", &format!("{database}.0.0.-")),
            cursor::encode("events/orders", &format!("{database}.-1.0.-")),
            cursor::encode("events/orders", &format!("{database}.1.0")),
            cursor::encode("events/orders", &format!("{database}.1.0.-.0")),
            cursor::encode("events/orders", &format!("{database}.1.4294967296.-")),
            cursor::encode("orders", "1"),
            "nonsense".to_owned(),
            String::new(),
        ] {
            assert_eq!(refused(&bad).code, Code::INVALID_CURSOR, "{bad}");
        }
    }
}
