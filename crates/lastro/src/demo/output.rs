//! The demo's transcript on standard output.

use std::fmt;
use std::io::{self, Write};

use anyhow::Context;

/// Prints one line of the transcript.
///
/// # Errors
///
/// Standard output is closed, as by `lastro demo | head`. `println!` would panic instead.
pub(super) fn print_line(line: fmt::Arguments<'_>) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot print the transcript")
}
