//! How a program starts and ends: its common options, its runtime and its exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bus::nats::JoinError;
use crate::config::{File, ListenAddr, UsageError, refuse_open_address, refuse_passwords};
use crate::failure::{Chain, Failure};
use crate::rate::Rate;
use crate::tokens::{OidcArgs, TokenSettings};

pub use crate::bus::nats::{BusArgs, bus_url_help};

/// Longer than the usual 60 s of load balancers, so that they close connections first.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Requests per second of an address without a valid key, where keys are asked for.
const DEFAULT_ADDRESS_RATE: u32 = 50;
/// Connections of such an address.
const DEFAULT_ADDRESS_CONNECTIONS: u32 = 64;
/// Requests in flight of such an address.
const DEFAULT_ADDRESS_REQUESTS: u32 = 32;

/// The least number of files and connections that a serving program must be allowed to open.
const MIN_OPEN_FILES: u64 = 128;

/// Why a program failed, in one line if it serves. Each kind has the exit code that shells expect.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It was started wrongly. Exit code 2.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// It failed while it ran, as the line says. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It ended with an exit code of its own, and lines that say why and what to do.
    #[error("{lines}")]
    Ended {
        /// The exit code, which is not 0.
        code: u8,
        /// What is printed on standard error.
        lines: String,
    },
}

impl ProgramError {
    /// Wraps any error as [`Failed`](Self::Failed).
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Parses the arguments, runs the program on a runtime of its own and returns its exit code. An
/// error is printed as one line on standard error.
pub fn run_to_exit<A: Parser>(
    program: impl AsyncFnOnce(A) -> Result<(), ProgramError>,
) -> ExitCode {
    // Before clap parses the arguments, because it quotes those that it does not know.
    if let Err(error) = refuse_passwords(std::env::args_os().skip(1)) {
        return report(&error.into());
    }
    let program = program(A::parse());
    raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&ProgramError::failed(error)),
    };
    let ended = runtime.block_on(program);
    // Do not wait for blocking tasks, such as the read of a large page.
    runtime.shutdown_background();
    ended.map_or_else(|error| report(&error), |()| ExitCode::SUCCESS)
}

/// Raises the limit of open files and connections from the soft limit, which is low by convention,
/// to the hard one.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If that is refused, the process runs with the limit that it has.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Refuses to serve if the process may open too few files and connections, of which clients get
/// half.
///
/// # Errors
///
/// The limit is too low.
pub fn refuse_few_open_files() -> Result<(), ProgramError> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < MIN_OPEN_FILES => Err(ProgramError::Failed(format!(
            "this process may open {limit} files and connections, and needs at least {MIN_OPEN_FILES}; raise the limit (ulimit -n, or LimitNOFILE= of systemd)"
        ))),
        _ => Ok(()),
    }
}

fn report(error: &ProgramError) -> ExitCode {
    eprintln!("error: {error}");
    match error {
        ProgramError::Usage(_) => ExitCode::from(2),
        ProgramError::Failed(_) => ExitCode::FAILURE,
        ProgramError::Ended { code, .. } => ExitCode::from(*code),
    }
}

/// The keys of the settings file that every server program has.
pub const COMMON_KEYS: [&str; 33] = [
    "listen",
    "metrics_listen",
    "api_keys_file",
    "api_keys_in_database",
    "docs_public",
    "address_rate",
    "address_burst",
    "address_connections",
    "address_requests",
    "trusted_proxies",
    "no_auth",
    "allowed_hosts",
    "cors_origins",
    "idle_timeout_s",
    "drain_delay_s",
    "database_url",
    "database_url_file",
    "bus_url",
    "bus_url_file",
    "bus_ca",
    "bus_credentials",
    "bus_cert",
    "bus_key",
    "bus_signing_key_file",
    "bus_verify_keys_file",
    "bus_signatures",
    "oidc_issuer",
    "oidc_audience",
    "oidc_jwks_url",
    "oidc_ca",
    "oidc_scope_claim",
    "oidc_roles",
    "oidc_max_lifetime_s",
];

/// The options that every server program has. Flag > environment > file > default.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Where to listen for HTTP; port 0 means any free one
    #[arg(long, env = "LASTRO_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<ListenAddr>,
    /// An address of its own for /metrics, /livez and /readyz [default: beside the API]
    #[arg(long, env = "LASTRO_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<ListenAddr>,
    /// Ask clients for API keys: those of this file, which `lastro keys` writes
    #[arg(long, env = "LASTRO_API_KEYS_FILE", value_name = "FILE")]
    pub api_keys_file: Option<PathBuf>,
    /// Ask clients for API keys: those of the table of each database, which `lastro keys` writes
    #[arg(long, env = "LASTRO_API_KEYS_IN_DATABASE", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub api_keys_in_database: Option<bool>,
    /// Ask clients for access tokens.
    #[command(flatten)]
    pub oidc: OidcArgs,
    /// Show the API's description to clients without a key [default: true]
    #[arg(long, env = "LASTRO_DOCS_PUBLIC", value_name = "BOOL")]
    pub docs_public: Option<bool>,
    /// How many requests per second a client without a valid key or token may make from one address
    /// [default: 50 if clients are asked who they are, else any number]
    #[arg(long, env = "LASTRO_ADDRESS_RATE", value_name = "REQUESTS")]
    pub address_rate: Option<u32>,
    /// How many requests such a client may make at once [default: twice the rate]
    #[arg(long, env = "LASTRO_ADDRESS_BURST", value_name = "REQUESTS")]
    pub address_burst: Option<u32>,
    /// How many connections one address may hold on which no valid key or token was shown
    /// [default: 64 if clients are asked who they are, else any number]
    #[arg(long, env = "LASTRO_ADDRESS_CONNECTIONS", value_name = "CONNECTIONS")]
    pub address_connections: Option<u32>,
    /// How many requests without a valid key or token one address may have in flight
    /// [default: 32 if clients are asked who they are, else any number]
    #[arg(long, env = "LASTRO_ADDRESS_REQUESTS", value_name = "REQUESTS")]
    pub address_requests: Option<u32>,
    /// Proxies whose X-Forwarded-For tells the address of a client, as addresses or networks
    #[arg(long, env = "LASTRO_TRUSTED_PROXIES", value_name = "NETWORK,…", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<String>>,
    /// Serve on an address that other machines can reach without asking clients who they are
    #[arg(long, env = "LASTRO_NO_AUTH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub no_auth: Option<bool>,
    /// More names by which clients reach the program, besides those of this machine
    #[arg(long, env = "LASTRO_ALLOWED_HOSTS", value_name = "NAME,…", value_delimiter = ',')]
    pub allowed_hosts: Option<Vec<String>>,
    /// Other sites whose pages may use the API from a browser, such as https://shop.example.com
    #[arg(long, env = "LASTRO_CORS_ORIGINS", value_name = "ORIGIN,…", value_delimiter = ',')]
    pub cors_origins: Option<Vec<String>>,
    /// How long a connection without a request is kept; longer than the load balancer keeps it
    /// [default: 75]
    #[arg(long, env = "LASTRO_IDLE_TIMEOUT_S", value_name = "SECONDS")]
    pub idle_timeout_s: Option<u16>,
    /// How long to go on serving after SIGTERM, when /readyz already fails [default: 0]
    #[arg(long, env = "LASTRO_DRAIN_DELAY_S", value_name = "SECONDS")]
    pub drain_delay_s: Option<u16>,
    /// Ask the running program at the configured address whether it is ready: exit code 0 if so,
    /// else 1
    #[arg(long)]
    pub health_check: bool,
    /// Take the channel at the broker over from another database, and any database as that of the
    /// other service: once, after one of both was made anew, restored elsewhere or moved
    #[arg(long, env = "LASTRO_REPLACE_PEER", value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true")]
    pub replace_peer: bool,
    /// The settings file [default: ./lastro.toml, if it exists]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Returns the help text of `--listen` for a program with this default address.
pub fn listen_help(default: &str) -> String {
    format!("Where to listen for HTTP; port 0 means any free one [default: {default}]")
}

impl From<Failure> for ProgramError {
    /// A database that fails while a program starts, or reads for a tool.
    fn from(failure: Failure) -> Self {
        Self::failed(Chain(&failure))
    }
}

impl From<JoinError> for ProgramError {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Address(error) => Self::Usage(error),
            other => Self::failed(other),
        }
    }
}

/// How a program serves HTTP.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The address of the API.
    pub listen: ListenAddr,
    /// The file of keys that clients are asked for.
    pub api_keys_file: Option<PathBuf>,
    /// Whether clients are asked for the keys of the databases.
    pub api_keys_in_database: bool,
    /// The tokens that clients are asked for. Without keys and tokens, clients are not asked.
    pub tokens: Option<TokenSettings>,
    /// Whether clients without a key may read the API's description.
    pub docs_public: bool,
    /// How much one client may ask for.
    pub limits: LimitSettings,
    /// The address of `/metrics` and the probes, if they have one of their own.
    pub metrics_listen: Option<ListenAddr>,
    /// The names that clients may use for the API.
    pub allowed_hosts: Vec<String>,
    /// The origins whose pages may use the API.
    pub cors_origins: Vec<String>,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// How long the program goes on serving when it is to stop, and is not ready any more.
    pub drain_delay: Duration,
}

/// How much one client may ask for.
#[derive(Clone, Debug, Default)]
pub struct LimitSettings {
    /// The rate of each address, for requests without a valid key; `None` if there is no limit.
    pub address_rate: Option<Rate>,
    /// The most connections of each address without a valid key; `None` if there is no limit.
    pub address_connections: Option<u32>,
    /// The most requests in flight of each address without a valid key; `None` if there is no
    /// limit.
    pub address_requests: Option<u32>,
    /// The proxies that are believed what they say about addresses.
    pub trusted_proxies: Vec<String>,
}

impl HttpSettings {
    /// The address of the API, and the defaults.
    pub fn at(listen: ListenAddr) -> Self {
        Self {
            listen,
            api_keys_file: None,
            api_keys_in_database: false,
            tokens: None,
            docs_public: true,
            limits: LimitSettings::default(),
            metrics_listen: None,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            drain_delay: Duration::ZERO,
        }
    }

    /// Whether clients are asked for keys.
    pub fn asks_for_keys(&self) -> bool {
        self.api_keys_file.is_some() || self.api_keys_in_database
    }

    /// Whether clients are asked who they are.
    pub fn asks_clients(&self) -> bool {
        self.asks_for_keys() || self.tokens.is_some()
    }
}

impl CommonArgs {
    /// Resolves how the program serves: flag > environment > file > default. `address` is the
    /// default of `listen`.
    ///
    /// # Errors
    ///
    /// Returns an error if a value of the file cannot be read, if other machines can reach the
    /// address and clients are not asked who they are though `no_auth` is not set, or if they are
    /// asked and it is set.
    pub fn http(&self, file: &File, address: &str) -> Result<HttpSettings, UsageError> {
        let listen = file.or(self.listen.clone(), "listen")?;
        let listen = listen.map_or_else(|| address.parse(), Ok)?;
        let metrics_listen = file.or(self.metrics_listen.clone(), "metrics_listen")?;
        let no_auth = file.or(self.no_auth, "no_auth")?;
        let api_keys_file = file.or(self.api_keys_file.clone(), "api_keys_file")?;
        let api_keys_in_database = file.or(self.api_keys_in_database, "api_keys_in_database")?;
        let api_keys_in_database = api_keys_in_database.unwrap_or(false);
        let tokens = self.oidc.resolve(file)?;
        let no_auth = no_auth.unwrap_or(false);
        let asked_by = [
            ("api_keys_file", api_keys_file.is_some()),
            ("api_keys_in_database", api_keys_in_database),
            ("oidc_issuer", tokens.is_some()),
        ];
        let asked_by = asked_by.into_iter().find_map(|(setting, is_set)| is_set.then_some(setting));
        if let Some(setting) = asked_by.filter(|_| no_auth) {
            return Err(UsageError(format!(
                "{setting} and no_auth exclude each other: clients are asked who they are or they are not"
            )));
        }
        refuse_open_address(&listen, no_auth || asked_by.is_some())?;
        let docs_public = file.or(self.docs_public, "docs_public")?;
        let limits = self.limits(file, asked_by.is_some())?;
        let allowed_hosts = file.or(self.allowed_hosts.clone(), "allowed_hosts")?;
        let cors_origins = file.or(self.cors_origins.clone(), "cors_origins")?;
        let seconds = |value: Option<u16>| value.map(|value| Duration::from_secs(value.into()));
        let idle_timeout = seconds(file.or(self.idle_timeout_s, "idle_timeout_s")?);
        let drain_delay = seconds(file.or(self.drain_delay_s, "drain_delay_s")?);
        Ok(HttpSettings {
            listen,
            api_keys_file,
            api_keys_in_database,
            tokens,
            docs_public: docs_public.unwrap_or(true),
            limits,
            metrics_listen,
            allowed_hosts: allowed_hosts.unwrap_or_default(),
            cors_origins: cors_origins.unwrap_or_default(),
            idle_timeout: idle_timeout.unwrap_or(DEFAULT_IDLE_TIMEOUT),
            drain_delay: drain_delay.unwrap_or_default(),
        })
    }

    /// Where clients are asked who they are, those who do not prove it get limits.
    fn limits(&self, file: &File, asks_clients: bool) -> Result<LimitSettings, UsageError> {
        let or_default = |value: Option<u32>, default| value.or(asks_clients.then_some(default));
        let most = |flag, key: &str, default| {
            let most = or_default(file.or(flag, key)?, default);
            if most.is_none_or(|most| (1..=Rate::MAX).contains(&most)) {
                return Ok(most);
            }
            Err(UsageError(format!("{key} must be 1 to {}", Rate::MAX)))
        };
        let per_second = file.or(self.address_rate, "address_rate")?;
        let per_second = or_default(per_second, DEFAULT_ADDRESS_RATE);
        let burst = file.or(self.address_burst, "address_burst")?;
        let rate = |per_second| {
            let line = "address_rate and address_burst must be 1 to 1000000";
            Rate::new(per_second, burst).ok_or_else(|| UsageError(line.to_owned()))
        };
        let trusted_proxies = file.or(self.trusted_proxies.clone(), "trusted_proxies")?;
        Ok(LimitSettings {
            address_rate: per_second.map(rate).transpose()?,
            address_connections: most(
                self.address_connections,
                "address_connections",
                DEFAULT_ADDRESS_CONNECTIONS,
            )?,
            address_requests: most(
                self.address_requests,
                "address_requests",
                DEFAULT_ADDRESS_REQUESTS,
            )?,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
        })
    }
}
