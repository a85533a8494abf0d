//! Lines of JSON.

use bytes::{Buf, Bytes};

use super::MAX_ROW_BYTES;
use super::row::Row;

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Reads one object per line. Blank lines are skipped.
#[derive(Debug, Default)]
pub(super) struct Ndjson {
    /// The beginning of a row whose end has not arrived yet.
    row: Vec<u8>,
    /// Whether the row is too long. What is left of it is skipped.
    is_too_long: bool,
    /// The lines that were read.
    lines: u32,
}

impl Ndjson {
    pub(super) fn next(&mut self, input: &mut Bytes, is_last: bool) -> Option<Row> {
        loop {
            let end = input.iter().position(|byte| *byte == b'\n');
            let is_cut = end.is_none();
            let part = input.split_to(end.unwrap_or(input.len()));
            self.add(&part);
            if is_cut && (!is_last || (self.row.is_empty() && !self.is_too_long)) {
                return None;
            }
            input.advance(usize::from(!is_cut));
            self.lines += 1;
            let row = std::mem::take(&mut self.row);
            if std::mem::take(&mut self.is_too_long) {
                return Some(Row::too_long(self.lines, ""));
            }
            let text = if self.lines == 1 { row.strip_prefix(BOM).unwrap_or(&row) } else { &row };
            if !text.trim_ascii().is_empty() {
                return Some(Row::of_json(self.lines, text));
            }
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.is_too_long |= self.row.len() + part.len() > MAX_ROW_BYTES;
        match self.is_too_long {
            true => self.row = Vec::new(),
            false => self.row.extend_from_slice(part),
        }
    }
}
