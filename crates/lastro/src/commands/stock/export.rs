//! `lastro stock export`.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Context, counter, items, text};
use super::csv::{HEADER, cell};
use crate::client::{Failed, Query};
use crate::output::{clean, note};

#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// The new file; it appears when it is complete [default: -, standard output]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failed> {
        let Some(file) = self.file.filter(|file| file != Path::new("-")) else {
            let mut out = BufWriter::new(io::stdout());
            let show = !io::stdout().is_terminal();
            let rows = write(context, &mut out, show).await?;
            note(format_args!("{rows} rows"));
            return Ok(());
        };
        if file.exists() {
            return Err(Failed::usage(format!("{} exists already", file.display())));
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let temporary = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")));
        let mut temporary = temporary.map_err(|error| unwritable(&file, &error))?;
        let rows = write(context, &mut BufWriter::new(&mut temporary), true).await?;
        temporary.as_file().sync_all().map_err(|error| unwritable(&file, &error))?;
        temporary.persist_noclobber(&file).map_err(|error| unwritable(&file, &error.error))?;
        note(format_args!("{rows} rows in {}", file.display()));
        Ok(())
    }
}

fn unwritable(file: &Path, error: &io::Error) -> Failed {
    Failed::line(format!("cannot write {}: {error}", file.display()))
}

/// Writes a row for each product and location. Returns their number.
async fn write(context: &Context, out: &mut impl Write, show: bool) -> Result<usize, Failed> {
    let written = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failed::Closed),
        Err(error) => Err(Failed::line(format!("cannot write the stock: {error}"))),
        Ok(()) => Ok(()),
    };
    let bar = if show { counter("products") } else { indicatif::ProgressBar::hidden() };
    written(writeln!(out, "{HEADER}"))?;
    let mut rows = 0;
    let query = Query::of("/api/inventory/products");
    let read = context.client.pages(&query, usize::MAX, |page| {
        for item in page {
            for row in of_product(&item.value) {
                written(writeln!(out, "{row}"))?;
                rows += 1;
            }
            bar.inc(1);
        }
        Ok(())
    });
    let read = read.await;
    bar.finish_and_clear();
    read?;
    written(out.flush())?;
    Ok(rows)
}

/// The rows of a product. One that was never anywhere has none on hand at the first location.
fn of_product(product: &Value) -> Vec<String> {
    let (id, name) = (cell(text(product, "product_id")), cell(text(product, "name")));
    let row = |level: &Value| {
        format!("{id},{name},{},{}", level["on_hand"], cell(&clean(text(level, "location_id"))))
    };
    let rows: Vec<_> = items(&product["locations"]).iter().map(row).collect();
    if rows.is_empty() { vec![format!("{id},{name},0,main")] } else { rows }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_product_has_a_row_for_each_location() {
        let level = |at: &str, on_hand: u32| json!({"location_id": at, "on_hand": on_hand});
        let product =
            |levels: Value| json!({"product_id": "M", "name": "a,b", "locations": levels});
        let rows = of_product(&product(json!([level("main", 3), level("store", 0)])));
        assert_eq!(rows, ["M,\"a,b\",3,main", "M,\"a,b\",0,store"]);
        assert_eq!(of_product(&product(json!([]))), ["M,\"a,b\",0,main"]);
    }
}
