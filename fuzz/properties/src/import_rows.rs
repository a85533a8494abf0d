//! A file of counted stock is read the same however it is cut into pieces; each row counts
//! something or has a fault; and rows that count something are written so that they read back.

use inventory::{Counted, Row, read_rows};
use serde_json::json;
use web::NDJSON;
use web::problem::{Code, Problem};

const CSV: &str = "text/csv";

/// The first byte selects the format, and the second one where the file is cut.
pub fn check(bytes: &[u8]) {
    let [format, cut, file @ ..] = bytes else { return };
    let media_type = if format % 2 == 0 { CSV } else { NDJSON };
    let read = read_rows(media_type, &[file]);
    let (one, other) = file.split_at(usize::from(*cut) % (file.len() + 1));
    assert_eq!(read_rows(media_type, &[one, other]), read, "cut at {}", one.len());
    let single: Vec<_> = file.chunks(1).collect();
    assert_eq!(read_rows(media_type, &single), read, "byte by byte");
    match read {
        Ok(rows) => check_rows(&rows, file),
        Err(problem) => check_header(&problem, media_type),
    }
}

fn check_rows(rows: &[Row], file: &[u8]) {
    let breaks = file.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    let mut last = 0;
    for row in rows {
        let line = usize::try_from(row.line).expect("a small number");
        assert!(line > last && line <= breaks + 1, "{row:?}");
        last = line;
        match &row.read {
            Ok(Counted { on_hand, .. }) => {
                assert!(row.stock_key.is_some(), "{row:?}");
                assert!((0..=1_000_000_000).contains(on_hand), "{row:?}");
            }
            Err(faults) => assert!(!faults.is_empty(), "{row:?}"),
        }
    }
    for (media_type, written) in [(CSV, write_csv(rows)), (NDJSON, write_ndjson(rows))] {
        let again = read_rows(media_type, &[written.as_bytes()]).expect("a good header");
        assert_eq!(said(&again), said(rows), "{written}");
    }
}

fn check_header(problem: &Problem, media_type: &str) {
    assert_eq!((problem.code, media_type), (Code::INVALID_REQUEST, CSV));
    assert!(!problem.faults.is_empty());
}

/// What the good rows say.
fn said(rows: &[Row]) -> Vec<(String, String, Counted)> {
    let good = rows.iter().filter_map(|row| {
        let (product_id, location_id) = row.stock_key.as_ref()?;
        let counted = row.read.clone().ok()?;
        Some((product_id.to_string(), location_id.to_string(), counted))
    });
    good.collect()
}

fn write_csv(rows: &[Row]) -> String {
    let mut text = "location_id;name;product_id;quantity\r\n".to_owned();
    for (product_id, location_id, Counted { name, on_hand }) in said(rows) {
        let name = name.unwrap_or_default().replace('"', "\"\"");
        text.push_str(&format!("{location_id};\"{name}\";{product_id};{on_hand}\r\n"));
    }
    text
}

fn write_ndjson(rows: &[Row]) -> String {
    let line = |(product_id, location_id, Counted { name, on_hand }): (String, String, _)| {
        let row = json!({
            "product_id": product_id, "location_id": location_id, "name": name, "quantity": on_hand,
        });
        format!("{row}\n")
    };
    said(rows).into_iter().map(line).collect()
}
