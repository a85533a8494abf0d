//! The frame of a serving program: the context that its services share, its workers and its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use platform::clock::{Clock, SystemClock, SystemIds};
use platform::config::File;
use platform::keys::{KeySource, KeySources, KeyTable};
use platform::lifecycle::{Stage, Workers, on_signal};
use platform::process::{
    COMMON_KEYS, CommonArgs, HttpSettings, ProgramError, refuse_few_open_files,
};
use platform::telemetry::{self, traces};
use platform::tokens::Tokens;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tracing::info;
use utoipa::openapi::OpenApi;

use crate::auth::{Guard, PROBES, PROGRAM_RULES, Rule};
use crate::docs;
use crate::edge::Site;
use crate::index;
use crate::limits::Limits;
use crate::lines::NDJSON;
use crate::probes::{self, Probes};
use crate::problem::OwnCodes;
use crate::server::{Serving, bind, serve, serve_probes};
use crate::slots::Slots;

use context::heartbeat_within;

pub use context::Context;
pub use health_check::check_health;

mod context;
mod health_check;

/// A shorter answer is sent as it is: it fits into one packet.
const MIN_COMPRESSED_BYTES: u64 = 1024;

/// The identity of a program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name of the executable, which the API and the log lines show.
    pub name: &'static str,
    /// One sentence for readers of the API and of the page at `/`.
    pub summary: &'static str,
    /// The `host:port` where the program listens unless configured.
    pub default_listen: &'static str,
}

/// The page at `/` with its files.
#[derive(Clone, Debug)]
pub struct Page {
    /// The routes, not wrapped in an edge yet.
    pub router: Router,
    /// What each route asks of a client.
    pub rules: &'static [Rule],
}

/// A program that is starting: services add workers, metrics and checks, then it serves.
#[derive(Debug)]
pub struct Process {
    /// The identity of the program.
    pub program: Program,
    /// What its services share.
    pub context: Context,
    /// The workers that run until the shutdown.
    pub workers: Workers,
    listener: TcpListener,
    metrics_listener: Option<(TcpListener, Arc<Site>)>,
    idle_timeout: Duration,
    drain_delay: Duration,
    page: Page,
}

/// The API of a service or of a program.
pub struct Api {
    /// The routes, wrapped in their edge.
    pub router: Router,
    /// The OpenAPI description of the routes.
    pub description: OpenApi,
    /// The codes in addition to those that every service has.
    pub codes: OwnCodes,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("paths", &self.description.paths.paths.len())
            .finish_non_exhaustive()
    }
}

impl Api {
    /// The routes of both services with one description, for a program that runs both.
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
    /// Binds the addresses, before anything else has an effect: if a port is in use, nothing
    /// changes.
    ///
    /// # Errors
    ///
    /// An address cannot be bound, an allowed host, an origin or a trusted proxy is none, the API keys
    /// or the authorities of the token issuer cannot be read, or the environment asks for traces in
    /// a way that cannot be carried out.
    pub async fn begin(program: Program, http: &HttpSettings) -> Result<Self, ProgramError> {
        let HttpSettings { listen, metrics_listen, allowed_hosts, cors_origins, .. } = http;
        let site = Site::new(listen, !http.asks_clients(), allowed_hosts, cors_origins)?;
        let limits = Arc::new(Limits::new(&http.limits)?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let file = http.api_keys_file.as_ref();
        let file = file.map(|path| KeySource::of_file(path, clock.clone())).transpose();
        let file = file.map_err(ProgramError::failed)?.map(Arc::new);
        let in_database = http.api_keys_in_database;
        let keys = http.asks_for_keys().then(|| KeySources {
            file: file.clone(),
            in_database,
            tables: Vec::new(),
        });
        let tokens = http.tokens.clone().map(|settings| Tokens::new(settings, clock.clone()));
        let tokens = tokens.transpose()?.map(Arc::new);
        let listener = bind(listen).await.map_err(ProgramError::failed)?;
        let metrics_listener = match metrics_listen {
            Some(address) => {
                let listener = bind(address).await.map_err(ProgramError::failed)?;
                Some((listener, Arc::new(Site::new(address, true, &[], &[])?)))
            }
            None => None,
        };
        let context = Context::new(clock.clone(), Arc::new(SystemIds::new(clock)));
        let docs_public = http.docs_public;
        let is_open = !http.asks_clients() && !listen.is_loopback();
        let serves_anyone_at = is_open.then(|| listen.to_string());
        let site = Arc::new(site);
        let context = Context {
            site,
            keys,
            tokens: tokens.clone(),
            docs_public,
            serves_anyone_at,
            limits,
            heartbeat: heartbeat_within(http.idle_timeout),
            ..context
        };
        let mut process = Self {
            program,
            context,
            workers: Workers::new(),
            listener,
            metrics_listener,
            idle_timeout: http.idle_timeout,
            drain_delay: http.drain_delay,
            page: index::page(program.name, program.summary),
        };
        if let Some(file) = file {
            process.watch_keys(file);
        }
        if let Some(tokens) = tokens {
            let readiness = process.context.readiness.clone();
            let watch = |token| async move { tokens.watch(readiness, token).await };
            process.workers.spawn(Stage::Work, "the watcher of the token issuer", watch);
        }
        process.export_traces()?;
        Ok(process)
    }

    /// Exports traces, if the environment asks for it.
    fn export_traces(&mut self) -> Result<(), ProgramError> {
        let lost = self.context.metrics.lost_spans.clone();
        if let Some(exporter) = traces::start(self.program.name, lost)? {
            let export = |token| exporter.run(token);
            self.workers.spawn(Stage::Close, "the exporter of traces", export);
        }
        Ok(())
    }

    /// Adds the keys in the table of a service, if clients are asked for those. To be called before
    /// the service is built. `check` is their name in `/readyz`.
    ///
    /// # Errors
    ///
    /// The table cannot be read, or a row is not a key.
    pub async fn add_keys(
        &mut self,
        service: &'static str,
        check: &'static str,
        table: Arc<dyn KeyTable>,
    ) -> Result<(), ProgramError> {
        let clock = self.context.clock.clone();
        let Some(keys) = self.context.keys.as_mut().filter(|keys| keys.in_database) else {
            return Ok(());
        };
        let source = KeySource::of_table(service, check, table, keys.file.clone(), clock).await;
        let source = Arc::new(source.map_err(ProgramError::failed)?);
        keys.tables.push(source.clone());
        self.watch_keys(source);
        Ok(())
    }

    fn watch_keys(&mut self, source: Arc<KeySource>) {
        let readiness = self.context.readiness.clone();
        let metrics = self.context.metrics.clone();
        let watch = |token| source.watch(readiness, metrics, token);
        self.workers.spawn(Stage::Work, "the watcher of API keys", watch);
    }

    /// Serves this page at `/`, instead of the one that only says what the program is.
    pub fn show(&mut self, page: Page) {
        self.page = page;
    }

    /// The program's own pages that a browser can open at its address: it sends no key.
    pub fn links(&self) -> Vec<&'static str> {
        let Context { keys, tokens, docs_public, .. } = &self.context;
        let is_open = keys.is_none() && tokens.is_none();
        let is_described = is_open || *docs_public;
        let has_probes = self.metrics_listener.is_none();
        let links = [
            ("docs", is_described),
            ("openapi.json", is_described),
            ("metrics", has_probes && is_open),
            ("readyz", has_probes),
            ("version", is_described),
        ];
        links.into_iter().filter(|(_, is_there)| *is_there).map(|(path, _)| path).collect()
    }

    /// The address that the program listens on, with the actual port.
    ///
    /// # Errors
    ///
    /// The operating system does not report the address.
    pub fn address(&self) -> Result<std::net::SocketAddr, ProgramError> {
        self.listener.local_addr().map_err(ProgramError::failed)
    }

    /// Serves until `shutdown`. Then it is not ready any more, goes on serving for the drain delay,
    /// and stops stage by stage (R19).
    ///
    /// # Errors
    ///
    /// A worker died or did not stop in time (R18).
    pub async fn serve(self, api: Api, shutdown: CancellationToken) -> Result<(), ProgramError> {
        let address = self.address()?;
        let edge = self.context.edge_of_program(self.program.name, PROGRAM_RULES);
        let open_edge = edge.clone().guarded_by(Guard::open(PROBES), Arc::default());
        let front = self.context.edge_of_program(self.program.name, self.page.rules);
        let Self { program, context, mut workers, listener, metrics_listener, page, .. } = self;
        let (idle_timeout, drain_delay) = (self.idle_timeout, self.drain_delay);
        let Context { registry, readiness, site, stopping, ids, limits, .. } = context;
        let name = program.name;
        let probes = Probes {
            name,
            version: env!("CARGO_PKG_VERSION"),
            readiness: readiness.clone(),
            registry: Arc::new(registry),
        };
        let mut own = docs::router(describe(&program, &api)?).merge(probes::version(&probes));
        match metrics_listener {
            Some((listener, site)) => {
                let own = listener.local_addr().map_err(ProgramError::failed)?;
                info!(address = %own, "serving metrics and probes");
                let ids = ids.clone();
                let router = open_edge.at(site).wrap(probes::router(probes));
                workers.spawn(Stage::Probe, "metrics server", |token| {
                    serve_probes(listener, router, ids, idle_timeout, token)
                });
            }
            None => own = own.merge(probes::router(probes)),
        }
        // Compression would hold back events, and the lines of an answer that is still growing.
        let is_worth_it = SizeAbove::new(MIN_COMPRESSED_BYTES)
            .and(NotForContentType::const_new(NDJSON))
            .and(NotForContentType::SSE);
        let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
        let mut router = edge
            .wrap(own)
            .merge(front.wrap(page.router))
            .merge(api.router)
            .layer(compression.compress_when(is_worth_it));
        if let Some(cors) = site.cors() {
            router = router.layer(cors);
        }
        let serving = Serving { slots: Slots::new(), limits, ids, idle_timeout };
        workers.spawn(Stage::Serve, "server", |token| serve(listener, router, serving, token));
        info!(%address, "{name} is ready");
        let stop = stopping.clone();
        tokio::spawn(async move {
            shutdown.cancelled().await;
            readiness.drain();
            tokio::time::sleep(drain_delay).await;
            stopping.cancel();
        });
        workers.run(stop).await.map_err(ProgramError::failed)?;
        info!("{name} has stopped");
        Ok(())
    }
}

/// Runs a serving program until a signal: reads the settings, binds the addresses, lets `build`
/// assemble the services, and serves them. `keys` are the keys that the settings file may have in
/// addition to the common ones.
///
/// # Errors
///
/// A wrong setting (exit code 2), or an error of `build` or [`Process::serve`] (exit code 1).
pub async fn run<B>(
    program: Program,
    args: &CommonArgs,
    keys: &[&str],
    build: B,
) -> Result<(), ProgramError>
where
    B: AsyncFnOnce(&mut Process, &File) -> Result<Api, ProgramError>,
{
    telemetry::init_logs();
    let file = load_settings(args, keys)?;
    let http = args.http(&file, program.default_listen)?;
    if args.health_check {
        return check_health(&http).await;
    }
    refuse_few_open_files()?;
    // Before what may take long: process 1 of a container does not even die of a signal that it does
    // not handle.
    let shutdown = on_signal().map_err(ProgramError::failed)?;
    let mut process = Process::begin(program, &http).await?;
    let built = shutdown.run_until_cancelled(build(&mut process, &file)).await;
    if let Some(Ok(api)) = built {
        return process.serve(api, shutdown).await;
    }
    // Of two databases, the first may be open already.
    process.workers.close().await;
    match built {
        Some(Err(error)) => Err(error),
        _ => {
            info!("{} has stopped before it was ready", program.name);
            Ok(())
        }
    }
}

/// Loads the settings file of a program. `keys` are allowed in addition to the common keys.
///
/// # Errors
///
/// As [`File::load`].
pub fn load_settings(args: &CommonArgs, keys: &[&str]) -> Result<File, ProgramError> {
    Ok(File::load(args.config.clone(), &[&COMMON_KEYS, keys].concat())?)
}

/// Writes the API's description as the document that `/openapi.json` serves.
///
/// # Errors
///
/// The description cannot be written as JSON, which is a bug.
pub fn describe(program: &Program, api: &Api) -> Result<String, ProgramError> {
    let mut description = api.description.clone();
    description.info.title = program.name.to_owned();
    description.info.version = env!("CARGO_PKG_VERSION").to_owned();
    description.info.description = Some(program.summary.to_owned());
    // utoipa sets these from the package's metadata.
    description.info.contact = None;
    description.info.license = None;
    if let Some(components) = &mut description.components {
        components.schemas.insert("Code".to_owned(), api.codes.code_schema());
        components.schemas.insert("FaultCode".to_owned(), api.codes.fault_code_schema());
    }
    description.to_pretty_json().map_err(ProgramError::failed)
}

#[cfg(test)]
mod tests;
