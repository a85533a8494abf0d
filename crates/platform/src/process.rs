//! The frame of every program: what it is told at the start, what runs in it, and how it ends.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use clap::Args;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;
use utoipa::openapi::OpenApi;

use crate::bus::Bus;
use crate::bus::nats::Nats;
use crate::clock::{Clock, Ids, SystemClock, SystemIds};
use crate::config::{BusUrl, File, ListenAddr, UsageError, refuse_open_address};
use crate::fault;
use crate::http::docs;
use crate::http::edge::Edge;
use crate::http::probes::{self, Probes};
use crate::http::{bind, raise_open_files, serve};
use crate::lifecycle::{Stage, Workers};
use crate::readiness::Readiness;
use crate::telemetry::Metrics;

mod health_check;

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

fn report(error: &ProgramError) -> ExitCode {
    eprintln!("error: {error}");
    match error {
        ProgramError::Usage(_) => ExitCode::from(2),
        ProgramError::Failed(_) => ExitCode::FAILURE,
    }
}

/// The options that every serving program has. Flag > environment > file > default.
#[derive(Clone, Debug, Default, Args)]
pub struct CommonArgs {
    /// Where to listen for HTTP, port 0 meaning any free one [default: 127.0.0.1:8080 for lastro, :8081 for
    /// order-service, :8082 for inventory-service]
    #[arg(long, env = "LASTRO_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<ListenAddr>,
    /// An address of its own for /metrics, /livez and /readyz [default: beside the API]
    #[arg(long, env = "LASTRO_METRICS_LISTEN", value_name = "HOST:PORT")]
    pub metrics_listen: Option<ListenAddr>,
    /// Serve without API keys on an address that other machines can reach
    #[arg(long, env = "LASTRO_NO_AUTH", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub no_auth: Option<bool>,
    /// Ask the program that runs at the configured address whether it is ready: code 0 if so, else 1
    #[arg(long)]
    pub health_check: bool,
    /// A file of API keys; there are none yet, so that one is refused rather than ignored
    #[arg(long, env = "LASTRO_API_KEYS_FILE", value_name = "FILE", hide = true)]
    pub api_keys_file: Option<std::path::PathBuf>,
    /// The configuration file [default: ./lastro.toml, if it is there]
    #[arg(long, env = "LASTRO_CONFIG", value_name = "FILE")]
    pub config: Option<std::path::PathBuf>,
}

/// The bus that joins a service to the one in another process, `service` being the name that all its replicas share.
///
/// **Errors:** an embedded bus joins no processes. A broker that is away is no error: it may come.
pub async fn bus_between_processes(url: Option<BusUrl>, service: &str) -> Result<Arc<dyn Bus>, UsageError> {
    match url.unwrap_or_else(|| BusUrl::Nats(DEFAULT_BROKER.to_owned())) {
        BusUrl::Nats(servers) => Ok(fault::around(Arc::new(Nats::connect(&servers, service).await?))),
        BusUrl::Embedded => Err(UsageError(
            "the bus embedded: joins only services of one process; run `lastro`, which holds both".to_owned(),
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
    /// Reads the configuration file, if there is one.
    pub fn file(&self) -> Result<File, UsageError> {
        File::load(self.config.clone())
    }

    /// **Errors:** an address that others can reach, without anybody having said that this is wanted.
    pub fn addresses(&self, file: &File, default: &str) -> Result<Addresses, UsageError> {
        if self.api_keys_file.is_some() {
            let reason = "LASTRO_API_KEYS_FILE: there are no API keys yet; let something in front ask for them";
            return Err(UsageError(reason.to_owned()));
        }
        let listen = self.listen.clone().or_else(|| file.listen.clone());
        let listen = listen.map_or_else(|| default.parse(), Ok)?;
        let metrics_listen = self.metrics_listen.clone().or_else(|| file.metrics_listen.clone());
        refuse_open_address(&listen, self.no_auth.or(file.no_auth).unwrap_or(false))?;
        Ok(Addresses { listen, metrics_listen })
    }
}

/// What all services of one process have in common.
#[derive(Debug)]
pub struct Commons {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub registry: Registry,
    pub metrics: Metrics,
    pub readiness: Readiness,
    /// Cancelled when the shutdown begins: whoever waits for something lets go (R19).
    pub stopping: CancellationToken,
}

impl Commons {
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, env!("CARGO_PKG_VERSION"));
        let (readiness, stopping) = (Readiness::default(), CancellationToken::new());
        Self { clock, ids, registry, metrics, readiness, stopping }
    }

    /// A service's routes behind the edge, its requests counted as its own.
    pub fn api(&self, service: &'static str, router: utoipa_axum::router::OpenApiRouter) -> Api {
        let (router, description) = router.split_for_parts();
        Api { router: self.edge(service).wrap(router), description }
    }

    /// The probes of a program that answers nothing else.
    pub fn probes_alone(self, name: &'static str) -> Router {
        let edge = self.edge(name);
        let Self { registry, readiness, .. } = self;
        edge.wrap(probes::router(Probes {
            name,
            version: env!("CARGO_PKG_VERSION"),
            readiness,
            registry: Arc::new(registry),
        }))
    }

    fn edge(&self, service: &'static str) -> Edge {
        Edge::new(service, self.metrics.clone(), self.ids.clone())
    }
}

/// A program on its way up: services add their workers, numbers and checks, then it serves.
#[derive(Debug)]
pub struct Process {
    pub name: &'static str,
    pub commons: Commons,
    pub workers: Workers,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
}

/// What a service answers: its routes, wrapped in their edge, and their description.
pub struct Api {
    pub router: Router,
    pub description: OpenApi,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("paths", &self.description.paths.paths.len()).finish_non_exhaustive()
    }
}

impl Api {
    /// Both services' routes in one program, and one description of them.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self { router: self.router.merge(other.router), description: self.description.merge_from(other.description) }
    }
}

impl Process {
    /// Claims the addresses first, so that a busy port changes nothing.
    pub async fn begin(name: &'static str, addresses: &Addresses) -> Result<Self, ProgramError> {
        let listener = bind(&addresses.listen).await.map_err(ProgramError::failed)?;
        let metrics_listener = match &addresses.metrics_listen {
            Some(address) => Some(bind(address).await.map_err(ProgramError::failed)?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let commons = Commons::new(clock.clone(), Arc::new(SystemIds::new(clock)));
        Ok(Self { name, commons, workers: Workers::new(), listener, metrics_listener })
    }

    /// The address that requests reach it at.
    pub fn address(&self) -> Result<std::net::SocketAddr, ProgramError> {
        self.listener.local_addr().map_err(ProgramError::failed)
    }

    /// Serves until `shutdown`, then stops stage by stage (R19).
    ///
    /// **Errors:** a worker died, or did not stop in time (R18).
    pub async fn serve(self, api: Api, shutdown: CancellationToken) -> Result<(), ProgramError> {
        let address = self.address()?;
        let edge = self.commons.edge(self.name);
        let Self { name, commons, mut workers, listener, metrics_listener } = self;
        let Commons { registry, readiness, stopping, .. } = commons;
        let probes = Probes {
            name,
            version: env!("CARGO_PKG_VERSION"),
            readiness: readiness.clone(),
            registry: Arc::new(registry),
        };
        let mut own = docs::router(describe(name, api.description)?).merge(probes::version(&probes));
        match metrics_listener {
            Some(listener) => {
                let router = edge.clone().wrap(probes::router(probes));
                workers.spawn(Stage::Probe, "metrics server", |token| serve(listener, router, token));
            }
            None => own = own.merge(probes::router(probes)),
        }
        let router = edge.wrap(own).merge(api.router);
        workers.spawn(Stage::Serve, "server", |token| serve(listener, router, token));
        info!(%address, "{name} is ready");
        let told = shutdown.clone();
        tokio::spawn(async move {
            told.cancelled().await;
            readiness.drain();
            stopping.cancel();
        });
        workers.run(shutdown).await.map_err(ProgramError::failed)?;
        info!("{name} has stopped");
        Ok(())
    }
}

/// The API's description as the document that is served.
pub fn describe(name: &str, mut description: OpenApi) -> Result<String, ProgramError> {
    description.info.title = name.to_owned();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    description.info.description = Some("Orders that are never lost, stock that is never oversold.".to_owned());
    // The generator fills these in with its own author.
    description.info.contact = None;
    description.info.license = None;
    description.to_pretty_json().map_err(ProgramError::failed)
}
