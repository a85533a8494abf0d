//! CSV (RFC 4180) as `lastro stock export` writes it.

/// The columns of a file of counted stock.
pub(super) const HEADER: &str = "product_id,name,quantity,location_id";

/// A cell: in quotes if a reader could take it for more than one, or for another text.
pub(super) fn cell(text: &str) -> String {
    let is_plain = !text.contains(['"', ',', ';', '\r', '\n'])
        && !text.starts_with(char::is_whitespace)
        && !text.ends_with(char::is_whitespace);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_in_quotes_where_it_must_be() {
        assert_eq!(cell("Mug, 12\""), "\"Mug, 12\"\"\"");
        assert_eq!([cell(" x"), cell("a;b"), cell("=1+1")], ["\" x\"", "\"a;b\"", "=1+1"]);
    }
}
