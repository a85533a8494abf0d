use web::problem::{At, Fault};

use super::super::read_rows;
use super::*;

/// The rows of a file in one piece, which are the same in any two pieces and byte by byte.
fn rows(media_type: &str, file: &[u8]) -> Result<Vec<Row>, Problem> {
    let rows = read_rows(media_type, &[file]);
    for at in 0..file.len().min(500) {
        let (one, other) = file.split_at(at);
        assert_eq!(read_rows(media_type, &[one, other]), rows, "cut at byte {at}");
    }
    let bytes: Vec<_> = file.chunks(1).collect();
    assert_eq!(read_rows(media_type, &bytes), rows, "byte by byte");
    rows
}

/// `line product@location quantity name`, or `line column code …`.
fn shown(rows: &[Row]) -> Vec<String> {
    let one = |row: &Row| match &row.read {
        Ok(Counted { name, on_hand }) => {
            let (product, location) = row.stock_key.as_ref().expect("valid ids");
            let name = name.as_deref().unwrap_or("-");
            format!("{} {product}@{location} {on_hand} {name}", row.line)
        }
        Err(faults) => faults.iter().fold(row.line.to_string(), |text, fault| {
            let column = fault.column.as_deref().unwrap_or("-");
            format!("{text} {column} {}", fault.code.as_str())
        }),
    };
    rows.iter().map(one).collect()
}

fn csv(file: &str) -> Vec<String> {
    shown(&rows(CSV, file.as_bytes()).expect("a header"))
}

fn header_faults(file: &str) -> Vec<String> {
    let problem = rows(CSV, file.as_bytes()).expect_err("a bad header");
    let show = |fault: &Fault| match &fault.at {
        At::Pointer(pointer) => format!("{pointer} {}", fault.code.as_str()),
        At::Parameter(name) => panic!("a header is no {name}"),
    };
    problem.faults.iter().map(show).collect()
}

#[test]
fn columns_are_found_by_name_in_any_order() {
    let file = "product_id,name,quantity,location_id\n789,Blue mug,12,SHOP\n790,,0,\n";
    assert_eq!(csv(file), ["2 789@SHOP 12 Blue mug", "3 790@main 0 -"]);
    assert_eq!(csv("quantity,product_id\n12,789"), ["2 789@main 12 -"]);
    assert_eq!(csv("\"quantity\",\"product_id\"\n12,789\n"), ["2 789@main 12 -"]);
}

#[test]
fn spreadsheets_write_semicolons_marks_and_line_breaks_of_their_own() {
    let expected = ["2 789@main 12 -", "3 790@main 3 -"];
    for file in [
        "product_id;quantity\n789;12\n790;3\n",
        "product_id;quantity\r\n789;12\r\n790;3\r\n",
        "product_id;quantity\r789;12\r790;3\r",
        "\u{feff}product_id,quantity\r\n789,12\r\n790,3",
        "\u{feff}\"product_id\",\"quantity\"\n\"789\",\"12\"\n\"790\",\"3\"",
    ] {
        assert_eq!(csv(file), expected, "{file:?}");
    }
}

#[test]
fn a_row_has_the_number_of_its_first_line() {
    let file = "\nproduct_id,name,quantity\n\n789,\"two\nlines\",12\n790,x,3\n,,\n\r\n791,\"a \"\"b\"\"\",4";
    assert_eq!(csv(file), ["4 name bad_format", "6 790@main 3 x", "9 791@main 4 a \"b\""]);
}

#[test]
fn what_a_spreadsheet_would_run_is_text() {
    for name in ["=1+1", "+CMD|' /C calc'!A0", "@SUM(A1)", "-1"] {
        let file = format!("product_id,name,quantity\n789,{name},1\n");
        assert_eq!(csv(&file), [format!("2 789@main 1 {name}")]);
    }
}

#[test]
fn every_fault_of_a_row_is_reported_at_once() {
    let file = b"product_id,name,quantity,location_id\n-x,\x01,1.5,/\n,,,\n,\xff,,\n789,x\n789,x,1,main,\n";
    let rows = rows(CSV, file).expect("a header");
    assert_eq!(
        shown(&rows),
        [
            "2 product_id bad_format name bad_format quantity bad_format location_id bad_format",
            "4 name malformed_row product_id required quantity required",
            "5 - malformed_row",
            "6 - malformed_row",
        ]
    );
    assert_eq!(rows[0].product_id.as_deref(), Some("-x"));
}

#[test]
fn a_quantity_is_a_number_of_units_in_digits_alone() {
    for (quantity, expected) in [
        ("0", "789@main 0 -"),
        ("007", "789@main 7 -"),
        ("1000000000", "789@main 1000000000 -"),
        ("1000000001", "quantity out_of_range"),
        ("99999999999999999999", "quantity out_of_range"),
        ("-1", "quantity out_of_range"),
        ("1.0", "quantity bad_format"),
        ("1e3", "quantity bad_format"),
        ("1.000", "quantity bad_format"),
        ("+1", "quantity bad_format"),
        (" 1", "quantity bad_format"),
        ("\u{661}", "quantity bad_format"),
        ("-", "quantity bad_format"),
        ("", "quantity required"),
    ] {
        let file = format!("product_id,quantity\n789,{quantity}\n");
        assert_eq!(csv(&file), [format!("2 {expected}")], "{quantity}");
    }
}

#[test]
fn a_header_that_lacks_a_column_is_refused_with_every_fault() {
    for (header, expected) in [
        ("", &["/product_id required", "/quantity required"][..]),
        ("product_id", &["/quantity required"]),
        ("Product_id,quantity", &["/Product_id unknown_field", "/product_id required"]),
        ("product_id,quantity,quantity,colour", &["/quantity bad_format", "/colour unknown_field"]),
        (
            "product_id\tquantity",
            &["/product_id\tquantity unknown_field", "/product_id required", "/quantity required"],
        ),
    ] {
        assert_eq!(header_faults(header), expected, "{header}");
        assert_eq!(header_faults(&format!("{header}\n1,2\n")).len().min(1), 1, "{header}");
    }
    let long = "x,".repeat(MAX_ROW_BYTES);
    assert_eq!(header_faults(&long), [" out_of_range"]);
}

#[test]
fn a_row_is_bounded_and_the_rows_after_it_are_read() {
    let at_most = MAX_ROW_BYTES - "789,,1".len();
    for (length, expected) in [(at_most, "name out_of_range"), (at_most + 1, "- malformed_row")] {
        for end in ["\n", "\r\n", ""] {
            let name = "x".repeat(length);
            let file = format!("product_id,name,quantity\n789,{name},1{end}");
            assert_eq!(csv(&file), [format!("2 {expected}")], "{length} {end:?}");
        }
    }
    let file = format!("product_id,quantity\n{}\n789,1\n", ",".repeat(50));
    assert_eq!(csv(&file), ["3 789@main 1 -"], "an empty row is blank, however wide it is");
    let file =
        format!("product_id,quantity\n{}\n{}\n789,1\n", "x".repeat(100_000), "x,".repeat(200));
    assert_eq!(csv(&file), ["2 - malformed_row", "3 - malformed_row", "4 789@main 1 -"]);
    let file = format!("product_id,quantity\n789,\"1\n{}", "790,2\n".repeat(10_000));
    let rows = rows(CSV, file.as_bytes()).expect("a header");
    let Err(faults) = &rows[0].read else { panic!("{rows:?}") };
    assert!(faults[0].detail.contains("quotation mark"), "{faults:?}");
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_line_of_json_is_a_row() {
    let file = concat!(
        "\u{feff}{\"product_id\":\"789\",\"quantity\":12,\"name\":\"Mug\",\"location_id\":\"SHOP\"}\r\n",
        "\n  \n",
        "{\"quantity\":0,\"product_id\":\"790\",\"name\":null}\n",
        "{\"product_id\":7,\"quantity\":1.0,\"colour\":\"red\"}\n",
        "{\"product_id\":\"7\",\"quantity\":\"1\",\"location_id\":\"/\"}\n",
        "{\"product_id\":\"7\"\n",
        "[]\n",
        "{\"product_id\":\"791\",\"quantity\":3}",
    );
    assert_eq!(
        shown(&rows(NDJSON, file.as_bytes()).expect("no header")),
        [
            "1 789@SHOP 12 Mug",
            "4 790@main 0 -",
            "5 product_id wrong_type quantity bad_format colour unknown_field",
            "6 quantity wrong_type location_id bad_format",
            "7 - malformed_row",
            "8 - malformed_row",
            "9 791@main 3 -",
        ]
    );
    let long = format!(
        "{{\"product_id\":\"{}\"}}\n{{\"product_id\":\"7\",\"quantity\":1}}",
        "x".repeat(MAX_ROW_BYTES)
    );
    let read = rows(NDJSON, long.as_bytes()).expect("no header");
    assert_eq!(shown(&read), ["1 - malformed_row", "2 7@main 1 -"]);
}
