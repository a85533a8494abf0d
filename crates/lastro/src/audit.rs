//! `lastro verify`: opens both databases beside their services, prints what the audit found, and judges.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use platform::batcher::Chain;
use platform::clock::{Clock, SystemClock};
use platform::config::File;
use platform::process::ProgramError;

use crate::serve::{PlaceArgs, Places};
use crate::verify::{Report, verify};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    places: PlaceArgs,
    /// Also demand that no command is in flight
    #[arg(long)]
    settled: bool,
    /// The configuration file [default: ./lastro.toml, if it is there]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// **Errors:** a database that cannot be read, or an invariant that does not hold.
pub(crate) async fn run(args: Args) -> Result<(), ProgramError> {
    let report = audit(&args.places.resolve(&File::load(args.config)?)).await?;
    // A closed pipe is the reader's choice; the exit code tells all the same.
    let _ = write!(std::io::stdout(), "{report}");
    if !report.is_clean() {
        return Err(ProgramError::failed("an invariant does not hold"));
    }
    if args.settled && report.backlog.commands > 0 {
        return Err(ProgramError::failed("commands are still in flight"));
    }
    Ok(())
}

/// Reads both databases, beside their services if need be.
///
/// **Errors:** a database that cannot be read.
pub(crate) async fn audit(places: &Places) -> Result<Report, ProgramError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let orders = orders::open_for_audit(&places.orders, clock).await?;
    let inventory = inventory::open_for_audit(&places.inventory).await?;
    verify(&*orders, &*inventory).await.map_err(|failure| ProgramError::failed(Chain(&failure)))
}
