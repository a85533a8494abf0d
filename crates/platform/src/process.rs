//! How a program starts and ends: its common options, its runtime and its exit code.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bus::Bus;
use crate::bus::nats::Nats;
use crate::config::{BusUrl, File, ListenAddr, UsageError, refuse_open_address};

/// Where a service looks for the other one, unless it is told.
const DEFAULT_BROKER: &str = "nats://127.0.0.1:4222";

/// How a program failed, in one line. The two kinds have the exit codes that shells expect.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// Exit code 2: how it was started.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// Exit code 1: what happened.
    #[error("{0}")]
    Failed(String),
}

impl ProgramError {
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs a program on a runtime of its own and turns its end into an exit code; an error is one line on standard error.
pub fn run_to_exit(program: impl Future<Output = Result<(), ProgramError>>) -> ExitCode {
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&ProgramError::failed(error)),
    };
    let ended = runtime.block_on(program);
    // Whatever still blocks (a read of a large page, say) is not worth waiting for.
    runtime.shutdown_background();
    ended.map_or_else(|error| report(&error), |()| ExitCode::SUCCESS)
}

/// Lets this process open as many files and connections as it is allowed to: by custom, the limit that it starts with
/// is lower than the one that is meant.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What is refused stays as it is, and is reckoned with.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn report(error: &ProgramError) -> ExitCode {
    eprintln!("error: {error}");
    match error {
        ProgramError::Usage(_) => ExitCode::from(2),
        ProgramError::Failed(_) => ExitCode::FAILURE,
    }
}

/// The keys of the settings file that every serving program takes.
pub const COMMON_KEYS: [&str; 5] =
    ["listen", "metrics_listen", "no_auth", "database_url", "bus_url"];

/// The options that every serving program has. Flag > environment > file > default.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Where to listen for HTTP; port 0 means any free one
    #[arg(long, env = "LASTRO_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<ListenAddr>,
    /// An address of its own for /metrics, /livez and /readyz [default: beside the API]
    #[arg(long, env = "LASTRO_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<ListenAddr>,
    /// Serve without API keys on an address that other machines can reach
    #[arg(long, env = "LASTRO_NO_AUTH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub no_auth: Option<bool>,
    /// Ask the running program at the configured address whether it is ready: exit code 0 if so, else 1
    #[arg(long)]
    pub health_check: bool,
    /// A file of API keys; the program has no API keys yet and refuses the option
    #[arg(long, env = "LASTRO_API_KEYS_FILE", value_name = "FILE", hide = true)]
    pub api_keys_file: Option<std::path::PathBuf>,
    /// The settings file [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
}

/// The help text of `--listen` for a program with this default address.
pub fn listen_help(default: &str) -> String {
    format!("Where to listen for HTTP; port 0 means any free one [default: {default}]")
}

/// The bus that joins a service to the one in another process, `service` being the name that all its replicas share.
///
/// **Errors:** an embedded bus joins no processes. A broker that is away is no error: it may come.
pub async fn bus_between_processes(
    url: Option<BusUrl>,
    service: &str,
) -> Result<Arc<dyn Bus>, UsageError> {
    match url.unwrap_or_else(|| BusUrl::Nats(DEFAULT_BROKER.to_owned())) {
        BusUrl::Nats(servers) => Ok(Arc::new(Nats::connect(&servers, service).await?)),
        BusUrl::Embedded => Err(UsageError(
            "the bus embedded: joins only services of one process; run `lastro`, which holds both"
                .to_owned(),
        )),
    }
}

/// Where a program listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub listen: ListenAddr,
    pub metrics_listen: Option<ListenAddr>,
}

impl CommonArgs {
    /// Where the program listens, flags and environment before the file, `default` after it.
    ///
    /// # Errors
    ///
    /// An address that other machines can reach, without `no_auth`.
    pub fn addresses(&self, file: &File, default: &str) -> Result<Addresses, UsageError> {
        if self.api_keys_file.is_some() {
            let reason = "LASTRO_API_KEYS_FILE: there are no API keys yet; let something in front ask for them";
            return Err(UsageError(reason.to_owned()));
        }
        let listen = file.or(self.listen.clone(), "listen")?;
        let listen = listen.map_or_else(|| default.parse(), Ok)?;
        let metrics_listen = file.or(self.metrics_listen.clone(), "metrics_listen")?;
        let no_auth = file.or(self.no_auth, "no_auth")?;
        refuse_open_address(&listen, no_auth.unwrap_or(false))?;
        Ok(Addresses { listen, metrics_listen })
    }
}
