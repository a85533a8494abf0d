//! What an ordinary program could do on the same PostgreSQL: the same writes with one transaction
//! per step, by pgbench, with nothing around them.

use std::path::Path;

use platform::process::ProgramError;

use super::Suite;
use super::servers::run;

const SCHEMA: &str = include_str!("../../../../../scripts/naive/schema.sql");
const ORDER: &str = include_str!("../../../../../scripts/naive/order.pgbench");
const DATABASE: &str = "naive";
const CLIENTS: &str = "16";

/// Orders per second of pgbench with 16 clients.
///
/// # Errors
///
/// pgbench failed.
pub(super) async fn orders_per_s(suite: &Suite) -> Result<f64, ProgramError> {
    let postgres = suite.postgres();
    postgres.execute("postgres", &format!("CREATE DATABASE {DATABASE}")).await?;
    postgres.execute(DATABASE, SCHEMA).await?;
    let script = suite.folder().join("order.pgbench");
    std::fs::write(&script, ORDER).map_err(ProgramError::failed)?;
    let rate = measure(suite, &script).await;
    postgres.execute("postgres", &format!("DROP DATABASE {DATABASE} WITH (FORCE)")).await?;
    rate
}

async fn measure(suite: &Suite, script: &Path) -> Result<f64, ProgramError> {
    let seconds = suite.scale.duration.as_secs().max(1).to_string();
    let mut command = suite.installed().command("pgbench");
    command.args(["-n", "-M", "prepared", "-c", CLIENTS, "-j", "2", "-T", &seconds, "-f"]);
    command.arg(script).arg(suite.postgres().url(DATABASE));
    let said = run(command).await?;
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rate| rate.split_whitespace().next()?.parse().ok());
    rate.ok_or_else(|| ProgramError::failed("pgbench reported no rate"))
}
