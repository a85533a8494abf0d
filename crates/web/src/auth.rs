//! Who may use which route: each service lists its routes with what a key must allow.

use std::sync::Arc;

use axum::extract::Request;
use platform::keys::{Principal, Scope};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

use crate::problem::{Code, Problem};

pub use access::Access;
pub use authenticator::Authenticator;
use authenticator::Denied;
pub(crate) use authenticator::has_credential;

mod access;
mod authenticator;

/// What a route asks of a client.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// Whether the key of one customer is enough. The handler then shows and changes nothing of
    /// another customer.
    for_customers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A key, unless the documentation is public.
    AnyKey,
    All(&'static [Scope]),
    /// The handler asks for one of them, once it has read the body.
    OneOf(&'static [Scope]),
}

impl Rule {
    /// A route for everybody.
    pub const fn open(path: &'static str) -> Self {
        Self { method: "GET", path, needs: Needs::Nothing, for_customers: true }
    }

    /// A route that describes the API.
    pub const fn documentation(path: &'static str) -> Self {
        Self { method: "GET", path, needs: Needs::AnyKey, for_customers: true }
    }

    /// A route for clients that have all of these scopes.
    pub const fn needs(method: &'static str, path: &'static str, scopes: &'static [Scope]) -> Self {
        Self { method, path, needs: Needs::All(scopes), for_customers: false }
    }

    /// A route for clients that have one of these scopes. Its handler calls [`require`].
    pub const fn needs_one_of(
        method: &'static str,
        path: &'static str,
        scopes: &'static [Scope],
    ) -> Self {
        Self { method, path, needs: Needs::OneOf(scopes), for_customers: false }
    }

    /// The same route, also for the key of one customer.
    #[must_use]
    pub const fn also_of_one_customer(self) -> Self {
        Self { for_customers: true, ..self }
    }

    fn admits(&self, principal: &Principal) -> Result<(), Problem> {
        if principal.customer_id.is_some() && !self.for_customers {
            let detail = "the key of one customer does not allow this request";
            return Err(Problem::new(Code::FORBIDDEN, detail));
        }
        match self.needs {
            Needs::Nothing | Needs::AnyKey => Ok(()),
            Needs::All(scopes) => scopes.iter().try_for_each(|scope| require(principal, *scope)),
            Needs::OneOf(scopes) => {
                let has_one = scopes.iter().any(|scope| principal.scopes.has(*scope));
                scopes
                    .first()
                    .filter(|_| !has_one)
                    .map_or(Ok(()), |first| require(principal, *first))
            }
        }
    }
}

/// Checks that a client may do something.
///
/// # Errors
///
/// 403 `forbidden`, which names the scope.
pub fn require(principal: &Principal, scope: Scope) -> Result<(), Problem> {
    if principal.scopes.has(scope) { Ok(()) } else { Err(Problem::lacks(scope)) }
}

/// Who sends a request, as far as it matters for limits.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// They have a valid key or token.
    WithKey(Arc<Principal>),
    /// They have none, and need none; or nobody can tell whether theirs is valid.
    WithoutKey,
    /// They have none where they need one.
    Rejected,
    /// Whoever it is: a probe.
    Uncounted,
}

impl Client {
    /// Who sends a request without a key. Whoever tries keys from an address must not make the
    /// probes of a load balancer at the same address fail.
    pub(crate) fn of_route(route: Option<&str>) -> Self {
        if is_probe(route) { Self::Uncounted } else { Self::WithoutKey }
    }
}

/// Whether a route says how the program is to whoever decides about its life.
pub(crate) fn is_probe(route: Option<&str>) -> bool {
    matches!(route, Some("/livez" | "/readyz"))
}

/// What stands before the routes of one router.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    authenticator: Authenticator,
    has_public_docs: bool,
    rules: &'static [Rule],
    anyone: Arc<Principal>,
    anonymous: Arc<Principal>,
}

impl Guard {
    /// Lets everybody in.
    pub(crate) fn open(rules: &'static [Rule]) -> Self {
        Self::new(Authenticator::default(), true, rules)
    }

    /// Asks for what the authenticator knows.
    pub(crate) fn new(
        authenticator: Authenticator,
        has_public_docs: bool,
        rules: &'static [Rule],
    ) -> Self {
        Self {
            authenticator,
            has_public_docs,
            rules,
            anyone: Arc::new(Principal::anyone()),
            anonymous: Arc::new(Principal::anonymous()),
        }
    }

    /// What proves who a client is.
    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Finds out who sends the request, and whether they may. `route` is the pattern of its path,
    /// if there is one. `None` if the request may wait for a key of the token issuer, and should.
    ///
    /// # Errors
    ///
    /// - 401 `unauthenticated` without a valid key or token, also where there is no route: clients
    ///   without one do not learn which routes exist.
    /// - 403 `forbidden` if the key or token does not allow the request.
    /// - 503 `storage_unavailable` if what verifies it could not be read for too long.
    pub(crate) fn admit(
        &self,
        request: &Request,
        route: Option<&str>,
        may_wait: bool,
    ) -> Option<(Client, Result<Arc<Principal>, Problem>)> {
        if !self.authenticator.asks() {
            return Some((Client::of_route(route), Ok(self.anyone.clone())));
        }
        let rule = route.and_then(|route| self.rule(request.method().as_str(), route));
        let is_open = match rule {
            Some(rule) => match rule.needs {
                Needs::Nothing => true,
                Needs::AnyKey => self.has_public_docs,
                Needs::All(_) | Needs::OneOf(_) => false,
            },
            None => route.is_none() && !is_of_the_api(request.uri().path()),
        };
        // Whoever needs no token does not wait for its key.
        let may_wait = may_wait && !is_open;
        Some(match self.authenticator.identify(request.uri(), request.headers(), may_wait) {
            Ok(principal) => {
                let admitted = self.admits(&principal, rule, route).map(|()| principal.clone());
                (Client::WithKey(principal), admitted)
            }
            Err(Denied::AwaitsKey) => return None,
            Err(_) if is_open => (Client::of_route(route), Ok(self.anonymous.clone())),
            Err(Denied::Refused(problem)) if problem.code == Code::STORAGE_UNAVAILABLE => {
                (Client::WithoutKey, Err(problem))
            }
            Err(Denied::Refused(problem)) => (Client::Rejected, Err(problem)),
        })
    }

    fn admits(
        &self,
        principal: &Principal,
        rule: Option<&Rule>,
        route: Option<&str>,
    ) -> Result<(), Problem> {
        match rule {
            Some(rule) => rule.admits(principal),
            // The router answers 404 or 405. A route that no rule names is not for anybody.
            None if route.is_none_or(|route| self.names(route)) => Ok(()),
            None => Err(Problem::new(Code::FORBIDDEN, Code::FORBIDDEN.title())),
        }
    }

    /// Whether a route is for administrators, among others.
    pub(crate) fn is_administrative(&self, method: &str, route: Option<&str>) -> bool {
        let needs = route.and_then(|route| self.rule(method, route)).map(|rule| rule.needs);
        let (Some(Needs::All(scopes)) | Some(Needs::OneOf(scopes))) = needs else { return false };
        scopes.iter().any(|scope| scope.is_administrative())
    }

    fn rule(&self, method: &str, route: &str) -> Option<&Rule> {
        let method = if method == "HEAD" { "GET" } else { method };
        self.rules.iter().find(|rule| rule.path == route && rule.method == method)
    }

    fn names(&self, route: &str) -> bool {
        self.rules.iter().any(|rule| rule.path == route)
    }
}

/// The paths of the probes.
pub(crate) const PROBES: &[Rule] = &[
    Rule::open("/livez"),
    Rule::open("/readyz"),
    Rule::needs("GET", "/metrics", &[Scope::OpsRead]),
];

/// The paths that every program has beside those of its services.
pub(crate) const PROGRAM_RULES: &[Rule] = &[
    PROBES[0],
    PROBES[1],
    PROBES[2],
    Rule::documentation("/version"),
    Rule::documentation("/openapi.json"),
    Rule::documentation("/asyncapi.json"),
    Rule::documentation("/docs"),
    Rule::documentation("/docs/"),
    Rule::documentation("/docs/initializer.js"),
    Rule::documentation("/docs/swagger-ui-bundle.js"),
    Rule::documentation("/docs/swagger-ui.css"),
];

/// Adds to every operation which scopes a key needs for it.
///
/// # Panics
///
/// If an operation has no rule: nobody could use it.
pub(crate) fn describe_rules(api: &mut OpenApi, rules: &[Rule]) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("lsk_…");
    let scheme = scheme.description(Some(DESCRIPTION)).build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    for (path, item) in &mut api.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("PATCH", &mut item.patch),
            ("DELETE", &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let rule = rules.iter().find(|rule| rule.path == path && rule.method == method);
            let rule = rule.unwrap_or_else(|| panic!("no rule says who may {method} {path}"));
            operation.security = Some(rule.described());
        }
    }
}

impl Rule {
    fn described(&self) -> Vec<SecurityRequirement> {
        let requires = |scopes: &[Scope]| {
            SecurityRequirement::new(SCHEME, scopes.iter().map(|scope| scope.as_str()))
        };
        match self.needs {
            Needs::Nothing | Needs::AnyKey => Vec::new(),
            Needs::All(scopes) => vec![requires(scopes)],
            Needs::OneOf(scopes) => scopes.iter().map(|scope| requires(&[*scope])).collect(),
        }
    }
}

/// The name of the keys and tokens in the API's description.
const SCHEME: &str = "api_key";

const DESCRIPTION: &str =
    "An API key, or the access token (JWT) of a member of staff, where the service asks for one";

fn is_of_the_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

#[cfg(test)]
mod tests;
