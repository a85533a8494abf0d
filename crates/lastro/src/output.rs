//! What the tools print: data on standard output, everything else on standard error.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use platform::clock::{Clock, SystemClock, Timestamp};
use serde_json::Value;

use crate::client::Failed;

/// Prints one line on standard output.
///
/// # Errors
///
/// [`Failed::Closed`] if nobody reads it any more, as with `| head`. `println!` would panic.
pub(crate) fn line(line: impl fmt::Display) -> Result<(), Failed> {
    match writeln!(io::stdout(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failed::Closed),
        Err(error) => Err(Failed::line(format!("cannot write to standard output: {error}"))),
    }
}

/// Tells the user something beside the data, on standard error.
pub(crate) fn note(line: impl fmt::Display) {
    // Nobody may read it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether standard output shows colours.
fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A text from a service with its control characters made visible, since they could change what a
/// terminal shows.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        let is_bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || is_bidi {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

/// A value as people read it: `–` where there is none.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// A time to the second, in UTC.
pub(crate) fn time(value: &Value) -> String {
    match value.as_str() {
        Some(text) if text.len() >= 19 && text.is_ascii() => text[..19].replace('T', " "),
        _ => show(value),
    }
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// How long ago a time is.
pub(crate) fn age(value: &Value, now: Timestamp) -> Option<std::time::Duration> {
    value.as_str().and_then(Timestamp::from_rfc3339).map(|at| now.since(at))
}

/// A span of time as people read it: its two greatest units.
pub(crate) fn span(span: std::time::Duration) -> String {
    let text = humantime::format_duration(std::time::Duration::from_secs(span.as_secs()));
    text.to_string().split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Columns with a heading.
#[derive(Debug)]
pub(crate) struct Columns {
    table: Table,
    colours: bool,
}

impl Columns {
    pub(crate) fn new(headings: &[&str]) -> Self {
        let colours = has_colours();
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if !colours {
            table.force_no_tty();
        }
        let heading = |text: &&str| {
            let cell = Cell::new(text);
            if colours { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(headings.iter().map(heading).collect::<Vec<_>>());
        Self { table, colours }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| {
            let colour = self.colours.then(|| colour(&text)).flatten();
            let cell = Cell::new(text);
            match colour {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        };
        let cells: Vec<_> = cells.into_iter().map(cell).collect();
        self.table.add_row(cells);
    }

    /// Prints the table; nothing if it has no row.
    ///
    /// # Errors
    ///
    /// As [`line`].
    pub(crate) fn print(mut self) -> Result<(), Failed> {
        if self.table.is_empty() {
            return Ok(());
        }
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for row in self.table.lines() {
            line(row.trim_end())?;
        }
        Ok(())
    }
}

/// The colour of a status.
fn colour(text: &str) -> Option<Color> {
    match text {
        "confirmed" | "fulfilled" | "paid" | "shipped" => Some(Color::Green),
        "rejected" | "expired" | "anomaly" | "malformed" | "poisoned" => Some(Color::Red),
        "received" | "amending" | "cancelling" | "fulfilling" | "expiring" | "reviving"
        | "reserved" | "due" => Some(Color::Yellow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_service_sends_cannot_change_what_a_terminal_shows() {
        assert_eq!(clean("a\u{1b}[31mb\n\u{202e}c é"), "a\\u{1b}[31mb\\n\\u{202e}c é");
        assert_eq!(show(&json!("\u{7}x")), "\\u{7}x");
        assert_eq!((show(&Value::Null), show(&json!(3))), ("–".to_owned(), "3".to_owned()));
    }

    #[test]
    fn times_are_shown_to_the_second_and_spans_in_two_units() {
        assert_eq!(time(&json!("2026-11-27T14:38:40.601799Z")), "2026-11-27 14:38:40");
        assert_eq!(time(&json!("soon")), "soon");
        assert_eq!(span(Duration::from_millis(3_723_900)), "1h 2m");
        assert_eq!(span(Duration::ZERO), "0s");
    }
}
