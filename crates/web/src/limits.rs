//! How much one client may ask for: per address without a key, per key with one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use platform::config::UsageError;
use platform::keys::{KeyLimits, Principal};
use platform::process::LimitSettings;
use platform::rate::{AddressLimits, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::anonymous::{Anonymous, Holder, InFlight, TooMany};
use crate::headers::preferred_wait;
use crate::problem::{Code, Problem};
use crate::requester::Origin;
use crate::slots;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A request with a wrong key counts like this many.
pub(crate) const COST_OF_A_WRONG_KEY: u32 = 20;
/// When a client may try again to open a stream, in seconds: streams are long.
const STREAM_RETRY_S: u32 = 5;

/// The limits of a process.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Of clients without a key; `None` if there is no such limit.
    addresses: Option<AddressLimits>,
    /// What they may hold at the same time.
    anonymous: Arc<Anonymous>,
    trusted_proxies: Vec<IpNet>,
    /// Half of the connections may wait for outcomes, so that others find room.
    waits: Arc<Semaphore>,
    /// A quarter of the connections may be streams of events.
    streams: Arc<Semaphore>,
}

/// What counted a request, by the name in its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) by: &'static str,
    pub(crate) verdict: Verdict,
}

/// The permits that a request holds while it waits for an outcome, or as long as its stream is open.
#[derive(Debug)]
pub(crate) struct Permits {
    _of_process: OwnedSemaphorePermit,
    _of_key: Option<OwnedSemaphorePermit>,
}

impl Default for Limits {
    fn default() -> Self {
        let waits = Arc::new(Semaphore::new(slots::capacity() / 2));
        let streams = Arc::new(Semaphore::new(slots::capacity() / 4));
        let trusted_proxies = Vec::new();
        Self { addresses: None, anonymous: Arc::default(), trusted_proxies, waits, streams }
    }
}

impl Limits {
    /// The limits of these settings.
    ///
    /// # Errors
    ///
    /// A trusted proxy is neither an address nor a network.
    pub(crate) fn new(settings: &LimitSettings) -> Result<Self, UsageError> {
        let trusted_proxies = settings.trusted_proxies.iter().map(|text| network(text));
        Ok(Self {
            addresses: settings.address_rate.map(AddressLimits::new),
            anonymous: Anonymous::new(settings.address_connections, settings.address_requests),
            trusted_proxies: trusted_proxies.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// The same limits, with this many permits for requests that wait.
    #[cfg(test)]
    pub(crate) fn with_waits(self, waits: usize) -> Self {
        Self { waits: Arc::new(Semaphore::new(waits)), ..self }
    }

    /// The same limits, with this many permits for streams.
    #[cfg(test)]
    pub(crate) fn with_streams(self, streams: usize) -> Self {
        Self { streams: Arc::new(Semaphore::new(streams)), ..self }
    }

    /// Counts a request of a client without a valid key by its address.
    ///
    /// # Errors
    ///
    /// 429 `rate_limited`.
    pub(crate) fn count_address(
        &self,
        request: &Request,
        cost: u32,
    ) -> Result<Option<Counted>, Refused> {
        let origin = request.extensions().get::<Origin>();
        let (Some(addresses), Some(origin)) = (&self.addresses, origin) else { return Ok(None) };
        Counted { by: "address", verdict: addresses.take(origin.address, cost) }.admitted()
    }

    /// Counts a request of a client without a valid key until it is answered.
    ///
    /// # Errors
    ///
    /// 429 `rate_limited`.
    pub(crate) fn begin(&self, request: &Request) -> Result<Option<InFlight>, Problem> {
        let Some(origin) = request.extensions().get::<Origin>() else { return Ok(None) };
        self.anonymous.begin(origin.address).map_err(|TooMany(most)| {
            let detail = format!(
                "too many requests of this address are in flight: the limit is {most} at once"
            );
            Problem::new(Code::RATE_LIMITED, detail).retry_after(1)
        })
    }

    /// The address for which a connection counts until a valid key is shown on it. Behind a trusted
    /// proxy are many clients: its connections count for nobody.
    pub(crate) fn holder(&self, peer: IpAddr) -> Option<Holder> {
        self.anonymous.of_connection(peer).filter(|_| !self.trusts(peer))
    }

    /// Counts a request of a client with a key.
    ///
    /// # Errors
    ///
    /// 429 `rate_limited`.
    pub(crate) fn count_key(
        principal: &Principal,
        request: &Request,
    ) -> Result<Option<Counted>, Refused> {
        let Some(limits) = &principal.limits else { return Ok(None) };
        let (by, limit) = match request.method().is_safe() {
            true => ("read", &limits.read),
            false => ("write", &limits.write),
        };
        match limit {
            Some(limit) => Counted { by, verdict: limit.take() }.admitted(),
            None => Ok(None),
        }
    }

    /// Takes the permits of a request that prefers to wait. If there is none, the preference is
    /// taken out of the request, so that it is answered at once: a client must not rely on it.
    pub(crate) fn wait(&self, principal: &Principal, request: &mut Request) -> Option<Permits> {
        preferred_wait(request.headers())?;
        let of_key = principal.limits.as_ref().map(|its| its.waits.clone().try_acquire_owned());
        match (self.waits.clone().try_acquire_owned(), of_key.transpose()) {
            (Ok(of_process), Ok(of_key)) => {
                Some(Permits { _of_process: of_process, _of_key: of_key })
            }
            _ => {
                request.headers_mut().remove(PREFER);
                None
            }
        }
    }

    /// Takes the permits of a stream of events. The streams and the waiting requests of a key have one
    /// limit.
    ///
    /// # Errors
    ///
    /// 429 `rate_limited` if the key has too many, 503 `overloaded` if the process has.
    pub(crate) fn stream(&self, principal: &Principal) -> Result<Permits, Problem> {
        let of_key = principal.limits.as_ref().map(|its| its.waits.clone().try_acquire_owned());
        let of_key = of_key.transpose().map_err(|_| {
            let most = KeyLimits::MAX_WAITS;
            let detail = format!(
                "too many streams and waiting requests of this key are open: the limit is {most}"
            );
            Problem::new(Code::RATE_LIMITED, detail).retry_after(STREAM_RETRY_S)
        })?;
        let of_process = self.streams.clone().try_acquire_owned().map_err(|_| {
            let detail = "too many streams of events are open; read pages, or come back later";
            Problem::new(Code::OVERLOADED, detail).retry_after(STREAM_RETRY_S)
        })?;
        Ok(Permits { _of_process: of_process, _of_key: of_key })
    }

    /// Replaces the address of the connection by that of the client, if a trusted proxy tells it.
    pub(crate) fn find_client(&self, request: &mut Request) {
        if self.trusted_proxies.is_empty() {
            return;
        }
        let Some(peer) = request.extensions().get().map(|origin: &Origin| origin.address) else {
            return;
        };
        let client = self.address_behind(peer.to_canonical(), request.headers());
        if let Some(origin) = request.extensions_mut().get_mut::<Origin>() {
            origin.address = client;
        }
    }

    fn address_behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        // From right to left: each proxy adds the address that it sees. The first that is not
        // trusted may have written all that stands before it.
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let listed = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut nearest = peer;
        for text in listed {
            let text = std::str::from_utf8(text).unwrap_or_default();
            let Ok(address) = text.trim().parse::<IpAddr>() else { break };
            nearest = address.to_canonical();
            if !self.trusts(nearest) {
                break;
            }
        }
        nearest
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, UsageError> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>().or(address).map_err(|_| {
        let reason = "is neither an address nor a network, such as 10.0.0.0/8";
        UsageError(format!("trusted_proxies: {text:?} {reason}"))
    })
}

/// Counts a search, which costs more than other requests: the searches of one key must not keep
/// those of others waiting.
///
/// # Errors
///
/// 429 `rate_limited`.
pub fn count_search(principal: &Principal) -> Result<(), Problem> {
    let Some(limits) = &principal.limits else { return Ok(()) };
    let counted = Counted { by: "search", verdict: limits.search.take() };
    counted.admitted().map(drop).map_err(Refused::problem)
}

/// A request that is one too many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused(pub(crate) Counted);

impl Refused {
    pub(crate) fn problem(self) -> Problem {
        let detail = format!("too many requests: the limit is {}", self.0.describe());
        Problem::new(Code::RATE_LIMITED, detail).retry_after(self.0.wait_s().max(1))
    }
}

impl Counted {
    fn admitted(self) -> Result<Option<Self>, Refused> {
        if self.verdict.is_admitted { Ok(Some(self)) } else { Err(Refused(self)) }
    }

    fn describe(self) -> String {
        let rate = self.verdict.rate;
        format!("{} per second, and {} at once", rate.per_second(), rate.burst())
    }

    fn wait_s(self) -> u32 {
        u32::try_from(self.verdict.wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
    }

    /// Tells the client its limit (draft-ietf-httpapi-ratelimit-headers).
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Self { by, verdict } = self;
        let policy = format!("\"{by}\";q={};w=1", verdict.rate.per_second());
        let state = format!("\"{by}\";r={};t={}", verdict.remaining, self.wait_s());
        for (name, value) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            let value = HeaderValue::from_str(&value).expect("numbers are plain ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests;
