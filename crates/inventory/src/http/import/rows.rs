//! Reads a file of counted stock piece by piece, as it arrives.
//!
//! The file is never in memory as a whole: one piece and one row are. How the file is cut into
//! pieces changes nothing.

use bytes::Bytes;
use web::NDJSON;
use web::problem::Problem;

use csv::Csv;
use ndjson::Ndjson;

pub use row::{Counted, Row, RowFault};

mod csv;
mod ndjson;
mod row;
#[cfg(test)]
mod tests;

/// The most bytes of a row.
pub(super) const MAX_ROW_BYTES: usize = 8 * 1024;
/// The media types of files.
pub(super) const MEDIA_TYPES: [&str; 2] = [CSV, NDJSON];
const CSV: &str = "text/csv";

/// The rows of a file.
#[derive(Debug)]
pub(super) struct Rows {
    /// What has arrived and was not read yet.
    input: Bytes,
    /// Whether nothing more arrives.
    is_last: bool,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Csv(Box<Csv>),
    Ndjson(Ndjson),
}

impl Rows {
    /// The rows of a file of this media type.
    pub(super) fn of(media_type: &str) -> Self {
        let format = match media_type == CSV {
            true => Format::Csv(Box::default()),
            false => Format::Ndjson(Ndjson::default()),
        };
        Self { input: Bytes::new(), is_last: false, format }
    }

    /// Adds a piece of the file. The one before it was read to its end.
    pub(super) fn push(&mut self, piece: Bytes) {
        debug_assert!(self.input.is_empty(), "the last piece was not read");
        self.input = piece;
    }

    /// Notes that nothing more arrives.
    pub(super) fn end(&mut self) {
        self.is_last = true;
    }

    /// Reads the header, if the file has one. Returns whether rows can be read, else another piece is
    /// needed.
    ///
    /// # Errors
    ///
    /// 422 `invalid_request` with every fault of the header.
    pub(super) fn begin(&mut self) -> Result<bool, Problem> {
        match &mut self.format {
            Format::Csv(csv) => csv.begin(&mut self.input, self.is_last),
            Format::Ndjson(_) => Ok(self.is_last || !self.input.is_empty()),
        }
    }

    /// Returns the next row, or `None` if another piece is needed, or if the file has ended.
    pub(super) fn next(&mut self) -> Option<Row> {
        match &mut self.format {
            Format::Csv(csv) => csv.next(&mut self.input, self.is_last),
            Format::Ndjson(ndjson) => ndjson.next(&mut self.input, self.is_last),
        }
    }
}
