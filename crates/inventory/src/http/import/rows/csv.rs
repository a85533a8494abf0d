//! Comma-separated values (RFC 4180), as spreadsheets write them: with commas or semicolons, with
//! any line breaks, with or without a byte order mark.

use std::fmt;

use bytes::{Buf, Bytes};
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use web::problem::{Fault, FaultCode, Problem};

use super::MAX_ROW_BYTES;
use super::row::{Cells, Row};

const BOM: &[u8] = "\u{feff}".as_bytes();
/// The columns of a file, in any order. `name` and `location_id` may be absent.
const COLUMNS: [&str; 4] = ["product_id", "name", "quantity", "location_id"];
const REQUIRED: [&str; 2] = ["product_id", "quantity"];
/// The most cells of a row that are looked at.
const MAX_CELLS: usize = 64;
/// A quotation mark that is not closed makes one row of all that follows.
const UNCLOSED: &str = "; is a quotation mark not closed?";

pub(super) struct Csv {
    /// Takes rows apart, once the header shows what separates the cells.
    reader: Option<Reader>,
    /// The header while it arrives.
    header: Vec<u8>,
    /// The place of each of [`COLUMNS`] in a row.
    places: [Option<usize>; COLUMNS.len()],
    /// The cells of a row.
    width: usize,
    lines: Lines,
    row: Unfinished,
}

/// A row whose end may not have arrived yet.
struct Unfinished {
    /// The number of its first line; `None` before its first byte.
    line: Option<u32>,
    /// The bytes of the row without its line break, as they stand in the file.
    bytes: usize,
    /// The contents of the cells.
    text: Vec<u8>,
    length: usize,
    /// Where each cell ends in `text`.
    ends: [usize; MAX_CELLS],
    cells: usize,
    /// Why the row is skipped.
    fault: Option<Misshapen>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Misshapen {
    TooLong,
    TooManyCells,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            reader: None,
            header: Vec::new(),
            places: Default::default(),
            width: 0,
            lines: Lines { line: 1, is_after_cr: false },
            row: Unfinished {
                line: None,
                bytes: 0,
                text: vec![0; MAX_ROW_BYTES + 2],
                length: 0,
                ends: [0; MAX_CELLS],
                cells: 0,
                fault: None,
            },
        }
    }
}

impl fmt::Debug for Csv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csv").field("line", &self.lines.line).finish_non_exhaustive()
    }
}

impl Csv {
    /// Reads the header. Returns whether it has arrived.
    pub(super) fn begin(&mut self, input: &mut Bytes, is_last: bool) -> Result<bool, Problem> {
        let end = loop {
            let found = input.iter().position(|byte| is_break(*byte));
            let part = input.split_to(found.unwrap_or(input.len()));
            self.header.extend_from_slice(&part);
            if self.header.len() > MAX_ROW_BYTES {
                let detail = format!("the header must have at most {MAX_ROW_BYTES} bytes");
                return Err(Fault::pointer("", FaultCode::OUT_OF_RANGE, detail).into());
            }
            let is_blank = matches!(self.header.as_slice(), b"" | BOM);
            match found {
                // A break before the header.
                Some(_) if is_blank => self.lines.pass(&input.split_to(1)),
                _ => break found,
            }
        };
        if end.is_none() && !is_last {
            return Ok(false);
        }
        let header = std::mem::take(&mut self.header);
        self.set_columns(header.strip_prefix(BOM).unwrap_or(&header))?;
        Ok(true)
    }

    fn set_columns(&mut self, header: &[u8]) -> Result<(), Problem> {
        let separator = header.iter().copied().find(|byte| matches!(byte, b',' | b';'));
        let separator = separator.unwrap_or(b',');
        let mut reader = ReaderBuilder::new().delimiter(separator).build();
        let mut text = vec![0; MAX_ROW_BYTES];
        let mut ends = [0; MAX_CELLS];
        let line = [header, b"\n"].concat();
        let (_, _, _, cells) = reader.read_record(&line, &mut text, &mut ends);
        let mut faults = Vec::new();
        let mut begin = 0;
        for (place, end) in ends[..cells].iter().enumerate() {
            let name = String::from_utf8_lossy(&text[begin..*end]);
            begin = *end;
            let (code, detail) = match COLUMNS.iter().position(|column| **column == *name) {
                None => (FaultCode::UNKNOWN_FIELD, "is not a known column"),
                Some(column) if self.places[column].is_some() => {
                    (FaultCode::BAD_FORMAT, "must be one column only")
                }
                Some(column) => {
                    self.places[column] = Some(place);
                    continue;
                }
            };
            let name = name.chars().take(64).collect::<String>();
            faults.push(Fault::pointer(format!("/{name}"), code, format!("{name:?} {detail}")));
        }
        for name in REQUIRED {
            let place = COLUMNS.iter().position(|column| *column == name);
            if place.is_none_or(|place| self.places[place].is_none()) {
                let detail = format!("the header, which is the first line, must have {name}");
                faults.push(Fault::pointer(format!("/{name}"), FaultCode::REQUIRED, detail));
            }
        }
        if !faults.is_empty() {
            return Err(Problem::invalid(faults));
        }
        self.width = cells;
        self.reader = Some(reader);
        Ok(())
    }

    /// Returns the next row that is not blank.
    pub(super) fn next(&mut self, input: &mut Bytes, is_last: bool) -> Option<Row> {
        loop {
            let line = match self.row.line {
                Some(line) => line,
                None => self.first_line(input)?,
            };
            if !self.read(input, is_last) {
                return None;
            }
            let row = self.finish(line);
            if row.is_some() {
                return row;
            }
        }
    }

    /// Skips line breaks between rows. Returns the line on which the next row begins, or `None` if
    /// none has arrived.
    fn first_line(&mut self, input: &mut Bytes) -> Option<u32> {
        let breaks = input.iter().take_while(|byte| is_break(**byte)).count();
        self.lines.pass(&input.split_to(breaks));
        self.row.line = (!input.is_empty()).then_some(self.lines.line);
        self.row.line
    }

    /// Reads on. Returns whether the row has ended.
    fn read(&mut self, input: &mut Bytes, is_last: bool) -> bool {
        let reader = self.reader.as_mut().expect("the header comes first");
        let row = &mut self.row;
        loop {
            // No input at all tells the reader that the file has ended.
            if input.is_empty() && !is_last {
                return false;
            }
            let (result, taken, written, cells) =
                reader.read_record(input, &mut row.text[row.length..], &mut row.ends[row.cells..]);
            self.lines.pass(&input[..taken]);
            input.advance(taken);
            row.bytes += taken;
            row.length += written;
            row.cells += cells;
            let fault = match result {
                ReadRecordResult::InputEmpty if row.bytes <= MAX_ROW_BYTES => continue,
                ReadRecordResult::Record | ReadRecordResult::End => {
                    // The last byte is the line break, but for the last row of a file.
                    row.bytes -= usize::from(taken > 0);
                    return true;
                }
                ReadRecordResult::OutputEndsFull => Misshapen::TooManyCells,
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull => Misshapen::TooLong,
            };
            // The rest is read into the same place.
            row.fault.get_or_insert(fault);
            row.length = 0;
            row.cells = 0;
        }
    }

    /// Takes the row that has ended, unless it is blank.
    fn finish(&mut self, line: u32) -> Option<Row> {
        let Unfinished { bytes, length, cells, fault, .. } = self.row;
        let row = &mut self.row;
        (row.line, row.bytes, row.length, row.cells, row.fault) = (None, 0, 0, 0, None);
        if fault == Some(Misshapen::TooLong) || bytes > MAX_ROW_BYTES {
            return Some(Row::too_long(line, UNCLOSED));
        }
        // A spreadsheet writes an empty row as separators.
        if fault.is_none() && length == 0 {
            return None;
        }
        if fault.is_some() || cells != self.width {
            let detail = format!("the row must have {} cells, like the header", self.width);
            return Some(Row::malformed(line, detail));
        }
        let cell = |column: usize| {
            let place = self.places[column]?;
            let begin = if place == 0 { 0 } else { self.row.ends[place - 1] };
            Some(&self.row.text[begin..self.row.ends[place]])
        };
        let [product_id, name, quantity, location_id] = std::array::from_fn(cell);
        Some(Row::of_cells(line, &Cells { product_id, name, quantity, location_id }))
    }
}

/// Counts lines. A carriage return with or without a line feed ends one, and so does a line feed.
struct Lines {
    /// The number of the line of the next byte.
    line: u32,
    is_after_cr: bool,
}

impl Lines {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.line += u32::from(*byte == b'\r' || (*byte == b'\n' && !self.is_after_cr));
            self.is_after_cr = *byte == b'\r';
        }
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
