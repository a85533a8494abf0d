//! The frame of a serving program: what its services share, what runs in it, and what it answers.

use std::sync::Arc;

use axum::Router;
use platform::clock::{Clock, Ids, SystemClock, SystemIds};
use platform::config::File;
use platform::lifecycle::{Stage, Workers, on_signal};
use platform::process::{Addresses, COMMON_KEYS, CommonArgs, ProgramError};
use platform::readiness::Readiness;
use platform::telemetry::{self, Metrics};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;
use utoipa::openapi::OpenApi;

use crate::docs;
use crate::edge::Edge;
use crate::index;
use crate::probes::{self, Probes};
use crate::problem::OwnCodes;
use crate::server::{bind, serve};

pub use health_check::check_health;

mod health_check;

/// What a program is called, what it says it is, and where it listens unless it is configured.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub name: &'static str,
    /// One sentence, for readers of the API and of the page at `/`.
    pub summary: &'static str,
    /// `host:port`.
    pub default_listen: &'static str,
}

/// What all services of one process have in common.
#[derive(Debug)]
pub struct Context {
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub registry: Registry,
    pub metrics: Metrics,
    pub readiness: Readiness,
    /// Cancelled when the shutdown begins: whoever waits for something lets go (R19).
    pub stopping: CancellationToken,
}

impl Context {
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, env!("CARGO_PKG_VERSION"));
        let (readiness, stopping) = (Readiness::default(), CancellationToken::new());
        Self { clock, ids, registry, metrics, readiness, stopping }
    }

    /// A service's routes behind the edge, its requests counted as its own, with the codes that only it answers with.
    pub fn api(&self, service: &'static str, router: utoipa_axum::router::OpenApiRouter, codes: OwnCodes) -> Api {
        let (router, description) = router.split_for_parts();
        Api { router: self.edge(service).wrap(router), description, codes }
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
    pub program: Program,
    pub context: Context,
    pub workers: Workers,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
}

/// What a service answers: its routes, wrapped in their edge, and their description.
pub struct Api {
    pub router: Router,
    pub description: OpenApi,
    /// The codes that its services have beside those of every service.
    pub codes: OwnCodes,
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
        Self {
            router: self.router.merge(other.router),
            description: self.description.merge_from(other.description),
            codes: self.codes.merge(other.codes),
        }
    }
}

impl Process {
    /// Claims the addresses first, so that a busy port changes nothing.
    pub async fn begin(program: Program, addresses: &Addresses) -> Result<Self, ProgramError> {
        let listener = bind(&addresses.listen).await.map_err(ProgramError::failed)?;
        let metrics_listener = match &addresses.metrics_listen {
            Some(address) => Some(bind(address).await.map_err(ProgramError::failed)?),
            None => None,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = Context::new(clock.clone(), Arc::new(SystemIds::new(clock)));
        Ok(Self { program, context, workers: Workers::new(), listener, metrics_listener })
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
        let edge = self.context.edge(self.program.name);
        let Self { program, context, mut workers, listener, metrics_listener } = self;
        let Context { registry, readiness, stopping, .. } = context;
        let name = program.name;
        let probes = Probes {
            name,
            version: env!("CARGO_PKG_VERSION"),
            readiness: readiness.clone(),
            registry: Arc::new(registry),
        };
        let mut own =
            docs::router(describe(&program, &api)?).merge(index::router(&program)).merge(probes::version(&probes));
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
        let signalled = shutdown.clone();
        tokio::spawn(async move {
            signalled.cancelled().await;
            readiness.drain();
            stopping.cancel();
        });
        workers.run(shutdown).await.map_err(ProgramError::failed)?;
        info!("{name} has stopped");
        Ok(())
    }
}

/// Runs a program that serves: reads its settings, claims its addresses, lets `build` put its services together, and
/// serves them until a signal. `keys` are the keys that its settings file may have beside the common ones.
///
/// # Errors
///
/// A wrong setting (exit code 2), or what `build` and [`Process::serve`] fail with (exit code 1).
pub async fn run<B>(program: Program, args: &CommonArgs, keys: &[&str], build: B) -> Result<(), ProgramError>
where
    B: AsyncFnOnce(&mut Process, &File) -> Result<Api, ProgramError>,
{
    telemetry::init_logs();
    let file = load_settings(args, keys)?;
    let addresses = args.addresses(&file, program.default_listen)?;
    if args.health_check {
        return check_health(&addresses).await;
    }
    let mut process = Process::begin(program, &addresses).await?;
    let api = build(&mut process, &file).await?;
    process.serve(api, on_signal().map_err(ProgramError::failed)?).await
}

/// The settings file of a program with these keys beside the common ones.
///
/// # Errors
///
/// As [`File::load`].
pub fn load_settings(args: &CommonArgs, keys: &[&str]) -> Result<File, ProgramError> {
    Ok(File::load(args.config.clone(), &[&COMMON_KEYS, keys].concat())?)
}

/// The API's description as the document that is served.
///
/// # Errors
///
/// The description cannot be written as JSON: a bug.
pub fn describe(program: &Program, api: &Api) -> Result<String, ProgramError> {
    let mut description = api.description.clone();
    description.info.title = program.name.to_owned();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    description.info.description = Some(program.summary.to_owned());
    // The generator fills these in with its own author.
    description.info.contact = None;
    description.info.license = None;
    if let Some(components) = &mut description.components {
        components.schemas.insert("Code".to_owned(), api.codes.code_schema());
        components.schemas.insert("FaultCode".to_owned(), api.codes.fault_code_schema());
    }
    description.to_pretty_json().map_err(ProgramError::failed)
}
