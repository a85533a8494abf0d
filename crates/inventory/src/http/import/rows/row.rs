//! One row: what it counts, or everything that is wrong with it.

use contract::{LocationId, ProductId};
use web::body::{self, Node, Object, Parsed, Reader};
use web::problem::{At, Fault, FaultCode, Problem};

use super::super::super::{MAX_TEXT, codes, id, id_text};
use super::MAX_ROW_BYTES;
use crate::store::StockKey;

/// The most units that a count may find.
pub(super) const MAX_COUNT: i64 = 1_000_000_000;
/// How much of a bad id is shown, in characters.
const MAX_SHOWN: usize = 64;

/// A row of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The number of its first line, from 1.
    pub line: u32,
    /// The id of the product as it was given, so that people find the row.
    pub product_id: Option<String>,
    /// The id of the location as it was given; `main` without one.
    pub location_id: Option<String>,
    /// What is counted, if both ids are valid.
    pub stock_key: Option<StockKey>,
    /// What the row says, or every fault.
    pub read: Result<Counted, Vec<RowFault>>,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The name of the product; `None` keeps the name that it has.
    pub name: Option<String>,
    /// The counted units.
    pub on_hand: i64,
}

/// A fault of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// The column; `None` if the row as a whole is at fault.
    pub column: Option<String>,
    /// The kind of fault.
    pub code: FaultCode,
    /// One sentence that says what is wrong.
    pub detail: String,
}

/// The cells of a row of CSV; `None` for a column that the file does not have.
pub(super) struct Cells<'a> {
    pub(super) product_id: Option<&'a [u8]>,
    pub(super) name: Option<&'a [u8]>,
    pub(super) quantity: Option<&'a [u8]>,
    pub(super) location_id: Option<&'a [u8]>,
}

impl Row {
    /// A row that cannot be taken apart.
    pub(super) fn malformed(line: u32, detail: String) -> Self {
        let faults = vec![RowFault { column: None, code: codes::MALFORMED_ROW, detail }];
        Self { line, product_id: None, location_id: None, stock_key: None, read: Err(faults) }
    }

    /// A row with more bytes than a row may have.
    pub(super) fn too_long(line: u32, why: &str) -> Self {
        Self::malformed(line, format!("the row must have at most {MAX_ROW_BYTES} bytes{why}"))
    }

    /// The row of these cells. An empty cell is like an absent one.
    pub(super) fn of_cells(line: u32, cells: &Cells<'_>) -> Self {
        let mut reading = Reading { faults: Vec::new() };
        let product_id = reading.text("product_id", cells.product_id);
        let name = reading.text("name", cells.name);
        let quantity = reading.text("quantity", cells.quantity);
        let location_id = reading.text("location_id", cells.location_id);
        let product = reading.required("product_id", product_id, id_text::<ProductId>);
        let name = reading.optional("name", name, |text| {
            body::text_not_blank(MAX_TEXT)(&Node::String(text.to_owned()))
        });
        let on_hand = reading.required("quantity", quantity, units);
        let location = reading.optional("location_id", location_id, id_text::<LocationId>);
        let location = match location_id {
            None if !reading.has_fault("location_id") => Some(LocationId::main()),
            _ => location,
        };
        let faults = reading.faults;
        Self::build(line, (product, location), (product_id, location_id), || {
            match faults.is_empty() {
                true => {
                    Ok(Counted { name, on_hand: on_hand.expect("a missing quantity is a fault") })
                }
                false => Err(faults),
            }
        })
    }

    /// The row of a line of JSON.
    pub(super) fn of_json(line: u32, text: &[u8]) -> Self {
        let object = match body::parse(text) {
            Ok(object) => object,
            Err(problem) => return Self::malformed(line, of_row(&problem.detail)),
        };
        let given = |name: &str| match object.get(name) {
            Some(Node::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let product = object.get("product_id").and_then(|node| id::<ProductId>(node).ok());
        let location = match object.get("location_id") {
            None | Some(Node::Null) => Some(LocationId::main()),
            Some(node) => id::<LocationId>(node).ok(),
        };
        let texts = (given("product_id"), given("location_id"));
        Self::build(line, (product, location), texts, || counted(&object).map_err(faults_of))
    }

    fn build(
        line: u32,
        (product, location): (Option<ProductId>, Option<LocationId>),
        (product_id, location_id): (Option<&str>, Option<&str>),
        read: impl FnOnce() -> Result<Counted, Vec<RowFault>>,
    ) -> Self {
        let shown = |text: &str| text.chars().take(MAX_SHOWN).collect::<String>();
        let main = || location.as_ref().map(ToString::to_string);
        let location_id = location_id.map(shown).or_else(main);
        let product_id = product_id.map(shown);
        let stock_key = product.zip(location);
        Self { line, product_id, location_id, stock_key, read: read() }
    }
}

impl RowFault {
    /// A fault of a column. The detail continues after the name of the column.
    pub(in super::super) fn of(column: &str, code: FaultCode, detail: &str) -> Self {
        Self { column: Some(column.to_owned()), code, detail: format!("{column} {detail}") }
    }
}

/// The cells of a row while they are read.
struct Reading {
    faults: Vec<RowFault>,
}

impl Reading {
    fn has_fault(&self, column: &str) -> bool {
        self.faults.iter().any(|fault| fault.column.as_deref() == Some(column))
    }

    /// The text of a cell that is not empty.
    fn text<'a>(&mut self, column: &'static str, cell: Option<&'a [u8]>) -> Option<&'a str> {
        let text = std::str::from_utf8(cell.filter(|cell| !cell.is_empty())?);
        if text.is_err() {
            self.faults.push(RowFault::of(column, codes::MALFORMED_ROW, "must be UTF-8"));
        }
        text.ok()
    }

    fn required<T>(
        &mut self,
        column: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        if text.is_none() && !self.has_fault(column) {
            self.faults.push(RowFault::of(column, FaultCode::REQUIRED, "is required"));
        }
        self.optional(column, text, parse)
    }

    fn optional<T>(
        &mut self,
        column: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let fault = |(code, detail): (FaultCode, String)| {
            self.faults.push(RowFault::of(column, code, &detail));
        };
        parse(text?).map_err(fault).ok()
    }
}

/// Reads a number of units in digits alone: a spreadsheet that writes `1E+05` or `1.000` may have
/// lost some already.
fn units(text: &str) -> Parsed<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err((FaultCode::BAD_FORMAT, "must be a whole number, in digits alone".to_owned()));
    }
    let in_range = text.parse().ok().filter(|units| (0..=MAX_COUNT).contains(units));
    in_range.ok_or_else(|| (FaultCode::OUT_OF_RANGE, format!("must be from 0 to {MAX_COUNT}")))
}

fn counted(object: &Object) -> Result<Counted, Problem> {
    let mut row = Reader::new(object);
    let product_id = row.required("product_id", id::<ProductId>);
    let name = row.optional("name", body::text_not_blank(MAX_TEXT));
    let on_hand = row.required("quantity", |node| match node {
        Node::Number(text) => units(text),
        other => {
            let detail = format!("must be a whole number, not {}", other.kind());
            Err((FaultCode::WRONG_TYPE, detail))
        }
    });
    row.optional("location_id", id::<LocationId>);
    row.finish(|| product_id.and(Some(Counted { name, on_hand: on_hand? })))
}

fn faults_of(problem: Problem) -> Vec<RowFault> {
    let fault = |fault: Fault| {
        let column = match fault.at {
            At::Pointer(pointer) => pointer.trim_start_matches('/').to_owned(),
            At::Parameter(name) => name,
        };
        RowFault { column: Some(column), code: fault.code, detail: fault.detail }
    };
    problem.faults.into_iter().map(fault).collect()
}

/// What the reader of bodies says about a body, said about a row.
fn of_row(detail: &str) -> String {
    detail.replace("the body", "the row")
}
