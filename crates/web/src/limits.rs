//! How much one client may ask for: per address without a key, per key with one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use platform::config::UsageError;
use platform::keys::Principal;
use platform::process::LimitSettings;
use platform::rate::{AddressLimits, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::headers::preferred_wait;
use crate::problem::{Code, Problem};
use crate::requester::ClientAddress;
use crate::slots;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A request with a wrong key counts like this many.
pub(crate) const COST_OF_A_WRONG_KEY: u32 = 20;

/// The limits of a process.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Of clients without a key; `None` if there is no such limit.
    addresses: Option<AddressLimits>,
    trusted_proxies: Vec<IpNet>,
    /// Half of the connections may wait for outcomes, so that others find room.
    waits: Arc<Semaphore>,
}

/// What counted a request, by the name in its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) by: &'static str,
    pub(crate) verdict: Verdict,
}

/// The places that a request takes while it waits for an outcome.
#[derive(Debug)]
pub(crate) struct Waiting {
    _of_process: OwnedSemaphorePermit,
    _of_key: Option<OwnedSemaphorePermit>,
}

impl Default for Limits {
    fn default() -> Self {
        let waits = Arc::new(Semaphore::new(slots::capacity() / 2));
        Self { addresses: None, trusted_proxies: Vec::new(), waits }
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
            trusted_proxies: trusted_proxies.collect::<Result<_, _>>()?,
            ..Self::default()
        })
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
        let client = request.extensions().get::<ClientAddress>();
        let (Some(addresses), Some(client)) = (&self.addresses, client) else { return Ok(None) };
        Counted { by: "address", verdict: addresses.take(client.0, cost) }.admitted()
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

    /// Takes the places of a request that prefers to wait. If there is none, the preference is
    /// taken out of the request, so that it is answered at once: a client must not rely on it.
    pub(crate) fn wait(&self, principal: &Principal, request: &mut Request) -> Option<Waiting> {
        preferred_wait(request.headers())?;
        let of_key = principal.limits.as_ref().map(|its| its.waits.clone().try_acquire_owned());
        match (self.waits.clone().try_acquire_owned(), of_key.transpose()) {
            (Ok(of_process), Ok(of_key)) => {
                Some(Waiting { _of_process: of_process, _of_key: of_key })
            }
            _ => {
                request.headers_mut().remove(PREFER);
                None
            }
        }
    }

    /// Replaces the address of the connection by that of the client, if a trusted proxy tells it.
    pub(crate) fn find_client(&self, request: &mut Request) {
        let Some(ClientAddress(peer)) = request.extensions().get().copied() else { return };
        let client = self.address_behind(peer.to_canonical(), request.headers());
        if client != peer {
            request.extensions_mut().insert(ClientAddress(client));
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
mod tests {
    use axum::body::Body;
    use platform::keys::KeyLimits;
    use platform::rate::Rate;

    use super::*;

    fn limits(trusted: &[&str]) -> Limits {
        let address_rate = Rate::new(10, Some(3));
        let trusted_proxies = trusted.iter().map(|text| (*text).to_owned()).collect();
        let settings = LimitSettings { address_rate, trusted_proxies };
        Limits::new(&settings).expect("networks")
    }

    fn request(peer: &str, forwarded: &[&str]) -> Request {
        let peer = ClientAddress(peer.parse().expect("an address"));
        let mut request = Request::builder().uri("/").extension(peer);
        for value in forwarded {
            request = request.header(X_FORWARDED_FOR, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn the_client_is_who_a_trusted_proxy_says_and_nobody_else_says() {
        let limits = limits(&["10.0.0.0/8", "192.0.2.1"]);
        for (peer, forwarded, expected) in [
            ("203.0.113.7", &[][..], "203.0.113.7"),
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1, 192.0.2.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("10.0.0.1", &["1.1.1.1, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1", "\u{ff}, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "\u{ff}"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            let mut request = request(peer, forwarded);
            limits.find_client(&mut request);
            let ClientAddress(address) = request.extensions().get().expect("an address");
            assert_eq!(address.to_string(), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn what_is_no_network_is_no_trusted_proxy() {
        for wrong in ["", "10.0.0.0/33", "proxy.example.com", "*"] {
            let UsageError(line) = network(wrong).expect_err("refused");
            assert!(line.starts_with("trusted_proxies: ") && line.contains("10.0.0.0/8"), "{line}");
        }
    }

    /// Time is paused, so that nothing becomes due meanwhile.
    #[tokio::test(start_paused = true)]
    async fn a_request_too_many_is_told_when_to_come_back_and_what_the_limit_is() {
        let limits = limits(&[]);
        let ask = |cost| limits.count_address(&request("203.0.113.7", &[]), cost);
        for remaining in [2, 1, 0] {
            let mut headers = HeaderMap::new();
            ask(1).expect("admitted").expect("counted").write(&mut headers);
            assert_eq!(headers["ratelimit-policy"], "\"address\";q=10;w=1");
            let wait = u32::from(remaining == 0);
            assert_eq!(headers["ratelimit"], format!("\"address\";r={remaining};t={wait}"));
        }
        let problem = ask(1).expect_err("one too many").problem();
        assert_eq!((problem.code, problem.retry_after_s), (Code::RATE_LIMITED, Some(1)));
        assert!(problem.detail.contains("10 per second, and 3 at once"), "{}", problem.detail);
        assert!(limits.count_address(&request("203.0.113.8", &[]), 1).is_ok());
    }

    #[test]
    fn a_request_that_finds_no_place_to_wait_is_answered_at_once() {
        let limits = Limits { waits: Arc::new(Semaphore::new(2)), ..Limits::default() };
        let anyone = Principal::anyone();
        let one = Arc::new(KeyLimits::new(None));
        let client = Principal { limits: Some(one.clone()), ..Principal::anyone() };
        let waiting = |principal: &Principal| {
            let mut request = request("203.0.113.7", &[]);
            request.headers_mut().insert(PREFER, HeaderValue::from_static("wait=5"));
            let waiting = limits.wait(principal, &mut request);
            assert_eq!(waiting.is_some(), request.headers().contains_key(PREFER));
            waiting
        };
        let first = waiting(&anyone).expect("a place");
        let second = waiting(&client).expect("a place");
        assert!(waiting(&anyone).is_none());
        drop((first, second));
        assert!(waiting(&anyone).is_some());
        let all_of_key = one.waits.clone().try_acquire_many_owned(KeyLimits::MAX_WAITS);
        assert!(all_of_key.is_ok() && waiting(&client).is_none());
        assert!(limits.wait(&anyone, &mut request("203.0.113.7", &[])).is_none());
    }
}
