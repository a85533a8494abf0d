//! What all services of one process share, and the edges of their routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use platform::clock::{Clock, Ids};
use platform::keys::{KeySources, Keyring};
use platform::readiness::Readiness;
use platform::telemetry::{Metrics, ReadinessNumbers};
use platform::tokens::Tokens;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::Api;
use crate::auth::{Authenticator, Guard, PROBES, Rule, describe_rules};
use crate::description;
use crate::edge::{Edge, Site};
use crate::limits::Limits;
use crate::probes::{self, Probes};
use crate::problem::{OwnCodes, add_edge_problems};
use crate::refusals::Refusals;

/// The longest time in which a stream sends nothing, unless idle connections are closed sooner.
const HEARTBEAT: Duration = Duration::from_secs(15);
const LEAST_HEARTBEAT: Duration = Duration::from_millis(100);

/// What all services of one process share.
#[derive(Debug)]
pub struct Context {
    /// The clock of the process.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<dyn Ids>,
    /// Holds the metrics that `/metrics` reports; services register theirs.
    pub registry: Registry,
    /// The metrics that every service has.
    pub metrics: Metrics,
    /// The checks that `/readyz` reports; services set theirs.
    pub readiness: Readiness,
    /// Where the program listens, as browsers know it.
    pub site: Arc<Site>,
    /// Where the keys are that clients are asked for, if they are.
    pub keys: Option<KeySources>,
    /// The tokens that clients are asked for, if they are.
    pub(super) tokens: Option<Arc<Tokens>>,
    /// Whether clients without a key may read the API's description.
    pub docs_public: bool,
    /// The address at which other machines reach the program without being asked for a key, if they
    /// do.
    pub serves_anyone_at: Option<String>,
    /// How much one client may ask for.
    pub(crate) limits: Arc<Limits>,
    /// The longest time in which a stream sends nothing.
    pub(crate) heartbeat: Duration,
    /// Cancelled when the shutdown begins, so that waiting requests end (R19).
    pub stopping: CancellationToken,
}

impl Context {
    /// A context with empty metrics and readiness, for requests from within the process.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry, env!("CARGO_PKG_VERSION"));
        let readiness = Readiness::default();
        registry.register_collector(Box::new(ReadinessNumbers(readiness.clone())));
        let stopping = CancellationToken::new();
        Self {
            clock,
            ids,
            registry,
            metrics,
            readiness,
            site: Arc::default(),
            keys: None,
            tokens: None,
            docs_public: true,
            serves_anyone_at: None,
            limits: Arc::default(),
            heartbeat: HEARTBEAT,
            stopping,
        }
    }

    /// The same context at another address.
    #[must_use]
    pub fn at(self, site: Arc<Site>) -> Self {
        Self { site, ..self }
    }

    /// The API of a service: its routes behind the edge, what each asks of a client, their
    /// description, and the service's own codes. The edge counts the requests under the service's
    /// name, and reports to `refusals` which administrative requests it refused.
    pub fn api(
        &self,
        service: &'static str,
        router: utoipa_axum::router::OpenApiRouter,
        rules: &'static [Rule],
        codes: OwnCodes,
        refusals: Option<Refusals>,
    ) -> Api {
        let (router, mut description) = router.split_for_parts();
        add_edge_problems(&mut description);
        describe_rules(&mut description, rules);
        description::complete(&mut description);
        let keys = self.keys.as_ref().map(|keys| keys.of_service(service));
        let edge = self.edge(service, keys, rules).reporting(refusals);
        Api { router: edge.wrap(router), description, codes }
    }

    /// The router of a program that serves only the probes.
    pub fn probes_alone(self, name: &'static str) -> Router {
        let edge = self.edge_of_program(name, PROBES);
        let Self { registry, readiness, .. } = self;
        edge.wrap(probes::router(Probes {
            name,
            version: env!("CARGO_PKG_VERSION"),
            readiness,
            registry: Arc::new(registry),
        }))
    }

    /// The edge of what belongs to no service.
    pub(super) fn edge_of_program(&self, name: &'static str, rules: &'static [Rule]) -> Edge {
        self.edge(name, self.keys.as_ref().map(KeySources::of_program), rules)
    }

    /// What proves to a service who a client is.
    pub fn authenticator_of(&self, service: &str) -> Authenticator {
        self.authenticator(self.keys.as_ref().map(|keys| keys.of_service(service)))
    }

    fn authenticator(&self, keys: Option<Keyring>) -> Authenticator {
        Authenticator::new(keys.map(Arc::new), self.tokens.clone())
    }

    fn edge(&self, service: &'static str, keys: Option<Keyring>, rules: &'static [Rule]) -> Edge {
        let guard = Guard::new(self.authenticator(keys), self.docs_public, rules);
        let edge = Edge::new(service, self.metrics.clone(), self.ids.clone());
        edge.at(self.site.clone()).guarded_by(guard, self.limits.clone())
    }
}

/// The longest time in which a stream sends nothing, so that it is not closed as idle.
pub(super) fn heartbeat_within(idle_timeout: Duration) -> Duration {
    (idle_timeout / 3).clamp(LEAST_HEARTBEAT, HEARTBEAT)
}
